"""Documents in files and folders: .txt, .md, .jsonl, .html."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelwright.core.errors import InputError
from modelwright.core.progress import Progress
from modelwright.data.corpus import Document, new_document
from modelwright.data.decoding import decode, is_binary, is_garbage, one_line_end
from modelwright.data.drops import Drops, in_words
from modelwright.data.folder import find_files, fingerprint_files, relative_name
from modelwright.data.html import extract_page
from modelwright.data.jsonl import MAX_BYTES, TOO_LARGE, Line, read_lines
from modelwright.data.settings import FilesSource

TEXT_TYPES = (".txt", ".md")
PAGE_TYPES = (".html", ".htm")
ROWS_TYPE = ".jsonl"
TYPES = (*TEXT_TYPES, ROWS_TYPE, *PAGE_TYPES)

BROKEN_JSON = "broken JSON"
BINARY = "binary content"
EMPTY = "no text in it"
UNREADABLE = "no permission to read it"


class BadRowError(ValueError):
    """A line of a .jsonl file that holds no document; its text is the reason."""


class FilesReader:
    """Reads the documents of one file or folder.

    Parameters
    ----------
    settings : FilesSource
        Where, and under which licence.
    """

    def __init__(self, settings: FilesSource):
        self._root = Path(settings.path)
        self._licence = settings.licence
        self.name = f"files:{self._root.name}"

    def documents(self, progress: Progress, drops: Drops) -> Iterator[Document]:
        """Yield the documents in the order of their relative paths.

        Raises
        ------
        InputError
            If there is nothing that can be used, or not one line of a .jsonl file.
        """
        before = drops.counts
        paths = find_files(self._root, drops)
        found = 0
        with progress.task(f"read {self._root.name}", len(paths), "files") as task:
            for number, path in enumerate(paths, 1):
                for document in self._documents_in(path, drops):
                    found += 1
                    yield document
                task.update(number, documents=f"{found:,}")
        if not found:
            raise _nothing_usable(self._root, paths, drops.since(before))

    def fingerprint(self) -> object:
        """Names, sizes and times of the files, cheap to get and different after any change."""
        paths = find_files(self._root, Drops(lambda text: None))
        return fingerprint_files(paths, self._root)

    def _documents_in(self, path: Path, drops: Drops) -> Iterator[Document]:
        suffix = path.suffix.lower()
        url = relative_name(path, self._root)
        try:
            if suffix == ROWS_TYPE:
                yield from self._rows(path, url, drops)
            elif suffix not in TYPES:
                drops.add(f"unknown file type: {suffix or 'no extension'}")
            else:
                document = self._file(path, url, suffix, drops)
                if document is not None:
                    yield document
        except PermissionError:
            drops.add(UNREADABLE, url)

    def _file(self, path: Path, url: str, suffix: str, drops: Drops) -> Document | None:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            drops.add(TOO_LARGE, url)
            return None
        if is_binary(raw):
            drops.add(BINARY, url)
            return None
        if suffix in PAGE_TYPES:
            page = extract_page(raw)
            text, title, replaced = page.text, page.title or path.stem, page.replaced
        else:
            text, replaced = decode(raw)
            title = (_heading(text) if suffix == ".md" else "") or path.stem
        if not text.strip():
            drops.add(EMPTY, url)
        elif is_garbage(text, replaced):
            drops.add(BINARY, url)
        else:
            return self._document(text, url, title, self._licence, raw, replaced)
        return None

    def _rows(self, path: Path, url: str, drops: Drops) -> Iterator[Document]:
        good = 0
        first_problem: tuple[int, str] | None = None
        for line in read_lines(path):
            try:
                document = self._row(line, url)
            except BadRowError as error:
                first_problem = first_problem or (line.number, str(error))
                drops.add(str(error), f"{url}, line {line.number}")
                continue
            good += 1
            yield document
        if first_problem and not good:
            number, problem = first_problem
            raise InputError(
                f"not one line of this file can be used; the first problem: {problem}",
                where=f"{path}, line {number}",
                fix="write one JSON object with a 'text' to a line, or take the file out",
            )
        if not first_problem and not good:
            drops.add(EMPTY, url)

    def _row(self, line: Line, url: str) -> Document:
        if line.raw is None:
            raise BadRowError(TOO_LARGE)
        source_text, replaced = decode(line.raw)
        try:
            row = json.loads(source_text)
        except (ValueError, RecursionError):
            raise BadRowError(BROKEN_JSON) from None
        if not isinstance(row, dict):
            raise BadRowError("not a JSON object")
        text = _text_field(row, "text")
        if text is None:
            raise BadRowError("no field 'text'")
        if not text.strip():
            raise BadRowError("field 'text' is empty")
        if is_garbage(text, replaced):
            raise BadRowError(BINARY)
        identity = _text_field(row, "id") or f"L{line.number}"
        return self._document(
            one_line_end(text),
            _text_field(row, "url") or f"{url}#{identity}",
            _text_field(row, "title") or "",
            _text_field(row, "licence") or self._licence,
            line.raw,
            replaced,
        )

    def _document(
        self, text: str, url: str, title: str, licence: str, raw: bytes, replaced: int
    ) -> Document:
        return new_document(
            text,
            source=self.name,
            url=url,
            title=title,
            licence=licence,
            raw=raw,
            replaced=replaced,
        )


def _text_field(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    if name == "id" and isinstance(value, int):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise BadRowError(f"field '{name}' is not text")
    return value


def _heading(text: str) -> str:
    """The first line of a Markdown text, if it is a heading."""
    first = text.lstrip().partition("\n")[0]
    return first.lstrip("#").strip() if first.startswith("#") else ""


def _nothing_usable(root: Path, paths: list[Path], dropped: dict[str, int]) -> InputError:
    types = Counter(path.suffix.lower() or "no extension" for path in paths)
    found = f"found {in_words(types)}" if paths else "found no files"
    reasons = f"; left out: {in_words(dropped)}" if dropped else ""
    return InputError(
        f"no usable text here: {found}{reasons}",
        where=root,
        fix=f"put text there ({', '.join(TYPES)}, up to {MAX_BYTES // 2**20} MiB a document), "
        "or correct the path under 'collect: sources'",
    )
