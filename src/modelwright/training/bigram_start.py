"""First weights that know which token follows which.

The blocks of a new model add nothing (:func:`modelwright.models.transformer.initialise`), so it
predicts from the last token alone: head · norm(embedding), a table of bigrams of low rank. The
counts of all pairs in the text say what that table should hold. To fit it to them takes seconds,
while a short training reads a small part of the text and spends most of its time on no more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modelwright.core.progress import Progress
from modelwright.models.transformer import CausalLM
from modelwright.tokens.shards import TokenShards
from modelwright.training.cross_entropy import row_chunks, softmax_in_place

MOST_TOKENS = 1 << 25
"""Tokens of the text that are counted; more would tell little more."""

PIECE = 1 << 22
"""Tokens that are counted at once."""

STEPS = 200
"""Optimizer steps of the fit."""

TOKENS_PER_STEP = 1024
"""About how many first tokens go into a step."""

RATE = 0.02
"""Adam's at the beginning; it falls to zero."""

PRIOR = 30.0
"""Pairs with tokens as they are spread over the whole text that are added to those of each token:
what is rare is not learnt by heart (MacKay and Peto 1995, https://doi.org/10.1017/S1351324900000218).
"""

EMBEDDING_SIZE = 3.0
"""Root mean square of the embeddings of tokens that occur. Norms take it away, so that it changes
nothing but how much training changes: large ones turn slowly, and what the blocks add beside them
counts little at first. Tokens that do not occur stay small, so that fine-tuning soon turns them."""


@dataclass(frozen=True)
class Pairs:
    """How often each token follows each other one; V is the vocabulary's size.

    Attributes
    ----------
    starts : array of int64
        What follows token t is at ``starts[t]`` to ``starts[t + 1] - 1``, (V + 1,).
    followers : array of int64
        Which tokens follow.
    counts : array of int64
        How often each of these does.
    """

    starts: npt.NDArray[np.int64]
    followers: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    def first_counts(self) -> npt.NDArray[np.int64]:
        """How many pairs begin with each token, (V,)."""
        sums = np.concatenate([[0], np.cumsum(self.counts)])
        return np.diff(sums[self.starts])

    def after(self, tokens: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
        """All pairs that begin with one of ``tokens``.

        Returns
        -------
        tuple of arrays of int64
            Of each pair the place of its first token in ``tokens``, its second token, its count.
        """
        begins, lengths = self.starts[tokens], np.diff(self.starts)[tokens]
        rows = np.repeat(np.arange(len(tokens)), lengths)
        inside = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places = begins[rows] + inside
        return rows, self.followers[places], self.counts[places]


def count_pairs(shards: TokenShards, progress: Progress) -> Pairs:
    """Count which token follows which, in the first :data:`MOST_TOKENS` of a split."""
    size, total = shards.vocabulary_size, min(MOST_TOKENS, shards.tokens)
    codes, counts = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    with progress.task("counting pairs of tokens", total, "tokens") as task:
        for start in range(0, total - 1, PIECE):
            # Each piece begins with the last token of the one before.
            tokens = shards.read(start, min(PIECE + 1, total - start))
            new_codes, new_counts = np.unique(tokens[:-1] * size + tokens[1:], return_counts=True)
            codes, places = np.unique(np.concatenate([codes, new_codes]), return_inverse=True)
            sums = np.bincount(places, np.concatenate([counts, new_counts]))
            counts = sums.astype(np.int64)
            task.update(min(total, start + PIECE + 1))
    first, followers = np.divmod(codes, size)
    return Pairs(np.searchsorted(first, np.arange(size + 1)), followers, counts)


def fit_tables(model: CausalLM, pairs: Pairs, seed: int, progress: Progress) -> None:
    """Train a new model's embedding and output head on pairs.

    Minimises the mean cross-entropy of the second token over all pairs and :data:`PRIOR`. A step
    takes some of the first tokens, each with all that follows it; those that were unlikely to be
    taken count more.

    Parameters
    ----------
    model : CausalLM
        As it was initialised, with an output head of its own; on any device.
    pairs : Pairs
        Of its vocabulary.
    seed : int
        Of what is taken.
    progress : Progress
        Told of each step.
    """
    embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
    generator = torch.Generator().manual_seed(seed)
    counts = torch.from_numpy(pairs.first_counts()).double()
    chances = draw_chances(counts, TOKENS_PER_STEP)
    worth = torch.where(counts > 0, 1 / (chances * counts.sum()), 0)  # of a pair in the loss
    usual = torch.zeros(len(head), device=head.device)
    usual[: len(counts)] = counts / counts.sum()
    optimizer = torch.optim.Adam([embedding, head], RATE, betas=(0.9, 0.95), fused=True)
    began = time.monotonic()
    with progress.task("fitting first weights to pairs of tokens", STEPS, "steps") as task:
        for step in range(STEPS):
            is_taken = torch.rand(len(chances), generator=generator, dtype=torch.float64) < chances
            loss = _backward(model, is_taken.nonzero().squeeze(1), pairs, worth, usual)
            optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
            optimizer.step()
            optimizer.zero_grad()
            task.update(step + 1, loss=f"{loss:.3f}")
    with torch.no_grad():
        known = (counts > 0).nonzero().squeeze(1).to(head.device)
        embedding[known] = EMBEDDING_SIZE * model.model.norm(embedding[known])
    progress.note(
        f"  first weights from {len(pairs.counts):,} pairs of tokens: loss {loss:.3f} "
        f"({time.monotonic() - began:.1f} s)"
    )


def _backward(model: CausalLM, tokens: Tensor, pairs: Pairs, worth: Tensor, usual: Tensor) -> float:
    """Loss of all pairs that begin with ``tokens`` (N,), each times its ``worth`` (V,).

    Leaves the gradients of embedding and head in them, those of the prior included, which has the
    shares ``usual`` (V,). They are worked out by hand: few tokens ever follow one, so that what is
    wanted of (N, V) probabilities is never spread out.
    """
    embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
    device = head.device
    hidden = model.model.norm(embedding[tokens.to(device)])
    hidden_gradient, head.grad = torch.empty_like(hidden), torch.zeros_like(head)
    loss = torch.zeros((), device=device)
    with torch.no_grad():
        parts = row_chunks(hidden, head)
        room = hidden.new_empty(len(hidden[parts[0]]), len(head))
        for part in parts:
            firsts = tokens[part]
            rows, followers, counts = (torch.from_numpy(one) for one in pairs.after(firsts.numpy()))
            wanted = (worth[firsts][rows] * counts).float()
            prior = (PRIOR * worth[firsts]).float()
            totals = prior.index_add(0, rows, wanted).to(device)
            places, wanted = (rows * len(head) + followers).to(device), wanted.to(device)
            logits = torch.mm(hidden[part], head.t(), out=room[: len(hidden[part])])
            slopes = softmax_in_place(logits)
            loss -= wanted @ slopes.view(-1)[places].clamp_min(1e-30).log()
            slopes.mul_(totals[:, None]).addr_(prior.to(device), usual, alpha=-1)
            slopes.view(-1).index_add_(0, places, wanted, alpha=-1)
            torch.mm(slopes, head, out=hidden_gradient[part])
            head.grad.addmm_(slopes.t(), hidden[part])
    hidden.backward(hidden_gradient, inputs=[embedding])
    return float(loss)


def fit_flops(vocabulary: int, width: int) -> float:
    """Operations of :func:`fit_tables`."""
    return 6.0 * STEPS * min(vocabulary, TOKENS_PER_STEP) * vocabulary * width


def draw_chances(counts: Tensor, wanted: float) -> Tensor:
    """Chances to be taken that go with the root of the count and sum up to about ``wanted``.

    By the root, frequent tokens are nearly always there, and rare ones often enough to be learnt.

    Parameters
    ----------
    counts : Tensor
        How often each token occurs (V,), float64; those that never do are never taken.
    wanted : float
        How many should be taken, on average; more than there are means all.
    """
    roots = counts.sqrt()
    if wanted >= int((counts > 0).sum()):
        return (counts > 0).double()
    low, high = 0.0, float(wanted / roots[roots > 0].min())
    while high - low > 1e-9 * high:  # the sum grows with the factor
        factor = (low + high) / 2
        is_too_few = float((factor * roots).clamp_max(1.0).sum()) < wanted
        low, high = (factor, high) if is_too_few else (low, factor)
    return (high * roots).clamp_max(1.0)
