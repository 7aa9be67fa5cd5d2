"""Between host and device without waiting for what the device has still to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def to_device(
    numbers: Sequence[float] | Tensor, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Numbers as a tensor on a device, in its order of things to do.

    A copy from memory that the system may move would wait until the device has done all that it
    was told before; PyTorch gives pinned memory to no one else until the copy is made.
    """
    host = torch.as_tensor(numbers, dtype=dtype)
    if device.type != "cuda":
        return host.to(device)
    return host.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class OnItsWay:
    """A tensor that comes from a device.

    Attributes
    ----------
    host : Tensor
        Where it comes to.
    event : torch.cuda.Event, optional
        When it is there; None if it is already.
    """

    host: Tensor
    event: torch.cuda.Event | None

    @classmethod
    def of(cls, tensor: Tensor) -> OnItsWay:
        """Begin to copy a tensor to the host."""
        if tensor.device.type != "cuda":
            return cls(tensor.cpu(), None)
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return cls(host, event)

    def wait(self) -> Tensor:
        """The tensor, once it has come."""
        if self.event is not None:
            self.event.synchronize()
        return self.host
