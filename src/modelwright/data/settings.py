"""Settings of the data stages: collect, annotate, prepare, examples."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from modelwright.core.settings import EXECUTION, FLAG, Settings
from modelwright.data.rules.table import FAMILIES, RULES, LineEdits, WordProfile
from modelwright.data.sources.settings import (
    BadRows,
    ExampleSource,
    FeedbackExamples,
    FilesSource,
    GitSource,
    HuggingFaceSource,
    JsonlExamples,
    Source,
    WarcSource,
    WikipediaSource,
)

Place = Literal["here", "ray"]
"""Where the work is done: in processes of this machine, or on a Ray cluster."""

_MEMORY = re.compile(r"([\d.]+)\s*([KMGT])i?B", re.IGNORECASE)


def memory_bytes(text: str) -> int:
    """Bytes in "2 GB", "512 MiB" and the like; K, M, G, T are powers of 1,024.

    Raises
    ------
    ValueError
        If it is not such a size, or less than 64 MB.
    """
    match = _MEMORY.fullmatch(text.strip())
    if not match:
        raise ValueError("write a number and KB, MB, GB or TB, as in '2 GB'")
    number = int(float(match.group(1)) * 2 ** (10 * ("KMGT".index(match.group(2).upper()) + 1)))
    if number < 64 * 2**20:
        raise ValueError("less than 64 MB is too little to work with")
    return number


def _is_memory(text: str) -> str:
    memory_bytes(text)
    return text


MemoryText = Annotated[str, AfterValidator(_is_memory)]

Score = Literal["rules", "language", "personal-data"]
SCORES: tuple[Score, ...] = ("rules", "language", "personal-data")
Treatment = Literal["replace", "drop", "keep"]


def _rule_families(value: Any) -> Any:
    """Put the families for "web", in their order."""
    if not isinstance(value, list):
        return value
    named = [name for one in value for name in (WEB_RULES if one == "web" else (one,))]
    for name in named:
        _known(name, (*FAMILIES, "web"), "family of rules")
    return [name for name in FAMILIES if name in named]


def _known(name: Any, names: Iterable[str], kind: str) -> None:
    from modelwright.core.nearest import nearest  # loads difflib, which help does not need

    if name not in names:
        guess = nearest(str(name), names)
        hint = f"; did you mean '{guess}'?" if guess else f"; known: {', '.join(names)}"
        raise ValueError(f"no {kind} '{name}'{hint}")


def _named_numbers(value: Any) -> Any:
    """Accept ``["name=1.5", ...]``, as flags give it, for a mapping."""
    if not isinstance(value, list):
        return value
    pairs = [str(one).rpartition("=") for one in value]
    if not all(sign for _, sign, _ in pairs):
        raise ValueError("write name=number")
    return {name: number for name, _, number in pairs}


def _of_rules(thresholds: dict[str, float]) -> dict[str, float]:
    for name in thresholds:
        _known(name, [rule.name for rule in RULES], "rule")
    return thresholds


def _positive(weights: dict[str, float]) -> dict[str, float]:
    if any(not 0 <= weight < float("inf") for weight in weights.values()):
        raise ValueError("a weight must be a number from 0 on")
    return weights


RuleNames = Annotated[list[str], BeforeValidator(_rule_families)]
Thresholds = Annotated[dict[str, float], BeforeValidator(_named_numbers), AfterValidator(_of_rules)]
Weights = Annotated[dict[str, float], BeforeValidator(_named_numbers), AfterValidator(_positive)]


WEB_RULES = ("gopher-repetition", "gopher-quality", "c4", "fineweb")
"""The families of rules that FineWeb applies, in its order; "web" in a recipe."""

_WORKERS = Field(
    None, ge=1, description="processes; by default one a core", json_schema_extra={EXECUTION: True}
)
_MEMORY_FIELD = Field(
    "2 GB",
    description="memory for the data in hand; the programs take some hundred MB besides",
    json_schema_extra={EXECUTION: True},
)
_Place = Annotated[
    Place,
    Field(description="where the work is done", json_schema_extra={EXECUTION: True, FLAG: "on"}),
]


class CollectSettings(Settings):
    """What the collect stage reads."""

    sources: list[Source] = Field(
        default_factory=list, description="files, folders, python-docs, or others; at least one"
    )
    workers: int | None = _WORKERS

    @field_validator("sources")
    @classmethod
    def _at_least_one(cls, sources: list[Source]) -> list[Source]:
        if not sources:
            raise ValueError("name at least one source: a file, a folder, or 'python-docs'")
        return sources

    def relative_to(self, folder: Path) -> CollectSettings:
        """The same settings with every path made absolute, relative ones taken from ``folder``."""
        return self.model_copy(update={"sources": [_placed(one, folder) for one in self.sources]})


class AnnotateSettings(Settings):
    """Which scores every document gets."""

    scores: list[Score] = Field(
        default_factory=lambda: list(SCORES), description="scores to work out"
    )
    words: WordProfile = Field("whitespace", description="what the rules count as a word")
    edits: LineEdits = Field("none", description="lines that are taken out of the texts")
    evaluation_sets: list[str] = Field(
        default_factory=list, description="files that must not be trained on; overlap is a score"
    )
    ngram: int = Field(13, ge=8, le=50, description="words of an overlap with an evaluation set")
    quality_model: str | None = Field(
        None, description="folder of a quality classifier, from 'modelwright data classifier'"
    )
    workers: int | None = _WORKERS
    memory: MemoryText = _MEMORY_FIELD
    place: _Place = "here"

    @model_validator(mode="after")
    def _edits_are_made(self) -> AnnotateSettings:
        if self.edits != "none" and "rules" not in self.scores:
            raise ValueError("edits are made while the rules are scored: add 'rules' to scores")
        return self

    def relative_to(self, folder: Path) -> AnnotateSettings:
        """The same settings with every path made absolute, relative ones taken from ``folder``."""
        sets = [absolute(path, folder) for path in self.evaluation_sets]
        model = self.quality_model and absolute(self.quality_model, folder)
        return self.model_copy(update={"evaluation_sets": sets, "quality_model": model})


class PrepareSettings(Settings):
    """Which documents are kept, what is taken out of them, how validation text is split off."""

    min_characters: int = Field(32, ge=1, description="shorter documents are dropped")
    max_characters: int = Field(64_000_000, ge=1, description="longer documents are dropped")
    max_replacement_ratio: float = Field(
        0.01, ge=0, le=1, description="largest share of characters that were broken bytes"
    )
    rules: RuleNames = Field(
        default_factory=list,
        description=f"families of rules: {', '.join(FAMILIES)}; 'web' is those of FineWeb",
    )
    thresholds: Thresholds = Field(
        default_factory=dict, description="other limits for rules, as gopher_min_words=30"
    )
    languages: list[str] = Field(
        default_factory=list, description="languages to keep, as 'en'; by default all"
    )
    min_language_score: float = Field(
        0.5, ge=0, le=1, description="smallest confidence, where languages are chosen"
    )
    min_quality: float | None = Field(
        None, ge=0, le=1, description="smallest score of the quality classifier"
    )
    max_contaminated_ngrams: int = Field(
        0, ge=0, description="most n-grams in common with an evaluation set"
    )
    near_duplicates: Literal["drop", "keep"] = Field(
        "drop", description="what becomes of all but one of a cluster of near-duplicates"
    )
    personal_data: Treatment = Field("replace", description="what becomes of personal data")
    secrets: Treatment = Field("replace", description="what becomes of keys and passwords")
    licences_allow: list[str] = Field(
        default_factory=list, description="SPDX licences to keep, as 'CC-BY-*'; by default all"
    )
    licences_deny: list[str] = Field(
        default_factory=list, description="SPDX licences to drop, as 'CC-BY-NC-*'"
    )
    licences_strict: bool = Field(False, description="drop what has no known licence")
    opt_out: str | None = Field(
        None, description="file of URL patterns and document ids to leave out, one a line"
    )
    mixture: Weights = Field(
        default_factory=dict, description="weights of sources, as 'files:books'=2; others have 1"
    )
    temperature: float = Field(
        1, gt=0, description="above 1 evens out the sizes of the sources (mixture)"
    )
    max_repeats: int = Field(4, ge=1, description="most copies of a document for the mixture")
    validation_fraction: float = Field(
        0.05, gt=0, lt=1, description="share of documents held out for validation"
    )
    seed: int = Field(0, ge=0, description="chooses which documents are held out")
    workers: int | None = _WORKERS
    place: _Place = "here"

    @model_validator(mode="after")
    def _lengths_in_order(self) -> PrepareSettings:
        if self.max_characters < self.min_characters:
            raise ValueError("max_characters must not be smaller than min_characters")
        return self

    @property
    def mixes(self) -> bool:
        """Whether sources are weighted at all."""
        return bool(self.mixture) or self.temperature != 1

    def relative_to(self, folder: Path) -> PrepareSettings:
        """The same settings with every path made absolute, relative ones taken from ``folder``."""
        return self.model_copy(update={"opt_out": self.opt_out and absolute(self.opt_out, folder)})


class ExamplesSettings(Settings):
    """Where questions and answers for fine-tuning come from; no source means no fine-tuning."""

    sources: list[ExampleSource] = Field(
        default_factory=list,
        description=".jsonl, .json or .parquet files, folders of them, python-docs, or feedback",
    )
    bad_rows: BadRows = Field(
        "refuse",
        description="what a row that cannot be used does: end the run with its line, or be left "
        "out and counted by reason",
    )
    heldout_fraction: float = Field(
        0.1, ge=0, lt=1, description="share of the rows of files that is held out"
    )
    maximum: int | None = Field(
        None, ge=1, description="so many objects of python-docs, the most used; by default all"
    )
    seed: int = Field(0, ge=0, description="chooses which rows are held out")

    def relative_to(self, folder: Path) -> ExamplesSettings:
        """The same settings with every path made absolute, relative ones taken from ``folder``."""
        return self.model_copy(
            update={"sources": [_placed_examples(one, folder) for one in self.sources]}
        )


def absolute(path: str, folder: Path) -> str:
    """``path`` as an absolute path; ``~`` is the home folder, a relative path is in ``folder``."""
    return os.path.abspath(folder / Path(path).expanduser())


def _placed_examples(source: ExampleSource, folder: Path) -> ExampleSource:
    match source:
        case JsonlExamples():
            return source.model_copy(update={"path": absolute(source.path, folder)})
        case FeedbackExamples():
            return source.model_copy(
                update={"workspace": absolute(source.workspace or ".", folder)}
            )
    return source


def _placed(source: Source, folder: Path) -> Source:
    from modelwright.data.sources.git_urls import is_remote  # loads what help does not need

    match source:
        case FilesSource() | WarcSource() | WikipediaSource():
            return source.model_copy(update={"path": absolute(source.path, folder)})
        case GitSource() if not is_remote(source.repository):
            where = absolute(source.repository, folder)
            return source.model_copy(update={"repository": where})
        case HuggingFaceSource() if Path(absolute(source.dataset, folder)).is_dir():
            return source.model_copy(update={"dataset": absolute(source.dataset, folder)})
    return source
