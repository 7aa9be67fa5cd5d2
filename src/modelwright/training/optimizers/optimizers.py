"""Optimizers by parameter group: Muon for the blocks' matrices, AdamW for all the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modelwright.core.errors import InputError
from modelwright.models.sharded import like, whole
from modelwright.training.names import OptimizerName
from modelwright.training.optimizers.muon import Muon
from modelwright.training.optimizers.parameter_groups import GroupName, parameter_groups


@dataclass(frozen=True)
class OptimizerSettings:
    """Peak learning rates and their constants.

    Attributes
    ----------
    name : {"muon", "adamw"}
        Optimizer of the matrices in the blocks; everything else gets AdamW.
    learning_rate : float
        Of embeddings, head and vectors (and with ``adamw`` of the matrices).
    matrix_learning_rate : float
        Of Muon.
    weight_decay : float
        Decoupled, times the rate; vectors are not decayed.
    beta1, beta2 : float
        AdamW's averages of gradients and of their squares.
    adapter_b_rate : float
        Rate of the matrices B of adapters, over that of their matrices A (LoRA+).
    matrix_precision : torch.dtype
        Of Muon's matrix products; bfloat16 is good enough (Jordan et al. 2024).
    """

    name: OptimizerName
    learning_rate: float
    matrix_learning_rate: float
    weight_decay: float
    beta1: float = 0.9
    beta2: float = 0.95
    adapter_b_rate: float = 1.0
    matrix_precision: torch.dtype = torch.float32

    def rate(self, group: GroupName) -> float:
        """Peak learning rate of a group."""
        is_by_muon = self.name == "muon" and group == "matrices"
        if group == "adapter_b":
            return self.adapter_b_rate * self.learning_rate
        return self.matrix_learning_rate if is_by_muon else self.learning_rate

    def decay(self, group: GroupName) -> float:
        """Weight decay of a group."""
        return 0.0 if group == "vectors" else self.weight_decay


class Optimizers:
    """The optimizers of one model, stepped together, with state by parameter name.

    Parameters
    ----------
    model : nn.Module
        Its parameters are split by
        :func:`~modelwright.training.optimizers.parameter_groups.parameter_groups`.
    settings : OptimizerSettings
        With ``muon``, matrices get Muon with update sizes matched to AdamW's; with ``adamw``,
        everything gets AdamW.
    """

    def __init__(self, model: nn.Module, settings: OptimizerSettings):
        groups = {name: group for name, group in parameter_groups(model).items() if group}
        muons: set[GroupName] = {"matrices"} if settings.name == "muon" else set()
        by_muon = [name for name in groups if name in muons]
        by_adamw = [name for name in groups if name not in muons]
        self.peak_learning_rate = settings.learning_rate
        self.optimizers: list[torch.optim.Optimizer] = []
        if by_muon:
            self.optimizers.append(
                Muon(_param_groups(groups, by_muon, settings), dtype=settings.matrix_precision)
            )
        if by_adamw:
            self.optimizers.append(
                torch.optim.AdamW(
                    _param_groups(groups, by_adamw, settings),
                    betas=(settings.beta1, settings.beta2),
                    eps=1e-10,
                    fused=True,
                )
            )
        names = {p: name for group in groups.values() for name, p in group.items()}
        self._by_name = {
            names[parameter]: (optimizer, parameter)
            for optimizer in self.optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        }

    def step(
        self, multiplier: float, is_good: Tensor | None = None, is_measured: bool = False
    ) -> Tensor | None:
        """One step at ``multiplier`` times the peak learning rates; then drop the gradients.

        Parameters
        ----------
        multiplier : float
            Of the schedule.
        is_good : Tensor, optional
            0-d bool where the parameters are: whether the step is to be taken. A GPU finds out
            by itself, nobody waits for it.
        is_measured : bool
            Whether to say how much the parameters change.

        Returns
        -------
        Tensor or None
            Norm of the change of all parameters, 0-d, if it was asked for.
        """
        is_left_to_device = is_good is not None and is_good.is_cuda
        if is_good is None or is_left_to_device or bool(is_good):
            parameters = [parameter for _, parameter in self._by_name.values()]
            before = [p.detach().clone() for p in parameters] if is_measured else []
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * multiplier
                # By this name torch's gradient scaler tells optimizers not to take a step.
                optimizer.found_inf = (~is_good).float() if is_left_to_device else None  # type: ignore[attr-defined, operator]
                optimizer.step()
            change = _distance(before, parameters) if is_measured else None
        else:
            change = None
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        return change

    def state_tensors(self) -> dict[str, Tensor]:
        """All state, by ``parameter name / state name``."""
        return {
            f"{name}/{key}": whole(value).detach().cpu().contiguous()
            for name, (optimizer, parameter) in self._by_name.items()
            for key, value in optimizer.state[parameter].items()
        }

    @torch.no_grad()
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
            value = value.to(parameter.device)
            is_of_parameter = value.shape == parameter.shape  # not a count of steps
            if is_of_parameter:  # laid out in memory as the parameter is: fused steps rely on it
                value = torch.empty_like(parameter).copy_(like(parameter, value))
            optimizer.state[parameter][key] = value


@torch.no_grad()
def _distance(before: list[Tensor], after: list[nn.Parameter]) -> Tensor:
    """Norm of all changes together; the tensors in ``before`` are used up."""
    torch._foreach_sub_(before, list(after))
    return whole(torch.nn.utils.get_total_norm(before))


def _param_groups(
    groups: dict[GroupName, dict[str, nn.Parameter]],
    names: list[GroupName],
    settings: OptimizerSettings,
) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "params": list(groups[name].values()),
            "lr": settings.rate(name),
            "peak_lr": settings.rate(name),
            "weight_decay": settings.decay(name),
        }
        for name in names
    ]
