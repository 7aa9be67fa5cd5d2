"""How the kernels' functions are compiled, and when what is kept of that is out of date."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryFile
from threading import RLock
from typing import Any

from numba import cfunc, config, njit

_LOCK = RLock()
"""Held while Numba's setting is ours."""


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
    folder = _folder()
    if folder is None:  # it is compiled in each process
        return compile_it()(function)
    with _LOCK:
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:
            return compile_it(cache=True)(function)
        finally:
            config.CACHE_DIR = before


def are_compiled() -> bool:
    """Whether any code is kept already, so that little or nothing has to be compiled."""
    folder = _folder()
    return folder is not None and any(folder.rglob("*.nbc"))


@lru_cache(maxsize=1)
def _folder() -> Path | None:
    return folder_for(Path(__file__).parent)


def folder_for(sources: Path) -> Path | None:
    """Where code compiled from these sources is kept; None if nothing can be written.

    Each state of them has a folder of its own: Numba would look at the file of the outermost
    function only, and not at those that it calls. The place is the one that ``NUMBA_CACHE_DIR``
    names, or beside the sources, or the user's.
    """
    state = hashlib.sha256()
    for path in sorted(sources.glob("*.py")):
        state.update(path.read_bytes())
    name, beside = f"kernels-{state.hexdigest()[:16]}", sources / "__pycache__"
    for place in [Path(config.CACHE_DIR)] if config.CACHE_DIR else [beside, *_users_place()]:
        if _is_writable(place / name):
            for older in beside.glob("kernels-*"):
                if older.name != name:
                    shutil.rmtree(older, ignore_errors=True)
            return place / name
    return None


def _users_place() -> list[Path]:
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        return [(Path(given) if given else Path.home() / ".cache") / "modelwright"]
    except RuntimeError:  # a user without a home
        return []


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
