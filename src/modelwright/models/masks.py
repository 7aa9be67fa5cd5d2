"""Which tokens a token may look at.

Shapes in comments: B batch, T query tokens, S tokens attended to.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

AttentionMask = Tensor | BlockMask | None
"""True where a query may look, dense (B or 1, 1, T, S) or by blocks; None: all before it."""


def dense_mask(
    length: int, window: int | None, documents: Tensor | None, device: torch.device
) -> Tensor | None:
    """The mask of whole sequences, for attention through SDPA.

    Parameters
    ----------
    length : int
        T.
    window : int, optional
        How many tokens a token sees, itself included.
    documents : Tensor, optional
        The document of each token (B, T), int64; a token sees only its own.
    device : torch.device
        Where to make it.

    Returns
    -------
    Tensor or None
        bool (B or 1, 1, T, T); None where plain causal attention is meant.
    """
    if not _needs_mask(length, window, documents):
        return None
    index = torch.arange(length, device=device)
    seen = _in_sight(index[:, None], index[None, :], window)[None]  # (1, T, T)
    if documents is not None:
        seen = seen & (documents[:, :, None] == documents[:, None, :])  # (B, T, T)
    return seen[:, None]


def block_mask(
    length: int, window: int | None, documents: Tensor | None, device: torch.device
) -> BlockMask | None:
    """The same for FlexAttention, which skips blocks of tokens that see nothing of each other."""
    if not _needs_mask(length, window, documents):
        return None

    def may_look(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = _in_sight(query, key, window)
        if documents is not None:
            seen = seen & (documents[batch, query] == documents[batch, key])
        return seen

    batch = None if documents is None else documents.shape[0]
    return create_block_mask(may_look, batch, None, length, length, device=device)


def first_of_document(documents: Tensor) -> Tensor:
    """Where in the sequence the document of each token (B, T) begins, int64."""
    index = torch.arange(documents.shape[1], device=documents.device)
    begins = F.pad(documents[:, 1:] != documents[:, :-1], (1, 0), value=True)
    return torch.where(begins, index, 0).cummax(dim=1).values


def _needs_mask(length: int, window: int | None, documents: Tensor | None) -> bool:
    return documents is not None or (window is not None and window < length)


def _in_sight(query: Tensor, key: Tensor, window: int | None) -> Tensor:
    seen = key <= query
    return seen if window is None else seen & (key > query - window)
