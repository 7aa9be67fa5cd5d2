"""Why a document is dropped: one comparison of its scores after the other, the first one counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modelwright.core.errors import InputError, UsageError
from modelwright.data.annotation.scores import CHARACTERS, QUALITY
from modelwright.data.licences import LicencePolicy
from modelwright.data.parquet import Columns
from modelwright.data.personal_data.kinds import KINDS, Group
from modelwright.data.rules.table import RULE_COLUMNS, RULES, Rule
from modelwright.data.settings import PrepareSettings

CONTAMINATED = "contaminated_ngrams"

EXPRESSION_CHARACTERS = 10_000
"""Much longer regular expressions are refused: they would take megabytes when they are compiled."""


@dataclass(frozen=True)
class OptOut:
    """What must not be used.

    Attributes
    ----------
    ids : frozenset of str
        Ids of documents, and whole URLs.
    urls : tuple of str
        Regular expressions, each for many patterns of URLs.
    """

    ids: frozenset[str] = frozenset()
    urls: tuple[str, ...] = ()


def read_opt_out(path: Path) -> OptOut:
    """Read a list of URL patterns (with ``*`` and ``?``) and document ids, one a line.

    Blank lines and lines that begin with ``#`` are skipped. A line without ``*`` and ``?`` is an
    id or a whole URL.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the opt-out list: {error}", where=path, fix="correct 'prepare: opt_out'"
        ) from None
    entries = frozenset(line for line in lines if line and not line.startswith("#"))
    patterns = sorted(entry for entry in entries if "*" in entry or "?" in entry)
    return OptOut(entries.difference(patterns), tuple(_expressions(patterns)))


def _expressions(patterns: Sequence[str]) -> Iterator[str]:
    """Whole-URL patterns for Polars, whose regular expressions lack those of ``fnmatch``."""
    waiting, size = list[str](), 0
    for pattern in patterns:
        escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
        waiting.append(f"^(?s:{escaped})$")
        size += len(escaped)
        if size >= EXPRESSION_CHARACTERS:
            yield "|".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield "|".join(waiting)


@dataclass(frozen=True)
class Reasons:
    """The reasons of the settings, in the order in which they count.

    Parameters
    ----------
    settings : PrepareSettings
        Thresholds and choices.
    available : collection of str
        Columns of the annotated corpus.
    opt_out : OptOut
        What must not be used.

    Raises
    ------
    UsageError
        If a score that is asked for was not worked out.
    """

    settings: PrepareSettings
    available: frozenset[str]
    opt_out: OptOut

    def __post_init__(self) -> None:
        missing = [name for name in self.columns if name not in self.available]
        if missing:
            raise UsageError(
                f"the corpus has no scores '{missing[0]}'",
                fix="run 'modelwright annotate' with these scores first, or do not ask for them "
                "('rules', 'languages', 'min_quality'; 'personal_data: keep', 'secrets: keep')",
            )

    @property
    def columns(self) -> Columns:
        """The scores that are compared."""
        settings = self.settings
        names = [CHARACTERS, *(rule.column for rule in self.rules)]
        if settings.languages:
            names += ["language", "language_score"]
        if settings.min_quality is not None:
            names.append(QUALITY)
        if CONTAMINATED in self.available:
            names.append(CONTAMINATED)
        for group in ("personal", "secret"):
            if self.treatment(group) != "keep":
                names += columns_of(group)
        kinds: Columns = {
            **RULE_COLUMNS,
            "language": "text",
            "language_score": "number",
            QUALITY: "number",
        }
        return {name: kinds.get(name, "integer") for name in names}

    @property
    def rules(self) -> list[Rule]:
        """The rules of the chosen families, with the thresholds of the settings."""
        return [
            rule.with_threshold(self.settings.thresholds.get(rule.name, rule.threshold))
            for rule in RULES
            if rule.family in self.settings.rules or rule.name in self.settings.thresholds
        ]

    def treatment(self, group: Group) -> str:
        """What becomes of personal data or secrets."""
        return self.settings.personal_data if group == "personal" else self.settings.secrets

    def of(self, frame: pl.DataFrame) -> pl.Series:
        """The reason for each document, null if it stays.

        Parameters
        ----------
        frame : polars.DataFrame
            Columns ``id``, ``url``, ``licence``, ``replaced`` and :attr:`columns`.
        """
        judged = self._licence_reasons(frame["licence"])
        tests = [pl.when(test).then(pl.lit(reason)) for reason, test in self._tests()]
        decided = frame.with_columns(judged).select(
            pl.coalesce(*tests[:1], judged.name, *tests[1:])
        )
        return decided.to_series().alias("reason")

    def _tests(self) -> Iterator[tuple[str, pl.Expr]]:
        settings = self.settings
        ids = sorted(self.opt_out.ids)
        is_out = pl.col("id").is_in(ids) | pl.col("url").is_in(ids)
        for pattern in self.opt_out.urls:
            is_out |= pl.col("url").str.contains(pattern)
        yield "on the opt-out list", is_out
        characters = pl.col(CHARACTERS)
        low, high = settings.min_characters, settings.max_characters
        yield f"shorter than {low:,} characters", characters < low
        yield f"longer than {high:,} characters", characters > high
        ratio = settings.max_replacement_ratio
        broken = pl.col("replaced") > ratio * characters
        yield f"more than {ratio:.2%} unreadable characters", broken
        if settings.languages:
            yield "another language", ~pl.col("language").is_in(settings.languages)
            yield "language uncertain", pl.col("language_score") < settings.min_language_score
        for rule in self.rules:
            score = pl.col(rule.column)
            fails = score < rule.threshold if rule.fails == "below" else score > rule.threshold
            yield rule.name, fails
        if settings.min_quality is not None:
            yield "low quality", pl.col(QUALITY) < settings.min_quality
        if CONTAMINATED in self.available:
            allowed = settings.max_contaminated_ngrams
            yield "overlaps an evaluation set", pl.col(CONTAMINATED) > allowed
        if settings.personal_data == "drop":
            yield "personal data", pl.sum_horizontal(columns_of("personal")) > 0
        if settings.secrets == "drop":
            yield "secrets", pl.sum_horizontal(columns_of("secret")) > 0

    def _licence_reasons(self, licences: pl.Series) -> pl.Series:
        settings = self.settings
        policy = LicencePolicy(
            tuple(settings.licences_allow), tuple(settings.licences_deny), settings.licences_strict
        )
        reasons = {licence: policy.judge(licence) for licence in licences.unique().sort()}
        return pl.Series("_licence", [reasons[licence] for licence in licences], pl.String)


def columns_of(group: Group) -> list[str]:
    """The columns that count personal data, or secrets."""
    return [kind.column for kind in KINDS if kind.group == group]
