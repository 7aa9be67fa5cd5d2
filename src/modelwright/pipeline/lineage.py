"""Lineage: from a model to its documents and licences, from a document to its models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelwright.core.artifact import Artifact
from modelwright.data.corpus import Document, read_documents


@dataclass(frozen=True)
class Sighting:
    """A document in a corpus, and all artifacts that were made from that corpus."""

    document: Document
    corpus: Artifact
    descendants: list[Artifact]


@dataclass(frozen=True)
class Origin:
    """How much of a model's text came from one source under one licence."""

    source: str
    licence: str
    documents: int
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


def training_corpora(model: Artifact, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The corpora whose documents a model was trained on: those that went into its shards."""
    shards = [one for one in ancestors(model, artifacts) if one.kind == "shards"]
    wanted = {parent.id for one in shards for parent in one.manifest.parents}
    return [one for one in artifacts if one.kind == "corpus" and one.id in wanted]


def training_documents(model: Artifact, artifacts: Sequence[Artifact]) -> Iterator[Document]:
    """Every document that a model was trained on."""
    for corpus in training_corpora(model, artifacts):
        yield from read_documents(corpus.path, "train")


def origins(model: Artifact, artifacts: Sequence[Artifact]) -> list[Origin]:
    """Sources and licences of a model's training text, largest first."""
    documents, characters = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for document in training_documents(model, artifacts):
        documents[document.source, document.licence] += 1
        characters[document.source, document.licence] += len(document.text)
    return [
        Origin(source, licence, documents[source, licence], size)
        for (source, licence), size in characters.most_common()
    ]


def find_document(name: str, artifacts: Sequence[Artifact]) -> list[Sighting]:
    """Every corpus that holds the document of that id, hash, path, url or title."""
    sightings = []
    for corpus in artifacts:
        if corpus.kind == "corpus":
            for document in read_documents(corpus.path):
                names = (document.id, document.sha256, document.url, document.title)
                if name and name in names:  # a title may be missing
                    after = descendants(corpus, artifacts)
                    sightings.append(Sighting(document, corpus, after))
    return sightings
