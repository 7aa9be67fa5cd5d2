"""Texts from which single lines, or pieces of them, are taken out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from modelwright.data.rules.segments import Flags, Integers


@dataclass(frozen=True)
class EditedLines:
    """Lines before and after an edit.

    Attributes
    ----------
    before, after : polars.Series
        The lines.
    kept : numpy.ndarray
        bool (lines,): which of them stay in the text.
    """

    before: pl.Series
    after: pl.Series
    kept: Flags

    def recount(self, counts: Integers, count: Callable[[pl.Series], Integers]) -> Integers:
        """Counts of the lines after the edit; only lines that it changed are counted anew.

        Parameters
        ----------
        counts : numpy.ndarray
            int64 (lines,): counts before the edit.
        count : callable
            Gives the counts of some lines.

        Returns
        -------
        numpy.ndarray
            int64 (lines,); 0 for lines that are not kept.
        """
        now = counts * self.kept
        changed = (self.before != self.after) & pl.Series(self.kept)
        if changed.any():
            now[changed.to_numpy()] = count(self.after.filter(changed))
        return now
