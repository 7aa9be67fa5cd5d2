"""The collect stage: from sources to a corpus, source by source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from modelwright.core.artifact import Artifact
from modelwright.core.files import sha256_json, write_json
from modelwright.core.job import Job, Outcome
from modelwright.data.corpus import DROPPED, CorpusWriter, DroppedDocument, write_dropped
from modelwright.data.drops import Drops
from modelwright.data.executors import cores
from modelwright.data.sandbox import Sandbox
from modelwright.data.settings import CollectSettings
from modelwright.data.sources.files import FilesReader
from modelwright.data.sources.git import GitReader
from modelwright.data.sources.hugging_face import HuggingFaceReader
from modelwright.data.sources.python_docs import PythonDocsReader
from modelwright.data.sources.reader import Reading, SourceReader
from modelwright.data.sources.settings import (
    FilesSource,
    GitSource,
    HuggingFaceSource,
    PythonDocsSource,
    Source,
    WarcSource,
    WebSource,
    WikipediaSource,
)
from modelwright.data.sources.warc import WarcReader
from modelwright.data.sources.web import WebReader
from modelwright.data.sources.wikipedia import WikipediaReader

FINISHED = "sources.json"
"""In the scratch folder: what was collected from the sources that are finished."""


@dataclass
class Collected:
    """What one source gave.

    Attributes
    ----------
    documents, characters, bytes : int
        How much.
    files : int
        Files of the corpus up to and with this source.
    licences : list of str
        Of its documents.
    dropped : dict
        What was left out, by reason.
    places : list of (str, str)
        The reason and the place of what was left out, as far as they are kept.
    """

    documents: int = 0
    characters: int = 0
    bytes: int = 0
    files: int = 0
    licences: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    places: list[tuple[str, str]] = field(default_factory=list)


def reader_of(source: Source) -> SourceReader:
    """The reader for a source, by the kind in its settings."""
    match source:
        case FilesSource():
            return FilesReader(source)
        case WebSource():
            return WebReader(source)
        case WarcSource():
            return WarcReader(source)
        case WikipediaSource():
            return WikipediaReader(source)
        case GitSource():
            return GitReader(source)
        case HuggingFaceSource():
            return HuggingFaceReader(source)
        case PythonDocsSource():
            return PythonDocsReader()


def collect(job: Job[CollectSettings]) -> Outcome:
    """Read all sources, one after the other, into one corpus.

    What a finished source gave stays when a later one fails or the run is cut off.

    Raises
    ------
    InputError
        If a source is not there or holds nothing that can be used.
    """
    finished = _finished(job.scratch / FINISHED)
    with Sandbox(job.settings.workers or cores()) as sandbox:
        for number in range(len(finished), len(job.settings.sources)):
            files = finished[-1].files if finished else 0
            finished.append(_collect_one(job, number, files, sandbox))
            write_json(job.scratch / FINISHED, [asdict(one) for one in finished])
    write_dropped(job.folder / DROPPED, _dropped(finished))
    reasons = sorted({reason for one in finished for reason in one.dropped})
    return Outcome(
        counts={
            name: sum(getattr(one, name) for one in finished)
            for name in ("documents", "characters", "bytes")
        },
        dropped={r: sum(one.dropped.get(r, 0) for one in finished) for r in reasons},
        licences=sorted({licence for one in finished for licence in one.licences}),
    )


def fingerprint(settings: CollectSettings) -> str:
    """Hash of what the sources hold, without reading their documents.

    Raises
    ------
    InputError
        If a file or folder is not there.
    """
    return sha256_json([reader_of(source).fingerprint() for source in settings.sources])


def _collect_one(job: Job[CollectSettings], number: int, files: int, sandbox: Sandbox) -> Collected:
    source = job.settings.sources[number]
    drops = Drops(job.progress.note)
    reading = Reading(
        progress=job.progress,
        drops=drops,
        sandbox=sandbox,
        kept=_kept_folder(job.folder, number),
        previous=_previous(job.previous, source, number),
    )
    licences = set[str]()
    with CorpusWriter(job.folder, first_file=files) as writer:
        for document in reader_of(source).documents(reading):
            licences.add(document.licence)
            writer.write(document)
    return Collected(
        documents=writer.documents,
        characters=writer.characters,
        bytes=writer.bytes,
        files=writer.files,
        licences=sorted(licences),
        dropped=drops.counts,
        places=drops.places,
    )


def _kept_folder(folder: Path, number: int) -> Path:
    return folder / f"source-{number:02d}"


def _previous(previous: Artifact | None, source: Source, number: int) -> Path | None:
    """What the last run kept of this source, if it is still the same but for its date."""
    if previous is None:
        return None
    sources = previous.manifest.settings.get("sources", [])
    before = sources[number] if number < len(sources) else {}
    now = source.model_dump()
    same = {**before, "as_of": ""} == {**now, "as_of": ""}
    folder = _kept_folder(previous.path, number)
    return folder if same and folder.is_dir() else None


def _finished(path: Path) -> list[Collected]:
    if not path.is_file():
        return []
    return [Collected(**one) for one in json.loads(path.read_text(encoding="utf-8"))]


def _dropped(finished: list[Collected]) -> Iterator[DroppedDocument]:
    for one in finished:
        for reason, place in one.places:
            yield DroppedDocument("", place, reason)
