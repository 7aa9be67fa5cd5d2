"""Documents in files and folders, also compressed and in archives."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from modelwright.core.errors import InputError
from modelwright.core.progress import Task
from modelwright.data.corpus import Document
from modelwright.data.drops import Drops, in_words
from modelwright.data.folder import (
    find_files,
    fingerprint_files,
    open_file,
    printable,
    reason_of,
    relative_name,
)
from modelwright.data.jsonl import MAX_BYTES
from modelwright.data.licence_texts import MAX_TEXT, is_licence_file, licences_by_folder
from modelwright.data.sources.archives import ARCHIVE_LIMITS, ArchiveLimits
from modelwright.data.sources.contents import ContentSettings, Item, extract_in_order
from modelwright.data.sources.file_types import COMPRESSIONS, CONTAINERS, FORMATS, file_type
from modelwright.data.sources.plain_text import decode_text
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import FilesSource
from modelwright.data.sources.streams import EXPANSION_LIMITS, ExpansionLimits
from modelwright.data.sources.tables import Problem
from modelwright.data.sources.unpacking import Choice, Place, Unpacker

CHANGED = "changed while it was read"
UPDATE_EVERY = 256
"""Documents between two reports of progress."""


class FilesReader:
    """Reads the documents of one file or folder.

    Parameters
    ----------
    settings : FilesSource
        Where, which files, and under which licence.
    expansion, archives : ExpansionLimits, ArchiveLimits
        What compressed files and archives may become.
    """

    def __init__(
        self,
        settings: FilesSource,
        expansion: ExpansionLimits = EXPANSION_LIMITS,
        archives: ArchiveLimits = ARCHIVE_LIMITS,
    ):
        self._root = Path(settings.path)
        self._choice = Choice(settings.include, settings.exclude, settings.code)
        self._expansion = expansion
        self._archives = archives
        self.name = f"files:{self._root.name}"
        self._content = ContentSettings(
            source=self.name,
            text_field=settings.text_field,
            licence=settings.licence,
            extractor=settings.extractor,
        )

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Yield the documents in the order of their relative paths, in archives in their own.

        Raises
        ------
        InputError
            If there is nothing that can be used.
        """
        drops = reading.drops
        before = drops.counts
        paths = find_files(self._root, drops)
        found = 0
        with reading.progress.task(f"read {self._root.name}", len(paths), "files") as task:
            items = self._items(paths, drops, task)
            for document in extract_in_order(items, reading.sandbox, self._content, drops):
                found += 1
                yield document
        if not found:
            raise _nothing_usable(self._root, paths, drops.since(before))

    def fingerprint(self) -> object:
        """Names, sizes and times of the files, cheap to get and different after any change."""
        paths = find_files(self._root, Drops(lambda text: None))
        return fingerprint_files(paths, self._root)

    def _items(self, paths: list[Path], drops: Drops, task: Task) -> Iterator[Item]:
        unpacker = Unpacker(self._choice, self._content, self._archives, drops)
        licences = self._licences(paths)
        found = 0
        for number, path in enumerate(paths):
            try:
                for item in self._items_in(path, licences, unpacker):
                    if found % UPDATE_EVERY == 0:
                        task.update(number, documents=f"{found:,}")
                    found += 1
                    yield item
            except OSError as error:
                drops.add(reason_of(error), self._name(path))
        task.update(len(paths), documents=f"{found:,}")

    def _items_in(self, path: Path, licences: dict[str, str], unpacker: Unpacker) -> Iterator[Item]:
        """What is in one file, up to the moment when the file is seen to have changed."""
        state = _state(path)
        budget = self._expansion.budget(state[0])
        place = Place(self._name(path), lambda: self._open(path), 0, budget, licences)
        items = unpacker.items(place)
        while True:
            try:
                item = next(items)
            except StopIteration as end:
                is_table = path == self._root and file_type(path.name).format == "jsonl"
                if end.value is not None and is_table:
                    raise self._no_usable_line(path, end.value) from None
                return
            if _state(path) != state:
                unpacker.drops.add(CHANGED, place.name)
                return
            yield item

    def _licences(self, paths: list[Path]) -> dict[str, str]:
        """Licence by folder; a licence file that cannot be read counts as one that is not known."""
        files: list[tuple[str, str]] = []
        for path in paths:
            if path != self._root and is_licence_file(path.name):
                try:
                    with self._open(path) as file:
                        text, _ = decode_text(file.read(MAX_TEXT))
                except OSError:
                    text = ""
                files.append((self._name(path), text))
        return licences_by_folder(files)

    def _name(self, path: Path) -> str:
        return printable(relative_name(path, self._root))

    def _open(self, path: Path) -> io.BufferedReader:
        return open_file(path.resolve() if path == self._root else path)

    def _no_usable_line(self, path: Path, problem: Problem) -> InputError:
        return InputError(
            f"not one line of this file can be used; the first problem: {problem.reason}",
            where=f"{path}, {problem.place}",
            fix=f"write one JSON object with a '{self._content.text_field}' to a line, "
            "or take the file out",
        )


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _nothing_usable(root: Path, paths: list[Path], dropped: dict[str, int]) -> InputError:
    types = Counter(path.suffix.lower() or "no extension" for path in paths)
    found = f"found {in_words(types)}" if paths else "found no files"
    reasons = f"; left out: {in_words(dropped)}" if dropped else ""
    return InputError(
        f"no usable text here: {found}{reasons}",
        where=root,
        fix=f"put text there ({', '.join(FORMATS)}, up to {MAX_BYTES // 2**20} MiB a document; "
        f"also with {', '.join(COMPRESSIONS)} and in {', '.join(CONTAINERS)}), "
        "or correct the path under 'collect: sources'",
    )
