"""From a file of the user's to what is in it: plain, compressed, an archive, one in another."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from modelwright.data.drops import Drops
from modelwright.data.licence_texts import (
    MAX_TEXT,
    is_licence_file,
    licences_by_folder,
    nearest_licence,
)
from modelwright.data.sources.archives import (
    SEPARATOR,
    ArchiveLimits,
    Member,
    count_refusals,
    read_members,
)
from modelwright.data.sources.contents import (
    ContentSettings,
    Item,
    in_memory,
    read_content,
    read_whole,
)
from modelwright.data.sources.file_types import (
    NOT_WANTED,
    FileType,
    Format,
    file_type,
    is_matched,
    is_wanted,
    type_in_words,
)
from modelwright.data.sources.plain_text import decode_text
from modelwright.data.sources.streams import Budget, ContentError, decompressed
from modelwright.data.sources.tables import Problem

CODE_NOT_WANTED = "source code, not asked for"
NESTED_TOO_DEEP = "archive in an archive in an archive"
MAX_DEPTH = 2
"""Archives that may lie in each other: one, and those in it."""


@dataclass(frozen=True)
class Choice:
    """Which files are read: patterns of names, and whether source code is."""

    include: list[str]
    exclude: list[str]
    code: bool


@dataclass(frozen=True)
class Place:
    """Where a file is found.

    Attributes
    ----------
    name : str
        Address within the source: ``docs.zip!/a.txt``.
    open : callable
        Opens its bytes, of an archive more than once.
    depth : int
        How many archives it lies in.
    budget : Budget
        Of the user's file that it is or lies in.
    licences : mapping of str to str
        Licences of the folders that are known.
    """

    name: str
    open: Callable[[], io.BufferedReader]
    depth: int
    budget: Budget
    licences: Mapping[str, str]


@dataclass(frozen=True)
class Unpacker:
    """Finds the documents in files and archives.

    Attributes
    ----------
    choice : Choice
        Which files are read.
    content : ContentSettings
        How they are read.
    archives : ArchiveLimits
        What an archive may hold.
    drops : Drops
        Where to count what is left out.
    """

    choice: Choice
    content: ContentSettings
    archives: ArchiveLimits
    drops: Drops

    def items(self, place: Place) -> Generator[Item, None, Problem | None]:
        """Yield what is in one file; what is refused or damaged is counted.

        Returns
        -------
        Problem or None
            The first problem in a table of which not one row could be used.
        """
        kind = file_type(place.name)
        try:
            if kind.container is not None:
                yield from self._archive(place, kind)
                return None
            return (yield from self._file(place, kind))
        except ContentError as error:
            self.drops.add(str(error), place.name)
            return None

    def _file(self, place: Place, kind: FileType) -> Generator[Item, None, Problem | None]:
        if not is_wanted(place.name, self.choice.include, self.choice.exclude):
            raise ContentError(NOT_WANTED)
        chosen = self._format(place.name, kind)
        licence = nearest_licence(place.name, place.licences)
        with _opened(place, kind) as stream:
            return (
                yield from read_content(
                    stream, chosen, place.name, kind.stem, licence, self.content, self.drops
                )
            )

    def _format(self, name: str, kind: FileType) -> Format:
        """The format to read a file in; one that a pattern names is read as text if need be."""
        named = is_matched(name, self.choice.include)
        if kind.format is None and not named:
            raise ContentError(type_in_words(kind))
        if kind.format == "code" and not (self.choice.code or named):
            raise ContentError(CODE_NOT_WANTED)
        return kind.format or "text"

    def _archive(self, place: Place, kind: FileType) -> Iterator[Item]:
        if is_matched(place.name, self.choice.exclude):
            raise ContentError(NOT_WANTED)
        if place.depth >= MAX_DEPTH:
            raise ContentError(NESTED_TOO_DEEP)
        licences = {**place.licences, **self._licences_inside(place, kind)}
        for member in self._members(place, kind, count_refusals(self.drops, place.name)):
            yield from self._member(member, place, licences)

    def _member(self, member: Member, place: Place, licences: Mapping[str, str]) -> Iterator[Item]:
        name, depth = f"{place.name}{SEPARATOR}{member.name}", place.depth + 1

        opener: Callable[[], io.BufferedReader] = partial(_itself, member.file)
        if file_type(name).container is not None and depth < MAX_DEPTH:
            try:
                raw = read_whole(member.file)  # an archive is read twice, a member only once
            except ContentError as error:
                self.drops.add(str(error), name)
                return
            opener = partial(in_memory, raw)
        yield from self.items(Place(name, opener, depth, place.budget, licences))

    def _members(
        self, place: Place, kind: FileType, refuse: Callable[[str, str], None]
    ) -> Iterator[Member]:
        assert kind.container is not None
        with _opened(place, kind) as stream:
            yield from read_members(stream, kind.container, place.budget, refuse, self.archives)

    def _licences_inside(self, place: Place, kind: FileType) -> dict[str, str]:
        """Licences of the folders in an archive; where it breaks off, of those before."""
        files: list[tuple[str, str]] = []
        try:
            for member in self._members(place, kind, lambda reason, name: None):
                if is_licence_file(member.name):
                    raw = member.file.read(MAX_TEXT)
                    files.append((f"{place.name}{SEPARATOR}{member.name}", decode_text(raw)[0]))
        except ContentError:
            pass  # met and counted again when the documents are read
        return licences_by_folder(files)


def _itself(file: io.BufferedReader) -> io.BufferedReader:
    return file


@contextmanager
def _opened(place: Place, kind: FileType) -> Iterator[io.BufferedReader]:
    with place.open() as file:
        if kind.compression is not None:
            yield decompressed(file, kind.compression, place.budget)
        else:
            yield file
