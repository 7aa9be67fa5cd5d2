"""``modelwright data examples``: what a model would learn from examples, before it does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from modelwright.core.examples import Row, TrainOn
    from modelwright.data.drops import Drops
    from modelwright.data.sources.settings import JsonlExamples
    from modelwright.tokens.preflight import Preflight, Shown
    from modelwright.tokens.tokenizer import Tokenizer

SHARES = (0.0, 0.5, 0.9, 0.99, 1.0)
PLACES_SHOWN = 3
LEARNT = "bold green"


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--tokenizer", required=True, metavar="FOLDER", help="A tokenizer, or a model with its own."
)
@click.option(
    "--context", type=click.IntRange(2), help="Most tokens of an example; by default the model's."
)
@click.option(
    "--show", type=click.IntRange(0), default=10, show_default=True, help="Examples to print."
)
@click.option(
    "--train-on",
    type=click.Choice(["all_turns", "last_turn"]),
    default="all_turns",
    show_default=True,
    help="What is learnt of a conversation.",
)
@click.option(
    "--fields", multiple=True, metavar="NAME=FIELD", help="Where rows have another name for it."
)
@click.option("--chat", is_flag=True, help="Texts are what user and assistant say.")
def command(
    path: Path,
    tokenizer: str,
    context: int | None,
    show: int,
    train_on: TrainOn,
    fields: tuple[str, ...],
    chat: bool,
) -> None:
    """Show the examples in PATH as a model sees them, and what is wrong with them.

    PATH is a file, a folder of files, or what 'modelwright examples' made. What is learnt is green
    (in a pipe, between [[ and ]]). Ends with 1 if fine-tuning would refuse a row.
    """
    from modelwright.core.settings import parse_settings
    from modelwright.data.drops import Drops
    from modelwright.data.sources.settings import JsonlExamples
    from modelwright.tokens.preflight import inspect
    from modelwright.tokens.template_checks import check_template
    from modelwright.tokens.tokenizer import Tokenizer

    given = {"path": str(path), "fields": list(fields), "chat": chat}
    source = parse_settings(JsonlExamples, given, source="the command line")
    folder = Path(tokenizer)
    loaded = Tokenizer.load(folder)
    drops = Drops(lambda text: None)
    length = context or _context_of(folder)
    found = inspect(_rows(source, drops), loaded, length, train_on, show)
    for shown in found.shown:
        _print_example(shown, loaded)
    findings = check_template(loaded) if _uses_template(found) else []
    _print_counts(found, length)
    is_bad = _print_problems(found, drops)
    for finding in findings:
        if finding.is_fatal or train_on == "all_turns":
            click.secho(f"template: {finding.problem}\n  to do: {finding.fix}", fg="yellow")
    if is_bad or any(finding.is_fatal for finding in findings):
        sys.exit(1)


def _rows(source: JsonlExamples, drops: Drops) -> Iterator[tuple[str, Row]]:
    """The rows at a path; those that cannot be used are counted."""
    from modelwright.core.examples import HELD_OUT, TRAIN
    from modelwright.data.example_files import raw_rows
    from modelwright.data.example_rows import read_row, read_rows
    from modelwright.data.shapes.fields import BadRowError

    folder = Path(source.path)
    if not (folder / TRAIN).is_file():
        yield from read_rows(source, "drop", drops, set())
        return
    for path in (folder / TRAIN, folder / HELD_OUT):  # an artifact, whose rows may be of any form
        for raw in raw_rows(path):
            try:
                yield raw.where, read_row(raw, source, set())
            except BadRowError as error:
                drops.add(error.reason, raw.where)


def _context_of(folder: Path) -> int | None:
    """The context of the model in a folder; None if there is only a tokenizer."""
    from modelwright.models.pretrained import load_config
    from modelwright.tokens.files import MODEL_CONFIG

    is_model = (folder / MODEL_CONFIG).is_file()
    return load_config(folder).max_position_embeddings if is_model else None


def _uses_template(found: Preflight) -> bool:
    """Whether a row with messages was encoded."""
    return found.forms.total() > found.forms["completion"]


def _print_example(shown: Shown, tokenizer: Tokenizer) -> None:
    from rich.console import Console
    from rich.text import Text

    from modelwright.tokens.preflight import pieces

    console = Console(highlight=False, soft_wrap=True)
    names = ("chosen", "rejected") if shown.form == "preference" else (shown.form,)
    for name, answer in zip(names, shown.answers, strict=True):
        console.print(Text(f"{shown.where}: {name}, {len(answer.ids)} tokens", style="dim"))
        text = Text()
        for piece, is_learnt in pieces(answer, tokenizer):
            safe = _printable(piece)
            if is_learnt and not console.is_terminal:
                safe = f"[[{safe}]]"
            text.append(safe, style=LEARNT if is_learnt else "")
        console.print(text, end="\n\n")


def _printable(text: str) -> str:
    """A text whose control characters cannot do anything to a terminal."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1]
        for character in text
    )


def _print_counts(found: Preflight, context: int | None) -> None:
    total = sum(found.lengths)
    rows = ", ".join(f"{count:,} {form}" for form, count in sorted(found.forms.items()))
    click.echo(f"rows: {rows or 'none'}")
    shares = ", ".join(
        f"{share:.0%} {length:,}"
        for share, length in zip(SHARES, found.quantiles(SHARES), strict=False)
    )
    click.echo(f"tokens: {total:,}, learnt {found.trained / max(1, total):.0%}; quantiles {shares}")
    if context is not None:
        click.echo(f"longer than the context of {context:,} tokens: {found.too_long:,}")


def _print_problems(found: Preflight, drops: Drops) -> bool:
    """Print what is wrong, with the first places; whether anything is."""
    problems = {reason: list(places) for reason, places in found.problems.items()}
    for reason, place in drops.places:
        problems.setdefault(reason, []).append(place)
    for reason, places in sorted(problems.items()):
        click.secho(f"{max(len(places), drops.counts.get(reason, 0)):,} x {reason}", fg="red")
        for place in places[:PLACES_SHOWN]:
            click.echo(f"  {place}")
    return bool(problems)
