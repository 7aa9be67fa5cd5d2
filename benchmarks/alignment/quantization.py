"""NF4 and QLoRA on a CPU: ours against bitsandbytes and PEFT, in CPU-seconds.

python benchmarks/alignment/quantization.py [WIDTH LAYERS]

Prints medians of interleaved runs: dequantizing a million weights, and a training step (forward,
backward, AdamW) of the same Llama with LoRA on float32 and on NF4 with double quantization.
Needs the packages bitsandbytes, peft and transformers.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelwright.models.adapters.attach import add_adapter
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.quantization.base import quantize_base
from modelwright.models.quantization.nf4_linear import NF4Linear
from modelwright.models.transformer import CausalLM, initialise

REPEATS = 5
ROWS, LENGTH = 4, 256
CONFIG = AdapterConfig(rank=16, alpha=32)


def main() -> None:
    """Print the medians, and what they are of the one they are compared with."""
    import bitsandbytes
    import peft
    import transformers

    print(
        f"torch {torch.__version__} with {torch.get_num_threads()} threads, bitsandbytes", end=" "
    )
    print(f"{bitsandbytes.__version__}, peft {peft.__version__}, transformers", end=" ")
    print(transformers.__version__)
    report("dequantize 1,048,576 weights, to float32", dequantizers(torch.float32))
    report("dequantize 1,048,576 weights, to bfloat16", dequantizers(torch.bfloat16))
    width, layers = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (512, 6)
    for name in ("LoRA", "QLoRA"):
        what = f"a step of {name}, {width} wide, {layers} layers, {ROWS} × {LENGTH}"
        report(what, steps(width, layers, is_quantized=name == "QLoRA"))


def report(what: str, runs: dict[str, Callable[[], object]]) -> None:
    """Run each in turns and print the medians; the last is the reference."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(REPEATS):
        for name, run in runs.items():
            began = time.process_time()
            run()
            times[name].append(time.process_time() - began)
    medians = {name: statistics.median(one) for name, one in times.items()}
    reference = list(medians.values())[-1]
    print(f"{what}:")
    for name, seconds in medians.items():
        print(f"  {name:<16} {seconds * 1000:9.2f} ms   {reference / seconds:5.2f}×")


def dequantizers(dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """Of the same weight with double quantization."""
    from bitsandbytes import functional

    layer = nn.Linear(1024, 1024, bias=False)
    ours = NF4Linear.of(layer)
    packed, state = functional.quantize_4bit(
        layer.weight.detach(), quant_type="nf4", compress_statistics=True, blocksize=64
    )
    state.dtype = dtype
    return {
        "ours": lambda: ours.dequantize(dtype),
        "bitsandbytes": lambda: functional.dequantize_4bit(packed, state),
    }


def steps(width: int, layers: int, is_quantized: bool) -> dict[str, Callable[[], object]]:
    """Of the same model, ours and PEFT's."""
    heads = width // 64
    sizes = TransformerConfig(4096, width, 3 * width, layers, heads, heads)
    model = CausalLM(in_family("llama", sizes))
    initialise(model, 0)
    tokens = torch.randint(0, 4096, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as name:
        save_model(model, Path(name))
        makes = {"ours": ours(Path(name), is_quantized), "PEFT": theirs(Path(name), is_quantized)}
    return {name: stepper(make, tokens) for name, make in makes.items()}


def ours(folder: Path, is_quantized: bool) -> nn.Module:
    """Ready to be trained."""
    model = load_model(folder)
    if is_quantized:
        quantize_base(model, "nf4")
    add_adapter(model, CONFIG)
    return model.train()


def theirs(folder: Path, is_quantized: bool) -> nn.Module:
    """The same with PEFT."""
    import peft
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {}
    if is_quantized:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
        options["device_map"] = "cpu"
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=CONFIG.rank, lora_alpha=CONFIG.alpha, target_modules="all-linear"
    )
    model: nn.Module = peft.get_peft_model(base, config)
    return model.train()


def stepper(model: nn.Module, tokens: Tensor) -> Callable[[], object]:
    """A function that takes one step."""
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-4)

    def step() -> None:
        out = model(tokens)
        logits = getattr(out, "logits", out)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
