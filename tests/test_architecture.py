"""The rules of ARCHITECTURE.md, read from its table and held against every module."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "modelwright"
MAP = ROOT / "ARCHITECTURE.md"

MAX_LINES = 450
HEAVY = ("torch", "pyarrow", "transformers", "fastapi", "sqlalchemy")

LOAD_ONE_BY_ONE = """
import importlib, json, sys
found = {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    new = [one for one in json.loads(sys.argv[2]) if one in sys.modules]
    if new:
        found[name] = new
        break
print(json.dumps(found))
"""


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_in(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Every module of ours that a file imports, the line, and whether it loads it at once."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        inner
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = list[str]()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write absolute imports"
            module = str(node.module)
            whole = [f"{module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else module for name in whole]
        for name in names:
            if name.partition(".")[0] == "modelwright":
                yield name, node.lineno, node not in lazy


def rules() -> dict[str, list[str]]:
    """What each package may import, from the table in ARCHITECTURE.md."""
    text = MAP.read_text(encoding="utf-8")
    section = text.partition("## Who may import whom")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {
        package.strip().strip("`"): re.findall(r"`([a-z_.*]+)`", allowed)
        for package, allowed in rows
    }


def package_of(module: str) -> str:
    """The folder that a module lies in: ``modelwright.core.files`` is in ``core``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def is_allowed(module: str, imported: str, allowed: list[str]) -> bool:
    """Whether a rule lets one module import another."""
    own, target = package_of(module), package_of(imported)
    if target in (own, ""):  # the package itself holds only the version
        return True
    name = imported.removeprefix("modelwright.")
    return any(rule == "*" or name == rule or name.startswith(f"{rule}.") for rule in allowed)


def folders() -> set[str]:
    return {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}


def test_the_table_has_a_row_for_every_folder() -> None:
    assert set(rules()) == folders()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_folder_may(module: str) -> None:
    folder = package_of(module)
    if folder in ("", "__main__"):
        return
    allowed = rules()[folder]
    wrong = [
        f"line {line}: {imported}"
        for imported, line, _ in imports_in(MODULES[module])
        if not is_allowed(module, imported, allowed)
    ]
    assert wrong == [], f"{folder} may import only {allowed}"


def test_every_permission_is_used() -> None:
    """A rule that nothing needs any more would let a mistake through."""
    used: dict[str, set[str]] = {folder: set() for folder in rules()}
    for module, path in MODULES.items():
        folder = package_of(module)
        if folder in used:
            used[folder] |= {imported for imported, _, _ in imports_in(path)}
    idle = [
        f"{folder}: {rule}"
        for folder, allowed in rules().items()
        for rule in allowed
        if rule != "*"
        and not any(
            is_allowed(f"modelwright.{folder}", imported, [rule])
            for imported in used[folder]
            if package_of(imported) not in (folder, "")
        )
    ]
    assert idle == []


def test_nothing_imports_the_command_line() -> None:
    importers = {
        module
        for module, path in MODULES.items()
        for imported, _, _ in imports_in(path)
        if package_of(imported) == "cli" and package_of(module) != "cli"
    }
    assert importers == {"modelwright.__main__"}


def test_no_module_needs_itself_to_load() -> None:
    graph = {
        module: {imported for imported, _, at_once in imports_in(path) if at_once}
        for module, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' → '.join(error.args[1])}")


def test_packages_import_downward_only() -> None:
    """Also through lazy imports."""
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        targets = {package_of(imported) for imported, _, _ in imports_in(path)}
        graph.setdefault(package_of(module), set()).update(targets - {package_of(module), ""})
    graph.pop("", None)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"folders import each other: {' → '.join(error.args[1])}")


def test_settings_recipe_plan_and_command_line_are_light() -> None:
    light = [
        module
        for module, path in MODULES.items()
        if path.name == "settings.py"
        or package_of(module) == "cli"
        or module in {f"modelwright.pipeline.{name}" for name in ("recipe", "stages", "plan")}
    ]
    assert len(light) > 15
    result = subprocess.run(
        [sys.executable, "-c", LOAD_ONE_BY_ONE, json.dumps(light), json.dumps(HEAVY)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) == {}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_long(module: str) -> None:
    lines = MODULES[module].read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES, "one subject a file: split it"


def test_the_map_names_only_what_is_there() -> None:
    """Paths in ARCHITECTURE.md exist, but for the table of what comes later."""
    text = MAP.read_text(encoding="utf-8")
    now = "".join(
        part for part in re.split(r"(?m)^(?=## )", text) if not part.startswith("## What comes")
    )
    paths = re.findall(
        r"`((?:src|tests|docs|benchmarks|examples)/[\w./-]*|[a-z_]+/[\w./]+\.py)`", now
    )
    assert len(paths) > 20
    missing = [
        path for path in paths if not (ROOT / path).exists() and not (PACKAGE / path).exists()
    ]
    assert missing == []


def test_every_folder_is_in_the_map() -> None:
    text = MAP.read_text(encoding="utf-8")
    assert [folder for folder in sorted(folders()) if f"`{folder}/`" not in text] == []
