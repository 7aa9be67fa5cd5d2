"""Which formats can be read, and by what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

KINDS: Final = {
    "page": "modelwright.data.extract.page:extract_page",
    "pdf": "modelwright.data.extract.pdf:extract_pdf",
    "epub": "modelwright.data.extract.epub:extract_epub",
    "word": "modelwright.data.extract.word:extract_word",
    "notebook": "modelwright.data.extract.notebook:extract_notebook",
}
"""``module:function`` by kind; each takes ``(raw, options)`` and gives ``Extracted``.

A function raises ``ExtractionError`` for what it cannot read. It is called in a worker process
(``modelwright.data.sandbox``) and must not depend on what it read before.
"""

TIME_FACTORS: Final = {"pdf": 6}
"""How many times the limits of time count for a kind; pypdf reads some 25 pages a second."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to read one document.

    Attributes
    ----------
    extractor : {"trafilatura", "resiliparse"}
        What finds the main text of a web page.
    content_type : str
        The HTTP header of that name, for the charset in it; "" where there was none.
    url : str
        Where the document came from, or "".
    """

    extractor: Literal["trafilatura", "resiliparse"] = "trafilatura"
    content_type: str = ""
    url: str = ""
