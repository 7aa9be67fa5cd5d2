"""Tensors of which each process may hold a piece (DTensor), and the whole of them.

DTensors are told by their methods: importing their module takes most of a second, and who trains
alone has none.
"""

from __future__ import annotations

from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process holds only a piece."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor; where it lies in pieces, every process must ask for it."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def piece_of(tensor: Tensor) -> Tensor:
    """The piece of this process, or all of a tensor that lies in none; shares its memory."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def like(pattern: Tensor, tensor: Tensor) -> Tensor:
    """A whole tensor, the same in every process, laid out as ``pattern`` is."""
    if not is_sharded(pattern):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(pattern, DTensor)
    mesh, placements = pattern.device_mesh, pattern.placements
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None)


def assembled(pattern: Tensor, piece: Tensor) -> Tensor:
    """The whole of what each process has a piece of, laid out as ``pattern`` is."""
    if not is_sharded(pattern):
        return piece
    from torch.distributed.tensor import DTensor

    assert isinstance(pattern, DTensor)
    mesh, placements = pattern.device_mesh, pattern.placements
    return DTensor.from_local(
        piece, mesh, placements, shape=pattern.shape, stride=pattern.stride()
    ).full_tensor()
