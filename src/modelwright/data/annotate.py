"""The annotate stage: every score of every document, once, so that thresholds cost nothing later.

The result is a corpus in the order of the documents' keys with a column for each score, and the
index of near-duplicates. It is byte-identical for any number of workers, any order of the input,
and whether or not scores could be copied from an earlier result.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.core.files import PARTIAL_SUFFIX, sha256_json
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import Progress
from modelwright.data.annotation.earlier import Earlier, read_earlier
from modelwright.data.annotation.merge import INDEX, LISTED_TWICE, Merge
from modelwright.data.annotation.parts import PartMaker, PartTask, plan_parts
from modelwright.data.annotation.scores import Scorer
from modelwright.data.arrays import save_array
from modelwright.data.contamination import build_evaluation_ngrams
from modelwright.data.executors import Execution, cores, map_ordered
from modelwright.data.folder import fingerprint_files
from modelwright.data.frames import FrameWriter, corpus_groups
from modelwright.data.parquet import row_groups
from modelwright.data.settings import AnnotateSettings, memory_bytes

WORKING_COPIES = 96
"""How many times its size a text takes while it is scored: words, their hashes, n-grams."""

SORTED_COPIES = 6
"""How many times its size a bucket takes while it is put in order."""


def annotate(job: Job[AnnotateSettings]) -> Outcome:
    """Score all documents of a corpus and find clusters of near-duplicates.

    Raises
    ------
    InputError
        If the corpus is empty or damaged, or two different documents have the same id.
    """
    corpus, settings = job.input("corpus"), job.settings
    groups = corpus_groups(corpus.path)
    documents = sum(group.rows for group in groups)
    if not documents:
        raise InputError("no document in this corpus", where=corpus.path, fix="collect some text")
    earlier = _earlier(job.previous, settings)
    workers = settings.workers or cores()
    memory = memory_bytes(settings.memory)
    maker = PartMaker(
        scorer=Scorer.of(settings, _ngrams(settings, job.scratch, job.progress)),
        bits=_bits(sum(group.size for group in groups), memory),
        slice_bytes=min(2**20, max(2**16, memory // (workers * WORKING_COPIES))),
        flush_bytes=min(16 * 2**20, memory // (workers * SORTED_COPIES)),
        known=_known(earlier, job.scratch / "known.npy"),
    )
    tasks = plan_parts(groups, _parts_folder(job.scratch, maker, job.previous))
    _make_parts(maker, tasks, documents, Execution(workers, settings.place), job.progress)
    merge = Merge([row_groups(task.target) for task in tasks], maker, earlier, memory)
    job.progress.note("finding near-duplicates")
    clusters = merge.clusters(job.folder / INDEX)
    with (
        FrameWriter(job.folder, merge.columns) as writer,
        job.progress.task("put in order", documents, "documents") as task,
    ):
        for frame in merge.frames(clusters):
            writer.write(frame)
            task.update(writer.documents)
    return Outcome(
        counts={
            "documents_in": documents,
            "documents_out": writer.documents,
            "characters": writer.characters,
            "bytes": writer.bytes,
            "clusters": len(np.unique(clusters.roots)),
            "in_clusters": len(clusters.keys),
        },
        dropped={LISTED_TWICE: merge.repeated} if merge.repeated else {},
    )


def fingerprint(settings: AnnotateSettings) -> str:
    """Hash of what the stage reads outside the workspace: evaluation sets and classifier.

    Raises
    ------
    InputError
        If one of them is not there.
    """
    outside = [*settings.evaluation_sets]
    if settings.quality_model:
        outside.append(settings.quality_model)
    return sha256_json([_fingerprint(Path(path)) for path in outside])


def _fingerprint(path: Path) -> object:
    if not path.exists():
        raise InputError(
            "no evaluation set or quality classifier here", where=path, fix="correct the path"
        )
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    return fingerprint_files(files, path)


def _earlier(previous: Artifact | None, settings: AnnotateSettings) -> Earlier | None:
    """The earlier result, if its scores are what would be worked out now."""
    if previous is None:
        return None
    parts = previous.manifest.key_parts
    same = parts.get("settings") == settings.decisive()
    if not same or parts.get("outside") != fingerprint(settings):
        return None
    return read_earlier(previous.path)


def _known(earlier: Earlier | None, path: Path) -> Path | None:
    if earlier is None:
        return None
    save_array(path, np.sort(earlier.versions))
    return path


def _ngrams(settings: AnnotateSettings, scratch: Path, progress: Progress) -> Path | None:
    if not settings.evaluation_sets:
        return None
    ngrams = build_evaluation_ngrams(
        [Path(path) for path in settings.evaluation_sets], settings.ngram
    )
    folder = scratch / "ngrams"
    ngrams.save(folder)
    return folder


def _bits(total: int, memory: int) -> int:
    """How many leading bits make the buckets small enough to be sorted in memory."""
    return max(0, (total * SORTED_COPIES // memory).bit_length())


def _parts_folder(scratch: Path, maker: PartMaker, previous: Artifact | None) -> Path:
    """Where parts of this kind are; a killed run's are used if they were made in the same way."""
    copied_from = previous.manifest.digest if previous and maker.known else None
    layout = sha256_json([maker.bits, copied_from])[:12]
    folder = scratch / f"parts-{layout}"
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"*{PARTIAL_SUFFIX}"):
        left.unlink()
    return folder


def _make_parts(
    maker: PartMaker,
    tasks: list[PartTask],
    documents: int,
    execution: Execution,
    progress: Progress,
) -> None:
    done = 0
    with progress.task("score documents", documents, "documents") as task:
        for number in map_ordered(maker, tasks, execution):
            done += number
            task.update(done)
