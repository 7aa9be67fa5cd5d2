"""A rollout: answers of the model to some prompts, and what rewards and models say of them.

Shapes in comments: P prompts, G answers to each, N = P·G answers, L ids of the longest answer.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelwright.core.files import write_json
from modelwright.models.pretrained import load_tensors, save_tensors


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes
    ----------
    prompt : int
        Number of the prompt.
    ids : list of int
        Its ids, the one that ended it included.
    text : str
        What they say.
    is_finished : bool
        Whether it ended by itself.
    log_probabilities : list of float
        Of the ids, as the sampler drew them.
    """

    prompt: int
    ids: list[int]
    text: str
    is_finished: bool
    log_probabilities: list[float]


@dataclass(frozen=True)
class Rollout:
    """Answers and their rewards; prompts with the same number follow each other, G of each.

    Attributes
    ----------
    number : int
        Which rollout of the run it is, from 0.
    answers : list of Answer
        N of them.
    rewards : Tensor
        (P, G), float32; nan where no reward applies.
    parts : dict of str to list
        The single rewards by name, N values or None each.
    tensors : dict of str to Tensor
        What models said: ``old``, ``reference``, ``values``, each (N, L), float32.
    kl_coefficient : float
        β of this rollout.
    facts : dict of str to float
        What is to be logged of it.
    """

    number: int
    answers: list[Answer]
    rewards: Tensor
    parts: dict[str, list[float | None]]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    kl_coefficient: float = 0.0
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def group(self) -> int:
        """Answers to each prompt, G."""
        return self.rewards.shape[1]

    def mask(self) -> Tensor:
        """Which of (N, L) are ids of an answer, bool."""
        lengths = torch.tensor([len(answer.ids) for answer in self.answers])
        return torch.arange(int(lengths.max())) < lengths[:, None]

    def sampler(self) -> Tensor:
        """Log-probabilities with which the ids were drawn (N, L), 0 elsewhere."""
        mask = self.mask()
        drawn = [value for answer in self.answers for value in answer.log_probabilities]
        return torch.zeros(mask.shape).masked_scatter(mask, torch.tensor(drawn))


def save_rollout(rollout: Rollout, folder: Path) -> None:
    """Write a rollout; the JSON file comes last, without it there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(
        {**rollout.tensors, "rewards": rollout.rewards.contiguous()},
        folder / f"{rollout.number:06d}.safetensors",
    )
    content: dict[str, Any] = {
        "answers": [asdict(answer) for answer in rollout.answers],
        "parts": rollout.parts,
        "kl_coefficient": rollout.kl_coefficient,
        "facts": rollout.facts,
    }
    write_json(folder / f"{rollout.number:06d}.json", content)


def load_rollout(folder: Path, number: int) -> Rollout | None:
    """The rollout of that number, if it was written."""
    path = folder / f"{number:06d}.json"
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    tensors = load_tensors(path.with_suffix(".safetensors"))
    return Rollout(
        number=number,
        answers=[Answer(**answer) for answer in content["answers"]],
        rewards=tensors.pop("rewards"),
        parts=content["parts"],
        tensors=tensors,
        kl_coefficient=content["kl_coefficient"],
        facts=content["facts"],
    )


def forget_rollouts_before(folder: Path, number: int) -> None:
    """Remove rollouts that no checkpoint can need any more."""
    for path in folder.glob("*.json"):
        if int(path.stem) < number:
            path.unlink()
            path.with_suffix(".safetensors").unlink(missing_ok=True)
