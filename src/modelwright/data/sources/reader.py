"""What a source is: something that yields documents, always in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelwright.core.progress import Progress
from modelwright.data.corpus import Document
from modelwright.data.drops import Drops
from modelwright.data.sandbox import Sandbox


@dataclass(frozen=True)
class Reading:
    """What a source gets to read with.

    Attributes
    ----------
    progress : Progress
        Where to say how far it is.
    drops : Drops
        Where to count what is left out, with its place and reason.
    sandbox : Sandbox
        Extracts text from bytes that are not trusted.
    kept : Path
        Folder of this source inside the artifact, for raw material that stays with the corpus (the
        archive of a crawl). Not made yet. What a killed run left in it is there again.
    previous : Path or None
        The same folder in the artifact that this one replaces, if there is one.
    """

    progress: Progress
    drops: Drops
    sandbox: Sandbox
    kept: Path
    previous: Path | None = None


class SourceReader(Protocol):
    """What every kind of source can do."""

    name: str
    """What its documents have in their column ``source``."""

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Yield its documents, always in the same order; count what is left out.

        Raises
        ------
        InputError
            If the source is not there, or nothing in it can be used.
        """

    def fingerprint(self) -> object:
        """A JSON value that changes when the documents may have changed; cheap, no network."""
