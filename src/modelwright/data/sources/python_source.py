"""Documentation in the pure-Python part of the standard library, parsed and never executed."""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelwright.data.sources.description import Description, Kind

PUBLISHED_AS = {"posixpath": "os.path", "genericpath": "os.path"}
"""Modules that users know by another name."""

# Tests, demonstrations, tools that Python 3.12 dropped, Windows' twin of posixpath, and about a
# hundred generated tables of character codes that say nothing but their own name.
LEFT_OUT = {
    "distutils",
    "encodings",
    "idlelib",
    "lib2to3",
    "ntpath",
    "pydoc_data",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "turtledemo",
}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class ParsedModules:
    """What was read from the source of the standard library.

    Attributes
    ----------
    descriptions : list of Description
        Modules, top-level functions and classes, in the order of the files.
    reexports : dict
        For each private module, the names that its public namesake (``struct`` for ``_struct``)
        imports from it; ``*`` stands for all.
    """

    descriptions: list[Description] = field(default_factory=list)
    reexports: dict[str, set[str]] = field(default_factory=dict)


def parse_library(folder: Path) -> ParsedModules:
    """Parse every public module below the folder of the standard library."""
    parsed = ParsedModules()
    for path in module_files(folder):
        module = module_name(path.relative_to(folder))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd escapes in old sources
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue  # a template, or a file for another Python, is no module
        parsed.descriptions.extend(_describe_module(module, tree))
        _collect_reexports(module, tree, parsed.reexports)
    return parsed


def module_files(folder: Path) -> list[Path]:
    """Files of the public modules of the standard library, sorted."""
    return sorted(_walk(folder))


def module_name(path: Path) -> str:
    """Public dotted name of the module in a file, given relative to the library's folder."""
    parts = path.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return PUBLISHED_AS.get(name, name)


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        name = path.stem
        if name in LEFT_OUT or not name.isidentifier():
            continue
        if path.is_dir() and not name.startswith("_"):
            yield from _walk(path)
        elif path.suffix == ".py" and (not name.startswith("_") or name == "__init__"):
            yield path


def _describe_module(module: str, tree: ast.Module) -> Iterator[Description]:
    yield Description(module, "module", text=_docstring(tree))
    for node in _statements(tree.body):
        if isinstance(node, FunctionNode) and _is_public(node):
            yield _describe_function(node, module, "function")
        elif isinstance(node, ast.ClassDef) and _is_public(node):
            yield _describe_class(node, module)


def _describe_function(node: FunctionNode, owner: str, kind: Kind) -> Description:
    name = f"{owner}.{node.name}"
    text = _docstring(node)
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    if any(decorator.endswith("property") for decorator in decorators):
        return Description(name, "property", text=text)
    is_bound = kind == "method" and "classmethod" in decorators
    signature = _signature(_without_first(node.args) if is_bound else node.args)
    return Description(name, kind, signature, text)


def _describe_class(node: ast.ClassDef, owner: str) -> Description:
    name = f"{owner}.{node.name}"
    signature = ""
    members: dict[str, Description] = {}
    for statement in _statements(node.body):
        if not isinstance(statement, FunctionNode):
            continue
        if statement.name == "__init__":
            signature = _signature(_without_first(statement.args))
        elif _is_public(statement) and statement.name not in members:
            members[statement.name] = _describe_function(statement, name, "method")
    documented = [member for member in members.values() if member.text]
    return Description(name, "class", signature, _docstring(node), documented)


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a body and of the conditions and attempts in it."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            yield from _statements([*node.body, *handlers, *node.orelse, *node.finalbody])


def _is_public(node: FunctionNode | ast.ClassDef) -> bool:
    return not node.name.startswith("_")


def _docstring(node: ast.Module | ast.ClassDef | FunctionNode) -> str:
    text = ast.get_docstring(node, clean=False)
    return inspect.cleandoc(text).strip() if text else ""


def _signature(arguments: ast.arguments) -> str:
    return f"({ast.unparse(arguments)})"


def _without_first(arguments: ast.arguments) -> ast.arguments:
    positional = arguments.posonlyargs[1:] if arguments.posonlyargs else []
    ordinary = arguments.args if arguments.posonlyargs else arguments.args[1:]
    # Defaults belong to the last parameters; one of `self` itself would be the surplus first.
    room = len(positional) + len(ordinary)
    defaults = arguments.defaults[-room:] if room else []
    return ast.arguments(
        posonlyargs=positional,
        args=ordinary,
        vararg=arguments.vararg,
        kwonlyargs=arguments.kwonlyargs,
        kw_defaults=arguments.kw_defaults,
        kwarg=arguments.kwarg,
        defaults=defaults,
    )


def _collect_reexports(module: str, tree: ast.Module, reexports: dict[str, set[str]]) -> None:
    for node in _statements(tree.body):
        if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
            continue
        if node.module.startswith("_") and module.partition(".")[0] == node.module[1:]:
            names = {alias.name for alias in node.names if alias.asname in (None, alias.name)}
            reexports.setdefault(node.module, set()).update(names)
