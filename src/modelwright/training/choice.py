"""Values for settings that were left open, as the dial chose them for a stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.core.settings import SettingsT, parse_settings

FILE = "dial.json"


def fill_from_dial(settings: SettingsT, stage: str, dial: Artifact | None) -> SettingsT:
    """Settings with open values (None) filled in by the dial's choice for that stage.

    Raises
    ------
    InputError
        If the dial's file is damaged.
    """
    if dial is None:
        return settings
    path = dial.file(FILE)
    try:
        choice: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["choice"]
        values = choice.get(stage, {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the dial's choice is damaged: {error!r}", where=path) from None
    return with_choice(settings, values, str(path))


def with_choice(settings: SettingsT, values: Mapping[str, Any], source: str) -> SettingsT:
    """Settings with open values (None) filled in; ``source`` says in errors where they are from."""
    given = settings.model_dump()
    filled = {name: value for name, value in values.items() if given.get(name) is None}
    return parse_settings(type(settings), {**given, **filled}, source=source)
