"""The data report: one HTML file, without a script, on what came in, what was dropped, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from markupsafe import Markup

from modelwright.core.files import write_text
from modelwright.data.survey.excerpts import NAME, short
from modelwright.data.survey.figures import CriterionFigures, Survey
from modelwright.data.survey.tally import Group
from modelwright.studio import figures
from modelwright.studio.data_charts import histogram
from modelwright.studio.pages import page_environment, style_of

DATA_REPORT = "data-report.html"

MOST_GROUPS = 15
"""Sources, licences or languages that are listed; the others are counted together."""

FAMILIES = {
    "length": "Length and encoding",
    "language": "Language",
    "gopher-repetition": "Gopher: repetition",
    "gopher-quality": "Gopher: quality",
    "c4": "C4",
    "fineweb": "FineWeb",
    "refinedweb": "RefinedWeb",
    "curator": "NeMo Curator",
    "quality": "Quality classifier",
    "evaluation": "Overlap with evaluation sets",
}


def write_data_report(path: Path, survey: Survey, title: str) -> None:
    """Write the report into one file that needs no other file and no network.

    Parameters
    ----------
    path : Path
        The file.
    survey : Survey
        What to show.
    title : str
        Name of the corpus.
    """
    write_text(path, render_data_report(survey, title))


def render_data_report(survey: Survey, title: str) -> str:
    """The report as HTML; parameters as in :func:`write_data_report`."""
    environment = page_environment()
    environment.filters |= {
        "percent": figures.percent,
        "share": _share,
        "exact": figures.exact,
        "score": _score,
        "size": figures.size,
        "words": figures.words,
    }
    return environment.get_template("data_report.html.jinja").render(
        title=title,
        style=style_of(environment, "report.css.jinja", "data_report.css.jinja"),
        survey=survey,
        tiles=list(_tiles(survey)),
        flow=list(_flow(survey)),
        groups=[_Groups.of(name, values, survey) for name, values in survey.groups.items()],
        lengths=histogram(survey.lengths, "Documents by length in characters"),
        families=list(_families(survey)),
        personal=[one for one in survey.personal if one.found],
        personal_names=sorted(figures.words(one.name) for one in survey.personal if not one.found),
        has_personal_scores=bool(survey.personal),
        dropped=survey.whole.documents - survey.whole.kept_documents,
    )


@dataclass(frozen=True)
class Tile:
    """A main figure."""

    name: str
    value: str
    note: str = ""


def _tiles(survey: Survey) -> Iterator[Tile]:
    whole = survey.whole
    yield Tile("documents came in", figures.exact(whole.documents), figures.size(whole.bytes))
    yield Tile(
        "documents kept", figures.exact(whole.kept_documents), figures.size(whole.kept_bytes)
    )
    share = whole.kept_bytes / whole.bytes if whole.bytes else 0.0
    yield Tile("of the text kept", figures.percent(share), "by size in UTF-8")
    if "language" in survey.groups:
        names = [name for name in survey.groups["language"] if name not in ("", "und")]
        yield Tile("languages", figures.exact(len(names)))
    clusters = sum(one.clusters for one in survey.size_classes)
    inside = sum(one.documents for one in survey.size_classes)
    yield Tile("clusters of duplicates", figures.exact(clusters), f"{inside:,} documents in them")
    if survey.personal:
        found = sum(one.found for one in survey.personal)
        documents = "personal data and secrets"
        yield Tile("private values found", figures.exact(found), documents)


@dataclass(frozen=True)
class Part:
    """Part of the bar that shows what became of the documents."""

    name: str
    look: str
    documents: int
    share: float


def _flow(survey: Survey) -> Iterator[Part]:
    """Kept, then what was dropped by family of reasons, the largest first."""
    total = survey.whole.documents
    yield Part("kept", "kept", survey.whole.kept_documents, survey.whole.kept_documents / total)
    by_family: dict[str, int] = {}
    for reason in survey.reasons:
        family = FAMILIES[reason.criterion.family] if reason.criterion else reason.name
        by_family[family] = by_family.get(family, 0) + reason.documents
    ordered = sorted(by_family.items(), key=lambda one: (-one[1], one[0]))
    for number, (name, documents) in enumerate(ordered):
        yield Part(name, f"dropped shade-{min(number, 5)}", documents, documents / total)


@dataclass(frozen=True)
class _Groups:
    """Documents by source, licence or language, the largest first; the rest in one row."""

    name: str
    rows: list[tuple[str, Group, str]]
    largest: int

    @classmethod
    def of(cls, name: str, values: Mapping[str, Group], survey: Survey) -> _Groups:
        ordered = sorted(values.items(), key=lambda one: (-one[1].bytes, one[0]))
        rows = [
            (short(value, NAME) or "(none)", group, _note(name, value, survey))
            for value, group in ordered[:MOST_GROUPS]
        ]
        rest = [group for _, group in ordered[MOST_GROUPS:]]
        if rest:
            others = Group(
                sum(group.documents for group in rest),
                sum(group.bytes for group in rest),
                sum(group.kept_documents for group in rest),
                sum(group.kept_bytes for group in rest),
            )
            rows.append((f"{len(rest):,} others", others, ""))
        return cls(name, rows, max((group.bytes for _, group, _ in rows), default=1) or 1)


def _note(name: str, value: str, survey: Survey) -> str:
    if name == "licence" and value in survey.share_alike:
        return "share-alike"
    if name == "language" and value == "und":
        return "undetermined"
    return ""


@dataclass(frozen=True)
class Card:
    """One criterion with its chart."""

    figures: CriterionFigures
    chart: Markup


@dataclass(frozen=True)
class Family:
    """Criteria that belong together."""

    name: str
    active: bool
    dropped: int
    cards: list[Card]
    quiet: list[CriterionFigures]
    """Those that no document fails; they need no chart."""


def _families(survey: Survey) -> Iterator[Family]:
    """Those in force first, each group in the order in which they are applied."""
    ordered = sorted(survey.criteria, key=lambda one: not one.criterion.active)
    for (active, name), members in groupby(
        ordered, key=lambda one: (one.criterion.active, one.criterion.family)
    ):
        all_of = list(members)
        shown = [one for one in all_of if one.fails or one.criterion.threshold is None]
        yield Family(
            FAMILIES[name],
            active,
            sum(one.dropped for one in all_of),
            [
                Card(one, histogram(one.histogram, one.criterion.name, one.criterion.threshold))
                for one in shown
            ],
            [one for one in all_of if one not in shown],
        )


def _share(share: float) -> str:
    """A share in percent that is not zero if anything is there."""
    return "< 0.1 %" if 0 < share < 0.0005 else figures.percent(share)


def _score(value: float) -> str:
    """A score as people compare it with a threshold."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"
