"""Groups of commands that are imported when they are called."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import click

from modelwright.core.errors import UsageError


class Verbs(click.Group):
    """A group that knows its commands by name and imports one when it is called.

    Parameters
    ----------
    verbs : mapping
        Module and one line of help by verb; the module has ``command`` or ``command_for(verb)``.
    """

    def __init__(self, *arguments: Any, verbs: Mapping[str, tuple[str, str]], **more: Any):
        super().__init__(*arguments, **more)
        self._verbs = verbs

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self._verbs)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self._verbs:
            return None
        module = importlib.import_module(self._verbs[name][0])
        command: click.Command = (
            module.command_for(name) if hasattr(module, "command_for") else module.command
        )
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self._verbs and not args[0].startswith("-"):
            hint = suggestion(args[0], self._verbs)
            raise UsageError(
                f"no command '{args[0]}'{hint}", fix=f"see '{context.command_path} --help'"
            )
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        stages = [
            (verb, text) for verb, (_, text) in self._verbs.items() if text.startswith("Stage: ")
        ]
        others = [
            (verb, text) for verb, (_, text) in self._verbs.items() if (verb, text) not in stages
        ]
        with formatter.section("Commands"):
            formatter.write_dl(others)
        if not stages:
            return
        with formatter.section("Single stages (each takes and makes plain folders)"):
            formatter.write_dl([(verb, text.removeprefix("Stage: ")) for verb, text in stages])


def suggestion(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names as the end of a sentence, or nothing."""
    from modelwright.core.nearest import nearest  # loads difflib, which help does not need

    guess = nearest(name, known)
    return f"; did you mean '{guess}'?" if guess else ""
