"""Characters that nobody sees, and one form for those that can be written in several ways."""

from __future__ import annotations

import re
import unicodedata

# Controls except tab and line feed; soft hyphen; bidirectional marks, embeddings and isolates
# (Unicode Standard Annex 9); zero-width space, word joiner and invisible operators; byte order
# mark; interlinear annotation; variation selectors supplement; tags. The zero-width joiner and
# non-joiner stay: Persian, the scripts of India and emoji are spelled with them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_TRAILING = re.compile(r"[^\S\n]++\n")
_BLANK_LINES = re.compile(r"\n{3,}+")


def readable(text: str) -> str:
    """Bring a text to NFC; take out invisible characters, spaces at line ends, runs of blank lines.

    Hidden characters can carry instructions that no reader sees, and make equal texts differ.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("\n", text)).strip()
