"""Every objective with data of its kind, whose steps can be cut into micro-batches in any way.

Run by torchrun with a folder it writes the gradients that two processes find together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from modelwright.models.adapters.attach import add_adapter
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.config import TransformerConfig
from modelwright.models.policy_with_value import policy_with_value
from modelwright.models.sequence_classifier import classifier_from
from modelwright.models.sharded import whole
from modelwright.models.transformer import CausalLM, DecoderModel, initialise
from modelwright.training.batches import example_batch
from modelwright.training.examples import TokenizedExample
from modelwright.training.labelled import LabelledAnswer, joined, labelled_batches, mismatch
from modelwright.training.losses.preference import PREFERENCE_LOSSES
from modelwright.training.micro_batch import summed_totals
from modelwright.training.objectives.next_token import next_token
from modelwright.training.objectives.objective import Objective, Prepare
from modelwright.training.objectives.policy import PolicyLoss, policy
from modelwright.training.objectives.preference import preference
from modelwright.training.objectives.reference_free import cpo, orpo, orpo_by_answer, simpo
from modelwright.training.objectives.reward import reward
from modelwright.training.objectives.unpaired import kto, with_baseline
from modelwright.training.pairs import TokenizedPair, pair_batch
from modelwright.training.parallel.forward import forward_alone
from modelwright.training.parallel.shares import share
from modelwright.training.parallel.world import ALONE, World, this_world
from modelwright.training.reinforcement.advantages import by_group, by_value
from modelwright.training.reinforcement.prompts import Prompt
from modelwright.training.reinforcement.rollout import Answer, Rollout
from modelwright.training.reinforcement.rollout_batches import RolloutPlan, policy_batches
from modelwright.training.sequences import Layout

CONFIG = TransformerConfig(
    vocab_size=128,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=64,
)
ITEMS = 6
DRAW = torch.Generator()

Batches = Callable[[int, bool], list[Any]]
"""(items in a micro-batch, whether rows hold several sequences) → the micro-batches of one step."""


@dataclass(frozen=True)
class Case:
    """An objective and its data."""

    objective: Objective
    batches: Batches
    kind: str = "policy"
    prepare: Prepare | None = None


def ids(length: int) -> list[int]:
    return torch.randint(3, 128, (length,), generator=DRAW).tolist()


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=DRAW)


def pairs() -> list[TokenizedPair]:
    made = []
    for number in range(ITEMS):
        prompt = ids(3 + number)
        chosen, rejected = (joined(prompt, ids(2 + (number * step) % 5)) for step in (3, 4))
        made.append(TokenizedPair(chosen, rejected, margin=0.1 * number))
    return made


def pair_case(objective: Objective, kind: str = "policy", scores_prompts: bool = False) -> Case:
    made, reference = pairs(), -10 + numbers(2 * ITEMS)

    def batches(size: int, packs: bool) -> list[Any]:
        return [
            pair_batch(
                made[start : start + size],
                Layout(0, packs),
                reference[2 * start : 2 * (start + size)],
                scores_prompts,
            )
            for start in range(0, ITEMS, size)
        ]

    return Case(objective, batches, kind)


def labelled_case(prepare: Prepare | None) -> Case:
    made = [
        LabelledAnswer(
            tuple(ids(3 + number)),
            tuple(ids(2 + number % 4)),
            (True,) * (2 + number % 4),
            number % 3 > 0,
        )
        for number in range(ITEMS)
    ]
    own, others = -18 + numbers(ITEMS), -22 + numbers(ITEMS)  # the baseline is above 0

    def batches(size: int, packs: bool) -> list[Any]:
        mismatched = None if prepare is None else mismatch(made, longest=64)
        source = labelled_batches(made, ITEMS, size, 0, Layout(0, packs), own, mismatched, others)
        return source.at(0)

    return Case(kto(0.1, 1.0, 1.3), batches, prepare=prepare)


def supervised_case() -> Case:
    examples = []
    for number in range(ITEMS):
        trained = [place % 3 > 0 for place in range(5 + number)]
        examples.append(TokenizedExample.of(ids(5 + number), trained, False))

    def batches(size: int, packs: bool) -> list[Any]:
        parts = [examples[start : start + size] for start in range(0, ITEMS, size)]
        return [example_batch(part, Layout(0, packs)) for part in parts]

    return Case(next_token, batches)


def rollout(lengths: Sequence[int]) -> tuple[Rollout, list[Prompt]]:
    prompts = [Prompt(tuple(ids(3 + number)), "", {}) for number in range(2)]
    answers = [
        Answer(place * 2 // ITEMS, ids(length), "", length < 4, numbers(length).tolist())
        for place, length in enumerate(lengths)
    ]
    made = Rollout(0, answers, numbers(2, ITEMS // 2), {}, kl_coefficient=0.05, facts={"reward": 1})
    mask = made.mask()
    said = {
        name: (-4.8 + 0.1 * numbers(*mask.shape)) * mask for name in ("old", "reference", "values")
    }
    return Rollout(0, answers, made.rewards, {}, said, 0.05, {"reward": 1.0}), prompts


def policy_case(
    loss: PolicyLoss, aggregation: Any, has_values: bool = False, counts_unfinished: bool = True
) -> Case:
    made, prompts = rollout([2, 5, 3, 6, 4, 3])
    estimate = by_value(1.0, 0.95, "k1", False) if has_values else by_group("group")
    learnt = estimate(made)

    def batches(size: int, packs: bool) -> list[Any]:
        plan = RolloutPlan(2, ITEMS // 2, 1, ITEMS, size, 64, 0)
        return policy_batches(
            made,
            range(ITEMS),
            prompts,
            learnt,
            plan,
            Layout(0, packs),
            aggregation,
            6,
            counts_unfinished,
        )

    return Case(policy(loss), batches, "policy with value" if has_values else "policy")


DEPEND_ON_MICRO_BATCHES = ("aot", "aot_unpaired")
"""They sort what is in a micro-batch, as TRL's do."""


def cases() -> dict[str, Callable[[], Case]]:
    found: dict[str, Callable[[], Case]] = {"supervised": supervised_case}
    for name in PREFERENCE_LOSSES:
        if name not in DEPEND_ON_MICRO_BATCHES:
            found[f"dpo {name}"] = lambda name=name: pair_case(preference({name: 1.0}, 0.1, 0.1))
    return {
        **found,
        "dpo with sft": lambda: pair_case(preference({"sigmoid": 1.0, "sft": 0.3}, 0.1)),
        "orpo": lambda: pair_case(orpo(0.1), scores_prompts=True),
        "orpo by answer": lambda: pair_case(orpo_by_answer(0.1)),
        "simpo": lambda: pair_case(simpo(2.0, 0.5, 0.1)),
        "cpo": lambda: pair_case(cpo(0.1, 1.0, 0.0)),
        "reward": lambda: pair_case(reward(0.01), "classifier"),
        "kto": lambda: labelled_case(with_baseline),
        "apo_zero_unpaired": lambda: labelled_case(None),
        "grpo": lambda: policy_case(PolicyLoss(), "grpo"),
        "grpo without unfinished": lambda: policy_case(
            PolicyLoss(), "grpo", counts_unfinished=False
        ),
        "dapo": lambda: policy_case(PolicyLoss(clip_high=0.28), "dapo"),
        "dr_grpo": lambda: policy_case(PolicyLoss(), "dr_grpo"),
        "luspo": lambda: policy_case(PolicyLoss(entropy_weight=0.1), "luspo"),
        "gspo": lambda: policy_case(PolicyLoss(level="sequence_mean"), "grpo"),
        "rloo": lambda: policy_case(PolicyLoss(level="sequence_sum"), "luspo"),
        "cispo": lambda: policy_case(PolicyLoss("cispo", clip_high=5.0), "dapo"),
        "sapo": lambda: policy_case(PolicyLoss("sapo"), "dapo"),
        "ppo": lambda: policy_case(PolicyLoss(), "dapo", has_values=True),
    }


def case_of(name: str) -> Case:
    """The case, with the same data whenever it is made."""
    DRAW.manual_seed(11)
    return cases()[name]()


def model_of(kind: str, adapted: bool = False) -> DecoderModel:
    model = CausalLM(CONFIG).train()
    initialise(model, 0)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    if adapted:
        add_adapter(model, AdapterConfig(rank=4))
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    if kind == "classifier":
        return classifier_from(model).train()
    return policy_with_value(model).train() if kind == "policy with value" else model


def gradients(
    model: DecoderModel,
    case: Case,
    batches: list[Any],
    world: World = ALONE,
    forward: Any = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients of one step, as the loop works them out."""
    forward = forward or forward_alone(model, case.objective)
    totals = summed_totals(batches)
    own = share(batches, world)
    names = list(totals)
    totals = dict(zip(names, world.sum(*summed_totals(own).values()), strict=True))
    if case.prepare is not None:
        with torch.no_grad():
            own = case.prepare(model, own, world)
    loss = torch.zeros(())
    for number, batch in enumerate(own, start=1):
        losses = forward(batch, totals, number == len(own))
        (losses.total * world.size).backward()
        loss = loss + losses.total.detach()
    found = {
        name: whole(parameter.grad).clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return world.add(loss[None])[0], found


def main(folder: Path) -> None:
    from modelwright.training.parallel.spread import forward_together, shard

    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    world = this_world()
    for name in cases():
        for how in ("copies", "shards"):
            case = case_of(name)
            model = model_of(case.kind)
            if how == "shards":
                shard(model, world)
            forward = forward_together(model, case.objective)
            loss, found = gradients(model, case, case.batches(2, False), world, forward)
            if world.is_leader:
                file = folder / f"{name.replace(' ', '-')}-{how}.safetensors"
                save_file({**found, "loss": loss}, file)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
