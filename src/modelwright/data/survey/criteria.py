"""What documents are held against: every score with a threshold, in force or not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

from modelwright.data.annotation.scores import CHARACTERS, QUALITY
from modelwright.data.parquet import Columns, ColumnType
from modelwright.data.preparation.reasons import CONTAMINATED
from modelwright.data.rules.table import RULE_COLUMNS, RULES
from modelwright.data.settings import PrepareSettings
from modelwright.data.survey.histograms import Bins, log_bins, number_bins, unit_bins

LENGTH, LANGUAGE, QUALITY_FAMILY, EVALUATION = "length", "language", "quality", "evaluation"

MOST_UNIT_BINS = 10
"""An integer whose threshold is at most this is counted value by value."""


@dataclass(frozen=True)
class Criterion:
    """One score, its threshold, and how it is counted.

    Attributes
    ----------
    name : str
        The reason under which the prepare stage counts what it drops.
    family : str
        Family of rules, or what it is about.
    description : str
        What the score is.
    score : polars.Expr
        The score from the columns of the annotated corpus.
    columns : mapping
        Those columns.
    fails : {"below", "above"}
        Which side of the threshold is dropped; a score equal to it stays.
    threshold : float or None
        None if the score is only shown.
    active : bool
        Whether the settings apply it.
    bins : Bins
        Of the histogram.
    """

    name: str
    family: str
    description: str
    score: pl.Expr
    columns: Columns
    fails: Literal["below", "above"]
    threshold: float | None
    active: bool
    bins: Bins

    @property
    def test(self) -> pl.Expr:
        """Whether a document fails, never null."""
        if self.threshold is None:
            return pl.lit(False)
        below = self.fails == "below"
        fails = self.score < self.threshold if below else self.score > self.threshold
        return fails.fill_null(False)


def criteria_of(settings: PrepareSettings, available: Collection[str]) -> list[Criterion]:
    """All criteria whose scores were worked out, in the order in which they count."""
    return [one for one in _all(settings) if one.columns.keys() <= set(available)]


def _all(settings: PrepareSettings) -> Iterator[Criterion]:
    yield from _lengths(settings)
    yield _criterion(
        "language uncertain",
        LANGUAGE,
        "how sure the language is",
        "language_score",
        "below",
        settings.min_language_score,
        active=bool(settings.languages),
    )
    for rule in RULES:
        chosen = rule.family in settings.rules or rule.name in settings.thresholds
        yield _criterion(
            rule.name,
            rule.family,
            rule.description,
            rule.column,
            rule.fails,
            settings.thresholds.get(rule.name, rule.threshold),
            active=chosen,
        )
    yield _criterion(
        "low quality",
        QUALITY_FAMILY,
        "what the quality classifier says, 0 to 1",
        QUALITY,
        "below",
        settings.min_quality,
        active=settings.min_quality is not None,
    )
    yield _criterion(
        "overlaps an evaluation set",
        EVALUATION,
        "sequences of words that an evaluation set has too",
        CONTAMINATED,
        "above",
        settings.max_contaminated_ngrams,
        active=True,
    )


def _lengths(settings: PrepareSettings) -> Iterator[Criterion]:
    low, high = settings.min_characters, settings.max_characters
    about = "characters of the text"
    yield _criterion(
        f"shorter than {low:,} characters", LENGTH, about, CHARACTERS, "below", low, active=True
    )
    yield _criterion(
        f"longer than {high:,} characters", LENGTH, about, CHARACTERS, "above", high, active=True
    )
    ratio = settings.max_replacement_ratio
    yield Criterion(
        name=f"more than {ratio:.2%} unreadable characters",
        family=LENGTH,
        description="share of characters that could not be read",
        # As the prepare stage multiplies: an empty text has no share.
        score=pl.col("replaced") / pl.max_horizontal(CHARACTERS, pl.lit(1)),
        columns={"replaced": "integer", CHARACTERS: "integer"},
        fails="above",
        threshold=ratio,
        active=True,
        bins=number_bins(ratio, "above"),
    )


def _criterion(
    name: str,
    family: str,
    description: str,
    column: str,
    fails: Literal["below", "above"],
    threshold: float | None,
    *,
    active: bool,
) -> Criterion:
    kind: ColumnType = RULE_COLUMNS.get(column, "integer")
    if column in ("language_score", QUALITY):
        kind = "number"
    return Criterion(
        name=name,
        family=family,
        description=description,
        score=pl.col(column),
        columns={column: kind},
        fails=fails,
        threshold=threshold,
        active=active,
        bins=_bins(kind, threshold, fails),
    )


def _bins(kind: ColumnType, threshold: float | None, fails: str) -> Bins:
    if kind == "number":
        return number_bins(threshold, fails)
    if threshold is not None and threshold <= MOST_UNIT_BINS:
        return unit_bins(max(MOST_UNIT_BINS, 4 * round(threshold)))
    return log_bins()
