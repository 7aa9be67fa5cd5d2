"""What a reward model gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from modelwright.core.errors import InputError
from modelwright.models.device import pick_device
from modelwright.models.sequence_classifier import load_classifier
from modelwright.tokens.example_tokens import encode_answer
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.examples import TokenizedExample
from modelwright.training.micro_batch import moved
from modelwright.training.rewards.reward import Sample, Value, named
from modelwright.training.rewards.settings import ModelReward
from modelwright.training.sequences import Layout, lay_out

ROWS = 32
"""Answers that are scored at once."""


class RewardModel:
    """Scores answers with the model in a folder, behind its own chat template.

    Parameters
    ----------
    settings : ModelReward
        Names the folder.
    folder : Path
        Where relative paths begin.

    Raises
    ------
    InputError
        If the folder holds no reward model, or one with several scores.
    """

    def __init__(self, settings: ModelReward, folder: Path):
        path = folder / settings.path
        self.model = load_classifier(path, pick_device("auto"))
        labels = self.model.score.out_features
        if labels != 1:
            raise InputError(
                f"a reward model gives one score, and this one gives {labels}",
                where=path,
                fix="give a model that the stage 'reward' made",
            )
        self.tokenizer = Tokenizer.load(path)
        self.context = self.model.config.max_position_embeddings

    @torch.inference_mode()
    def __call__(self, samples: Sequence[Sample]) -> list[Value]:
        """One score for each sample; an answer that is too long has none."""
        device = next(self.model.parameters()).device
        values: list[Value] = [None] * len(samples)
        examples = {index: self._example(sample) for index, sample in enumerate(samples)}
        fitting = [index for index, one in examples.items() if len(one.ids) <= self.context]
        for index in examples.keys() - set(fitting):
            values[index] = InputError(
                f"{len(examples[index].ids)} tokens do not fit into the reward model's context of "
                f"{self.context}",
                where=named(samples, index),
                fix="ask for shorter answers",
            )
        fitting.sort(key=lambda index: len(examples[index].ids))
        layout = Layout(self.tokenizer.end_of_text)
        for start in range(0, len(fitting), ROWS):
            part = fitting[start : start + ROWS]
            sequences = moved(lay_out([examples[index] for index in part], layout), device)
            scores = self.model(sequences.tokens, sequences.lasts).squeeze(-1).tolist()
            for index, score in zip(part, scores, strict=True):
                values[index] = score
        return values

    def _example(self, sample: Sample) -> TokenizedExample:
        """Prompt and answer as the reward model was trained on them."""
        said = sample.completion
        answer = said if isinstance(sample.prompt, str) else [_message(said)]
        encoded = encode_answer(
            {"prompt": sample.prompt, "answer": answer}, "answer", self.tokenizer
        )
        last = max((at for at, is_said in enumerate(encoded.trained) if is_said), default=-1)
        return TokenizedExample.of(encoded.ids[: last + 1], encoded.trained[: last + 1], False)


def _message(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
