"""From logits to tokens: pure functions of what the model says and what was asked for.

None of them reads a number back from the device, so that the host can go on while it works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Generator, Tensor

from modelwright.inference.sampling import SamplingParams
from modelwright.inference.transfer import to_device


@dataclass(frozen=True)
class SamplingRows:
    """What the rows of a batch ask for, as tensors where the logits are.

    Each is made when it is first needed, and good for every step of the same rows.

    Attributes
    ----------
    params : list of SamplingParams
        One for each row.
    device : torch.device
        Where the logits are.
    """

    params: list[SamplingParams]
    device: torch.device

    @cached_property
    def is_all_greedy(self) -> bool:
        """Whether nothing is drawn."""
        return all(row.is_greedy for row in self.params)

    @cached_property
    def greedy(self) -> Tensor:
        """Which rows take the likeliest token (B,), bool."""
        return to_device([row.is_greedy for row in self.params], torch.bool, self.device)

    @cached_property
    def temperature(self) -> Tensor:
        """What logits are divided by (B, 1), float32; 1 for greedy rows."""
        rows = [1.0 if row.is_greedy else row.temperature for row in self.params]
        return self._column(rows)

    @cached_property
    def unlikely(self) -> tuple[Tensor, Tensor] | None:
        """Rows (R,) that leave out what is unlikely, and their min-p (R, 1); None if there is none.

        Only those that ask for it, so that no row depends on what its neighbours ask for.
        """
        some = [row for row, one in enumerate(self.params) if one.min_p and not one.is_greedy]
        if not some:
            return None
        return self._rows(some), self._column([self.params[row].min_p for row in some])

    @cached_property
    def truncated(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Rows (R,) that keep few, their top-k (or 0) and top-p (R, 1); None if there is none."""
        some = [
            row
            for row, one in enumerate(self.params)
            if (one.top_k or one.top_p < 1) and not one.is_greedy
        ]
        if not some:
            return None
        top_k = to_device([self.params[row].top_k for row in some], torch.int64, self.device)
        top_p = self._column([self.params[row].top_p for row in some])
        return self._rows(some), top_k[:, None], top_p

    def _rows(self, rows: list[int]) -> Tensor:
        return to_device(rows, torch.int64, self.device)

    def _column(self, numbers: list[float]) -> Tensor:
        return to_device(numbers, torch.float32, self.device)[:, None]


def chosen_log_probabilities(logits: Tensor, tokens: Tensor, rows: SamplingRows) -> Tensor:
    """Log-probabilities (B,) float32 of chosen tokens (B,) after temperature; 1 for greedy rows."""
    logs = (logits.float() / rows.temperature).log_softmax(dim=-1)
    return logs.gather(1, tokens[:, None]).squeeze(1)


def make_generator(params: SamplingParams) -> Generator:
    """A source of randomness for one sequence, so that it does not depend on its neighbours.

    It is the host's, so that a seed means the same numbers whatever runs the model.
    """
    generator = Generator()
    if params.seed is None:
        generator.seed()
    else:
        generator.manual_seed(params.seed)
    return generator


def sample(logits: Tensor, rows: SamplingRows, generators: Sequence[Generator]) -> Tensor:
    """Choose a token for each row.

    Parameters
    ----------
    logits : Tensor
        Unnormalised log-probabilities (B, V).
    rows : SamplingRows
        What each row asks for.
    generators : sequence of torch.Generator
        One for each row; a greedy row does not use its own.

    Returns
    -------
    Tensor
        Token ids (B,), int64.
    """
    likeliest = _likeliest(logits)
    if rows.is_all_greedy:
        return likeliest
    drawn = draw(probabilities(logits, rows), noise_of(rows, generators))
    return torch.where(rows.greedy, likeliest, drawn)


def _likeliest(logits: Tensor) -> Tensor:
    if logits.device.type != "cpu":
        return logits.argmax(dim=-1)
    return torch.from_numpy(logits.numpy().argmax(axis=-1))  # NumPy's takes a twentieth of the time


def are_finite(logits: Tensor) -> list[bool]:
    """Whether what the model says is, for each row (B, V): a token can be chosen from it."""
    if logits.device.type == "cpu":  # PyTorch's threads would be in the way of the kernels'
        return [bool(one) for one in np.isfinite(logits.numpy().max(axis=-1))]
    found: list[bool] = torch.isfinite(logits.amax(dim=-1)).tolist()
    return found


def probabilities(logits: Tensor, rows: SamplingRows) -> Tensor:
    """The distribution (B, V) to draw from: after temperature, then min-p, top-k and top-p.

    A greedy row is given at temperature 1, untouched otherwise.
    """
    out = (logits.float() / rows.temperature).softmax(dim=-1)
    if rows.unlikely is not None:
        some, shares = rows.unlikely
        out[some] = _without_unlikely(out[some], shares)
    if rows.truncated is not None:
        some, top_k, top_p = rows.truncated
        out[some] = _truncate(out[some], top_k, top_p)
    return out


def _without_unlikely(probability: Tensor, shares: Tensor) -> Tensor:
    """Zero what is less likely than min_p times the likeliest, and normalise."""
    kept = probability.masked_fill(probability < shares * probability.amax(-1, keepdim=True), 0)
    return kept / _total(kept)


def _total(rows: Tensor) -> Tensor:
    """Sums (B, 1) in an order that does not depend on B, as that of ``sum`` does."""
    return rows.cumsum(dim=-1)[:, -1:]


def _truncate(probability: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Zero what top-k and top-p leave out, and normalise; ties are broken by the lower id."""
    ordered, order = probability.sort(dim=-1, descending=True, stable=True)
    place = torch.arange(probability.shape[-1], device=probability.device)
    ordered = ordered * ((place < top_k) | (top_k == 0))
    ordered = ordered / _total(ordered)
    before = ordered.cumsum(dim=-1) - ordered
    # top_p 1 keeps all, though a rounded sum may pass 1 early; the likeliest token always stays.
    is_kept = (before < top_p) | (top_p >= 1)
    is_kept[:, 0] = True
    ordered = ordered * is_kept
    ordered = ordered / _total(ordered)
    return torch.zeros_like(probability).scatter_(-1, order, ordered)


def noise_of(rows: SamplingRows, generators: Sequence[Generator]) -> Tensor:
    """The next uniform number (B, 1) of each row's own source, on the device; 0 if greedy."""
    # In double precision, so that unlikely tokens of a large vocabulary keep their share.
    wide = torch.float32 if rows.device.type == "mps" else torch.float64
    noise = torch.zeros(len(rows.params), 1, dtype=wide)
    for row, (params, generator) in enumerate(zip(rows.params, generators, strict=True)):
        if not params.is_greedy:
            noise[row].uniform_(generator=generator)
    return to_device(noise, wide, rows.device)


def draw(probability: Tensor, noise: Tensor) -> Tensor:
    """Draw a token (B,) from each row's distribution by a uniform number (B, 1) for each.

    The number is looked up in the row's cumulated probabilities. Racing exponential times for all
    V tokens, as torch.multinomial does, takes about ten times as long on a CPU.
    """
    cumulated = probability.to(noise.dtype).cumsum(dim=-1)
    total = cumulated[:, -1:]
    # Below the total even if the product was rounded up: the token found has a probability.
    wanted = torch.minimum(noise * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulated, wanted, right=True).squeeze(1)
