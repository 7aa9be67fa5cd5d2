"""Pages in WARC files, whoever crawled them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelwright.core.errors import InputError
from modelwright.data.corpus import Document
from modelwright.data.drops import Drops, in_words
from modelwright.data.folder import find_files, fingerprint_files, relative_name
from modelwright.data.licences import normalise
from modelwright.data.sources.captures import Origin, documents_of
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import WarcSource
from modelwright.data.web.robots import PATH as ROBOTS
from modelwright.data.web.warc import Broken, Capture, read_captures

SUFFIXES = (".warc", ".warc.gz")
NOT_A_WARC = "not a WARC file"
OTHER_STATUS = "response with another status than 200"
UNREADABLE = "no permission to read it"


class WarcReader:
    """Reads the pages in one WARC file, or in all of a folder.

    Parameters
    ----------
    settings : WarcSource
        Where, and under which licence.
    """

    def __init__(self, settings: WarcSource):
        self._root = Path(settings.path)
        self._settings = settings
        self.name = f"warc:{self._root.name}"

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Yield the documents in the order of the files and of the records in them.

        Raises
        ------
        InputError
            If there is no WARC file, or no page in it that can be used.
        """
        before = reading.drops.counts
        origin = Origin(self.name, normalise(self._settings.licence), self._settings.extractor)
        paths = self._files(reading.drops)
        found = 0
        with reading.progress.task(f"read {self._root.name}", len(paths), "files") as task:
            for number, path in enumerate(paths, 1):
                for document in documents_of(self._pages(path, reading.drops), reading, origin):
                    found += 1
                    yield document
                task.update(number, documents=f"{found:,}")
        if not found:
            left_out = in_words(reading.drops.since(before)) or "no response in it"
            raise InputError(
                f"no page can be read here: {left_out}",
                where=self._root,
                fix=f"give a file {' or '.join(SUFFIXES)}, or a folder of them",
            )

    def fingerprint(self) -> object:
        """Names, sizes and times of the files, cheap to get and different after any change."""
        return fingerprint_files(self._files(Drops(lambda text: None)), self._root)

    def _files(self, drops: Drops) -> list[Path]:
        paths = find_files(self._root, drops)
        if paths == [self._root]:
            return paths
        for path in paths:
            if not path.name.lower().endswith(SUFFIXES):
                drops.add(NOT_A_WARC, relative_name(path, self._root))
        return [path for path in paths if path.name.lower().endswith(SUFFIXES)]

    def _pages(self, path: Path, drops: Drops) -> Iterator[Capture]:
        name = relative_name(path, self._root)
        try:
            for capture in read_captures(path):
                if isinstance(capture, Broken):
                    drops.add(capture.reason, capture.url or f"{name}, byte {capture.offset}")
                elif capture.status != 200:
                    drops.add(OTHER_STATUS)
                elif not capture.url.partition("?")[0].endswith(ROBOTS):
                    yield capture
        except PermissionError:
            drops.add(UNREADABLE, name)
