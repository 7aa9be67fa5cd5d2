"""What a model writes along the run: from the same beginnings, with the same choice of chance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from modelwright.core.errors import UsageError
from modelwright.core.log_rows import append_row
from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.checkpoint import TrainState

FILE = "samples.jsonl"
SAMPLED = SamplingParams(max_tokens=64, temperature=0.8, seed=0)


class Samples:
    """Has a model go on from beginnings of text, and writes down what comes.

    Parameters
    ----------
    model : CausalLM
        The model that is trained.
    tokenizer : Tokenizer
        Its tokenizer.
    beginnings : sequence of str
        What it goes on from; an empty one is the start of a document.

    Raises
    ------
    UsageError
        If a beginning does not fit into the model's context.
    """

    def __init__(self, model: CausalLM, tokenizer: Tokenizer, beginnings: Sequence[str]):
        self.model, self.tokenizer, self.beginnings = model, tokenizer, beginnings
        self.prompts = [[tokenizer.end_of_text, *tokenizer.encode(text)] for text in beginnings]
        context = model.config.max_position_embeddings
        for text, prompt in zip(beginnings, self.prompts, strict=True):
            if len(prompt) >= context:
                raise UsageError(
                    f"the sample prompt '{text[:40]}...' has {len(prompt)} tokens, the model's "
                    f"context {context}",
                    fix="give a shorter one",
                )

    def write(self, path: Path, state: TrainState) -> None:
        """Append a row for each beginning to a JSONL file."""
        where = {"tokens": state.tokens, "seconds": state.horizon.seconds}
        for text, sample in zip(self.beginnings, self.generate(), strict=True):
            append_row(path, state.step, {**where, "prompt": text, "text": sample})

    def generate(self) -> list[str]:
        """What the model writes now."""
        if not self.prompts:
            return []
        was_training = self.model.training
        engine = Engine(self.model.eval(), self.tokenizer, max_sequences=len(self.prompts))
        # Every token has a new length: nothing that would be worth compiling for.
        with torch.compiler.set_stance("force_eager"):
            completions = engine.generate(self.prompts, SAMPLED)
        self.model.train(was_training)
        return [completion.text for completion in completions]
