"""``modelwright init``: start a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelwright.core.errors import UsageError
from modelwright.core.files import write_text
from modelwright.core.workspace import RECIPE

if TYPE_CHECKING:
    from modelwright.pipeline.recipe import Recipe

TEMPLATE = """\
# The recipe of this workspace. 'modelwright run' brings everything up to date with it.
# All settings with their defaults: modelwright run --print-config

name: {name}

# How long the whole run may take; sizes and rates are chosen for it on this machine.
# Or an amount of pretraining: "2000 steps", "10M tokens".
budget: {budget}
{base}
collect:
  # Files and folders (text, Markdown, HTML, PDF, EPUB, Word, notebooks, tables; compressed too),
  # relative to this file; or python-docs, the documentation of the Python on this machine; or
  # other kinds (web, warc, wikipedia, git, hugging-face). Where you know the licence, say so:
  #   - path: ../notes
  #     licence: CC0-1.0
  sources:{sources}

examples:
  # What the model learns to answer: python-docs, or .jsonl files with 'messages', 'prompt' and
  # 'completion', or one of the other shapes (docs/examples.md). With an empty list there is no
  # fine-tuning.
  sources:{examples}
  # Of python-docs, only the objects that the library itself uses most: few enough to learn by
  # heart in some minutes. null takes all.
  maximum: 600
"""

BASE = """
# The model to go on from: its shape, weights and tokenizer are taken as they are.
base: {base}
"""


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path))
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="PATH",
    help="Text to learn from (a file, a folder or python-docs); may be given several times.",
)
@click.option(
    "--examples",
    multiple=True,
    metavar="PATH",
    help="Conversations to fine-tune on "
    "(.jsonl, a folder of them or python-docs); may be given several times.",
)
@click.option(
    "--budget",
    default="5 minutes",
    show_default=True,
    metavar="TEXT",
    help="Time for the whole run, or pretraining in steps or tokens.",
)
@click.option(
    "--base",
    metavar="FOLDER",
    help="A model to go on from, as Hugging Face's, instead of random weights.",
)
@click.option("--name", help="The model's name; by default the folder's.")
@click.option("--print-config", is_flag=True, help="Print the settings in full and stop.")
@click.option("--dry-run", is_flag=True, help="Print the recipe and stop.")
def command(
    folder: Path,
    sources: tuple[str, ...],
    examples: tuple[str, ...],
    budget: str,
    base: str | None,
    name: str | None,
    print_config: bool,
    dry_run: bool,
) -> None:
    """Start a workspace in FOLDER (by default here) with a recipe to edit.

    Without --source the recipe reads the documentation of the Python on this machine.
    """
    import shlex

    from modelwright.pipeline.recipe import to_yaml

    text = new_recipe(folder, sources, examples, budget, name, base)
    if print_config:
        click.echo(to_yaml(parse_recipe(text)), nl=False)
        return
    if dry_run:
        click.echo(text, nl=False)
        return
    click.echo(f"wrote {write_recipe(folder, text)}")
    move = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    click.echo(f"next: {move}modelwright run")


def new_recipe(
    folder: Path,
    sources: tuple[str, ...],
    examples: tuple[str, ...],
    budget: str,
    name: str | None = None,
    base: str | None = None,
) -> str:
    """The text of a checked recipe for a folder.

    Raises
    ------
    UsageError
        If there is a recipe already, or a setting is wrong.
    """
    path = folder / RECIPE
    if path.exists():
        raise UsageError("there is a recipe here already", where=path, fix="edit it, or delete it")
    if not sources:
        sources, examples = ("python-docs",), examples or ("python-docs",)
    text = TEMPLATE.format(
        name=_quoted(name or folder.resolve().name or "my-model"),
        budget=_quoted(budget),
        base="" if base is None else BASE.format(base=_quoted(_from(folder, base))),
        sources=_items([_from(folder, source) for source in sources]),
        examples=_items([_from(folder, source) for source in examples]),
    )
    parse_recipe(text)
    return text


def parse_recipe(text: str) -> Recipe:
    """The settings in a new recipe.

    Raises
    ------
    UsageError
        If one is wrong.
    """
    import yaml

    from modelwright.core.settings import parse_settings
    from modelwright.pipeline.recipe import Recipe

    return parse_settings(Recipe, yaml.safe_load(text), source="the new recipe")


def write_recipe(folder: Path, text: str) -> Path:
    """Make a folder a workspace with this recipe; returns the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / RECIPE, text)
    return folder / RECIPE


def _from(folder: Path, source: str) -> str:
    """A path as it reads from the workspace's folder: absolute, unless it lies inside."""
    if source == "python-docs":
        return source
    path, root = Path(source).resolve(), folder.resolve()
    if not path.exists():
        raise UsageError("no such file or folder", where=path, fix="check the path that was given")
    return str(path.relative_to(root) if path.is_relative_to(root) and path != root else path)


def _items(values: list[str]) -> str:
    return "".join(f"\n    - {_quoted(value)}" for value in values) if values else " []"


def _quoted(value: str) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
