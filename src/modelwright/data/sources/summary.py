"""One line that says what an object is for, taken from its docstring."""

from __future__ import annotations

import re

MIN_CHARACTERS = 20
MAX_CHARACTERS = 200
MIN_WORDS = 3
PARAGRAPHS = 2
"""A heading or a call may stand first; what comes later than this is detail."""

_SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)(?<!vs)[.!?](?=\s|$)")
_NOT_PROSE = re.compile(r"^(>>>|\.\.|[-*=+#|<\[({@]|\$|\w+ ?= ?\w+|[\w.]+\()")
_NOT_A_SUMMARY = re.compile(
    r"deprecated|copyright|generated from|^author|^written by|^internal|^this module is part"
    r"|^see |^usage:|^for internal use|^undocumented|not implemented|^implement(s|ation of) ",
    re.IGNORECASE,
)


def summarise(text: str) -> str | None:
    """The first paragraph of prose in a docstring, in one line, cut at the end of a sentence.

    Parameters
    ----------
    text : str
        A docstring without indentation.

    Returns
    -------
    str or None
        At most 200 characters; None if the paragraph is no summary (too short, code, a licence,
        a mark of deprecation) or its first sentence is longer.
    """
    for paragraph in text.strip().split("\n\n")[:PARAGRAPHS]:
        line = " ".join(paragraph.replace("``", "`").split())
        if _NOT_A_SUMMARY.search(line):
            return None
        if not _NOT_PROSE.match(line) and len(line) >= MIN_CHARACTERS:
            return _shortened(line)
    return None


def _shortened(line: str) -> str | None:
    if len(line) > MAX_CHARACTERS:
        ends = [match.end() for match in _SENTENCE_END.finditer(line)]
        fitting = [end for end in ends if end <= MAX_CHARACTERS]
        if not fitting:
            return None
        line = line[: fitting[-1]]
    if len(line) < MIN_CHARACTERS or len(re.findall(r"[^\W\d_]{2,}", line)) < MIN_WORDS:
        return None
    line = line.rstrip(" :;,")
    return line if line[-1] in ".!?" else line + "."
