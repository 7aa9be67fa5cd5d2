"""Reading the parts of a document that is a ZIP file of XML (EPUB, Word), within limits."""

from __future__ import annotations

import zipfile
import zlib
from io import BytesIO

from lxml import etree

from modelwright.data.extract.extracted import ExtractionError

MAX_BYTES = 200_000_000
MAX_MEMBERS = 20_000
MAX_MEMBER_BYTES = 50_000_000
MAX_TOTAL_BYTES = 200_000_000
MAX_RATIO = 200
"""Output to input of one member, where the output is more than ``RATIO_FROM`` bytes."""
RATIO_FROM = 1_000_000

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # all that the two formats allow
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError)


class ZipContainer:
    """The members of a ZIP file in memory.

    Parameters
    ----------
    raw : bytes
    what : str
        Name of the format, for the reasons: "EPUB".

    Raises
    ------
    ExtractionError
        Here and in ``read``: if it is broken, encrypted, or explodes.
    """

    def __init__(self, raw: bytes, what: str):
        self.what = what
        self._left = MAX_TOTAL_BYTES
        if len(raw) > MAX_BYTES:
            raise ExtractionError(f"{what} too large")
        try:
            self._archive = zipfile.ZipFile(BytesIO(raw))
        except _BROKEN as error:
            raise ExtractionError(f"broken {what}: no ZIP file") from error
        if len(self._archive.infolist()) > MAX_MEMBERS:
            raise ExtractionError(f"{what} with too many parts")

    def __contains__(self, name: str) -> bool:
        return name in self._archive.NameToInfo

    def read(self, name: str) -> bytes:
        """Decompress one member."""
        info = self._archive.NameToInfo.get(name)
        if info is None:
            raise ExtractionError(f"broken {self.what}: a part is missing")
        if info.flag_bits & 1:
            raise ExtractionError(f"encrypted {self.what}")
        if info.compress_type not in _METHODS:
            raise ExtractionError(f"broken {self.what}: unknown compression")
        most = min(MAX_MEMBER_BYTES, self._left)
        most = min(most, max(RATIO_FROM, MAX_RATIO * info.compress_size))
        try:
            with self._archive.open(info) as member:
                content = member.read(most + 1)
        except _BROKEN as error:
            raise ExtractionError(f"broken {self.what}: damaged ZIP file") from error
        if len(content) > most:
            raise ExtractionError(f"{self.what} too large when decompressed")
        self._left -= len(content)
        return content

    def read_xml(self, name: str) -> etree._Element:
        """Parse one member, without entities and without anything from outside."""
        parser = etree.XMLParser(
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            return etree.fromstring(self.read(name), parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            if isinstance(error, ExtractionError):
                raise
            raise ExtractionError(f"broken {self.what}: broken XML") from error
