"""Whether a text with a seed comes out the same alone and among strangers.

python benchmarks/serving/invariance.py MODEL [--texts 200] [--neighbours 31]
    [--weights model float32 bfloat16 int8 int4]

Each of 200 prompts is continued by up to 48 tokens at temperature 0.8, once alone in an engine and
once while 31 other texts, of other lengths, seeds and settings, are generated beside it; prompts
are pieces of two novels. The table counts the texts whose tokens are all equal. ``model`` is plain
PyTorch, for comparison.
"""

from __future__ import annotations

import argparse
import gzip
import json
from dataclasses import replace
from pathlib import Path
from random import Random

import torch

from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams

DATA = Path(__file__).parents[3] / "shared" / "data"
BOOKS = DATA / "english_novels" / "novels-00.jsonl.gz"
TOKENS = 48


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip  # noqa: E501
    parser.add_argument("model", type=Path)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--neighbours", type=int, default=31)
    parser.add_argument(
        "--weights", nargs="+", default=["model", "float32", "bfloat16", "int8", "int4"]
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'weights':<10} identical")
    for weights in given.weights:
        same = identical(given.model, weights, given.texts, given.neighbours)
        print(f"{weights:<10} {same} of {given.texts}", flush=True)


def identical(folder: Path, weights: str, texts: int, neighbours: int) -> int:
    engine = Engine.load(folder, max_sequences=neighbours + 1, weights=weights)
    random = Random(0)
    with gzip.open(BOOKS, "rt", encoding="utf-8") as lines:
        words = " ".join(json.loads(next(lines))["text"] for _ in range(2)).split()

    def prompt() -> list[int]:
        start = random.randrange(len(words) - 200)
        text = " ".join(words[start : start + random.randrange(2, 120)])
        return engine.tokenizer.encode(text)[: engine.context_length - TOKENS - 1]

    same = 0
    for number in range(texts):
        own = prompt()
        params = SamplingParams(max_tokens=TOKENS, temperature=0.8, top_p=0.95, seed=number)
        alone = engine.generate([own], params)[0].tokens
        engine.scheduler.blocks.forget()  # so that nothing is found again that was worked out alone
        strangers = [
            engine.add(
                prompt(),
                replace(
                    params,
                    temperature=random.choice([0.0, 0.5, 1.2]),
                    top_k=random.choice([0, 20]),
                    top_p=random.choice([1.0, 0.9]),
                    min_p=random.choice([0.0, 0.05]),
                    seed=random.randrange(10**6),
                ),
            )
            for _ in range(neighbours)
        ]
        for _ in range(random.randrange(6)):
            engine.step()
        sequence = engine.add(own, params)
        while not sequence.is_finished:
            engine.step()
        same += sequence.generated == alone
        for stranger in strangers:
            engine.abort(stranger)
    return same


if __name__ == "__main__":
    main()
