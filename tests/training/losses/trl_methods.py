"""TRL's own trainers and our objectives on the same models and batches.

:data:`METHODS` has a maker for each method; what it makes gives two losses of a batch, and
:func:`difference` compares them and the gradients of all parameters. Used by the tests here and by
``benchmarks/alignment/parity.py``. Needs TRL 1.16.0.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
import transformers
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.sequence_classifier import classifier_from
from modelwright.models.transformer import CausalLM, DecoderModel, initialise
from modelwright.tokens.train import train_tokenizer
from modelwright.training.batches import example_batch
from modelwright.training.labelled import (
    LabelledAnswer,
    LabelledBatch,
    joined,
    mismatch,
    partners,
)
from modelwright.training.losses.log_probabilities import to_rows
from modelwright.training.losses.policy import Aggregation, token_weights
from modelwright.training.objectives import reference_free as objectives
from modelwright.training.objectives.next_token import next_token
from modelwright.training.objectives.objective import Objective
from modelwright.training.objectives.policy import PolicyLoss
from modelwright.training.objectives.policy import policy as policy_objective
from modelwright.training.objectives.preference import preference
from modelwright.training.objectives.reward import reward as reward_objective
from modelwright.training.objectives.scoring import scored_log_probabilities
from modelwright.training.objectives.unpaired import kto, with_baseline
from modelwright.training.pairs import PairBatch, TokenizedPair, pair_batch
from modelwright.training.parallel.world import ALONE
from modelwright.training.reinforcement.policy_batch import PolicyBatch
from modelwright.training.reinforcement.sampling import answer_log_probabilities
from modelwright.training.sequences import Layout, lay_out

Ids = list[int]
Text = tuple[Ids, Ids]
"""A prompt and an answer."""

MAX_COMPLETION = 12
SHORT = 4
"""Tokens of answers where their log-probability is summed and then amplified: DiscoPOP divides it
by τ = 0.05, RLOO exponentiates it. For long ones float32 rounds too much away in TRL's sums."""
USED_IDS = range(256)
"""What random texts are made of: single bytes, none of the special tokens, which come last."""


@dataclass(frozen=True)
class Folders:
    """A policy and a reference, tiny and random, and their tokenizer."""

    policy: Path
    reference: Path
    tokenizer: Path
    output: Path


@dataclass(frozen=True)
class Method:
    """One loss, twice: of a batch that ``examples`` draws.

    ``our_parameters`` are those of ``their_model`` by the same names.
    """

    examples: Callable[[random.Random], Any]
    theirs: Callable[[Any], Tensor]
    ours: Callable[[Any], Tensor]
    their_model: nn.Module
    our_parameters: dict[str, Tensor]


@dataclass(frozen=True)
class Difference:
    """Of one batch: the loss of each, and ‖difference‖ / ‖theirs‖ over all gradients together.

    Policy losses are means of terms of either sign, each about 1, which may cancel: one below 0.1
    counts as 0.1 when the difference is divided by it.
    """

    theirs: float
    ours: float
    gradient: float

    @property
    def loss(self) -> float:
        """Relative difference."""
        return abs(self.ours - self.theirs) / max(abs(self.theirs), 0.1)


def difference(method: Method, seed: int) -> Difference:
    """Both losses and their gradients on the random batch of that seed."""
    examples = method.examples(random.Random(seed))
    their_loss, our_loss = method.theirs(examples), method.ours(examples)
    names = list(method.our_parameters)
    their_parameters = dict(method.their_model.named_parameters())
    theirs = torch.autograd.grad(their_loss, [their_parameters[name] for name in names])
    ours = torch.autograd.grad(our_loss, [method.our_parameters[name] for name in names])
    squares = sum(float(((a - b).double() ** 2).sum()) for a, b in zip(theirs, ours, strict=True))
    scale = sum(float((a.double() ** 2).sum()) for a in theirs)
    if squares == 0:  # also where every token is clipped, and all gradients are 0
        return Difference(their_loss.item(), our_loss.item(), 0.0)
    return Difference(their_loss.item(), our_loss.item(), (squares / scale) ** 0.5)


def make_folders(root: Path) -> Folders:
    """Write the models and the tokenizer."""
    folders = Folders(root / "policy", root / "reference", root / "tokenizer", root / "output")
    folders.tokenizer.mkdir()
    train_tokenizer(["The quick brown fox jumps over the lazy dog, 1234 times."] * 20, 512,
                    folders.tokenizer)  # fmt: skip
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders.tokenizer)
    config = TransformerConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    for seed, folder in enumerate((folders.policy, folders.reference)):
        model = CausalLM(config)
        initialise(model, seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():  # no projection is zero, and the two models differ
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        folder.mkdir()
        save_model(model, folder)
    return folders


# What random batches are made of.


def ids(dice: random.Random, most: int) -> Ids:
    return dice.choices(USED_IDS, k=dice.randint(1, most))


def texts(dice: random.Random, longest: int = MAX_COMPLETION) -> list[Text]:
    return [(ids(dice, 8), ids(dice, longest)) for _ in range(dice.randint(2, 5))]


@dataclass(frozen=True)
class Pair:
    prompt: Ids
    chosen: Ids
    rejected: Ids
    margin: float


def pairs(dice: random.Random, longest: int = MAX_COMPLETION) -> list[Pair]:
    return [
        Pair(prompt, chosen, ids(dice, longest), dice.random())
        for prompt, chosen in texts(dice, longest)
    ]


@dataclass(frozen=True)
class Rollout:
    prompt: Ids
    completion: Ids
    old: list[float]
    advantage: float


# Our side.


def answer_sums(model: CausalLM, rows: list[Text]) -> Tensor:
    """Log-probability of each answer (B,)."""
    sequences = lay_out([joined(*row) for row in rows], Layout(0))
    return sequences.sums(scored_log_probabilities(model, sequences))


def pair_inputs(batch: list[Pair], with_margins: bool = False) -> PairBatch:
    return pair_batch(
        [
            TokenizedPair(
                joined(pair.prompt, pair.chosen),
                joined(pair.prompt, pair.rejected),
                pair.margin if with_margins else None,
            )
            for pair in batch
        ],
        Layout(0),
    )


def loss_of(objective: Objective, model: DecoderModel, batch: Any) -> Tensor:
    """Of a batch that is a whole step."""
    return objective(model, batch, batch.totals()).total


def parameters(model: nn.Module, without: str = "none") -> dict[str, Tensor]:
    return {name: value for name, value in model.named_parameters() if name != without}


# TRL's side.


def their_model(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def their_arguments(folders: Folders) -> dict[str, Any]:
    return {
        "output_dir": str(folders.output),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "per_device_train_batch_size": 4,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
    }


def tokenizer_of(folders: Folders) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folders.tokenizer)


def data_set(row: dict[str, Any]) -> Any:
    """What a trainer must be given at its start; the batches come later."""
    from datasets import Dataset

    return Dataset.from_list([row] * 4)


PAIR_ROW = {"prompt": "The quick", "chosen": " brown fox", "rejected": " lazy dog"}


def sft(folders: Folders) -> Method:
    """Only the answers are learnt; token mean."""
    from trl import SFTConfig, SFTTrainer

    row = {"prompt": PAIR_ROW["prompt"], "completion": PAIR_ROW["chosen"]}
    trainer = SFTTrainer(
        model=their_model(folders.policy),
        args=SFTConfig(max_length=None, **their_arguments(folders)),
        train_dataset=data_set(row),
        processing_class=tokenizer_of(folders),
    )
    policy = load_model(folders.policy)

    def theirs(batch: list[Text]) -> Tensor:
        rows = [
            {
                "input_ids": prompt + answer,
                "labels": [-100] * len(prompt) + answer,
                "completion_mask": [0] * len(prompt) + [1] * len(answer),
            }
            for prompt, answer in batch
        ]
        loss: Tensor = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
        return loss

    def ours(batch: list[Text]) -> Tensor:
        return loss_of(
            next_token, policy, example_batch([joined(*row) for row in batch], Layout(0))
        )

    return Method(texts, theirs, ours, trainer.model, parameters(policy))


def dpo(
    name: str,
    smoothing: float = 0.0,
    beta: float = 0.1,
    theirs: str = "",
    draw: Callable[[random.Random], list[Pair]] = pairs,
) -> Any:
    def make(folders: Folders) -> Method:
        from trl import DPOConfig, DPOTrainer

        trainer = DPOTrainer(
            model=their_model(folders.policy),
            ref_model=their_model(folders.reference),
            args=DPOConfig(
                loss_type=[theirs or name],
                beta=beta,
                label_smoothing=smoothing,
                **their_arguments(folders),
            ),
            train_dataset=data_set(PAIR_ROW),
            processing_class=tokenizer_of(folders),
        )
        policy, reference = load_model(folders.policy), load_model(folders.reference)

        def their_loss(batch: list[Pair]) -> Tensor:
            rows = [
                {
                    "prompt_ids": pair.prompt,
                    "chosen_ids": pair.chosen,
                    "rejected_ids": pair.rejected,
                }
                for pair in batch
            ]
            loss: Tensor = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
            return loss

        def our_loss(batch: list[Pair]) -> Tensor:
            inputs = pair_inputs(batch)
            rows = [(one.prompt, answer) for one in batch for answer in (one.chosen, one.rejected)]
            with torch.no_grad():
                inputs = replace(inputs, reference=answer_sums(reference, rows))
            return loss_of(preference({name: 1.0}, beta, smoothing), policy, inputs)

        return Method(draw, their_loss, our_loss, trainer.model, parameters(policy))

    return make


@dataclass(frozen=True)
class Judged:
    prompt: Ids
    answer: Ids
    desirable: bool


def kto_batch(dice: random.Random) -> list[Judged]:
    return [Judged(prompt, answer, dice.random() < 0.5) for prompt, answer in texts(dice)]


def unpaired(loss_type: str) -> Any:
    """Undesirable answers weigh 1.33."""

    def make(folders: Folders) -> Method:
        from trl import KTOConfig, KTOTrainer

        row = {"prompt": PAIR_ROW["prompt"], "completion": PAIR_ROW["chosen"], "label": True}
        trainer = KTOTrainer(
            model=their_model(folders.policy),
            ref_model=their_model(folders.reference),
            args=KTOConfig(
                loss_type=loss_type, undesirable_weight=1.33, **their_arguments(folders)
            ),
            train_dataset=data_set(row),
            processing_class=tokenizer_of(folders),
        )
        policy, reference = load_model(folders.policy), load_model(folders.reference)

        def their_loss(batch: list[Judged]) -> Tensor:
            rows = [
                {
                    "prompt_ids": judged.prompt,
                    "completion_ids": judged.answer,
                    "label": judged.desirable,
                }
                for judged in batch
            ]
            if loss_type == "kto":
                for row, other in zip(rows, partners(labelled(batch)), strict=True):
                    row["KL_completion_ids"] = batch[other].answer
            loss: Tensor = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
            return loss

        def our_loss(batch: list[Judged]) -> Tensor:
            inputs = labelled_inputs(reference, batch)
            if loss_type == "kto":
                with torch.no_grad():
                    (inputs,) = with_baseline(policy, [inputs], ALONE)
            return loss_of(kto(0.1, 1.0, 1.33), policy, inputs)

        return Method(kto_batch, their_loss, our_loss, trainer.model, parameters(policy))

    return make


def labelled(batch: list[Judged]) -> list[LabelledAnswer]:
    return [
        LabelledAnswer(
            tuple(one.prompt), tuple(one.answer), (True,) * len(one.answer), one.desirable
        )
        for one in batch
    ]


def labelled_inputs(reference: CausalLM, batch: list[Judged]) -> LabelledBatch:
    own = lay_out([joined(one.prompt, one.answer) for one in batch], Layout(0))
    others = lay_out(mismatch(labelled(batch), longest=64), Layout(0))
    with torch.no_grad():
        known, known_others = (
            sequences.sums(scored_log_probabilities(reference, sequences))
            for sequences in (own, others)
        )
    return LabelledBatch(
        own,
        others,
        torch.ones(len(batch)),
        torch.tensor([one.desirable for one in batch]),
        known,
        known_others,
        torch.zeros(()),
    )


def kto_baseline(policy: CausalLM, reference: CausalLM, batch: list[Judged]) -> Tensor:
    """z0 of a batch."""
    with torch.no_grad():
        (inputs,) = with_baseline(policy, [labelled_inputs(reference, batch)], ALONE)
    return inputs.baseline


def concatenated(trainer: Any, batch: list[Pair]) -> Any:
    """A batch in the form of TRL's ORPO and CPO."""
    rows = []
    for pair in batch:
        row = dict[str, Ids]()
        for side, answer in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            row[f"{side}_input_ids"] = pair.prompt + answer
            row[f"{side}_attention_mask"] = [1] * len(pair.prompt + answer)
            row[f"{side}_labels"] = [-100] * len(pair.prompt) + answer
        rows.append(row)
    return trainer.data_collator(rows)


def orpo(folders: Folders) -> Method:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    trainer = ORPOTrainer(
        model=their_model(folders.policy),
        args=ORPOConfig(beta=0.1, **their_arguments(folders)),
        train_dataset=data_set(PAIR_ROW),
        processing_class=tokenizer_of(folders),
    )
    policy = load_model(folders.policy)

    def theirs(batch: list[Pair]) -> Tensor:
        loss: Tensor = trainer.compute_loss(trainer.model, concatenated(trainer, batch))
        return loss

    def ours(batch: list[Pair]) -> Tensor:
        made = [
            TokenizedPair(joined(pair.prompt, pair.chosen), joined(pair.prompt, pair.rejected))
            for pair in batch
        ]
        inputs = pair_batch(made, Layout(0), scores_prompts=True)
        return loss_of(objectives.orpo(0.1), policy, inputs)

    return Method(pairs, theirs, ours, trainer.model, parameters(policy))


def cpo(loss_type: str, smoothing: float = 0.0) -> Any:
    beta, margin = (2.0, 0.5) if loss_type == "simpo" else (0.1, 0.0)
    likelihood = 0.0 if loss_type == "simpo" else 1.0

    def make(folders: Folders) -> Method:
        from trl.experimental.cpo import CPOConfig, CPOTrainer

        trainer = CPOTrainer(
            model=their_model(folders.policy),
            args=CPOConfig(
                loss_type=loss_type,
                beta=beta,
                simpo_gamma=margin,
                cpo_alpha=likelihood,
                label_smoothing=smoothing,
                **their_arguments(folders),
            ),
            train_dataset=data_set(PAIR_ROW),
            processing_class=tokenizer_of(folders),
        )
        policy = load_model(folders.policy)

        def theirs(batch: list[Pair]) -> Tensor:
            loss: Tensor = trainer.compute_loss(trainer.model, concatenated(trainer, batch))
            return loss

        def ours(batch: list[Pair]) -> Tensor:
            if loss_type == "simpo":
                objective = objectives.simpo(beta, margin, smoothing)
            else:
                objective = objectives.cpo(beta, likelihood, smoothing)
            return loss_of(objective, policy, pair_inputs(batch))

        return Method(pairs, theirs, ours, trainer.model, parameters(policy))

    return make


def reward(centring: float, with_margin: bool) -> Any:
    """The score is read at the last token, from a head that both have."""

    def make(folders: Folders) -> Method:
        from trl import RewardConfig, RewardTrainer

        torch.manual_seed(0)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            folders.policy, num_labels=1, dtype=torch.float32
        )
        trainer = RewardTrainer(
            model=model,
            args=RewardConfig(
                center_rewards_coefficient=centring or None, **their_arguments(folders)
            ),
            train_dataset=data_set(PAIR_ROW),
            processing_class=tokenizer_of(folders),
        )
        policy = classifier_from(load_model(folders.policy))
        policy.score.weight.data.copy_(model.score.weight.detach())

        def theirs(batch: list[Pair]) -> Tensor:
            rows = [
                {
                    "chosen_ids": pair.prompt + pair.chosen,
                    "rejected_ids": pair.prompt + pair.rejected,
                }
                | ({"margin": pair.margin} if with_margin else {})
                for pair in batch
            ]
            loss: Tensor = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
            return loss

        def ours(batch: list[Pair]) -> Tensor:
            return loss_of(reward_objective(centring), policy, pair_inputs(batch, with_margin))

        return Method(pairs, theirs, ours, trainer.model, parameters(policy))

    return make


@dataclass(frozen=True)
class PolicyMethod:
    """A policy loss of ours, and how TRL is told the same."""

    loss_type: str = "grpo"
    aggregation: Aggregation = "grpo"
    loss: PolicyLoss = field(default_factory=PolicyLoss)
    beta: float = 0.0
    options: tuple[tuple[str, Any], ...] = ()

    def loss_of(self, policy: CausalLM, reference: CausalLM, batch: list[Rollout]) -> Tensor:
        """Ours."""
        return loss_of(policy_objective(self.loss), policy, self.inputs(reference, batch))

    def inputs(self, reference: CausalLM, batch: list[Rollout]) -> PolicyBatch:
        rows = [(rollout.prompt, rollout.completion) for rollout in batch]
        sequences = lay_out([joined(*row) for row in rows], Layout(0))
        lengths = torch.tensor([len(rollout.completion) for rollout in batch])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        with torch.no_grad():
            known = answer_log_probabilities(self.loss.temperature)(reference, sequences)
        old = to_rows(torch.tensor([value for rollout in batch for value in rollout.old]), mask)
        weights, divisor = token_weights(self.aggregation, mask, MAX_COMPLETION)
        return PolicyBatch(
            sequences=sequences,
            mask=mask,
            places=mask.flatten().nonzero().flatten(),
            weights=torch.ones(len(batch), 1),
            token_weights=weights,
            divisor=float(divisor),
            advantages=torch.tensor([[rollout.advantage] for rollout in batch]),
            sampler=old,
            old=old,
            reference=to_rows(known, mask),
            old_values=None,
            returns=None,
            kl_coefficient=self.beta,
            facts={},
        )


def rollouts_of(
    policy: CausalLM, temperature: float = 1.0, longest: int = MAX_COMPLETION
) -> Callable[[random.Random], list[Rollout]]:
    """Rollouts of a policy that has moved on since: ratios lie on both sides of the clip."""

    def draw(dice: random.Random) -> list[Rollout]:
        rows = texts(dice, longest)
        sequences = lay_out([joined(*row) for row in rows], Layout(0))
        with torch.no_grad():
            values = answer_log_probabilities(temperature)(policy, sequences)
        old = iter(values.tolist())
        return [
            Rollout(
                prompt,
                answer,
                [min(next(old) + dice.gauss(0.0, 0.3), 0.0) for _ in answer],
                dice.gauss(0.5, 1.0),
            )
            for prompt, answer in rows
        ]

    return draw


def grpo(method: PolicyMethod) -> Any:
    def make(folders: Folders) -> Method:
        from trl import GRPOConfig, GRPOTrainer

        trainer = GRPOTrainer(
            model=their_model(folders.policy),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=GRPOConfig(
                loss_type=method.loss_type,
                beta=method.beta,
                use_bias_correction_kl=method.loss.is_kl_unbiased,
                temperature=method.loss.temperature,
                importance_sampling_level="token" if method.loss.level == "token" else "sequence",
                num_generations=4,
                max_completion_length=MAX_COMPLETION,
                **dict(method.options),
                **their_arguments(folders),
            ),
            train_dataset=data_set({"prompt": "The quick"}),
            processing_class=tokenizer_of(folders),
        )
        trainer.current_gradient_accumulation_steps = 1
        if method.beta:  # it has loaded the policy once more
            trainer.ref_model.load_state_dict(their_model(folders.reference).state_dict())
        policy, reference = load_model(folders.policy), load_model(folders.reference)

        def theirs(batch: list[Rollout]) -> Tensor:
            inputs = padded_rollouts(batch)
            if method.beta:
                inputs["ref_per_token_logps"] = reference_log_probabilities(trainer, inputs)
            trainer.model.train()
            loss: Tensor = trainer.compute_loss(trainer.model, inputs)
            return loss

        def ours(batch: list[Rollout]) -> Tensor:
            return method.loss_of(policy, reference, batch)

        draw = rollouts_of(policy, method.loss.temperature)
        return Method(draw, theirs, ours, trainer.model, parameters(policy))

    return make


def padded_rollouts(batch: list[Rollout]) -> dict[str, Tensor]:
    """A batch as TRL's GRPO trainer passes it on: prompts padded left, completions right."""
    prompts = [torch.tensor(rollout.prompt) for rollout in batch]
    completions = [torch.tensor(rollout.completion) for rollout in batch]
    mask = pad_sequence([torch.ones_like(one) for one in completions], True)
    return {
        "prompt_ids": pad_sequence(prompts, True, padding_side="left"),
        "prompt_mask": pad_sequence(
            [torch.ones_like(one) for one in prompts], True, padding_side="left"
        ),
        "completion_ids": pad_sequence(completions, True),
        "completion_mask": mask,
        "advantages": torch.tensor([rollout.advantage for rollout in batch]),
        "old_per_token_logps": pad_sequence([torch.tensor(one.old) for one in batch], True),
        "num_items_in_batch": mask.sum(),
    }


def reference_log_probabilities(trainer: Any, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        values: Tensor = trainer._get_per_token_logps_and_entropies(
            trainer.ref_model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
            inputs["completion_ids"].shape[1],
        )[0]
    return values


def rloo(folders: Folders) -> Method:
    from trl import RLOOConfig, RLOOTrainer

    trainer = RLOOTrainer(
        model=their_model(folders.policy),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=RLOOConfig(beta=0.0, num_generations=4, **their_arguments(folders)),
        train_dataset=data_set({"prompt": "The quick"}),
        processing_class=tokenizer_of(folders),
    )
    policy = load_model(folders.policy)
    method = PolicyMethod(loss=PolicyLoss(level="sequence_sum"))

    def theirs(batch: list[Rollout]) -> Tensor:
        inputs = padded_rollouts(batch)
        inputs["old_logps"] = torch.tensor([sum(rollout.old) for rollout in batch])
        trainer.model.train()
        loss: Tensor = trainer.compute_loss(trainer.model, inputs)
        return loss

    def ours(batch: list[Rollout]) -> Tensor:
        return method.loss_of(policy, policy, batch)

    draw = rollouts_of(policy, longest=SHORT)
    return Method(draw, theirs, ours, trainer.model, parameters(policy))


KL = 0.04

METHODS: dict[str, Callable[[Folders], Method]] = {
    "SFT, answers only": sft,
    "DPO sigmoid": dpo("sigmoid"),
    # Sorting one pair changes nothing: there TRL's AOT is conservative DPO, which it lacks.
    "DPO cdpo, ε 0.1 (TRL: aot of one pair)": dpo(
        "cdpo", 0.1, theirs="aot", draw=lambda dice: pairs(dice)[:1]
    ),
    "DPO robust, ε 0.1": dpo("robust", 0.1),
    "DPO sigmoid_norm": dpo("sigmoid_norm", beta=2.0),
    "DPO hinge": dpo("hinge"),
    "DPO ipo": dpo("ipo"),
    "DPO exo_pair, ε 0.1": dpo("exo_pair", 0.1),
    "DPO nca_pair": dpo("nca_pair"),
    "DPO bco_pair": dpo("bco_pair"),
    "DPO sppo_hard": dpo("sppo_hard"),
    "DPO aot, ε 0.1": dpo("aot", 0.1),
    "DPO aot_unpaired, ε 0.1": dpo("aot_unpaired", 0.1),
    "DPO apo_zero": dpo("apo_zero"),
    "DPO apo_down": dpo("apo_down"),
    "DPO discopop": dpo("discopop", draw=lambda dice: pairs(dice, SHORT)),
    "KTO": unpaired("kto"),
    "KTO apo_zero_unpaired": unpaired("apo_zero_unpaired"),
    "ORPO": orpo,
    "SimPO": cpo("simpo"),
    "CPO, ε 0.1": cpo("sigmoid", 0.1),
    "reward model": reward(0.0, with_margin=False),
    "reward model, margin and centring": reward(0.01, with_margin=True),
    "GRPO grpo": grpo(PolicyMethod()),
    "GRPO grpo, KL": grpo(PolicyMethod(beta=KL)),
    "GRPO grpo, KL not corrected": grpo(
        PolicyMethod(loss=PolicyLoss(is_kl_unbiased=False), beta=KL)
    ),
    "GRPO grpo, KL, temperature 0.7": grpo(PolicyMethod(loss=PolicyLoss(temperature=0.7), beta=KL)),
    "GRPO dr_grpo, KL": grpo(PolicyMethod("dr_grpo", "dr_grpo", beta=KL)),
    "GRPO bnpo, KL": grpo(PolicyMethod("bnpo", "bnpo", beta=KL)),
    "GRPO dapo, KL, ε 0.2 and 0.28": grpo(
        PolicyMethod("dapo", "dapo", PolicyLoss(clip_high=0.28), KL, (("epsilon_high", 0.28),))
    ),
    "GRPO dapo, δ 1.5": grpo(
        PolicyMethod("dapo", "dapo", PolicyLoss(ratio_ceiling=1.5), options=(("delta", 1.5),))
    ),
    "GSPO, KL": grpo(PolicyMethod(loss=PolicyLoss(level="sequence_mean"), beta=KL)),
    "GRPO luspo": grpo(PolicyMethod("luspo", "luspo", PolicyLoss(level="sequence_mean"))),
    "GRPO cispo, KL": grpo(
        PolicyMethod(
            "cispo", "dapo", PolicyLoss("cispo", clip_high=1.2), KL, (("epsilon_high", 1.2),)
        )
    ),
    "GRPO sapo, KL": grpo(PolicyMethod("sapo", "grpo", PolicyLoss("sapo"), KL)),
    "RLOO": rloo,
}
