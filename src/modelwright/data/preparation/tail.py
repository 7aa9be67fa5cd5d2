"""Holding out the end of a text, where there are too few documents to hold out whole ones."""

from __future__ import annotations

TAIL_SUFFIX = "-tail"
"""Added to the id of a document for the part of its text that is held out."""


def cut_tail(text: str, fraction: float) -> tuple[str, str] | None:
    """Cut the last ``fraction`` off a text, at a line end or else a space that is near enough.

    Near enough is what changes the size of the tail by half at most.

    Returns
    -------
    tuple of (str, str) or None
        Both parts, neither of them blank; together they are the text. None if it is too short.
    """
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    if end - start < 2:
        return None
    target = start + max(1, min(end - start - 1, round((end - start) * (1 - fraction))))
    room = (end - target) // 2
    for mark in ("\n", " "):
        before = text.rfind(mark, max(start + 1, target - room), target) + 1
        after = text.find(mark, target, min(end, target + room)) + 1
        if before and (not after or target - before <= after - target):
            return text[:before], text[before:]
        if after:
            return text[:after], text[after:]
    return text[:target], text[target:]
