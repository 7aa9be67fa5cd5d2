"""PEFT's ``adapter_config.json``: what it says in our terms, and the way back.

A setting that changes what a model computes is applied or refused, never passed over: of keys that
are not known here only values that mean "off" are let through.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright.core.errors import InputError
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.module_tree import is_called

ABOUT_TRAINING = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "inference_mode",
        "loftq_config", "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size",
        "revision", "runtime_config", "task_type",
    }
)  # fmt: skip
"""Keys that say nothing of what the finished adapter computes."""

STARTS = (True, False, None, "gaussian", "orthogonal", "eva", "mica")
"""Values of ``init_lora_weights`` that leave the base as it was."""


@dataclass(frozen=True)
class PeftConfig:
    """What ``adapter_config.json`` says.

    Attributes
    ----------
    adapter : AdapterConfig
        All but the layers.
    targets : str or tuple of str
        A regular expression for whole names, ``all-linear``, or ends of names.
    """

    adapter: AdapterConfig
    targets: str | tuple[str, ...]

    def is_target(self, layer: str) -> bool:
        """Whether PEFT would adapt the linear layer of that name."""
        if isinstance(self.targets, tuple):
            return any(is_called(layer, target) for target in self.targets)
        return self.targets == "all-linear" or re.fullmatch(self.targets, layer) is not None


def read_peft_config(path: Path) -> PeftConfig:
    """Read the file.

    Raises
    ------
    InputError
        If it is missing or damaged, or asks for what is not known here.
    """
    if not path.is_file():
        raise InputError(
            "no adapter here: adapter_config.json is missing", where=path, fix="check the path"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"adapter_config.json is damaged: {error}", where=path) from None
    if not isinstance(values, dict):
        raise InputError("adapter_config.json holds no JSON object", where=path)
    read = _Reader(values, path)
    kind = read.take("peft_type", None)
    if kind != "LORA":
        raise read.refused("peft_type", kind, "only LORA is known")
    start = read.take("init_lora_weights", True)
    if start not in (*STARTS, "pissa"):
        raise read.refused(
            "init_lora_weights",
            start,
            "its tensors are relative to a base that this changed in a way that cannot be repeated",
            fix="save it with PEFT's path_initial_model_for_weight_conversion, which makes it a "
            "plain LoRA",
        )
    adapter = AdapterConfig(
        rank=read.integer("r", 8),
        alpha=read.number("lora_alpha", 8),
        rs_lora=read.switch("use_rslora"),
        dora=read.switch("use_dora"),
        initialisation="pissa" if start == "pissa" else "default",
        dropout=read.number("lora_dropout", 0.0),
        modules_to_save=read.names("modules_to_save"),
        keep_tied=read.switch("ensure_weight_tying"),
        rank_pattern=read.pattern("rank_pattern", whole=True),
        alpha_pattern=read.pattern("alpha_pattern", whole=False),
    )
    targets = read.targets()
    read.expect_nothing_else()
    return PeftConfig(adapter, targets)


def peft_values(
    config: AdapterConfig,
    *,
    targets: list[str],
    modules_to_save: list[str],
    is_tied: bool,
    task: str | None,
    base: str | None,
) -> dict[str, Any]:
    """The content of the file, always the same for the same adapter.

    PiSSA is written as the plain LoRA of twice the rank that it is on the unchanged base.

    Parameters
    ----------
    config : AdapterConfig
        Of the adapter.
    targets, modules_to_save : list of str
        Names as PEFT is to match them.
    is_tied : bool
        Whether copies of embedding and head are one tensor.
    task : str, optional
        PEFT's ``task_type``.
    base : str, optional
        Name or path of the base model.
    """
    is_doubled = config.initialisation == "pissa"
    ranks = 2 if is_doubled else 1
    alphas = ranks**0.5 if config.rs_lora else ranks  # so that alpha / rank or / √rank stay
    return {
        "alpha_pattern": {key: _plain(one * alphas) for key, one in config.alpha_pattern.items()},
        "base_model_name_or_path": base,
        "bias": "none",
        "ensure_weight_tying": is_tied,
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": _plain(config.alpha * alphas),
        "lora_dropout": config.dropout,
        "modules_to_save": sorted(modules_to_save) or None,
        "peft_type": "LORA",
        "r": config.rank * ranks,
        "rank_pattern": {key: one * ranks for key, one in config.rank_pattern.items()},
        "target_modules": sorted(targets),
        "task_type": task,
        "use_dora": config.dora,
        "use_rslora": config.rs_lora,
    }


class _Reader:
    """Takes values out one by one, so that in the end it is known what was not looked at."""

    def __init__(self, values: dict[str, Any], path: Path):
        self.left, self.path = dict(values), path

    def take(self, key: str, otherwise: Any) -> Any:
        return self.left.pop(key, otherwise)

    def integer(self, key: str, otherwise: int) -> int:
        value = self.take(key, otherwise)
        if type(value) is not int:
            raise self.refused(key, value, "a whole number is expected")
        return value

    def number(self, key: str, otherwise: float) -> float:
        value = self.take(key, otherwise)
        if type(value) not in (int, float) or not abs(value) < float("inf"):
            raise self.refused(key, value, "a number is expected")
        return float(value)

    def switch(self, key: str) -> bool:
        value = self.take(key, False)
        if type(value) is not bool:
            raise self.refused(key, value, "true or false is expected")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        value = self.take(key, None) or []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.refused(key, value, "a list of names is expected")
        return tuple(value)

    def pattern(self, key: str, whole: bool) -> dict[str, Any]:
        value = self.take(key, None) or {}
        types = (int,) if whole else (int, float)
        if not isinstance(value, dict) or not all(type(one) in types for one in value.values()):
            raise self.refused(key, value, "numbers by the names of layers are expected")
        return value

    def targets(self) -> str | tuple[str, ...]:
        value = self.left.get("target_modules")
        if not isinstance(value, str):
            return self.names("target_modules")
        try:
            re.compile(value)
        except re.error as error:
            raise self.refused("target_modules", value, f"no regular expression: {error}") from None
        return str(self.take("target_modules", None))

    def expect_nothing_else(self) -> None:
        expected = {"bias": "none", "layers_pattern": None}
        for key, value in self.left.items():
            is_off = value is None or value is False or value in ([], {})
            if key not in ABOUT_TRAINING and not is_off and value != expected.get(key):
                raise self.refused(key, value, "this is not known here")

    def refused(self, key: str, value: Any, why: str, fix: str | None = None) -> InputError:
        shown = json.dumps(value, ensure_ascii=False)
        return InputError(
            f"'{key}' of the adapter is {shown[:80]}: {why}",
            where=self.path,
            fix=fix or "use the adapter with PEFT, or merge it there",
        )


def _plain(number: float) -> float | int:
    """Whole numbers as such: some engines read no others."""
    return int(number) if number == int(number) else number
