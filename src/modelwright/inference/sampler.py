"""From logits to tokens: pure functions of what the model says and what was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from modelwright.inference.sampling import SamplingParams


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
    drawn = draw(probabilities(logits, params), params, generators)
    greedy = torch.tensor([row.is_greedy for row in params], device=drawn.device)
    return torch.where(greedy, logits.argmax(dim=-1), drawn)


def probabilities(logits: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """The distribution (B, V) to draw from: after temperature, then min-p, top-k and top-p.

    A greedy row is given at temperature 1, untouched otherwise.
    """
    rows = [SamplingParams(max_tokens=1, temperature=1.0) if p.is_greedy else p for p in params]
    temperature = logits.new_tensor([row.temperature for row in rows], dtype=torch.float32)
    out = (logits.float() / temperature[:, None]).softmax(dim=-1)
    # Only rows that ask for it, so that no row depends on what its neighbours ask for.
    some = [index for index, row in enumerate(rows) if row.min_p]
    if some:
        out[some] = _without_unlikely(out[some], [rows[index] for index in some])
    some = [index for index, row in enumerate(rows) if row.top_k or row.top_p < 1]
    if some:
        out[some] = _truncate(out[some], [rows[index] for index in some])
    return out


def _without_unlikely(probability: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Zero what is less likely than min_p times the likeliest, and normalise."""
    shares = probability.new_tensor([row.min_p for row in params])[:, None]
    kept = probability.masked_fill(probability < shares * probability.amax(-1, keepdim=True), 0)
    return kept / _total(kept)


def _total(rows: Tensor) -> Tensor:
    """Sums (B, 1) in an order that does not depend on B, as that of ``sum`` does."""
    return rows.cumsum(dim=-1)[:, -1:]


def _truncate(probability: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Zero what top-k and top-p leave out, and normalise; ties are broken by the lower id."""
    vocabulary = probability.shape[-1]
    top_k = [min(row.top_k, vocabulary) or vocabulary for row in params]
    k = torch.tensor(top_k, device=probability.device)
    p = probability.new_tensor([row.top_p for row in params])
    ordered, order = probability.sort(dim=-1, descending=True, stable=True)
    ordered = ordered * (torch.arange(vocabulary, device=k.device) < k[:, None])
    ordered = ordered / _total(ordered)
    before = ordered.cumsum(dim=-1) - ordered
    # top_p 1 keeps all, though a rounded sum may pass 1 early; the likeliest token always stays.
    is_kept = (before < p[:, None]) | (p[:, None] >= 1)
    is_kept[:, 0] = True
    ordered = ordered * is_kept
    ordered = ordered / _total(ordered)
    return torch.zeros_like(probability).scatter_(-1, order, ordered)


def draw(
    probability: Tensor, params: Sequence[SamplingParams], generators: Sequence[Generator]
) -> Tensor:
    """Draw a token (B,) from each row's distribution; what greedy rows get means nothing.

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
    return torch.searchsorted(cumulated, wanted, right=True).squeeze(1)
