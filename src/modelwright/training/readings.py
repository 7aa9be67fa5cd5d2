"""Numbers on their way from the device to the program, which need not wait for them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Reading:
    """Copies of scalars, under way since it was made.

    Parameters
    ----------
    values : mapping of str to Tensor
        0-d tensors on one device.
    """

    def __init__(self, values: Mapping[str, Tensor]):
        self._names = list(values)
        stacked = torch.stack([value.detach().float() for value in values.values()])
        self._copied: torch.cuda.Event | None = None
        if stacked.is_cuda:
            # Reading a tensor on the device waits for everything queued there, later steps too.
            pinned = torch.empty(stacked.shape, pin_memory=True)
            self._numbers = pinned.copy_(stacked, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()
        else:
            self._numbers = stacked.cpu()

    def read(self) -> dict[str, float]:
        """The values; waits until they are there."""
        if self._copied is not None:
            self._copied.synchronize()
        return dict(zip(self._names, self._numbers.tolist(), strict=True))
