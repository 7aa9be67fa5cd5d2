"""The documentation of the Python that runs this, as documents and as entries to ask about."""

from __future__ import annotations

import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelwright.core.errors import InputError
from modelwright.data.corpus import Document, new_document
from modelwright.data.drops import Drops
from modelwright.data.sources.description import Description, EntryKind, split_call
from modelwright.data.sources.python_objects import describe_compiled
from modelwright.data.sources.python_source import parse_library
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import PYTHON_DOCS
from modelwright.data.sources.summary import summarise
from modelwright.data.sources.usage import count_uses

LICENCE = "PSF-2.0"
NO_DOCSTRING = "no docstring"
NO_SUMMARY = "no summary in the docstring"
NO_TOPICS = "language reference not installed"


@dataclass(frozen=True, slots=True)
class Entry:
    """An object with a one-line summary, to ask questions about.

    Attributes
    ----------
    name : str
        Qualified name.
    kind : {"module", "class", "function", "method"}
        What it is.
    signature : str
        Its parameters in parentheses, or "".
    summary : str
        One or a few sentences in one line.
    """

    name: str
    kind: EntryKind
    signature: str
    summary: str


class PythonDocsReader:
    """Reads docstrings of the standard library and the topics of the language reference.

    Parameters
    ----------
    library : Path, optional
        Folder of the standard library; that of the running Python by default.
    """

    name = PYTHON_DOCS

    def __init__(self, library: Path | None = None):
        self._library = library or Path(sysconfig.get_path("stdlib"))

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Yield a document for each module, function, class and topic, sorted by name.

        Raises
        ------
        InputError
            If this Python came without its library's sources or without docstrings.
        """
        descriptions = self.descriptions()
        topics = _topics()
        if not topics:
            reading.drops.add(NO_TOPICS)
        total = len(descriptions) + len(topics)
        with reading.progress.task("read the Python documentation", total, "objects") as task:
            for number, described in enumerate(descriptions, 1):
                if described.is_documented:
                    yield _document(described.name, described.name, as_text(described))
                else:
                    reading.drops.add(NO_DOCSTRING)
                task.update(number)
            for number, (topic, text) in enumerate(topics, len(descriptions) + 1):
                yield _document(f"topic:{topic}", f"Python topic: {topic}", text)
                task.update(number)

    def entries(self, drops: Drops) -> list[Entry]:
        """Objects with a summary that can be asked for, sorted by name.

        Raises
        ------
        InputError
            If this Python came without its library's sources or without docstrings.
        """
        found: dict[str, Entry] = {}
        for described in _with_members(self.descriptions()):
            if described.kind == "property" or not described.text:
                continue
            own_name = described.name.rpartition(".")[2]
            summary = summarise(split_call(own_name, described.text)[1])
            if summary is None:
                drops.add(NO_SUMMARY)
                continue
            entry = Entry(described.name, described.kind, described.signature, summary)
            found.setdefault(entry.name, entry)
        return [found[name] for name in sorted(found)]

    def most_used_entries(self, count: int, drops: Drops) -> list[Entry]:
        """The ``count`` entries that the library's own code uses most, sorted by name."""
        uses = count_uses(self._library)
        entries = self.entries(drops)
        ranked = sorted(entries, key=lambda entry: (-uses.of(entry.name, entry.kind), entry.name))
        return sorted(ranked[:count], key=lambda entry: entry.name)

    def descriptions(self) -> list[Description]:
        """Everything public that this Python documents, each name once, sorted by name.

        Raises
        ------
        InputError
            If this Python came without its library's sources or without docstrings.
        """
        parsed = parse_library(self._library) if self._library.is_dir() else None
        if parsed is None or not parsed.descriptions:
            raise InputError(
                "the sources of the Python standard library are not there",
                where=self._library,
                fix="install a full Python (on Debian: python3 with libpython3-stdlib)",
            )
        if not len.__doc__:
            raise InputError(
                "this Python was built without docstrings",
                where=sys.executable,
                fix="use a Python from python.org, your system or conda",
            )
        found: dict[str, Description] = {}
        for described in parsed.descriptions:
            known = found.get(described.name)
            # Two files can stand behind one public name, as with os.path: the fuller text wins.
            if known is None or len(described.text) > len(known.text):
                found[described.name] = described
        for described in describe_compiled(self._extensions(), parsed.reexports):
            known = found.get(described.name)
            if known is None or not known.is_documented:
                found[described.name] = described
        return [found[name] for name in sorted(found)]

    def fingerprint(self) -> object:
        """Which Python this is."""
        return [platform.python_implementation(), sys.version, sys.platform]

    def _extensions(self) -> Path | None:
        folders = (self._library / "lib-dynload", Path(sys.base_prefix) / "DLLs")
        return next((folder for folder in folders if folder.is_dir()), None)


def as_text(described: Description) -> str:
    """Documentation as a person would read it: a heading with the signature, then the text."""
    heading = f"{described.name}{described.signature}"
    if described.kind in ("module", "class"):
        heading = f"{described.kind} {heading}"
    parts = [heading, described.text]
    for member in described.members:
        parts += [f"{member.name}{member.signature}", member.text]
    return "\n\n".join(part for part in parts if part) + "\n"


def _document(address: str, title: str, text: str) -> Document:
    return new_document(
        text, source=PYTHON_DOCS, url=f"{PYTHON_DOCS}:{address}", title=title, licence=LICENCE
    )


def _with_members(descriptions: Iterable[Description]) -> Iterator[Description]:
    for described in descriptions:
        yield described
        yield from described.members


def _topics() -> list[tuple[str, str]]:
    """The language reference as ``help()`` shows it; some systems leave it out."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return []
    return [(name, text.strip() + "\n") for name, text in sorted(topics.items())]
