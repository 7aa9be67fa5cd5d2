"""What every extractor gives, and how it says that it cannot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of one document.

    Attributes
    ----------
    text, title : str
        Title is "" where there is none.
    replaced : int
        How many U+FFFD stand for bytes that could not be read.
    licence : str
        SPDX identifier that the document itself states, or "".
    licence_from : str
        Where it was found ("rel=license link", "SPDX tag", ...), or "".
    """

    text: str
    title: str = ""
    replaced: int = 0
    licence: str = ""
    licence_from: str = ""


class ExtractionError(ValueError):
    """A document has no text that can be read; the message is the reason, short and countable.

    "PDF without text", "broken EPUB: no package file": no path and no number in it, so that equal
    reasons are counted together.
    """
