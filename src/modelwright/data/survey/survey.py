"""The survey of a corpus: counts of everything, texts of a few hundred chosen documents.

The scores are read once, and the columns of clusters once more; then only row groups with a chosen
document are opened. Memory holds bins, a row for each cluster, and what is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.core.progress import Progress
from modelwright.data.annotation.merge import CLUSTER
from modelwright.data.contamination import (
    EvaluationNgrams,
    build_evaluation_ngrams,
    explain_contamination,
)
from modelwright.data.corpus import DROPPED, read_dropped
from modelwright.data.frames import corpus_columns, corpus_groups
from modelwright.data.licences import is_share_alike
from modelwright.data.prepare import NOT_MIXED_IN, REDACTED
from modelwright.data.settings import AnnotateSettings, PrepareSettings
from modelwright.data.survey.clusters import (
    Cluster,
    ClusterTally,
    difference,
    largest_clusters,
    size_classes,
    words_of,
)
from modelwright.data.survey.criteria import criteria_of
from modelwright.data.survey.excerpts import (
    NAME,
    SNIPPET,
    Excerpt,
    Piece,
    excerpt,
    in_context,
    read_chosen,
    short,
)
from modelwright.data.survey.figures import (
    ClusterShown,
    CriterionFigures,
    LeftOut,
    MemberShown,
    Overlapping,
    PersonalExample,
    PersonalFigures,
    Reason,
    Shown,
    Survey,
)
from modelwright.data.survey.inputs import check_counts, settings_of
from modelwright.data.survey.judged import Judged, not_of_this
from modelwright.data.survey.tally import Chosen, CriterionTally, PersonalTally, Tally

MOST_WORDS = 200
PLACES = 3
MOST_REASONS = 30
"""Reasons of the collect stage that are listed; the rest is counted together."""


def survey(
    annotated: Artifact, prepared: Artifact, collected: Artifact | None, progress: Progress
) -> Survey:
    """Work out the figures of the data report.

    Parameters
    ----------
    annotated, prepared : Artifact
        Of one run.
    collected : Artifact, optional
        What was annotated; tells what was left out before.
    progress : Progress

    Raises
    ------
    InputError
        If one is not what its stage makes, or they do not belong together, or the counts of
        documents do not add up.
    """
    settings = settings_of(prepared, "prepare", PrepareSettings)
    annotation = settings_of(annotated, "annotate", AnnotateSettings)
    if all(one.digest != annotated.manifest.digest for one in prepared.manifest.parents):
        raise not_of_this(prepared.path)
    available = frozenset(corpus_columns(annotated.path))
    if CLUSTER not in available:
        raise InputError(
            "this corpus is not annotated: it has no scores",
            where=annotated.path,
            fix="give the folder that 'modelwright annotate' made",
        )
    judged = Judged(corpus_groups(annotated.path), prepared.path)
    tally = Tally(criteria_of(settings, available), available)
    clusters = ClusterTally()
    total = sum(group.rows for group in judged.groups)
    with progress.task("count documents", total, "documents") as task:
        for frame in judged.frames({**tally.columns, CLUSTER: "text"}):
            tally.add(frame)
            clusters.add(frame)
            task.update(tally.whole.documents)
    check_counts(tally, prepared)
    sizes = clusters.sizes()
    largest = largest_clusters(sizes, judged.frames({CLUSTER: "text"}) if sizes.height else ())
    chosen = _choose(tally, largest)
    progress.note("reading the documents that are shown")
    texts = _Texts(_evaluation_ngrams(annotation) if chosen.overlapping else None)
    texts.read(judged, chosen)
    left_out = prepared.manifest.dropped.get(NOT_MIXED_IN, 0)
    licences = tally.groups.get("licence", {})
    return Survey(
        artifacts=tuple(one.id for one in (collected, annotated, prepared) if one),
        whole=tally.whole,
        characters=tally.characters,
        groups=tally.groups,
        share_alike=frozenset(name for name in licences if is_share_alike(name)),
        replaced=tally.replaced,
        replaced_in=tally.replaced_in,
        lengths=tally.lengths,
        collected=None if collected is None else _left_out(collected),
        reasons=_reasons(tally, texts),
        criteria=tuple(_criterion(one, tally, texts) for one in tally.by_criterion),
        size_classes=tuple(size_classes(sizes)),
        clusters=tuple(texts.cluster(one) for one in largest),
        personal=tuple(_personal(one, settings, prepared, texts) for one in tally.personal),
        overlapping=tuple(
            Overlapping(texts.shown(one), texts.overlaps.get(one.row, ()))
            for one in chosen.overlapping
        ),
        written=prepared.manifest.counts,
        left_out_by_mixture=left_out,
        words=annotation.words,
        edits=annotation.edits,
    )


def _left_out(collected: Artifact) -> tuple[LeftOut, ...]:
    places: dict[str, list[str]] = {}
    path = collected.path / DROPPED
    for document in read_dropped(path) if path.is_file() else ():
        known = places.setdefault(document.reason, [])
        if len(known) < PLACES:
            known.append(short(document.url, NAME))
    ordered = sorted(collected.manifest.dropped.items(), key=lambda one: (-one[1], one[0]))
    listed = [
        LeftOut(short(reason, SNIPPET), number, tuple(places.get(reason, ())))
        for reason, number in ordered[:MOST_REASONS]
    ]
    rest = sum(number for _, number in ordered[MOST_REASONS:])
    return tuple(listed + ([LeftOut("other reasons", rest, ())] if rest else []))


@dataclass(frozen=True)
class _ChosenDocuments:
    """The documents that are shown, and what is looked for in them."""

    plain: frozenset[int]
    clusters: frozenset[int]
    personal: dict[int, set[str]]
    overlapping: list[Chosen]

    @property
    def rows(self) -> frozenset[int]:
        return self.plain | self.clusters | self.personal.keys()


def _choose(tally: Tally, clusters: list[Cluster]) -> _ChosenDocuments:
    personal: dict[int, set[str]] = {}
    for kind in tally.personal:
        for one in kind.examples:
            personal.setdefault(one.row, set()).add(kind.kind.name)
    plain = {one.row for examples in tally.examples.values() for one in examples}
    for criterion in tally.by_criterion:
        for side in criterion.near or ():
            plain.update(side["row"])
    overlapping = [
        Chosen(row, score)
        for one in tally.by_criterion
        if one.highest is not None
        for row, score in one.highest.rows()
    ]
    plain.update(one.row for one in overlapping)
    members = frozenset(member.row for one in clusters for member in one.members)
    return _ChosenDocuments(frozenset(plain), members, personal, overlapping)


@dataclass
class _Texts:
    """What is shown of the chosen documents; no text is held whole."""

    ngrams: EvaluationNgrams | None
    excerpts: dict[int, Excerpt] = field(default_factory=dict)
    words: dict[int, list[str]] = field(default_factory=dict)
    personal: dict[tuple[int, str], tuple[Piece, ...]] = field(default_factory=dict)
    overlaps: dict[int, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def read(self, judged: Judged, chosen: _ChosenDocuments) -> None:
        overlapping = {one.row for one in chosen.overlapping}
        for row, document in read_chosen(judged.groups, chosen.rows):
            text = document["text"]
            self.excerpts[row] = excerpt(document)
            if row in chosen.clusters:
                self.words[row] = words_of(text)
            for kind in sorted(chosen.personal.get(row, ())):
                self.personal[row, kind] = in_context(text, kind)
            if self.ngrams is not None and row in overlapping:
                found = explain_contamination(self.ngrams, text)[:PLACES]
                self.overlaps[row] = tuple(
                    (one.evaluation_set, short(one.words, MOST_WORDS)) for one in found
                )

    def shown(self, one: Chosen) -> Shown:
        return Shown(self.excerpts[one.row], one.score)

    def all_shown(self, near: pl.DataFrame) -> tuple[Shown, ...]:
        return tuple(self.shown(Chosen(*row)) for row in near.select("row", "score").iter_rows())

    def cluster(self, cluster: Cluster) -> ClusterShown:
        first = self.words[cluster.members[0].row]
        return ClusterShown(
            cluster,
            tuple(
                MemberShown(
                    self.excerpts[one.row], one.reason, difference(first, self.words[one.row])
                )
                for one in cluster.members
            ),
        )


def _evaluation_ngrams(annotation: AnnotateSettings) -> EvaluationNgrams | None:
    """The n-grams again, if the evaluation sets are still where they were."""
    paths = [Path(path) for path in annotation.evaluation_sets]
    if not paths or not all(path.exists() for path in paths):
        return None
    return build_evaluation_ngrams(paths, annotation.ngram)


def _reasons(tally: Tally, texts: _Texts) -> tuple[Reason, ...]:
    criteria = {one.name: one for one in tally.criteria}
    ordered = sorted(tally.reasons.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        Reason(
            name,
            documents,
            criteria.get(name),
            tuple(texts.shown(one) for one in tally.examples[name]),
        )
        for name, documents in ordered
    )


def _criterion(one: CriterionTally, tally: Tally, texts: _Texts) -> CriterionFigures:
    passing, failing = [texts.all_shown(side) for side in one.near or ()] or [(), ()]
    return CriterionFigures(
        criterion=one.criterion,
        histogram=one.histogram,
        dropped=tally.reasons[one.criterion.name],
        fails=one.fails,
        fails_kept=one.fails_kept,
        near_passing=passing,
        near_failing=failing,
    )


def _personal(
    one: PersonalTally, settings: PrepareSettings, prepared: Artifact, texts: _Texts
) -> PersonalFigures:
    kind = one.kind
    treatment = settings.personal_data if kind.group == "personal" else settings.secrets
    return PersonalFigures(
        name=kind.name,
        group=kind.group,
        placeholder=kind.placeholder,
        description=kind.description,
        treatment=treatment,
        found=one.found,
        documents=one.documents,
        redacted=prepared.manifest.counts.get(f"{REDACTED}_{kind.name}", 0),
        examples=tuple(
            PersonalExample(texts.excerpts[each.row], texts.personal[each.row, kind.name])
            for each in one.examples
        ),
    )
