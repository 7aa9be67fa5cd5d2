"""The Trainer of transformers on random tokens."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import torch
from blocks import Blocks
from task import Task
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)


def main() -> None:
    """Train as the task on the command line says until the parent has enough."""
    task = Task.from_json(sys.argv[1])
    model = build(task)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            use_cpu=task.device == "cpu",
            bf16=task.precision == "bfloat16",
            torch_compile=task.compiled,
            per_device_train_batch_size=task.micro_rows,
            gradient_accumulation_steps=task.rows // task.micro_rows,
            max_steps=1_000_000,
            learning_rate=1e-3,
            weight_decay=0.1,
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        ids = torch.randint(task.vocabulary, (1024, task.context))
        callback = AfterStep(Blocks(task, model.num_parameters()))
        Trainer(model=model, args=arguments, train_dataset=Rows(ids), callbacks=[callback]).train()


def build(task: Task) -> PreTrainedModel:
    """A new model of the task's shape: Qwen3, or Llama without norms of queries and keys."""
    shape = {
        "vocab_size": task.vocabulary,
        "hidden_size": task.width,
        "intermediate_size": task.feed_forward,
        "num_hidden_layers": task.layers,
        "num_attention_heads": task.heads,
        "num_key_value_heads": task.heads,
        "head_dim": task.width // task.heads,
        "max_position_embeddings": task.context,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": None,
        "use_cache": False,
    }
    torch.manual_seed(0)
    if task.query_key_norm:
        return Qwen3ForCausalLM(Qwen3Config(**shape))
    return LlamaForCausalLM(LlamaConfig(**shape))


class AfterStep(TrainerCallback):
    """Ends blocks."""

    def __init__(self, blocks: Blocks):
        self.blocks = blocks

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.blocks.step_done()


class Rows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Rows of tokens (N, length), int64."""

    def __init__(self, ids: torch.Tensor):
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[index], "labels": self.ids[index]}


if __name__ == "__main__":
    main()
