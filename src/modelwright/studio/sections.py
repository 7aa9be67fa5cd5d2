"""What the report says, section by section, worked out from artifacts; no markup in here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelwright.core.artifact import LOG_FOLDER, Artifact
from modelwright.core.errors import InputError
from modelwright.studio import figures
from modelwright.studio.charts import Point

TRAINING_LOG = f"{LOG_FOLDER}/training.jsonl"
DIAL = "dial.json"

Row = dict[str, Any]


@dataclass(frozen=True)
class Fact:
    """A name, its value as text, and perhaps a remark."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Made:
    """The artifacts of one run, by what they are; any of them may be missing."""

    artifacts: Sequence[Artifact]

    def last(self, kind: str, stage: str | None = None) -> Artifact | None:
        """The last artifact of a kind (and stage)."""
        return next(
            (
                artifact
                for artifact in reversed(self.artifacts)
                if artifact.kind == kind and stage in (None, artifact.manifest.stage)
            ),
            None,
        )

    @property
    def models(self) -> list[Artifact]:
        """All models in the order in which they were made."""
        return [artifact for artifact in self.artifacts if artifact.kind == "model"]

    @property
    def metrics(self) -> Mapping[str, float]:
        """The evaluation's figures; none if there was none."""
        evaluation = self.last("evaluation")
        return {} if evaluation is None else evaluation.manifest.metrics


@dataclass(frozen=True)
class Step:
    """One stage: what it counted, left out and used, and how long it took."""

    stage: str
    kind: str
    id: str
    digest: str
    time: str
    share_of_time: float
    size: str
    counts: list[Fact]
    dropped: list[Fact]
    settings: list[Fact] = field(default_factory=list)
    licences: list[str] = field(default_factory=list)


def steps(made: Made) -> list[Step]:
    """All stages in order."""
    total = sum(artifact.manifest.seconds for artifact in made.artifacts)
    return [_step(artifact, total) for artifact in made.artifacts]


def _step(artifact: Artifact, total_seconds: float) -> Step:
    manifest = artifact.manifest
    return Step(
        stage=manifest.stage,
        kind=manifest.kind,
        id=manifest.id,
        digest=manifest.digest,
        time=figures.duration(manifest.seconds),
        share_of_time=manifest.seconds / total_seconds if total_seconds else 0.0,
        size=figures.size(sum(entry.size for entry in manifest.files.values())),
        counts=[_count(figures.words(name), value) for name, value in manifest.counts.items()],
        dropped=[_count(reason, value) for reason, value in manifest.dropped.items()],
        settings=table(manifest.settings),
        licences=manifest.licences,
    )


def _count(name: str, value: int) -> Fact:
    note = figures.size(value) if "bytes" in name and value >= 1000 else ""
    return Fact(name, figures.exact(value), note)


def data_steps(made: Made) -> list[Step]:
    """The stages where text and examples come in or are left out."""
    kinds = ("corpus", "examples", "shards")
    return [step for step in steps(made) if step.kind in kinds or step.dropped]


@dataclass(frozen=True)
class Dial:
    """The dial's choice with its reasons; ``timing`` is a table: names, then rows."""

    reasons: list[str]
    choice: list[Fact]
    expected: list[Fact]
    timing_names: list[str]
    timing: list[list[str]]


def dial(made: Made) -> Dial | None:
    """What the dial chose, if it was asked.

    Raises
    ------
    InputError
        If its file is damaged.
    """
    artifact = made.last("dial")
    if artifact is None:
        return None
    path = artifact.file(DIAL)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        timing = [dict(row) for row in content.get("timing", [])]
        return Dial(
            reasons=[str(reason) for reason in content.get("reasons", [])],
            choice=table(content.get("choice", {})),
            expected=table(content.get("expected", {})),
            timing_names=[figures.words(name) for name in timing[0]] if timing else [],
            timing=[[_plain(value) for value in row.values()] for row in timing],
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"the dial's choice is damaged: {error!r}", where=path) from None


def table(values: Mapping[str, Any], prefix: str = "") -> list[Fact]:
    """Nested values as one list of names and texts, in their order."""
    facts = list[Fact]()
    for name, value in values.items():
        if isinstance(value, Mapping):
            facts += table(value, f"{prefix}{name}.")
        else:
            facts.append(Fact(f"{prefix}{name}", _plain(value)))
    return facts


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return figures.exact(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Licence:
    """A licence and the stages through which it came in."""

    name: str
    stages: list[str]


def licences(made: Made) -> list[Licence]:
    """Every licence in what was made, by name."""
    by_id = {artifact.id: artifact.manifest for artifact in made.artifacts}
    entered = dict[str, list[str]]()
    for manifest in by_id.values():
        parents = [by_id[parent.id] for parent in manifest.parents if parent.id in by_id]
        inherited = {licence for parent in parents for licence in parent.licences}
        for licence in manifest.licences:
            stages = entered.setdefault(licence, [])
            if licence not in inherited and manifest.stage not in stages:
                stages.append(manifest.stage)
    return [Licence(name, entered[name]) for name in sorted(entered)]


def read_points(rows: Sequence[Row], x: str, y: str) -> list[Point]:
    """Pairs of two measurements, where a row has both."""
    return [(float(row[x]), float(row[y])) for row in rows if x in row and y in row]


def prompt_text(prompt: str | Sequence[Row]) -> str:
    """A prompt as it is shown: the text, or that of its last message."""
    return prompt if isinstance(prompt, str) else str(prompt[-1].get("content") or "")


def read_rows(artifact: Artifact, name: str) -> list[Row]:
    """Rows of one of an artifact's JSONL files.

    Raises
    ------
    InputError
        If a line is not a JSON object.
    """
    path = artifact.file(name)
    return list(_parsed(path.read_text(encoding="utf-8").split("\n"), str(path)))


def _parsed(lines: Iterable[str], where: str) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"broken JSON: {error}", where=f"{where}, line {number}") from None
        if not isinstance(row, dict):
            raise InputError("not a JSON object", where=f"{where}, line {number}")
        yield row
