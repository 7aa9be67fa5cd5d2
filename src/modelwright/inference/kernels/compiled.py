"""How the kernels' functions are compiled, and when what is kept of that is out of date."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from numba import njit

compiled = partial(njit, nogil=True, error_model="numpy")
"""Without the interpreter's lock, and without exceptions: one in a thread would leave the others
waiting for it for ever."""


def _forget_what_is_older(folder: Path) -> None:
    """Remove kept code that is older than any file here.

    Numba looks at the file of the outermost function only, and not at those that it calls.
    """
    changed = max(source.stat().st_mtime for source in folder.glob("*.py"))
    for kept in (folder / "__pycache__").glob("*.nb[ic]"):
        with suppress(OSError):  # another process did it, or the folder is not ours
            if kept.stat().st_mtime < changed:
                kept.unlink()


_forget_what_is_older(Path(__file__).parent)
