"""TRL's SFTTrainer, DPOTrainer and GRPOTrainer on the CPU.

`tuned` sets what was found to be faster on a CPU than TRL's defaults: no gradient checkpointing,
fused AdamW, sequences of similar length together, no logging between.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

from speed_task import ANSWER_TOKENS, GROUP, LEARNING_RATE, Blocks, Task, length_reward

STEPS = 1_000_000
FIRST_STEP = "first_step"
"""File that says that the first optimizer step is done; the parent of a cold start waits for it."""


def main() -> None:
    """Train as the task on the command line says until the parent has enough."""
    task = Task.from_json(sys.argv[1])
    blocks = None if sys.argv[2:] == ["cold"] else Blocks(task)
    {"sft": finetune, "dpo": prefer, "grpo": reinforce}[task.kind](task, blocks)


def finetune(task: Task, blocks: Blocks | None) -> None:
    """SFT, all of the model or an adapter; the loss is on what the assistant says."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [{"messages": row["messages"]} for row in task.training_rows()]
    batch_rows = task.rows
    if task.packs:  # rows of as many tokens as a step of the others has, about
        batch_rows = max(1, task.rows // 4)
    arguments = SFTConfig(
        **common(task, blocks, batch_rows),
        **tuned(task, train_sampling_strategy="random" if task.packs else "group_by_length"),
        max_length=task.context,
        packing=task.packs,
        packing_strategy="bfd",
        assistant_only_loss=True,
    )
    trainer = SFTTrainer(
        model=model(task),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer(task),
        peft_config=adapter() if task.adapter else None,
        callbacks=[],
    )
    if blocks:
        tokens = sum(_tokens(row) for row in trainer.train_dataset)
        trainer.add_callback(_after(blocks, "epoch", lambda: tokens))
    else:
        trainer.add_callback(_first_step(task))
    trainer.train()


def prefer(task: Task, blocks: Blocks | None) -> None:
    """DPO; only its start is timed."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    assert blocks is None
    DPOTrainer(
        model=model(task),
        args=DPOConfig(**common(task, blocks, task.rows), **tuned(task), max_length=task.context),
        train_dataset=Dataset.from_list(task.training_rows()),
        processing_class=tokenizer(task),
        callbacks=[_first_step(task)],
    ).train()


def reinforce(task: Task, blocks: Blocks | None) -> None:
    """GRPO, a rollout a step."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    drawn = [0]

    def reward(completions: Any, completion_ids: Any, **others: Any) -> list[float]:
        drawn[0] = sum(len(ids) for ids in completion_ids)
        return [length_reward(completion[0]["content"]) for completion in completions]

    arguments = GRPOConfig(
        **common(task, blocks, task.rows),
        **tuned(task, generation_kwargs={"use_cache": True}),
        num_generations=GROUP,
        max_completion_length=ANSWER_TOKENS,
        temperature=1.0,
        beta=0.0,
    )
    callback = _after(blocks, "step", lambda: drawn[0]) if blocks else _first_step(task)
    GRPOTrainer(
        model=model(task),
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list(task.training_rows()),
        processing_class=tokenizer(task),
        callbacks=[callback],
    ).train()


def common(task: Task, blocks: Blocks | None, rows: int) -> dict[str, Any]:
    """Settings that decide what is done, not how."""
    return {
        "output_dir": task.folder,
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": rows,
        "max_steps": STEPS if blocks else 1,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "report_to": [],
        "save_strategy": "no",
        "seed": 0,
    }


def tuned(task: Task, **others: Any) -> dict[str, Any]:
    """Settings that make it faster."""
    if not task.tuned:
        return {}
    return {
        "gradient_checkpointing": False,
        "optim": "adamw_torch_fused",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        **others,
    }


def model(task: Task) -> Any:
    """The model, with PyTorch's attention."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        task.model, dtype="float32", attn_implementation="sdpa"
    )


def tokenizer(task: Task) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(task.model)


def adapter() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear")


def _tokens(row: dict[str, Any]) -> int:
    return len(row["input_ids"])


def _after(blocks: Blocks, what: str, tokens: Any) -> Any:
    """Counts units: epochs or steps."""
    from transformers import TrainerCallback

    def count(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        blocks.add_tokens(tokens())
        blocks.unit_done()

    return type("After", (TrainerCallback,), {f"on_{what}_end": count})()


def _first_step(task: Task) -> Any:
    """Says when the first step is done."""
    from transformers import TrainerCallback

    def say(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        (Path(task.folder) / FIRST_STEP).touch()

    return type("FirstStep", (TrainerCallback,), {"on_step_end": say})()


if __name__ == "__main__":
    main()
