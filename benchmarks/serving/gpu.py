"""Decoding on a GPU, beside what its memory allows and beside transformers on the same card.

python benchmarks/serving/gpu.py [--device cuda] [--tiny] [--out FILE] [--parts copy single many]

Random weights in Qwen3's shape, bfloat16 (float32 on a CPU). Three parts:

copy    what a large copy on the device moves, bytes read and written together;
single  one text of a 1B model, 128 tokens in and 256 out, greedy: plain steps, CUDA graphs, graphs
        with the next step told ahead, and transformers' generate with a static cache. GB/s counts
        each weight of a matrix product once a token;
many    256 texts of a 0.5B model, 100 to 1,024 tokens in and out (two draws of one seed), greedy:
        the same ways, and transformers' generate_batch.

``--tiny`` has models of a few million parameters, 8 texts and short answers: to see that all of it
runs. Times are the median of ``--repeats`` runs after one that is not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import save_model
from modelwright.models.transformer import CausalLM
from modelwright.tokens.train import train_tokenizer

SHAPES = {
    "1b": (2048, 6144, 24, 16, 8, 128, 65_536),
    "0.5b": (1024, 3072, 28, 16, 8, 128, 65_536),
    "tiny": (64, 128, 2, 4, 2, 16, 512),
}
"""Width, inner width, layers, heads, key/value heads, width of a head, vocabulary."""

WAYS = {
    "plain steps": {"static_steps": False, "runs_ahead": False},
    "fixed shapes": {"static_steps": True, "runs_ahead": False},
    "fixed shapes, told ahead": {"static_steps": True, "runs_ahead": True},
}
"""Fixed shapes are CUDA graphs on a GPU."""

CONTEXT = 4096
KNOWN = 300
"""Prompts are of ids below this, which the tokenizer has."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip  # noqa: E501
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--parts", nargs="+", default=["copy", "single", "many"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("this machine has no CUDA; --device cpu --tiny shows that the script runs")
    bench = Bench(torch.device(given.device), given.tiny, given.repeats)
    found: dict[str, Any] = {"card": bench.card, "torch": torch.__version__, "tiny": given.tiny}
    print(f"{bench.card}, torch {torch.__version__}")
    found["copy GB/s"] = bench.copy_rate()
    print(f"copy: {found['copy GB/s']:.0f} GB/s")
    with tempfile.TemporaryDirectory() as scratch:
        for part in ("single", "many"):
            if part in given.parts:
                found[part] = getattr(bench, part)(Path(scratch), found["copy GB/s"])
                given.out.write_text(json.dumps(found, indent=1))
    given.out.write_text(json.dumps(found, indent=1))
    print(f"written to {given.out}")


class Bench:
    """What is measured on one device."""

    def __init__(self, device: torch.device, is_tiny: bool, repeats: int):
        self.device, self.is_tiny, self.repeats = device, is_tiny, repeats
        is_cuda = device.type == "cuda"
        self.card = torch.cuda.get_device_name() if is_cuda else "CPU"
        self.dtype = torch.bfloat16 if is_cuda else torch.float32

    def copy_rate(self) -> float:
        size = (1 << 24) if self.is_tiny else (1 << 32)
        one = torch.randint(256, (size,), dtype=torch.uint8, device=self.device)
        other = torch.empty_like(one)
        rates = [2 * size / self.seconds(lambda: other.copy_(one)) / 1e9 for _ in range(12)]
        return median(rates[2:])

    def single(self, scratch: Path, copy_rate: float) -> dict[str, Any]:
        folder = self.model(scratch, "1b")
        inside, outside = (16, 32) if self.is_tiny else (128, 256)
        prompts = self.prompts([inside])
        rows = dict[str, Any]()
        for name, way in WAYS.items():
            rows[name] = self.ours(folder, way, prompts, [outside])
        rows["transformers, static cache"] = self.generate(folder, prompts[0], outside)
        for row in rows.values():
            if "tokens/s" in row:
                size = self.config.matrix_weights() * self.dtype.itemsize
                row["GB/s"] = row["tokens/s"] * size / 1e9
                row["of the copy rate"] = row["GB/s"] / copy_rate
        show("one text", rows, "transformers, static cache")
        return rows

    def many(self, scratch: Path, copy_rate: float) -> dict[str, Any]:
        folder = self.model(scratch, "0.5b")
        dice = random.Random(0)
        texts, least, most = (8, 4, 24) if self.is_tiny else (256, 100, 1024)
        lengths = [dice.randint(least, most) for _ in range(texts)]
        answers = [dice.randint(least, most) for _ in range(texts)]
        prompts = self.prompts(lengths)
        rows = dict[str, Any]()
        for name, way in WAYS.items():
            rows[name] = self.ours(folder, way, prompts, answers)
        rows["transformers, generate_batch"] = self.generate_batch(folder, prompts, answers)
        show(f"{texts} texts", rows, "transformers, generate_batch")
        return rows

    def ours(
        self,
        folder: Path,
        way: dict[str, Any],
        prompts: list[list[int]],
        answers: list[int],
    ) -> dict[str, Any]:
        self.free()
        loaded = Engine.load(folder, device=self.device.type, max_sequences=1)
        model, tokenizer = loaded.model, loaded.tokenizer
        del loaded
        engine = Engine(
            model,
            tokenizer,
            max_sequences=len(prompts),
            step_tokens=8192,
            # All texts to their ends, in whole blocks.
            cache_tokens=sum(map(len, prompts)) + sum(answers) + 16 * len(prompts) + CONTEXT,
            **way,
        )
        began = time.perf_counter()
        engine.warm_up()
        ready = time.perf_counter() - began
        numbers = iter(range(1000))

        def run() -> None:
            # Another first token each time, so that no prompt is in the cache already.
            first = next(numbers) % KNOWN
            sequences = [
                engine.add([first, *prompt[1:]], greedy(answer))
                for prompt, answer in zip(prompts, answers, strict=True)
            ]
            while engine.has_work:
                engine.step()
            assert [len(one.generated) for one in sequences] == answers

        return {**self.rate(run, sum(answers)), "ready after s": ready}

    def generate(self, folder: Path, prompt: list[int], answer: int) -> dict[str, Any]:
        from transformers import AutoModelForCausalLM

        self.free()
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=self.dtype).to(self.device)
        given = torch.tensor([prompt], device=self.device)

        @torch.inference_mode()
        def run() -> None:
            out = model.generate(
                given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=answer,
                min_new_tokens=answer,
                do_sample=False,
                cache_implementation="static",
                pad_token_id=0,
            )
            assert out.shape[1] == len(prompt) + answer

        return guarded(lambda: self.rate(run, answer))

    def generate_batch(
        self, folder: Path, prompts: list[list[int]], answers: list[int]
    ) -> dict[str, Any]:
        """It has one limit for all texts: each gets the longest answer, and all tokens count."""
        from transformers import AutoModelForCausalLM, GenerationConfig

        self.free()
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=self.dtype).to(self.device)
        longest = max(answers)
        settings = GenerationConfig(
            max_new_tokens=longest, do_sample=False, eos_token_id=-1, pad_token_id=0
        )
        made = 0

        def run() -> None:
            nonlocal made
            out = model.generate_batch(
                inputs=prompts, generation_config=settings, persistent_manager=True
            )
            made = sum(len(one.generated_tokens) for one in out.values())
            if made != longest * len(prompts):
                raise RuntimeError(f"it made {made} tokens of {longest * len(prompts)}")

        def measured() -> dict[str, Any]:
            row = self.rate(run, 1)
            return {"tokens/s": made / row["seconds"], "seconds": row["seconds"], "tokens": made}

        return guarded(measured)

    def rate(self, run: Callable[[], None], tokens: int) -> dict[str, Any]:
        self.seconds(run)
        seconds = median(self.seconds(run) for _ in range(self.repeats))
        return {"tokens/s": tokens / seconds, "seconds": seconds, "tokens": tokens}

    def seconds(self, run: Callable[[], Any]) -> float:
        self.synchronize()
        began = time.perf_counter()
        run()
        self.synchronize()
        return time.perf_counter() - began

    def free(self) -> None:
        """Give back what engines before this one held."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def prompts(self, lengths: list[int]) -> list[list[int]]:
        dice = random.Random(1)
        return [[dice.randrange(KNOWN) for _ in range(length)] for length in lengths]

    def model(self, scratch: Path, name: str) -> Path:
        folder = scratch / name
        folder.mkdir()
        train_tokenizer([Path(__file__).read_text()] * 20, 400, folder)
        width, inner, layers, heads, kv_heads, head, vocabulary = SHAPES[
            "tiny" if self.is_tiny else name
        ]
        self.config = TransformerConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            head_dim=head,
            max_position_embeddings=CONTEXT,
        )
        torch.manual_seed(0)
        with torch.device(self.device):
            model = CausalLM(self.config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0, 0.02)
                else:
                    parameter.fill_(1)
        save_model(model.cpu(), folder)
        return folder


def greedy(tokens: int) -> SamplingParams:
    return SamplingParams(max_tokens=tokens, temperature=0.0, ignores_end=True)


def guarded(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A peer that fails on this machine is a line of the table, not the end of the run."""
    try:
        return measure()
    except Exception as error:  # noqa: BLE001
        return {"failed": f"{type(error).__name__}: {error}"[:300]}


def show(title: str, rows: dict[str, Any], peer: str) -> None:
    print(f"\n{title:<32}{'tokens/s':>10}{'GB/s':>8}{'of copy':>9}{'of peer':>9}")
    base = rows[peer].get("tokens/s")
    for name, row in rows.items():
        if "failed" in row:
            print(f"{name:<32}failed: {row['failed']}")
            continue
        line = f"{name:<32}{row['tokens/s']:10.0f}"
        line += f"{row['GB/s']:8.1f}{row['of the copy rate']:9.2f}" if "GB/s" in row else " " * 17
        print(line + (f"{row['tokens/s'] / base:9.2f}" if base else ""), flush=True)


if __name__ == "__main__":
    main()
