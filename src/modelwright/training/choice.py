"""Values for settings that were left open, as the dial chose them for a stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError, UsageError
from modelwright.core.settings import Settings, SettingsT, parse_settings
from modelwright.training.settings import PretrainSettings

FILE = "dial.json"


def fill_from_dial(settings: SettingsT, stage: str, dial: Artifact | None) -> SettingsT:
    """Settings with open values (None) filled in by the dial's choice for that stage.

    Raises
    ------
    InputError
        If the dial's file is damaged.
    UsageError
        If it has rates for other first weights than those that are asked for.
    """
    if dial is None:
        return settings
    path = dial.file(FILE)
    try:
        choice: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["choice"]
        values = choice.get(stage, {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the dial's choice is damaged: {error!r}", where=path) from None
    _check_start(settings, values, path)
    return with_choice(settings, values, str(path))


def expected_tokens(dial: Artifact | None, settings: PretrainSettings) -> float | None:
    """How many tokens the dial expected of pretraining; None where not all is as it chose."""
    if dial is None:
        return None
    content = json.loads(dial.file(FILE).read_text(encoding="utf-8"))
    chosen = content["choice"].get("pretrain", {})
    if any(getattr(settings, name) != value for name, value in chosen.items()):
        return None
    tokens: float | None = content.get("expected", {}).get("tokens")
    return tokens


def _check_start(settings: Settings, values: Mapping[str, Any], path: Path) -> None:
    """Rates for one start are wrong for the other: those for bigrams are far lower."""
    if not isinstance(settings, PretrainSettings):
        return
    start, of_dial = settings.only_start, values.get("start")
    rates = ["learning_rate", *(["matrix_learning_rate"] * (settings.optimizer == "muon"))]
    is_open = any(getattr(settings, name) is None for name in rates)
    if start is not None and of_dial not in {None, start} and is_open:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in rates)
        raise UsageError(
            f"first weights are {start} here, and the dial chose its rates for {of_dial}",
            where=path,
            fix=f"run 'modelwright dial' with --start {start}, or give rates of your own: {flags}",
        )


def with_choice(settings: SettingsT, values: Mapping[str, Any], source: str) -> SettingsT:
    """Settings with open values (None) filled in; ``source`` says in errors where they are from."""
    given = settings.model_dump()
    filled = {name: value for name, value in values.items() if given.get(name) is None}
    return parse_settings(type(settings), {**given, **filled}, source=source)
