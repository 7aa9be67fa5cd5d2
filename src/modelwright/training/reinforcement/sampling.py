"""Answers drawn from the model that is trained, and what models think of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from modelwright.inference.engine import Engine
from modelwright.inference.sampling import MAX_SEED, SamplingParams
from modelwright.models.transformer import CausalLM
from modelwright.tokens.order import keyed_hash
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.examples import TokenizedExample
from modelwright.training.losses.log_probabilities import log_probabilities, to_rows
from modelwright.training.micro_batch import moved
from modelwright.training.objectives.scoring import scored_states
from modelwright.training.reinforcement.prompts import Prompt
from modelwright.training.reinforcement.rollout import Answer
from modelwright.training.sequences import Layout, Sequences, lay_out


def draw_answers(
    model: CausalLM,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    numbers: Sequence[int],
    group: int,
    params: SamplingParams,
    number: int,
    max_sequences: int,
) -> list[Answer]:
    """Have the model answer.

    Parameters
    ----------
    model : CausalLM
        It is left in the mode in which it was.
    tokenizer : Tokenizer
        The model's own.
    prompts : sequence of Prompt
        All there are.
    numbers : sequence of int
        Those to answer.
    group : int
        Answers to each.
    params : SamplingParams
        How; its seed is mixed with ``number``.
    number : int
        Of the rollout, so that each draws anew.
    max_sequences : int
        Most answers that are written at once.
    """
    asked = [index for index in numbers for _ in range(group)]
    seed = keyed_hash(params.seed or 0, number) % (MAX_SEED // 2)
    drawn = SamplingParams(
        max_tokens=params.max_tokens,
        temperature=params.temperature,
        seed=seed,
        log_probabilities=True,
    )
    with _for_inference(model):
        sequences = min(max_sequences, len(asked))
        engine = Engine(model, tokenizer, max_sequences=sequences, weights="auto")
        completions = engine.generate([list(prompts[index].ids) for index in asked], drawn)
    return [
        Answer(
            index,
            completion.tokens,
            completion.text,
            completion.finish_reason == "stop",
            completion.log_probabilities,
        )
        for index, completion in zip(asked, completions, strict=True)
    ]


def behind_prompt(prompt: Prompt, answer: Answer) -> TokenizedExample:
    """Prompt and answer as one sequence, the answer's ids scored."""
    trained = [False] * len(prompt.ids) + [True] * len(answer.ids)
    return TokenizedExample.of([*prompt.ids, *answer.ids], trained, is_conversation=False)


def rows_of(
    model: CausalLM,
    examples: Sequence[TokenizedExample],
    mask: Tensor,
    rows: int,
    pad: int,
    precision: torch.dtype,
    score: Callable[[CausalLM, Sequences], Tensor],
) -> Tensor:
    """What ``score`` gives for the scored ids of each example, (N, L) float32 on the CPU.

    Parameters
    ----------
    model : CausalLM
        It is left in the mode in which it was.
    examples : sequence of TokenizedExample
        N of them.
    mask : Tensor
        Where their scored ids are in the result (N, L), bool.
    rows : int
        Examples that go through the model at once.
    pad : int
        Id for padding.
    precision : torch.dtype
        Of the matrix products.
    score : callable
        ``score(model, sequences)`` gives (K,).
    """
    device = next(model.parameters()).device
    found = torch.zeros(mask.shape)
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].ids))
    autocast = torch.autocast(device.type, precision, enabled=precision != torch.float32)
    with _for_inference(model), torch.no_grad(), autocast:
        for start in range(0, len(order), rows):
            members = order[start : start + rows]
            sequences = moved(lay_out([examples[one] for one in members], Layout(pad)), device)
            found[members] = to_rows(score(model, sequences).float().cpu(), mask[members])
    return found


def answer_log_probabilities(temperature: float) -> Callable[[CausalLM, Sequences], Tensor]:
    """Scores ids by their log-probability at the temperature at which they were drawn."""

    def score(model: CausalLM, sequences: Sequences) -> Tensor:
        states = scored_states(model, sequences)
        return log_probabilities(states, model.lm_head.weight, sequences.targets, temperature)

    return score


Reference = Callable[[], AbstractContextManager[CausalLM]]
"""Opens the model that the policy shall not leave too far."""


@contextmanager
def _for_inference(model: CausalLM) -> Iterator[None]:
    was_training = model.training
    model.eval()
    # Every call has other lengths: nothing that would be worth compiling for.
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.train(was_training)
