"""Settings of the compress stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from modelwright.core.settings import EXECUTION, Settings, is_set

Method = Literal["int8", "int4", "nf4", "magnitude", "2:4"]
Calibration = Literal["none", "gptq", "awq", "wanda"]

_FITTING: dict[Calibration, tuple[Method, ...]] = {
    "gptq": ("int8", "int4"),
    "awq": ("int8", "int4"),
    "wanda": ("2:4",),
}
"""The methods that a calibration is of use for."""

_ONLY_FOR: dict[str, tuple[Method, ...]] = {
    "group_size": ("int4",),
    "sparsity": ("magnitude",),
    "recovery_steps": ("magnitude", "2:4"),
}
"""The methods that a setting is of use for."""

_ONLY_WITH = {
    "calibration_windows": "calibration",
    "recovery_rows": "recovery_steps",
    "recovery_rate": "recovery_steps",
}
"""The setting without which another one is of no use."""


class CompressSettings(Settings):
    """How to make a model smaller."""

    method: Method = Field(
        description="integers of 8 or 4 bits, QLoRA's 4-bit levels, or zeros: the smallest weights "
        "of each matrix (magnitude), or two of every four"
    )
    calibration: Calibration = Field(
        "none",
        description="look at real inputs: gptq feeds rounding errors back, awq scales what "
        "matters up before rounding, wanda weighs weights by their inputs (2:4)",
    )
    group_size: int | None = Field(
        None,
        ge=16,
        multiple_of=16,
        description="weights that share a scale in int4; by default the most of 128, 64 and 32 "
        "that divide all widths",
    )
    sparsity: float = Field(
        0.5, gt=0, lt=1, description="share of the weights of each matrix that become zero"
    )
    calibration_windows: int = Field(
        128, ge=1, description="windows of training text to calibrate on"
    )
    window_tokens: int = Field(
        512, ge=16, description="most tokens in a window of calibration or recovery"
    )
    recovery_steps: int = Field(
        0, ge=0, description="steps of training after pruning, with the zeros kept"
    )
    recovery_rows: int = Field(8, ge=1, description="windows in a step of recovery")
    recovery_rate: float = Field(1e-3, gt=0, description="peak rate of AdamW in recovery")
    max_text_bytes: int = Field(
        65_536, gt=0, description="bytes of held-out text to measure on; more text is sampled"
    )
    speed_tokens: int = Field(
        64,
        ge=0,
        description="new tokens of each sequence when the speed is measured; 0 measures none",
        json_schema_extra={EXECUTION: True},
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to compute")
    seed: int = Field(
        0, ge=0, lt=1 << 63, description="decides which texts are sampled, and their order"
    )

    @model_validator(mode="after")
    def _all_is_of_use(self) -> CompressSettings:
        fitting = _FITTING.get(self.calibration)
        if fitting is not None and self.method not in fitting:
            raise ValueError(
                f"calibration {self.calibration} is for {' and '.join(fitting)}, not {self.method}"
            )
        for name, methods in _ONLY_FOR.items():
            if is_set(self, name) and self.method not in methods:
                raise ValueError(f"{name} is of no use with {self.method}")
        for name, needed in _ONLY_WITH.items():
            if is_set(self, name) and not is_set(self, needed):
                raise ValueError(f"{name} is of no use without {needed}")
        return self
