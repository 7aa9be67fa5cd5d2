"""Optimizers by parameter group: Muon for the blocks' matrices, AdamW for all the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from modelwright.core.errors import InputError

OptimizerName = Literal["muon", "adamw"]


@dataclass(frozen=True)
class OptimizerSettings:
    """Peak learning rates and their constants."""

    name: OptimizerName
    learning_rate: float
    matrix_learning_rate: float
    weight_decay: float
    beta1: float = 0.9
    beta2: float = 0.95


class Optimizers:
    """The optimizers of one model, stepped together, with state by parameter name.

    Parameters
    ----------
    model : nn.Module
        Its parameters are split into groups: matrices inside the blocks; embeddings, head and
        vectors. Vectors (norms) are not decayed.
    settings : OptimizerSettings
        With ``muon``, matrices get Muon (Jordan et al. 2024) with update sizes matched to AdamW's
        (Liu et al. 2025, arXiv:2502.16982); with ``adamw``, everything gets AdamW.
    """

    def __init__(self, model: nn.Module, settings: OptimizerSettings):
        named = dict(model.named_parameters())
        matrices = {n: p for n, p in named.items() if p.dim() == 2 and ".layers." in f".{n}"}
        tables = {n: p for n, p in named.items() if p.dim() == 2 and n not in matrices}
        vectors = {n: p for n, p in named.items() if p.dim() != 2}
        adamw_groups = [
            _group(tables, settings.learning_rate, settings.weight_decay),
            _group(vectors, settings.learning_rate, 0.0),
        ]
        self.peak_learning_rate = settings.learning_rate
        self.optimizers: list[torch.optim.Optimizer] = []
        if settings.name == "muon":
            self.optimizers.append(
                torch.optim.Muon(
                    [_group(matrices, settings.matrix_learning_rate, settings.weight_decay)],
                    lr=settings.matrix_learning_rate,
                    momentum=0.95,
                    nesterov=True,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        else:
            adamw_groups.append(_group(matrices, settings.learning_rate, settings.weight_decay))
        self.optimizers.append(
            torch.optim.AdamW(
                adamw_groups,
                lr=settings.learning_rate,
                betas=(settings.beta1, settings.beta2),
                eps=1e-10,
                fused=True,
            )
        )

        names = {parameter: name for name, parameter in named.items()}
        self._by_name = {
            names[parameter]: (optimizer, parameter)
            for optimizer in self.optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        }

    def step(self, multiplier: float) -> None:
        """One step at ``multiplier`` times the peak learning rates; then drop the gradients."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * multiplier
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_tensors(self) -> dict[str, Tensor]:
        """All state, by ``parameter name / state name``."""
        return {
            f"{name}/{key}": value.detach().cpu().contiguous()
            for name, (optimizer, parameter) in self._by_name.items()
            for key, value in optimizer.state[parameter].items()
        }

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_tensors` gave.

        Raises
        ------
        InputError
            If a parameter of that name is not here.
        """
        for full_name, value in tensors.items():
            name, key = full_name.rsplit("/", 1)
            if name not in self._by_name:
                raise InputError(f"the checkpoint's optimizer knows '{name}', the model does not")
            optimizer, parameter = self._by_name[name]
            optimizer.state[parameter][key] = value.to(parameter.device)


def _group(parameters: dict[str, nn.Parameter], rate: float, decay: float) -> dict[str, object]:
    return {
        "params": list(parameters.values()),
        "lr": rate,
        "peak_lr": rate,
        "weight_decay": decay,
    }
