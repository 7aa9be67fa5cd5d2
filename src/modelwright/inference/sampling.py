"""How the next token is chosen: sampling parameters, and pure functions from logits to tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from modelwright.core.errors import InputError

MAX_SEED = 2**63 - 1
MAX_STOP_STRINGS = 16

_COLDEST = 1e-5
"""Below this temperature the distribution is one-hot in float32, and division may overflow."""


@dataclass(frozen=True)
class SamplingParams:
    """What one generation asks for.

    Attributes
    ----------
    max_tokens : int
        Most tokens to generate, the one that ends the text included.
    temperature : float
        Divides the logits; 0 always takes the likeliest token.
    top_k : int
        Keep this many likeliest tokens; 0 keeps all.
    top_p : float
        Keep the likeliest tokens that together reach this probability (nucleus sampling,
        Holtzman et al. 2020, arXiv:1904.09751).
    stop : tuple of str
        Texts at which generation ends; they are not part of the result.
    seed : int or None
        Makes the choice repeatable; None draws a new seed each time.
    log_probabilities : bool
        Whether to keep the log-probability of every token that was chosen, after temperature and
        before top-k and top-p.
    """

    max_tokens: int
    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    log_probabilities: bool = False

    def __post_init__(self) -> None:
        self._check("max_tokens", self.max_tokens >= 1, "at least 1")
        warm = math.isfinite(self.temperature) and self.temperature >= 0
        self._check("temperature", warm, "0 or more, and finite")
        self._check("top_k", self.top_k >= 0, "0 (all) or more")
        self._check("top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        stops = all(self.stop) and len(self.stop) <= MAX_STOP_STRINGS
        self._check("stop", stops, f"at most {MAX_STOP_STRINGS} texts, none of them empty")
        seeded = self.seed is None or 0 <= self.seed <= MAX_SEED
        self._check("seed", seeded, f"between 0 and {MAX_SEED}")

    def _check(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(
                f"{name} must be {expected}; got {getattr(self, name)!r}", fix=f"correct {name}"
            )

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < _COLDEST


def chosen_log_probabilities(
    logits: Tensor, tokens: Tensor, params: Sequence[SamplingParams]
) -> Tensor:
    """Log-probabilities (B,) float32 of chosen tokens (B,) after temperature; 1 for greedy rows."""
    rows = [1.0 if row.is_greedy else row.temperature for row in params]
    temperature = logits.new_tensor(rows, dtype=torch.float32)
    logs = (logits.float() / temperature[:, None]).log_softmax(dim=-1)
    return logs.gather(1, tokens[:, None]).squeeze(1)


def make_generator(params: SamplingParams, device: torch.device | str) -> Generator:
    """A source of randomness for one sequence, so that it does not depend on its neighbours."""
    generator = Generator(device)
    if params.seed is None:
        generator.seed()
    else:
        generator.manual_seed(params.seed)
    return generator


def sample(
    logits: Tensor, params: Sequence[SamplingParams], generators: Sequence[Generator]
) -> Tensor:
    """Choose a token for each row.

    Parameters
    ----------
    logits : Tensor
        Unnormalised log-probabilities (B, V).
    params : sequence of SamplingParams
        One for each row.
    generators : sequence of torch.Generator
        One for each row; a greedy row does not use its own.

    Returns
    -------
    Tensor
        Token ids (B,), int64.
    """
    if all(row.is_greedy for row in params):
        return logits.argmax(dim=-1)
    return draw(probabilities(logits, params), params, generators)


def probabilities(logits: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """The distribution (B, V) to draw from: after temperature, then top-k, then top-p.

    A greedy row is given at temperature 1, untouched otherwise.
    """
    rows = [SamplingParams(max_tokens=1, temperature=1.0) if p.is_greedy else p for p in params]
    temperature = logits.new_tensor([row.temperature for row in rows], dtype=torch.float32)
    out = (logits.float() / temperature[:, None]).softmax(dim=-1)
    if any(row.top_k or row.top_p < 1 for row in rows):
        out = _truncate(out, rows)
    return out


def _truncate(probability: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Zero what top-k and top-p leave out, and normalise; ties are broken by the lower id."""
    vocabulary = probability.shape[-1]
    top_k = [min(row.top_k, vocabulary) or vocabulary for row in params]
    k = torch.tensor(top_k, device=probability.device)
    p = probability.new_tensor([row.top_p for row in params])
    ordered, order = probability.sort(dim=-1, descending=True, stable=True)
    ordered = ordered * (torch.arange(vocabulary, device=k.device) < k[:, None])
    ordered = ordered / ordered.sum(dim=-1, keepdim=True)
    before = ordered.cumsum(dim=-1) - ordered
    # top_p 1 keeps all, though a rounded sum may pass 1 early; the likeliest token always stays.
    is_kept = (before < p[:, None]) | (p[:, None] >= 1)
    is_kept[:, 0] = True
    ordered = ordered * is_kept
    ordered = ordered / ordered.sum(dim=-1, keepdim=True)
    return torch.zeros_like(probability).scatter_(-1, order, ordered)


def draw(
    probability: Tensor, params: Sequence[SamplingParams], generators: Sequence[Generator]
) -> Tensor:
    """Draw a token (B,) from each row's distribution; greedy rows take the likeliest.

    One uniform number a row, from its own source, is looked up in the row's cumulated
    probabilities. Racing exponential times for all V tokens, as torch.multinomial does, takes
    about ten times as long on a CPU.
    """
    # In double precision, so that unlikely tokens of a large vocabulary keep their share.
    wide = torch.float32 if probability.device.type == "mps" else torch.float64
    cumulated = probability.to(wide).cumsum(dim=-1)
    noise = probability.new_zeros(len(params), 1, dtype=wide)
    for row, (row_params, generator) in enumerate(zip(params, generators, strict=True)):
        if not row_params.is_greedy:
            noise[row].uniform_(generator=generator)
    total = cumulated[:, -1:]
    # Below the total even if the product was rounded up: the token found has a probability.
    wanted = torch.minimum(noise * total, torch.nextafter(total, torch.zeros_like(total)))
    drawn = torch.searchsorted(cumulated, wanted, right=True).squeeze(1)
    if not any(row.is_greedy for row in params):
        return drawn
    greedy = torch.tensor([row.is_greedy for row in params], device=drawn.device)
    return torch.where(greedy, probability.argmax(dim=-1), drawn)
