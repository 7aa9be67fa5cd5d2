"""Lineage: from a model to all that it learnt from, with the licences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from modelwright.core.artifact import UNKNOWN_LICENCE, Artifact, Parent
from modelwright.core.examples import TRAIN, Row, characters_in, read_examples
from modelwright.data.corpus import Document, read_documents


@dataclass(frozen=True)
class Origin:
    """How much of what a model learnt from came from one source under one licence.

    Attributes
    ----------
    what : {"documents", "examples"}
        Text to pretrain on, or conversations and completions to fine-tune on.
    source, licence : str
        Where it came from, and its SPDX identifier.
    number : int
        How many documents or examples.
    characters : int
        Length of their text.
    """

    what: Literal["documents", "examples"]
    source: str
    licence: str
    number: int
    characters: int


def ancestors(artifact: Artifact, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """All artifacts that ``artifact`` was made from, nearest first."""
    by_id = {one.id: one for one in artifacts}
    found, waiting = dict[str, Artifact](), [artifact]
    while waiting:
        for parent in waiting.pop(0).manifest.parents:
            if parent.id in by_id and parent.id not in found:
                found[parent.id] = by_id[parent.id]
                waiting.append(by_id[parent.id])
    return list(found.values())


def descendants(artifact: Artifact, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """All artifacts that were made from ``artifact``, in the order they were made."""
    return [one for one in artifacts if artifact in ancestors(one, artifacts)]


def unknown_parents(artifact: Artifact, artifacts: Sequence[Artifact]) -> list[Parent]:
    """What ``artifact`` was made from and is not here: imported, or deleted since."""
    known = {one.id for one in artifacts}
    found = dict[str, Parent]()
    for one in (artifact, *ancestors(artifact, artifacts)):
        found |= {parent.id: parent for parent in one.manifest.parents if parent.id not in known}
    return list(found.values())


def training_corpora(model: Artifact, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The corpora whose documents a model was trained on: those that went into its shards."""
    shards = [one for one in ancestors(model, artifacts) if one.kind == "shards"]
    wanted = {parent.id for one in shards for parent in one.manifest.parents}
    return [one for one in artifacts if one.kind == "corpus" and one.id in wanted]


def training_documents(model: Artifact, artifacts: Sequence[Artifact]) -> Iterator[Document]:
    """Every document that a model was trained on."""
    for corpus in training_corpora(model, artifacts):
        yield from read_documents(corpus.path, "train")


def training_example_sets(model: Artifact, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The artifacts with examples that a model, or a model it was made from, was trained on."""
    models = [one for one in (model, *ancestors(model, artifacts)) if one.kind == "model"]
    wanted = {parent.id for one in models for parent in one.manifest.parents}
    return [one for one in artifacts if one.kind == "examples" and one.id in wanted]


def training_examples(
    model: Artifact, artifacts: Sequence[Artifact]
) -> Iterator[tuple[Artifact, Row]]:
    """Every example that a model was given to train on, with the artifact it lies in.

    Raises
    ------
    InputError
        If a row is broken.
    """
    for examples in training_example_sets(model, artifacts):
        for _, row in read_examples(examples.file(TRAIN)):
            yield examples, row


def origins(model: Artifact, artifacts: Sequence[Artifact]) -> list[Origin]:
    """Sources and licences of what a model learnt from: documents, then examples, largest first."""
    documents, examples = dict[tuple[str, str], list[int]](), dict[tuple[str, str], list[int]]()
    for document in training_documents(model, artifacts):
        documents.setdefault((document.source, document.licence), []).append(len(document.text))
    for _, row in training_examples(model, artifacts):
        examples.setdefault((source_of(row), licence_of(row)), []).append(characters_in(row))
    return [*_origins("documents", documents), *_origins("examples", examples)]


def source_of(row: Row) -> str:
    """Where an example came from; rows that another tool wrote need not say it."""
    return str(row.get("source") or "import")


def licence_of(row: Row) -> str:
    """The licence of an example."""
    return str(row.get("licence") or UNKNOWN_LICENCE)


def _origins(
    what: Literal["documents", "examples"], lengths: dict[tuple[str, str], list[int]]
) -> list[Origin]:
    found = [
        Origin(what, source, licence, len(each), sum(each))
        for (source, licence), each in lengths.items()
    ]
    return sorted(found, key=lambda origin: (-origin.characters, origin.source, origin.licence))
