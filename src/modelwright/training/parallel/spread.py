"""How one model's work is spread over processes: copies of it (DDP), or pieces (FSDP2)."""

from __future__ import annotations

from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from modelwright.models.transformer import DecoderModel
from modelwright.training.micro_batch import MicroBatch, Totals
from modelwright.training.objectives.objective import Losses, Objective
from modelwright.training.parallel.forward import Forward
from modelwright.training.parallel.world import World


def shard(model: DecoderModel, world: World) -> None:
    """Keep only this process's piece of each parameter, as a DTensor, from now on (FSDP2).

    Blocks are gathered one at a time when they are needed (Zhao et al. 2023, arXiv:2304.11277).
    """
    mesh = init_device_mesh(next(model.parameters()).device.type, (world.size,))
    for block in model.model.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "hidden_states")


def forward_together(model: DecoderModel, objective: Objective) -> Forward:
    """Several processes, with a model that was sharded, or is copied to each."""
    if isinstance(model, FSDPModule):
        return _forward_sharded(model, objective)
    copied = DistributedDataParallel(
        _Objective(model, objective),
        broadcast_buffers=False,  # tables and frozen weights are the same in each
    )

    def forward(batch: MicroBatch, totals: Totals, is_last: bool) -> Losses:
        copied.require_backward_grad_sync = is_last  # as its no_sync(), which is a context
        losses: Losses = copied(batch, totals)
        return losses

    return forward


def _forward_sharded(model: FSDPModule, objective: Objective) -> Forward:
    assert isinstance(model, DecoderModel)  # FSDP2 makes a subclass of both

    def forward(batch: MicroBatch, totals: Totals, is_last: bool) -> Losses:
        model.set_requires_gradient_sync(is_last)
        return objective(model, batch, totals)

    return forward


class _Objective(nn.Module):
    """A model under an objective: what DDP takes for a module."""

    def __init__(self, model: DecoderModel, objective: Objective):
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: MicroBatch, totals: Totals) -> Losses:
        return self.objective(self.model, batch, totals)
