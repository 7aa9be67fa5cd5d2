"""Lineage from below: from a document or an example to the models that learnt from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from modelwright.core.artifact import Artifact
from modelwright.core.examples import HELD_OUT, TRAIN, read_examples
from modelwright.data.corpus import (
    DROPPED,
    Document,
    DroppedDocument,
    read_documents,
    read_dropped,
)
from modelwright.pipeline.lineage import (
    ancestors,
    licence_of,
    source_of,
    training_corpora,
    training_example_sets,
)

HELD_OUT_FOR_VALIDATION = "held out for validation"


@dataclass(frozen=True)
class Fate:
    """What became of a document or an example on its way to one model.

    Attributes
    ----------
    model : Artifact
        The model.
    is_learnt : bool
        Whether the model was trained on it.
    reason : str
        Why not, in words; empty if it was.
    """

    model: Artifact
    is_learnt: bool
    reason: str = ""


@dataclass(frozen=True)
class Sighting:
    """A document, the corpora that hold it, and its fate on the way to each model."""

    document: Document
    corpora: list[Artifact] = field(default_factory=list)
    fates: list[Fate] = field(default_factory=list)


@dataclass(frozen=True)
class ExampleSighting:
    """Examples about one thing or of one source, in one artifact, and their fates."""

    examples: Artifact
    source: str
    licence: str
    trained: int
    held_out: int
    fates: list[Fate]


def find_document(name: str, artifacts: Sequence[Artifact]) -> list[Sighting]:
    """Every document of that id, hash, path, url or title, and what became of it.

    Raises
    ------
    InputError
        If a corpus is damaged.
    """
    found = dict[str, Sighting]()
    for corpus in artifacts:
        if corpus.kind == "corpus" and name:  # a title may be missing
            for document in read_documents(corpus.path):
                if name in (document.id, document.sha256, document.url, document.title):
                    sighting = found.setdefault(document.id, Sighting(document))
                    if corpus not in sighting.corpora:
                        sighting.corpora.append(corpus)
    for sighting in found.values():
        sighting.fates.extend(_fates(sighting, artifacts))
    return list(found.values())


def find_examples(name: str, artifacts: Sequence[Artifact]) -> list[ExampleSighting]:
    """Examples about an object of that name, or from that source, and what became of them.

    Raises
    ------
    InputError
        If a row is broken.
    """
    return [
        sighting
        for examples in artifacts
        if examples.kind == "examples" and name
        for sighting in _example_sightings(name, examples, artifacts)
    ]


def _fates(sighting: Sighting, artifacts: Sequence[Artifact]) -> Iterator[Fate]:
    for model in artifacts:
        if model.kind != "model":
            continue
        corpora = training_corpora(model, artifacts)
        all_corpora = [*corpora, *(one for c in corpora for one in ancestors(c, artifacts))]
        if any(corpus in all_corpora for corpus in sighting.corpora):
            yield _fate(sighting.document.id, model, corpora, artifacts)


def _fate(
    id: str, model: Artifact, corpora: Sequence[Artifact], artifacts: Sequence[Artifact]
) -> Fate:
    """The fate of a document that went into the corpora of a model, or into what they came from."""
    splits = _splits(id, corpora)
    if "train" in splits:
        return Fate(model, True)
    if splits:
        return Fate(model, False, HELD_OUT_FOR_VALIDATION)
    for corpus in corpora:
        for one in (corpus, *ancestors(corpus, artifacts)):
            record = _dropped(id, one)
            if record is not None:
                reason = f"dropped by {one.manifest.stage}: {record.reason}"
                return Fate(model, False, reason + _of_original(record, corpora))
    return Fate(model, False, "left out on the way")


def _of_original(record: DroppedDocument, corpora: Sequence[Artifact]) -> str:
    """For a duplicate: which document has the same text, and whether a model learnt that."""
    if record.duplicate_of is None:
        return ""
    splits = _splits(record.duplicate_of, corpora)
    has_learnt = "whose text it learnt" if "train" in splits else f"which is {_other(splits)}"
    return f" of {record.duplicate_of}, {has_learnt}"


def _other(splits: set[str | None]) -> str:
    return HELD_OUT_FOR_VALIDATION if splits else "left out too"


def _splits(id: str, corpora: Sequence[Artifact]) -> set[str | None]:
    """The splits in which a document stands in these corpora; none if it is in no corpus."""
    return {
        document.split
        for corpus in corpora
        for document in read_documents(corpus.path)
        if document.id == id
    }


def _dropped(id: str, corpus: Artifact) -> DroppedDocument | None:
    path = corpus.path / DROPPED
    if not path.is_file():
        return None
    return next((record for record in read_dropped(path) if record.id == id), None)


def _example_sightings(
    name: str, examples: Artifact, artifacts: Sequence[Artifact]
) -> Iterator[ExampleSighting]:
    counts = dict[tuple[str, str], dict[str, int]]()
    for file in (TRAIN, HELD_OUT):
        for _, row in read_examples(examples.file(file)):
            if name in (row.get("object"), source_of(row)):
                of_source = counts.setdefault((source_of(row), licence_of(row)), {})
                of_source[file] = of_source.get(file, 0) + 1
    models = [
        one
        for one in artifacts
        if one.kind == "model" and examples in training_example_sets(one, artifacts)
    ]
    for (source, licence), by_file in counts.items():
        trained, held_out = by_file.get(TRAIN, 0), by_file.get(HELD_OUT, 0)
        reason = "" if trained else "held out for evaluation"
        fates = [Fate(model, trained > 0, reason) for model in models]
        yield ExampleSighting(examples, source, licence, trained, held_out, fates)
