"""``modelwright finetune`` with nothing but a model and examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelwright.core.workspace import Workspace
from modelwright.models.pretrained import load_config
from modelwright.training.adaptation import ADAPTER_FACTOR
from modelwright.training.base_choice import finetune_choice

Command = Callable[..., Any]


@pytest.mark.parametrize("flags", [(), ("--adapter", "lora")])
def test_what_is_not_given_follows_from_the_model(
    flags: tuple[str, ...], command: Command, finished: Workspace, tmp_path: Path
) -> None:
    base, examples = finished.artifact("pretrain").path, finished.artifact("examples").path
    result = command(
        "finetune", "--base", str(base), "--examples", str(examples), "--batch-rows", "4",
        "--device", "cpu", "--out", str(tmp_path / "chat"), *flags,
    )  # fmt: skip
    assert result.exit_code == 0, result.errors
    made = json.loads((tmp_path / "chat" / "manifest.json").read_text(encoding="utf-8"))
    used, factor = made["settings"], ADAPTER_FACTOR if flags else 1.0
    assert (used["budget"], used["batch_rows"]) == ("3 epochs", 4)
    assert made["metrics"]["epochs"] == 3.0
    choice = finetune_choice(load_config(base))
    for name in ("learning_rate", "matrix_learning_rate"):
        assert used[name] == pytest.approx(factor * choice[name])
