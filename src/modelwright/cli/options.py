"""Command-line options made from settings models: one source for file, flags and help."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import click
from pydantic.fields import FieldInfo

from modelwright.core.settings import FLAG, Settings

PRINT_CONFIG = click.Option(
    ["--print-config"], is_flag=True, help="Print the settings in full and stop."
)
DRY_RUN = click.Option(["--dry-run"], is_flag=True, help="Say what would be done and stop.")


def options_of(model: type[Settings], prefix: str = "", hidden: bool = False) -> list[click.Option]:
    """An option for every plain field of a settings model.

    Parameters
    ----------
    model : type of Settings
        Its fields become ``--field-name``.
    prefix : str
        Put before the name, as in ``--pretrain.layers``.
    hidden : bool
        Leave them out of the help.
    """
    return [_option(name, field, prefix, hidden) for name, field in _plain_fields(model)]


def given_values(model: type[Settings], flags: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values that were given on the command line, by field name."""
    values = {}
    for name, _ in _plain_fields(model):
        value = flags.get(_parameter(name, prefix))
        if value is not None and value != ():
            values[name] = list(value) if isinstance(value, tuple) else value
    return values


def _plain_fields(model: type[Settings]) -> Iterator[tuple[str, FieldInfo]]:
    """Fields that fit a flag: no nested settings, but lists of sources."""
    for name, field in model.model_fields.items():
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, Settings)):
            yield name, field


def _parameter(name: str, prefix: str) -> str:
    return f"{prefix}{name}".replace(".", "__").replace("-", "_")


def _option(name: str, field: FieldInfo, prefix: str, hidden: bool) -> click.Option:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    flag = f"--{prefix}{extra.get(FLAG, name.replace('_', '-'))}"
    help_text = field.description or ""
    default = field.get_default(call_default_factory=True)
    if not field.is_required() and default not in (None, [], {}):
        help_text += f"  [default: {default}]"
    parts = _parts(field.annotation)
    if bool in parts:
        off = f"--{prefix}no-{name.replace('_', '-')}"
        return click.Option(
            [f"{flag}/{off}", _parameter(name, prefix)], default=None, help=help_text, hidden=hidden
        )
    literals = [part for part in parts if typing.get_origin(part) is typing.Literal]
    choices = [value for part in literals for value in typing.get_args(part)]
    return click.Option(
        [flag, _parameter(name, prefix)],
        type=click.Choice(choices) if literals else str,
        multiple=any(typing.get_origin(part) in (list, dict) for part in parts),
        default=None,
        metavar=None if literals else _metavar(parts),
        help=help_text,
        hidden=hidden,
    )


def _parts(annotation: Any) -> list[Any]:
    """The members of a union, None left out; anything else alone."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _parts(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = typing.get_args(annotation)
        return [part for member in members if member is not type(None) for part in _parts(member)]
    return [annotation]


def _metavar(parts: list[Any]) -> str:
    names = {int: "NUMBER", float: "NUMBER", str: "TEXT"}
    return next((names[part] for part in parts if part in names), "TEXT")
