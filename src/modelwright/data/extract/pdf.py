"""The text of a PDF file."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

from pypdf import PasswordType, PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError, PyPdfError

from modelwright.data.decoding import REPLACEMENT
from modelwright.data.extract.characters import readable
from modelwright.data.extract.extracted import Extracted, ExtractionError
from modelwright.data.extract.formats import Options

MAX_BYTES = 200_000_000
MAX_PAGES = 5_000
MAX_CHARACTERS = 50_000_000
ENCRYPTED = "encrypted PDF"

# What pypdf raises where a file breaks the format in a way that it does not look for.
_BROKEN = (
    PyPdfError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def extract_pdf(raw: bytes, options: Options) -> Extracted:
    """Give the text of all pages in the order of the file's content streams.

    Words that are broken at the end of a line stay so: nothing in the file says whether the hyphen
    belongs to the word.

    Raises
    ------
    ExtractionError
        If it is broken, encrypted with a password, too large, or holds no text (as scans do).
    """
    if len(raw) > MAX_BYTES:
        raise ExtractionError("PDF too large")
    try:
        text, title = _read(raw)
    except ExtractionError:  # it is a ValueError too
        raise
    except (FileNotDecryptedError, DependencyError) as error:
        raise ExtractionError(ENCRYPTED) from error
    except LimitReachedError as error:
        raise ExtractionError("PDF too large when decompressed") from error
    except _BROKEN as error:
        raise ExtractionError("broken PDF") from error
    if not any(character.isalnum() for character in text):
        raise ExtractionError("PDF without text")
    return Extracted(text, title=title, replaced=text.count(REPLACEMENT))


def _read(raw: bytes) -> tuple[str, str]:
    reader = PdfReader(BytesIO(raw), strict=False)
    # Many files forbid printing only, and open with an empty password.
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise ExtractionError(ENCRYPTED)
    if len(reader.pages) > MAX_PAGES:
        raise ExtractionError("PDF with too many pages")
    pages: list[str] = []
    length = 0
    for page in reader.pages:
        pages.append(page.extract_text().strip())
        length += len(pages[-1])
        if length > MAX_CHARACTERS:
            raise ExtractionError("PDF too large")
    title = reader.metadata.title if reader.metadata else None
    return readable("\n\n".join(page for page in pages if page)), " ".join(
        readable(str(title or "")).split()
    )
