"""What a model answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelwright.core.examples import read_examples
from modelwright.inference.sampling import SamplingParams
from modelwright.models.pretrained import load_model
from modelwright.tokens.example_tokens import encode_prompt
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.reinforcement.prompts import Prompt
from modelwright.training.reinforcement.rollout import Answer
from modelwright.training.reinforcement.sampling import draw_answers
from modelwright.training.rewards.reward import Sample

AT_ONCE = 64


def answers_to(
    folder: Path, prompts: Sequence[Prompt], group: int, most_tokens: int, temperature: float
) -> list[Answer]:
    """Answers of the model in a folder, ``group`` to each prompt."""
    params = SamplingParams(most_tokens, temperature=temperature, seed=0)
    numbers = range(len(prompts))
    model, tokenizer = load_model(folder), Tokenizer.load(folder)
    return draw_answers(model, tokenizer, prompts, numbers, group, params, 0, AT_ONCE)


def samples_of(prompts: Sequence[Prompt], answers: Sequence[Answer]) -> list[Sample]:
    """Answers as rewards take them."""
    return [
        Sample(
            prompts[one.prompt].text,
            one.text,
            prompts[one.prompt].row,
            one.is_finished,
            len(one.ids),
        )
        for one in answers
    ]


def first_questions(path: Path, tokenizer: Tokenizer, longest: int, most: int) -> list[Prompt]:
    """The conversations of a file up to the first answer, evenly chosen."""
    prompts = []
    for _, row in read_examples(path):
        roles = [message["role"] for message in row["messages"]]
        asked = row["messages"][: roles.index("assistant")]
        ids = encode_prompt({"prompt": asked}, tokenizer)
        if len(ids) <= longest:
            prompts.append(Prompt(tuple(ids), asked, {}))
    return prompts[:: max(1, len(prompts) // most)][:most]
