"""README and guides: their commands are real, their links lead somewhere, the main ones are run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from modelwright.cli.main import VERBS, modelwright

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def commands(document: Path) -> list[str]:
    """The commands after ``$`` in a document, continued lines joined."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^\$ (.+)$", text, re.MULTILINE)
    return [re.sub(r"\s+#.*$", "", line).replace("…", "") for line in lines]


def check_flags(verb: click.Command, name: str, words: list[str], parent: click.Context) -> None:
    """Parse the words after a verb; a folder that is only a name in a guide is not there."""
    try:
        verb.make_context(name, words, parent=parent)
    except click.BadParameter as error:
        if "does not exist" not in error.message:
            raise


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_understood(document: Path) -> None:
    for line in commands(document):
        words = shlex.split(line)
        if words[0] != "modelwright":
            assert words[0] in {"python3", "cd", ".", "curl", "ruff", "mypy", "pytest"}, line
            continue
        assert words[1] in VERBS, line
        context = click.Context(modelwright)
        command = modelwright.get_command(context, words[1])
        assert command is not None
        inner = command.make_context(words[1], words[2:], parent=context)  # raises on unknown flags
        if isinstance(command, click.Group) and (words[2:] or not command.invoke_without_command):
            name, verb, rest = command.resolve_command(inner, words[2:])
            assert verb is not None
            check_flags(verb, str(name), rest, inner)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (document.parent / link).exists(), link


def test_the_readme_on_your_own_text_works(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(8):
        (notes / f"{number}.md").write_text(f"# Note {number}\n\n" + f"The cat {number} sat. " * 60)
    lines = commands(ROOT / "README.md")
    lines = lines[lines.index('modelwright init my-model --source FOLDER --budget "30 minutes"') :]
    folder = tmp_path
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = 0
    for line in lines:
        words = shlex.split(line.replace("FOLDER", str(notes)).replace("30 minutes", "2 steps"))
        if words[0] == "cd":
            folder = folder / words[1]
        elif words[:2] != ["modelwright", "serve"]:  # runs for ever; tested elsewhere
            result = subprocess.run(
                [sys.executable, "-m", *words],
                cwd=folder,
                env=environment,
                input="hello\n",
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert result.returncode == 0, (line, result.stderr)
            ran += 1
    assert ran >= 6
    assert (folder / "report.html").is_file()
