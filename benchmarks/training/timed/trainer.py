"""From raw text to a saved model in a given time, with the Trainer of transformers.

python -m timed.trainer RECIPE DEADLINE TRAIN_FOLDER MEGABYTES OUT_FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from systems.trainer import Rows, build
from timed.recipe import Clock, Recipe
from timed.text import blocks, read_texts, train_tokenizer
from transformers import Trainer, TrainerCallback, TrainingArguments


def main() -> None:
    """Train and save; prints what was done as JSON."""
    recipe, clock = Recipe.from_json(sys.argv[1]), Clock(float(sys.argv[2]))
    out = Path(sys.argv[5])
    texts = read_texts(Path(sys.argv[3]), float(sys.argv[4]))
    tokenizer = train_tokenizer(texts, recipe.vocabulary)
    rows = blocks(tokenizer, texts, recipe.context)
    task = recipe.task()
    model = build(task)
    arguments = TrainingArguments(
        str(out),
        use_cpu=task.device == "cpu",
        bf16=task.precision == "bfloat16",
        torch_compile=task.compiled,
        per_device_train_batch_size=task.micro_rows,
        gradient_accumulation_steps=task.rows // task.micro_rows,
        max_steps=1_000_000,
        learning_rate=recipe.learning_rate,
        adam_beta2=0.95,
        weight_decay=0.1,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = TimedTrainer(
        model=model, args=arguments, train_dataset=Rows(rows), callbacks=[Timer(clock)]
    )
    trainer.clock = clock
    trainer.train()
    trainer.save_model(str(out))
    tokenizer.save(str(out / "tokenizer.json"))
    tokens = clock.steps * task.tokens_per_step
    print(json.dumps({"saved": time.time(), "steps": clock.steps, "tokens": tokens}))


class TimedTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose schedule is the clock's."""

    clock: Clock

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer or self.optimizer, lambda step: self.clock.rate()
        )
        return self.lr_scheduler


class Timer(TrainerCallback):  # type: ignore[misc]
    """Counts steps and stops in time."""

    def __init__(self, clock: Clock):
        self.clock = clock

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.clock.step_done()
        control.should_training_stop = self.clock.is_over


if __name__ == "__main__":
    main()
