"""LitGPT's pretraining loop (``litgpt.pretrain.fit``) on random tokens."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import lightning
import torch
from blocks import Blocks
from litgpt.args import EvalArgs, TrainArgs
from litgpt.config import Config
from litgpt.model import GPT
from litgpt.pretrain import fit, initialize_weights
from task import Task


def main() -> None:
    """Train as the task on the command line says until the parent has enough."""
    task = Task.from_json(sys.argv[1])
    fabric = fabric_for(task)
    torch.manual_seed(0)
    model = build(fabric, task)
    blocks = Blocks(task, sum(parameter.numel() for parameter in model.parameters()))
    with tempfile.TemporaryDirectory() as folder:
        run(fabric, model, task, RandomBatches(task, blocks), 1e-3, Path(folder))


def fabric_for(task: Task) -> lightning.Fabric:
    """Lightning's Fabric on the task's device, in its precision."""
    precision = "bf16-mixed" if task.precision == "bfloat16" else "32-true"
    fabric = lightning.Fabric(accelerator=task.device, devices=1, precision=precision)
    fabric.launch()
    return fabric


def build(fabric: lightning.Fabric, task: Task) -> GPT:
    """A new model of the task's shape, with LitGPT's first weights, head and embedding tied."""
    config = Config(
        name="benchmark",
        block_size=task.context,
        vocab_size=task.vocabulary,
        padded_vocab_size=task.vocabulary,
        n_layer=task.layers,
        n_embd=task.width,
        n_head=task.heads,
        n_query_groups=task.heads,
        head_size=task.width // task.heads,
        intermediate_size=task.feed_forward,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_eps=1e-6,
        norm_qk=task.query_key_norm,
        mlp_class_name="LLaMAMLP",
    )
    with fabric.init_module(empty_init=True):
        model = GPT(config)
    initialize_weights(fabric, model, n_layer=task.layers, n_embd=task.width)
    model.transformer.wte.weight = model.lm_head.weight
    model.max_seq_length = task.context
    return model


def run(
    fabric: lightning.Fabric,
    model: GPT,
    task: Task,
    batches: Iterable[torch.Tensor],
    learning_rate: float,
    folder: Path,
) -> None:
    """Set up as ``litgpt.pretrain.main`` does, save that compiling is a choice, and train.

    AdamW is the fused one everywhere; LitGPT asks for it on CUDA only, where it is faster too.
    """
    wrapped = fabric.setup(torch.compile(model) if task.compiled else model)
    optimizer = fabric.setup_optimizers(
        torch.optim.AdamW(
            wrapped.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True
        )
    )
    fit(
        fabric,
        devices=1,
        state={"model": wrapped, "optimizer": optimizer, "iter_num": 0, "step_count": 0},
        train_dataloader=batches,
        val_dataloader=[next(iter(batches))],
        out_dir=folder,
        tokenizer_dir=None,
        train=TrainArgs(
            save_interval=None,
            log_interval=1_000_000,
            global_batch_size=task.rows,
            micro_batch_size=task.micro_rows,
            lr_warmup_steps=1,
            max_tokens=10**15,
            max_norm=1.0,
        ),
        eval=EvalArgs(interval=10**9, initial_validation=False, final_validation=False),
    )


class RandomBatches:
    """Batches of random tokens; asking for another one says that the step before is done."""

    def __init__(self, task: Task, blocks: Blocks):
        self.task, self.blocks = task, blocks
        self.device = torch.device(task.device)

    def __iter__(self) -> Iterator[torch.Tensor]:
        task = self.task
        shape = (task.micro_rows, task.context + 1)
        while True:
            for _ in range(task.rows // task.micro_rows):
                yield torch.randint(task.vocabulary, shape, device=self.device)
            self.blocks.step_done()


if __name__ == "__main__":
    main()
