"""The collect stage: from sources to a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from modelwright.core.files import sha256_json
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import Progress
from modelwright.data.corpus import CorpusWriter, Document
from modelwright.data.drops import Drops
from modelwright.data.settings import CollectSettings, FilesSource, PythonDocsSource, Source
from modelwright.data.sources.files import FilesReader
from modelwright.data.sources.python_docs import PythonDocsReader


class SourceReader(Protocol):
    """What every kind of source can do."""

    name: str
    """What its documents have in their column ``source``."""

    def documents(self, progress: Progress, drops: Drops) -> Iterator[Document]:
        """Yield its documents, always in the same order; count what is left out."""

    def fingerprint(self) -> object:
        """A JSON value that changes when the documents may have changed; cheap to get."""


def reader_of(source: Source) -> SourceReader:
    """The reader for a source, by the kind in its settings."""
    match source:
        case FilesSource():
            return FilesReader(source)
        case PythonDocsSource():
            return PythonDocsReader()


def collect(job: Job[CollectSettings]) -> Outcome:
    """Read all sources, one after the other, into one corpus.

    Raises
    ------
    InputError
        If a source is not there or holds nothing that can be used.
    """
    drops = Drops(job.progress.note)
    licences: set[str] = set()
    with CorpusWriter(job.folder) as writer:
        for source in job.settings.sources:
            for document in reader_of(source).documents(job.progress, drops):
                licences.add(document.licence)
                writer.write(document)
    return Outcome(
        counts={
            "documents": writer.documents,
            "characters": writer.characters,
            "bytes": writer.bytes,
        },
        dropped=drops.counts,
        licences=sorted(licences),
    )


def fingerprint(settings: CollectSettings) -> str:
    """Hash of what the sources hold, without reading their documents.

    Raises
    ------
    InputError
        If a file or folder is not there.
    """
    return sha256_json([reader_of(source).fingerprint() for source in settings.sources])
