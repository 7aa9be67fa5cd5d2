"""From raw text to a saved model in a given time, with LitGPT's pretraining loop.

python -m timed.lit RECIPE DEADLINE TRAIN_FOLDER MEGABYTES OUT_FOLDER

LitGPT's own schedule counts steps and it has no limit of time; so the rate comes from the clock,
and the data end when the time does. The checkpoint is saved in time; turning it into a Hugging Face
folder, with LitGPT's own names for that, is not counted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import litgpt.pretrain
import torch
from litgpt.model import GPT
from litgpt.scripts.convert_lit_checkpoint import copy_weights_qwen_3
from systems import lit, trainer
from timed.recipe import Clock, Recipe
from timed.text import blocks, read_texts, train_tokenizer


def main() -> None:
    """Train and save; prints what was done as JSON."""
    recipe, clock = Recipe.from_json(sys.argv[1]), Clock(float(sys.argv[2]))
    out = Path(sys.argv[5])
    texts = read_texts(Path(sys.argv[3]), float(sys.argv[4]))
    tokenizer = train_tokenizer(texts, recipe.vocabulary)
    rows = blocks(tokenizer, texts, recipe.context + 1)
    task = recipe.task()
    fabric = lit.fabric_for(task)
    fabric.seed_everything(0)
    model = lit.build(fabric, task)
    litgpt.pretrain.get_lr = lambda *arguments: recipe.learning_rate * clock.rate()
    batches = Batches(rows.to(fabric.device), task.micro_rows, task.rows, clock)
    try:
        lit.run(fabric, model, task, batches, recipe.learning_rate, out)
    except TimeIsUpError:
        out.mkdir(parents=True, exist_ok=True)
        fabric.save(out / "lit_model.pth", {"model": model})
        tokenizer.save(str(out / "tokenizer.json"))
    tokens = clock.steps * task.tokens_per_step
    done = {"saved": time.time(), "steps": clock.steps, "tokens": tokens}
    convert(model, recipe, out)
    print(json.dumps(done))


class TimeIsUpError(Exception):
    """Ends LitGPT's loop between two steps."""


class Batches:
    """Blocks again and again until the clock says that it is enough."""

    def __init__(self, rows: torch.Tensor, micro_rows: int, rows_per_step: int, clock: Clock):
        self.rows, self.micro_rows = rows, micro_rows
        self.accumulated, self.clock = rows_per_step // micro_rows, clock

    def __iter__(self) -> Iterator[torch.Tensor]:
        micro_batches = [
            part for part in self.rows.split(self.micro_rows) if len(part) == self.micro_rows
        ]
        number = 0
        while True:
            for _ in range(self.accumulated):
                yield micro_batches[number % len(micro_batches)]
                number += 1
            self.clock.step_done()
            if self.clock.is_over:
                raise TimeIsUpError


@torch.no_grad()
def convert(model: GPT, recipe: Recipe, out: Path) -> None:
    """Write the model as transformers reads it.

    Raises
    ------
    RuntimeError
        If it does not give the same logits there.
    """
    task = recipe.task()
    weights = dict[str, torch.Tensor]()
    copy_weights_qwen_3(model.config, weights, {**model.state_dict()})
    theirs = trainer.build(task)
    theirs.load_state_dict(weights)
    theirs.to(task.device).eval()
    model.eval()
    ids = torch.randint(task.vocabulary, (2, task.context), device=task.device)
    difference = float((model(ids) - theirs(ids).logits).abs().max())
    if difference > 0.01:
        raise RuntimeError(f"logits differ by {difference} after conversion")
    theirs.save_pretrained(out)


if __name__ == "__main__":
    main()
