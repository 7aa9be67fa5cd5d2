"""``modelwright export``: a stage, whose model may stand without a flag."""

from __future__ import annotations

from typing import Any

import click

from modelwright.cli import stage
from modelwright.core.errors import UsageError
from modelwright.pipeline.stages import STAGES

_STAGE = next(one for one in STAGES if one.name == "export")


def _run(model: str | None, **flags: Any) -> None:
    if model is not None:
        if flags["input_model"]:
            raise UsageError("the model is given twice", fix="leave out --model")
        flags["input_model"] = (model,)
    stage.run_alone(_STAGE, flags)


_ALONE = stage.command_for(_STAGE.name)

command = click.Command(
    _STAGE.name,
    params=[click.Argument(["model"], required=False), *_ALONE.params],
    callback=_run,
    help=_ALONE.help,
)
