"""The files of a git repository at one commit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelwright.core.errors import InputError
from modelwright.data.corpus import Document
from modelwright.data.drops import in_words
from modelwright.data.folder import HIDDEN, LINK, printable
from modelwright.data.jsonl import MAX_BYTES, TOO_LARGE
from modelwright.data.licence_texts import (
    MAX_TEXT,
    is_licence_file,
    licences_by_folder,
    nearest_licence,
)
from modelwright.data.sources.contents import (
    ContentSettings,
    Item,
    extract_in_order,
    in_memory,
    read_content,
)
from modelwright.data.sources.file_types import (
    NOT_WANTED,
    ROW_FORMATS,
    Format,
    file_type,
    is_wanted,
    type_in_words,
)
from modelwright.data.sources.git_commands import (
    Entry,
    Repository,
    fetch,
    list_files,
    open_repository,
)
from modelwright.data.sources.git_urls import is_remote
from modelwright.data.sources.plain_text import decode_text
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import GitSource
from modelwright.data.sources.streams import ContentError

SUBMODULE = "git submodule"
CLONE = "clone.partial"


class GitReader:
    """Reads the files of a repository: a folder on this machine, or a URL.

    A URL is fetched, one commit deep and without a work tree, into ``reading.kept``, and removed
    when it was read: it lies on the disk of the artifact, and nothing of it stays.

    Parameters
    ----------
    settings : GitSource
        Which repository, commit and files.
    """

    def __init__(self, settings: GitSource):
        self._settings = settings
        self._short = settings.repository
        if not is_remote(settings.repository):
            self._short = Path(settings.repository).resolve().name
        self.name = f"git:{self._short}"
        self._content = ContentSettings(
            source=self.name, text_field="text", licence=settings.licence, extractor="trafilatura"
        )

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Yield the files that hold text in the order of their names.

        Raises
        ------
        InputError
            If the repository or the commit is not there, or nothing in it can be used.
        """
        drops = reading.drops
        before = drops.counts
        found = 0
        with self._repository(reading.kept) as repository:
            items = self._items(repository, reading)
            for document in extract_in_order(items, reading.sandbox, self._content, drops):
                found += 1
                yield document
        if not found:
            reasons = in_words(drops.since(before)) or "no file"
            raise InputError(
                f"no usable text in this repository: {reasons}",
                where=f"{self._settings.repository} at {self._settings.revision}",
                fix="check 'revision', 'include' and 'exclude' of the source",
            )

    def fingerprint(self) -> object:
        """The commit of a local repository; of a URL, what the settings say (no network)."""
        if is_remote(self._settings.repository):
            return [self._settings.repository, self._settings.revision]
        return open_repository(self._settings.repository, self._settings.revision).commit

    @contextmanager
    def _repository(self, kept: Path) -> Iterator[Repository]:
        if not is_remote(self._settings.repository):
            yield open_repository(self._settings.repository, self._settings.revision)
            return
        clone = kept / CLONE
        shutil.rmtree(clone, ignore_errors=True)  # of a run that was cut off
        clone.mkdir(parents=True)
        try:
            yield fetch(self._settings.repository, self._settings.revision, clone)
        finally:
            shutil.rmtree(clone)
            if not any(kept.iterdir()):
                kept.rmdir()

    def _items(self, repository: Repository, reading: Reading) -> Iterator[Item]:
        entries = list_files(repository, reading.drops)
        entries.sort(key=lambda entry: entry.name)
        with (
            repository.objects() as read,
            reading.progress.task(f"read {self._short}", len(entries), "files") as task,
        ):
            licences = licences_by_folder(
                (entry.name, decode_text(read(entry)[:MAX_TEXT])[0])
                for entry in entries
                if entry.kind == "file" and is_licence_file(entry.name) and entry.size <= MAX_TEXT
            )
            for number, entry in enumerate(entries, 1):
                try:
                    kind = self._checked_format(entry)
                    address = f"{self._short}@{repository.commit}:{printable(entry.name)}"
                    yield from read_content(
                        in_memory(read(entry)),
                        kind,
                        address,
                        _title(entry.name, kind),
                        nearest_licence(entry.name, licences),
                        self._content,
                        reading.drops,
                    )
                except ContentError as error:
                    reading.drops.add(str(error), printable(entry.name))
                task.update(number)

    def _checked_format(self, entry: Entry) -> Format:
        """How to read an entry; everything that is not a known format is read as text.

        Raises
        ------
        ContentError
            If it is left out.
        """
        if entry.kind != "file":
            raise ContentError({"link": LINK, "submodule": SUBMODULE}[entry.kind])
        if any(part.startswith(".") for part in entry.name.split("/")):
            raise ContentError(HIDDEN)
        if not is_wanted(entry.name, self._settings.include, self._settings.exclude):
            raise ContentError(NOT_WANTED)
        if entry.size > MAX_BYTES:
            raise ContentError(TOO_LARGE)
        kind = file_type(entry.name)
        if kind.container is not None or kind.compression is not None or kind.format == "parquet":
            raise ContentError(type_in_words(kind))
        # Tables in a repository are part of its code (package.json), not rows of documents.
        return "code" if kind.format is None or kind.format in ROW_FORMATS else kind.format


def _title(name: str, kind: Format) -> str:
    return name.rpartition("/")[2] if kind == "code" else file_type(name).stem
