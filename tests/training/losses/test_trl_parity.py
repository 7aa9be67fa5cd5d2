"""Every loss and its gradients equal those of TRL 1.16.0's trainers, on the same batches."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import trl_methods
from trl_methods import METHODS, Folders, difference, kto_baseline, kto_batch, make_folders

from modelwright.models.pretrained import load_model
from modelwright.training.labelled import LabelledAnswer, partners
from modelwright.training.losses.advantages import group_advantages, leave_one_out_advantages

trl = pytest.importorskip("trl", reason="TRL, the reference, is not installed")
pytestmark = pytest.mark.skipif(
    trl.__version__ != "1.16.0", reason=f"compared with TRL 1.16.0, here is {trl.__version__}"
)

LIMIT = 1e-5
BATCHES = 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return make_folders(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("name", METHODS)
def test_loss_and_gradients(name: str, folders: Folders) -> None:
    method = METHODS[name](folders)
    for seed in range(BATCHES):
        found = difference(method, seed)
        assert found.loss <= LIMIT, (seed, found)
        assert found.gradient <= LIMIT, (seed, found)


def test_the_batches_of_kto_have_a_baseline_above_zero_and_at_zero(folders: Folders) -> None:
    policy, reference = load_model(folders.policy), load_model(folders.reference)
    baselines = [
        kto_baseline(policy, reference, kto_batch(random.Random(seed))) for seed in range(BATCHES)
    ]
    assert max(baselines) > 0.1
    assert min(baselines) == 0


def test_trl_mismatches_the_same_answers(folders: Folders) -> None:
    from datasets import Dataset

    rows = [
        {"prompt": f"{number}:", "completion": f" {number}{number}", "label": number < 3}
        for number in range(4)
    ]
    trainer = trl.KTOTrainer(
        model=trl_methods.their_model(folders.policy),
        ref_model=trl_methods.their_model(folders.reference),
        args=trl.KTOConfig(**trl_methods.their_arguments(folders)),
        train_dataset=Dataset.from_list(rows),
        processing_class=trl_methods.tokenizer_of(folders),
    )
    answers = list(trainer.train_dataset["completion_ids"])
    ours = [LabelledAnswer((number,), (), (), is_good=True) for number in range(4)]
    wanted = [answers[other] for other in partners(ours)]
    assert list(trainer.train_dataset["KL_completion_ids"]) == wanted


REWARDS = [1.0, 0.0, 0.0, None, 0.25, 0.25, 2.0, -1.0]
"""Of two groups of four; one could not be judged."""


def trl_advantages(folders: Folders, trainer_class: Any, config: Any) -> torch.Tensor:
    """What a trainer makes of REWARDS for eight answers that it samples."""
    trainer = trainer_class(
        model=trl_methods.their_model(folders.policy),
        reward_funcs=lambda completions, **_: REWARDS,
        args=config,
        train_dataset=trl_methods.data_set({"prompt": "The quick"}),
        processing_class=trl_methods.tokenizer_of(folders),
    )
    found = trainer._generate_and_score_completions([{"prompt": "The quick"}] * 8)
    advantages: torch.Tensor = found["advantages"]
    return advantages


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_group_advantages(scale: Any, folders: Folders) -> None:
    config = trl.GRPOConfig(
        scale_rewards=scale,
        num_generations=4,
        max_completion_length=2,
        **trl_methods.their_arguments(folders) | {"per_device_train_batch_size": 8},
    )
    theirs = trl_advantages(folders, trl.GRPOTrainer, config)
    rewards = torch.tensor([float("nan") if one is None else one for one in REWARDS]).view(2, 4)
    torch.testing.assert_close(group_advantages(rewards, scale).flatten(), theirs)


def test_leave_one_out_advantages(folders: Folders) -> None:
    config = trl.RLOOConfig(
        beta=0.0,
        num_generations=4,
        max_completion_length=2,
        **trl_methods.their_arguments(folders) | {"per_device_train_batch_size": 8},
    )
    theirs = trl_advantages(folders, trl.RLOOTrainer, config)
    rewards = torch.tensor([float("nan") if one is None else one for one in REWARDS]).view(2, 4)
    torch.testing.assert_close(leave_one_out_advantages(rewards).flatten(), theirs)
