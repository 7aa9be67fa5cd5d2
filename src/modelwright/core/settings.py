"""Settings: pydantic models that refuse unknown keys and name the nearest right one."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from modelwright.core.errors import UsageError
from modelwright.core.nearest import nearest

Location = tuple[str | int, ...]
SettingsT = TypeVar("SettingsT", bound="Settings")
SettingT = TypeVar("SettingT")

EXECUTION = "execution"
"""Marks a field (``json_schema_extra={EXECUTION: True}``) that changes speed and never the result:
processes, memory, where it runs."""

FLAG = "flag"
"""Names another flag for a field (``json_schema_extra={FLAG: "on"}``)."""


class Settings(BaseModel):
    """Base of all settings: immutable, no unknown keys, no silent conversions of nonsense."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def decisive(self) -> dict[str, Any]:
        """The settings on which the result depends: all but those that say how it is worked out."""
        execution = {
            name
            for name, field in type(self).model_fields.items()
            if isinstance(field.json_schema_extra, dict) and EXECUTION in field.json_schema_extra
        }
        return self.model_dump(exclude=execution)


def is_set(settings: Settings, name: str) -> bool:
    """Whether a setting has another value than its default."""
    default = type(settings).model_fields[name].get_default(call_default_factory=True)
    return bool(getattr(settings, name) != default)


def parse_settings(
    model: type[SettingsT],
    data: Any,
    *,
    source: str,
    lines: Mapping[Location, int] | None = None,
) -> SettingsT:
    """Check ``data`` against ``model``.

    Parameters
    ----------
    model : type of Settings
        What the data must look like.
    data : mapping
        The parsed recipe or flags.
    source : str
        Named in errors: a file, or "the command line".
    lines : mapping of location to line number, optional
        From :func:`load_yaml`, so that errors can name the line.

    Raises
    ------
    UsageError
        With one line for each thing that is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_describe(model, dict(item), lines or {}) for item in error.errors()]
        raise UsageError("\n".join(problems), where=source, fix="correct the setting") from None


def load_yaml(path: Path) -> tuple[Any, dict[Location, int]]:
    """Read a YAML file; also return the line of every key and item, for errors.

    Raises
    ------
    UsageError
        If the file is missing, is not UTF-8 or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8: {error}", where=path, fix="save it as UTF-8") from None
    except RecursionError:
        raise UsageError("the YAML is nested too deeply", where=path) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "not YAML"
        raise UsageError(f"cannot read the YAML: {problem}", where=where) from None
    except ValueError as error:  # a date or number that is none
        raise UsageError(f"cannot read the YAML: {error}", where=path) from None
    lines: dict[Location, int] = {}
    if node is not None:
        _collect_lines(node, (), lines, path, ())
    return ({} if data is None else data), lines


def _collect_lines(
    node: yaml.Node,
    location: Location,
    lines: dict[Location, int],
    path: Path,
    around: tuple[yaml.Node, ...],
) -> None:
    """Fill ``lines`` for a node and all in it; ``around`` are the nodes that it stands in."""
    if any(outer is node for outer in around):
        raise UsageError(
            f"line {node.start_mark.line + 1}: '{_name(location)}' stands in itself",
            where=path,
            fix="write the value out instead of an alias",
        )
    inside = (*around, node)
    lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            child = (*location, key.value)
            line = key.start_mark.line + 1
            if child in lines:  # YAML would silently forget the first
                raise UsageError(
                    f"line {line}: '{_name(child)}' stands in line {lines[child]} already",
                    where=path,
                    fix="put the two together",
                )
            lines[child] = line
            _collect_lines(value, child, lines, path, inside)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect_lines(value, (*location, index), lines, path, inside)


def _describe(
    model: type[BaseModel], item: Mapping[str, Any], lines: Mapping[Location, int]
) -> str:
    is_unknown = item["type"] == "extra_forbidden"
    location, known = _resolve(model, tuple(item["loc"]), is_unknown)
    line = _nearest_line(location, lines)
    prefix = f"line {line}: " if line else ""
    name = f"'{_name(location)}'" if location else "the settings"
    if is_unknown:
        guess = nearest(str(location[-1]), known)
        hint = f"; did you mean '{guess}'?" if guess else f"; known: {', '.join(sorted(known))}"
        return f"{prefix}unknown setting {name}{hint}"
    if item["type"] == "missing":
        return f"{prefix}{name} is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{prefix}{name}: {message} (got {item.get('input')!r}){_hint_at_choice(item)}"


def _resolve(
    model: type[BaseModel], location: Location, is_unknown: bool
) -> tuple[Location, set[str]]:
    """The location without the tags that pydantic adds for unions, and the fields at its end.

    ``is_unknown`` says that the last part is the name of no field.
    """
    models, kept, parts = [model], list[str | int](), location
    if is_unknown:
        parts = location[:-1]
    for part in parts:
        annotations = [
            candidate.model_fields[str(part)].annotation
            for candidate in models
            if part in candidate.model_fields
        ]
        if annotations or isinstance(part, int):
            kept.append(part)
        models = [found for one in annotations for found in _models_in(one)] or models
    known = {field for candidate in models for field in candidate.model_fields}
    return (*kept, *location[len(parts) :]), known


def _nearest_line(location: Location, lines: Mapping[Location, int]) -> int | None:
    """The line of a setting, or of what it should stand in."""
    prefixes = (location[:length] for length in range(len(location), 0, -1))
    return next((lines[prefix] for prefix in prefixes if prefix in lines), None)


def _hint_at_choice(item: Mapping[str, Any]) -> str:
    """The nearest of the values that a setting can have, where these are a few words."""
    context = item.get("ctx", {})
    choices = re.findall("'([^']*)'", str(context.get("expected_tags", context.get("expected"))))
    guess = nearest(str(context.get("tag", item.get("input"))), choices)
    return f"; did you mean '{guess}'?" if guess else ""


def _name(location: Location) -> str:
    return ".".join(str(part) for part in location)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in _models_in(part)]


def require_set(settings: Settings, names: Iterable[str]) -> None:
    """See that the automatic settings a stage needs are there: given, or filled in by the dial.

    Raises
    ------
    UsageError
        Naming all that are still open, as when a stage runs alone without a dial.
    """
    if unset := [name for name in names if getattr(settings, name) is None]:
        raise _not_set(unset)


def chosen(settings: Settings, name: str, value: SettingT | None) -> SettingT:
    """The value of an automatic setting.

    Raises
    ------
    UsageError
        If it is still open.
    """
    if value is None:
        raise _not_set([name])
    return value


def _not_set(names: list[str]) -> UsageError:
    flags = ", ".join(f"--{name.replace('_', '-')}" for name in names)
    what = "it" if len(names) == 1 else "them"
    return UsageError(f"not set: {flags}", fix=f"give {what}, or --dial with the dial's folder")
