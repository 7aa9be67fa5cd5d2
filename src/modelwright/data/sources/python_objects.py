"""Documentation of the built-in and the compiled part of Python, read from the objects."""

from __future__ import annotations

import builtins
import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Set
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Any

from modelwright.data.sources.description import Description, Kind, split_call, without_addresses

PUBLISHED_AS = {"posix": "os", "nt": "os"}

# Importing readline changes the terminal; the others exist to test Python itself.
_LEFT_OUT = ("readline", "xx", "_xx", "_test", "_ctypes_test")
_STANDS_FOR_ALL = "*"

_BOUND = re.compile(r"^\(\$\w+(, /)?(, )?")
"""A first parameter that Python itself fills in, as it stands in a text signature."""


def describe_compiled(
    extensions: Path | None, reexports: Mapping[str, Set[str]]
) -> list[Description]:
    """Describe the built-ins and the public contents of compiled modules, sorted by name.

    Parameters
    ----------
    extensions : Path or None
        Folder of the compiled modules of the standard library; None if there is none.
    reexports : mapping
        From :func:`~modelwright.data.sources.python_source.parse_library`: which names of a
        private module its public namesake publishes.
    """
    found: dict[str, Description] = {}
    for described in _describe_builtins():
        found.setdefault(described.name, described)
    for name in compiled_modules(extensions):
        published = reexports.get(name, set())
        if name.startswith("_") and not published:
            continue
        module = _import(name)
        if module is None:
            continue
        for described in _describe_module(module, name, published):
            found.setdefault(described.name, described)
    return [found[name] for name in sorted(found)]


def compiled_modules(extensions: Path | None) -> list[str]:
    """Names of the built-in and compiled modules of the standard library, sorted."""
    names = set(sys.builtin_module_names)
    if extensions is not None and extensions.is_dir():
        for path in extensions.iterdir():
            if path.name.endswith(tuple(EXTENSION_SUFFIXES)):
                names.add(path.name.partition(".")[0])
    names.discard("builtins")
    return sorted(name for name in names if not name.startswith(_LEFT_OUT))


def _import(name: str) -> ModuleType | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module(name)
    except ImportError:
        return None  # the system library that it wraps is not installed


def _describe_builtins() -> Iterator[Description]:
    for name, value in sorted(vars(builtins).items()):
        # Programs put things of their own among the built-ins; those are not Python's.
        is_foreign = isinstance(value, type) and value.__module__ != "builtins"
        if not name.startswith("_") and not is_foreign:
            described = _describe_object(name, name, value)
            if described is not None:
                yield described


def _describe_module(module: ModuleType, name: str, reexports: Set[str]) -> Iterator[Description]:
    if not name.startswith("_") and name not in PUBLISHED_AS:
        yield Description(name, "module", text=_docstring(module))
    contents = vars(module)
    for attribute, value in sorted(contents.items()):
        # Programs replace sys.excepthook and its like; sys.__excepthook__ is Python's own.
        value = contents.get(f"__{attribute}__", value)
        home = _home(name, attribute, value, reexports)
        if home is not None and not attribute.startswith("_"):
            described = _describe_object(f"{home}.{attribute}", attribute, value)
            if described is not None:
                yield described


def _home(module: str, attribute: str, value: Any, reexports: Set[str]) -> str | None:
    """The public module that a user would import the object from."""
    stated = getattr(value, "__module__", None)
    if isinstance(stated, str) and not stated.startswith("_") and stated != module:
        # Something of another module: said there, unless it is a private module's public face.
        is_private = module.startswith("_") or module in PUBLISHED_AS
        return stated if is_private and stated != "builtins" else None
    if not module.startswith("_"):
        return PUBLISHED_AS.get(module, module)
    is_published = attribute in reexports or _STANDS_FOR_ALL in reexports
    return module[1:] if is_published else None


def _describe_object(name: str, own_name: str, value: Any) -> Description | None:
    """Describe a class or function; None for anything else and for aliases of another name."""
    if getattr(value, "__name__", None) != own_name:
        return None
    if isinstance(value, type):
        return _describe_class(name, value)
    if inspect.isbuiltin(value):
        return _describe_routine(name, value, "function")
    return None


def _describe_class(name: str, value: type) -> Description:
    members = []
    for attribute, member in sorted(vars(value).items()):
        if attribute.startswith("_"):
            continue
        full_name = f"{name}.{attribute}"
        if inspect.isgetsetdescriptor(member) or inspect.ismemberdescriptor(member):
            members.append(Description(full_name, "property", text=_docstring(member)))
        elif inspect.isroutine(member):
            routine = getattr(value, attribute)  # binds class methods and static methods
            members.append(_describe_routine(full_name, routine, "method"))
    documented = [member for member in members if member.text]
    text = _docstring(value)
    return Description(name, "class", _signature(value, text), text, documented)


def _describe_routine(name: str, value: Any, kind: Kind) -> Description:
    text = _docstring(value)
    return Description(name, kind, _signature(value, text), text)


def _docstring(value: Any) -> str:
    text = getattr(value, "__doc__", None)
    return without_addresses(inspect.cleandoc(text)).strip() if isinstance(text, str) else ""


def _signature(value: Any, docstring: str) -> str:
    # inspect.signature would evaluate default values, which fails where they need a terminal.
    text = getattr(value, "__text_signature__", None)
    if not isinstance(text, str):
        return split_call(value.__name__, docstring)[0]
    keeps_self = inspect.ismethoddescriptor(value)
    text = text.replace("$self", "self") if keeps_self else _BOUND.sub("(", text)
    return " ".join(without_addresses(text).replace("<unrepresentable>", "...").split())
