"""Settings of the export stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from modelwright.core.settings import FLAG, Settings

Target = Literal["gguf", "ollama", "safetensors", "vllm", "onnx"]

GGUF_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""What the ``gguf`` package can make. It reads K-quants and makes none."""

TYPES: dict[Target, tuple[str, ...]] = {
    "gguf": GGUF_TYPES,
    "ollama": GGUF_TYPES,
    "safetensors": ("f32", "f16", "bf16"),
    "vllm": ("f32", "f16", "bf16"),
    "onnx": ("f32",),
}
"""The number formats of weights that each target can have."""

DEFAULT_TYPE: dict[Target, str] = {
    "gguf": "f16",
    "ollama": "f16",
    "safetensors": "f32",
    "vllm": "f32",
    "onnx": "f32",
}


class ExportSettings(Settings):
    """What to export a model to."""

    to: Target = Field(description="what the export is for")
    types: list[str] = Field(
        [],
        description="number format of the weights: f32, f16, bf16; for gguf and ollama also q8_0, "
        "q5_1, q5_0, q4_1, q4_0; gguf may have several, a file each; by default f16 for gguf and "
        "ollama, f32 for the others",
        json_schema_extra={FLAG: "type"},
    )
    reader_python: str | None = Field(
        None,
        description="the Python with llama-cpp-python, transformers or onnxruntime that reads the "
        "export back; by default the one that runs this command",
    )

    @model_validator(mode="after")
    def _target_has_the_types(self) -> ExportSettings:
        for one in self.types:
            if one not in TYPES[self.to]:
                known = ", ".join(TYPES[self.to])
                hint = "; llama.cpp's llama-quantize makes them of an f32 file" * ("_k" in one)
                raise ValueError(f"{self.to} cannot be written as {one!r}, only as {known}{hint}")
        if len(set(self.types)) != len(self.types):
            raise ValueError("a type is named twice")
        if len(self.types) > 1 and self.to != "gguf":
            raise ValueError(f"{self.to} holds the weights once; name one type")
        return self

    @property
    def chosen_types(self) -> list[str]:
        """The types to write, the default filled in."""
        return self.types or [DEFAULT_TYPE[self.to]]
