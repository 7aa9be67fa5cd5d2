"""How the kernels' functions are compiled, and when what is kept of that is out of date."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from numba import cfunc, njit


def compiled(cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function without the interpreter's lock, and without exceptions.

    One in a thread would leave the others waiting for it for ever. With ``cache`` the code is kept.
    """
    compile_it = partial(njit, nogil=True, error_model="numpy", **options)
    return partial(_kept_if_possible, compile_it) if cache else compile_it()


def compiled_address(function: Callable[..., Any], signature: Any) -> int:
    """Where the code of a function for such arguments lies; it is kept."""
    address: int = _kept_if_possible(partial(cfunc, signature), function).address
    return address


def _kept_if_possible(compile_it: Callable[..., Any], function: Callable[..., Any]) -> Any:
    try:
        return compile_it(cache=True)(function)
    except RuntimeError:  # no folder can be written to: it is compiled in each process
        return compile_it()(function)


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
