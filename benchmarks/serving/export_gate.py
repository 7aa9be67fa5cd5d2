"""Every target and type of `modelwright export`, read back by the engines they are for.

python benchmarks/serving/export_gate.py [--reader-python PYTHON] [--type TYPE ...] [MODEL ...]

Makes models of about 13M parameters with random weights in the three families, their tokenizers
trained on public text with the three regular expressions on offer; exports each and prints what the
gate found. A family with its usual expression is exported in every type and to safetensors and
ONNX, with the other two expressions as f16 only. Where folders of models are given, these are
exported instead. Exit code 1 if an export does not pass. `--reader-python` names the Python that
has llama-cpp-python.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path

import torch

from modelwright.cli.main import modelwright
from modelwright.core.errors import ModelwrightError
from modelwright.export.settings import GGUF_TYPES
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.pretrained import save_model
from modelwright.models.transformer import CausalLM, initialise
from modelwright.tokens.train import train_tokenizer

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SPLITTERS = {"qwen3": "qwen2", "llama": "llama-bpe", "gpt2": "gpt-2"}
VOCABULARY = 4096
SIZES = {"qwen3": (1024, 7, 2), "llama": (1024, 7, 2), "gpt2": (1536, 6, 6)}
"""Width inside the feed-forward layer, layers, key/value heads."""

HEAD = [
    "model",
    "splits as",
    "target",
    "type",
    "bytes",
    "texts",
    "chats",
    "difference",
    "KL",
    "same",
]


def main() -> int:
    """Export, print; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reader-python")
    parser.add_argument("--type", action="append")
    parser.add_argument("models", nargs="*", type=Path)
    given = parser.parse_args()
    types = given.type or list(GGUF_TYPES)
    torch.set_num_threads(1)
    print("|", " | ".join([*HEAD, "read by"]), "|")
    print("|", " | ".join("---" for _ in [*HEAD, "read by"]), "|", flush=True)
    failures = 0
    for model in given.models:
        failures += all_targets(model, model.name, "", types, given.reader_python)
    with tempfile.TemporaryDirectory() as temporary:
        pairs = [(family, one) for family in SPLITTERS for one in SPLITTERS.values()]
        for family, splitter in [] if given.models else pairs:
            model = write_model(Path(temporary) / f"{family}-{splitter}", family, splitter)
            if splitter == SPLITTERS[family]:
                failures += all_targets(model, family, splitter, types, given.reader_python)
            else:
                failures += exported(model, family, splitter, "gguf", ["f16"], given.reader_python)
    return int(failures > 0)


def all_targets(model: Path, name: str, splitter: str, types: list[str], python: str | None) -> int:
    """GGUF in every type, safetensors, ONNX; the number of exports that failed."""
    return (
        exported(model, name, splitter, "gguf", types, python)
        + exported(model, name, splitter, "safetensors", ["f32"], None)
        + exported(model, name, splitter, "onnx", ["f32"], None)
    )


def exported(
    model: Path, name: str, splitter: str, target: str, types: list[str], python: str | None
) -> int:
    """Export and print the rows of the table; 1 if the export failed."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out"
        words = ["export", str(model), "--to", target, "--out", str(out)]
        words += [word for type in types for word in ("--type", type)]
        words += ["--reader-python", python] if python else []
        try:
            with redirect_stdout(sys.stderr):
                modelwright.main(words, "modelwright", standalone_mode=False)
        except ModelwrightError as error:
            print(f"{name} {splitter} {target}: {error}", file=sys.stderr)
            return 1
        for row in json.loads((out / "export.json").read_text())["gate"]:
            cells = [
                name, splitter, target, row["type"], f"{row['bytes']:,}",
                f"{row['wrong_texts']} of {row['texts']:,}",
                f"{row['wrong_chats']} of {row['chats']}",
                f"{row['largest_difference']:.1e} of {row['largest_logit']:.1f}",
                f"{row['mean_divergence']:.1e}", f"{row['same_best_token']:.1%}", row["reader"],
            ]  # fmt: skip
            print("|", " | ".join(cells), "|", flush=True)
    return 0


def write_model(folder: Path, family: str, splitter: str) -> Path:
    """A folder as training leaves it, with random weights that all matter."""
    folder.mkdir()
    tokenizer = train_tokenizer(texts(), VOCABULARY, folder, splitter)
    inner, layers, kv_heads = SIZES[family]
    sizes = TransformerConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_key_value_heads=kv_heads,
        head_dim=64,
        max_position_embeddings=256,
        eos_token_id=tokenizer.message_end,
        pad_token_id=tokenizer.end_of_text,
    )
    model = CausalLM(in_family(family, sizes))
    initialise(model, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            std = 0.1 if parameter.dim() == 1 else 0.7 * parameter.shape[-1] ** -0.5
            parameter += std * torch.randn(parameter.shape, generator=generator)
    save_model(model.eval(), folder)
    return folder


def texts() -> Iterator[str]:
    """Novels, documents about Python, and one declaration in many languages."""
    for name, rows in (("english_novels", 60), ("python_peps", 30), ("udhr", 6000)):
        for path in sorted((DATA / name).glob("*.jsonl.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for line in islice(file, rows):
                    yield json.loads(line)["text"]


if __name__ == "__main__":
    sys.exit(main())
