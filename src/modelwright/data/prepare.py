"""The prepare stage: thresholds, duplicates, personal data, mixture, and the validation split.

It reads an annotated corpus twice: first its scores, to decide; then its texts, to write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.core.files import sha256_file
from modelwright.core.job import Job, Outcome
from modelwright.data.annotation.identity import CONTENT
from modelwright.data.annotation.merge import CLUSTER
from modelwright.data.corpus import DOCUMENT_COLUMNS, DROPPED, DroppedDocument, write_dropped
from modelwright.data.drops import in_words
from modelwright.data.executors import Execution, cores, map_ordered
from modelwright.data.frames import FrameWriter, corpus_columns, corpus_groups
from modelwright.data.mixture import copies, repeats
from modelwright.data.parquet import Columns, RowGroup, columns_of_file, read_frames
from modelwright.data.personal_data.kinds import KINDS
from modelwright.data.preparation.decisions import Decisions, decide
from modelwright.data.preparation.reasons import OptOut, Reasons, read_opt_out
from modelwright.data.preparation.redaction import RedactionTask, Redactor
from modelwright.data.preparation.tail import TAIL_SUFFIX, cut_tail
from modelwright.data.settings import PrepareSettings
from modelwright.data.split import hold_out_at, position

FEW_DOCUMENTS = 5
"""With fewer documents than this, texts are cut instead of being held out whole."""

COPY_SUFFIX = "-copy"
"""Added with a number to the id of a document that the mixture repeats."""

NOT_MIXED_IN = "left out by the mixture"
REDACTED = "redacted"

GROUPS_A_WORKER = 4
"""With fewer row groups for each, starting processes costs more than they save."""


def prepare(job: Job[PrepareSettings]) -> Outcome:
    """Keep what the settings allow, one of each cluster, and mark it as train or validation.

    Raises
    ------
    InputError
        If nothing is left, or too little to hold anything out, or the corpus is not annotated.
    UsageError
        If a score is asked for that the corpus does not have.
    """
    corpus, settings = job.input("corpus"), job.settings
    names = _annotated_columns(corpus)
    opt_out = read_opt_out(Path(settings.opt_out)) if settings.opt_out else OptOut()
    reasons = Reasons(settings, frozenset(names), opt_out)
    groups = corpus_groups(corpus.path)
    keep_near = settings.near_duplicates == "keep"
    decisions = decide(groups, reasons, settings.seed, keep_near, job.progress)
    if not len(decisions.kept):
        raise _nothing_left(corpus.path, decisions)
    plan = _Plan.of(decisions, settings)
    columns: Columns = {**DOCUMENT_COLUMNS, **columns_of_file(groups[0].path)}
    workers = min(settings.workers or cores(), max(1, len(groups) // GROUPS_A_WORKER))
    redactor = Redactor(columns, _replaced_kinds(reasons))
    execution = Execution(workers, settings.place)
    redacted = Counter[str]()
    with (
        FrameWriter(job.folder, columns) as writer,
        job.progress.task("write documents", len(decisions.kept), "documents") as task,
    ):
        done = 0
        for frames, counts in map_ordered(redactor, plan.tasks(groups), execution):
            redacted.update(counts)
            for frame in frames:
                plan.write(frame, slice(done, done + frame.height), writer)
                done += frame.height
                task.update(done)
    if not plan.documents["validation"]:
        raise InputError(
            "too little text to hold any out for validation",
            where=corpus.path,
            fix="collect more text",
        )
    write_dropped(job.folder / DROPPED, _dropped(groups, decisions))
    dropped = Counter(plan.left_out)
    dropped.update(_counted(decisions))
    return Outcome(
        counts={
            "documents_in": len(decisions.reasons),
            "documents_out": writer.documents,
            "documents_train": plan.documents["train"],
            "documents_validation": plan.documents["validation"],
            "characters": writer.characters,
            "bytes_train": plan.bytes["train"],
            "bytes_validation": plan.bytes["validation"],
            **{f"{REDACTED}_{kind}": count for kind, count in sorted(redacted.items())},
        },
        dropped=dict(sorted(dropped.items())),
    )


def fingerprint(settings: PrepareSettings) -> str:
    """Hash of the opt-out list, which lies outside the workspace.

    Raises
    ------
    InputError
        If it is not there.
    """
    if settings.opt_out is None:
        return ""
    path = Path(settings.opt_out)
    if not path.is_file():
        raise InputError("no opt-out list here", where=path, fix="correct 'prepare: opt_out'")
    return sha256_file(path)


@dataclass
class _Plan:
    """How the kept documents are written: which are held out, and how often each source is used.

    ``documents`` and ``bytes`` count by split what :meth:`write` wrote.
    """

    settings: PrepareSettings
    decisions: Decisions
    held_out: list[bool]
    cut: bool
    times: dict[str, float]
    documents: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, decisions: Decisions, settings: PrepareSettings) -> _Plan:
        fraction = settings.validation_fraction
        held_out = hold_out_at(decisions.positions.tolist(), fraction)
        alone = decisions.positions < fraction  # what falls there by itself
        few = len(held_out) < FEW_DOCUMENTS and (all(alone) or not any(alone))
        cut = few or len(held_out) == 1
        times = dict[str, float]()
        if settings.mixes:
            train = pl.DataFrame({"source": decisions.sources, "size": decisions.sizes}).filter(
                ~pl.Series(held_out)
            )
            sizes = train.group_by(pl.col("source").cast(pl.String)).agg(pl.col("size").sum())
            by_source = dict(sorted(zip(sizes["source"], sizes["size"], strict=True)))
            times = repeats(by_source, settings.mixture, settings.temperature, settings.max_repeats)
        return cls(settings, decisions, held_out, cut, times)

    def tasks(self, groups: Sequence[RowGroup]) -> list[RedactionTask]:
        """The kept rows of each row group."""
        kept, start, tasks = self.decisions.kept, 0, list[RedactionTask]()
        for group in groups:
            first, last = np.searchsorted(kept, (start, start + group.rows))
            tasks.append(RedactionTask(group, tuple((kept[first:last] - start).tolist())))
            start += group.rows
        return tasks

    def write(self, frame: pl.DataFrame, rows: slice, writer: FrameWriter) -> None:
        """Write documents, of the kept ones those of ``rows``."""
        if self.cut:
            self._write(_cut(frame, self.settings.validation_fraction), writer)
            return
        out = pl.Series(self.held_out[rows], dtype=pl.Boolean)
        splits = pl.when(out).then(pl.lit("validation")).otherwise(pl.lit("train"))
        frame = frame.with_columns(splits.alias("split"))
        self._write(self._mixed(frame) if self.times else frame, writer)

    def _write(self, frame: pl.DataFrame, writer: FrameWriter) -> None:
        writer.write(frame)
        sizes = frame["text"].str.len_bytes()
        for split in ("train", "validation"):
            mask = frame["split"] == split
            self.documents[split] += int(mask.sum())
            self.bytes[split] += int(sizes.filter(mask).sum())

    def _mixed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Each training document as often as the mixture says."""
        numbers = [
            1
            if split == "validation"
            else copies(self.times[source], position(self.settings.seed + 1, content))
            for source, content, split in frame.select("source", CONTENT, "split").iter_rows()
        ]
        self.left_out[NOT_MIXED_IN] += numbers.count(0)
        rows = [row for row, number in enumerate(numbers) for _ in range(number)]
        suffixes = [
            f"{COPY_SUFFIX}{copy}" if copy > 1 else ""
            for number in numbers
            for copy in range(1, number + 1)
        ]
        return frame[rows].with_columns(pl.col("id") + pl.Series(suffixes, dtype=pl.String))


def _cut(frame: pl.DataFrame, fraction: float) -> pl.DataFrame:
    """Hold out the end of every text instead of whole documents."""
    rows = []
    for row in frame.iter_rows(named=True):
        parts = cut_tail(row["text"], fraction)
        if parts is None:
            rows.append({**row, "split": "train"})
            continue
        head, tail = parts
        rows.append({**row, "text": head, "split": "train"})
        identity = row["id"] + TAIL_SUFFIX
        rows.append({**row, "id": identity, "text": tail, "split": "validation"})
    return pl.DataFrame(rows, schema=frame.schema | {"split": pl.String})


def _annotated_columns(corpus: Artifact) -> list[str]:
    names = corpus_columns(corpus.path)
    if CONTENT not in names or CLUSTER not in names:
        raise InputError(
            "this corpus is not annotated: it has no scores",
            where=corpus.path,
            fix="run 'modelwright annotate --corpus FOLDER --out SCORED' and give its result",
        )
    return names


def _replaced_kinds(reasons: Reasons) -> tuple[tuple[str, str], ...]:
    return tuple(
        (kind.name, kind.column) for kind in KINDS if reasons.treatment(kind.group) == "replace"
    )


def _counted(decisions: Decisions) -> dict[str, int]:
    counts = decisions.reasons.drop_nulls().cast(pl.String).value_counts()
    return dict(zip(counts["reason"], counts["count"], strict=True))


def _dropped(groups: Sequence[RowGroup], decisions: Decisions) -> Iterator[DroppedDocument]:
    columns: Columns = {"id": "text", "url": "text"}
    reasons, row = decisions.reasons.cast(pl.String), 0
    for group in groups:
        for frame in read_frames(group, columns):
            why = reasons.slice(row, frame.height)
            left_out = frame.with_columns(why, row=pl.int_range(row, row + frame.height))
            for identity, url, reason, number in left_out.filter(
                pl.col("reason").is_not_null()
            ).iter_rows():
                twin = decisions.duplicate_of.get(number)
                yield DroppedDocument(identity, url, reason, twin)
            row += frame.height


def _nothing_left(folder: Path, decisions: Decisions) -> InputError:
    return InputError(
        f"nothing is left of {len(decisions.reasons):,} documents: {in_words(_counted(decisions))}",
        where=folder,
        fix="collect more text, or change the limits under 'prepare' in the recipe",
    )
