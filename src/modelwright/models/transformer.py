"""One transformer for all families; what differs between them is said in its config.

Shapes in comments: B batch, T new tokens, S tokens attended to, D width of a head, C width of the
residual stream.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from modelwright.core.errors import InputError
from modelwright.models.attention import Attention, LayerCache
from modelwright.models.config import TransformerConfig
from modelwright.models.feed_forward import FeedForward
from modelwright.models.masks import (
    AttentionMask,
    block_mask,
    dense_mask,
    first_of_document,
)
from modelwright.models.norms import make_norm
from modelwright.models.rotary import rotary_tables


class Block(nn.Module):
    """One layer: attention and feed-forward, each behind a norm and added to the stream."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.input_layernorm = make_norm(config)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = make_norm(config)
        self.mlp = FeedForward(config)

    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor] | None,
        mask: AttentionMask,
        cache: LayerCache | None,
    ) -> Tensor:
        """Map the residual stream (B, T, C) to the next one."""
        x = x + self.self_attn(self.input_layernorm(x), angles, mask, cache)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    """Embeddings, blocks and final norm: from tokens to hidden states.

    Parameters
    ----------
    config : TransformerConfig
        Its shape.

    Attributes
    ----------
    recompute_activations : bool
        Whether training keeps only each block's input and runs the block again in the backward
        pass (Chen et al. 2016, arXiv:1604.06174): less memory, a third more work, equal results.
    is_compiled : bool
        Whether its blocks are, and what belongs to it outside should be.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.recompute_activations = False
        self.is_compiled = False
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        if config.positions == "learned":
            self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = make_norm(config)
        if config.positions == "rotary":
            cos, sin = rotary_tables(config)
            self.register_buffer("rotary_cos", cos, persistent=False)
            self.register_buffer("rotary_sin", sin, persistent=False)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        caches: Sequence[LayerCache] | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, T, C); see :meth:`DecoderModel.hidden_states`."""
        x, angles, masks = self.before_blocks(tokens, positions, caches, documents)
        recompute = self.recompute_activations and self.training and caches is None
        # The only randomness in a block that would have to be replayed is that of adapters.
        is_random = recompute and any(isinstance(one, nn.Dropout) for one in self.modules())
        for index, layer in enumerate(self.layers):
            if recompute:
                x = checkpoint(
                    layer, x, angles, masks[index], None,
                    use_reentrant=False, preserve_rng_state=is_random,
                )  # fmt: skip
            else:
                x = layer(x, angles, masks[index], None if caches is None else caches[index])
        out: Tensor = self.norm(x)
        return out

    def before_blocks(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        caches: Sequence[LayerCache] | None = None,
        documents: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None, list[AttentionMask]]:
        """What the blocks work on: the embedded tokens (B, T, C), the angles, a mask a block.

        Parameters and errors as in :meth:`DecoderModel.hidden_states`.
        """
        # With caches, one row holds the tokens of many sequences.
        if caches is None and tokens.shape[1] > self.config.max_position_embeddings:
            raise InputError(
                f"a sequence of {tokens.shape[1]} tokens does not fit into the model's context of "
                f"{self.config.max_position_embeddings}"
            )
        masks = self._masks(tokens, caches, documents)
        angles = self._angles(tokens.shape[1], positions)
        return self._embed(tokens, positions, documents), angles, masks

    def _embed(self, tokens: Tensor, positions: Tensor | None, documents: Tensor | None) -> Tensor:
        x: Tensor = self.embed_tokens(tokens)  # (B, T, C)
        if self.config.positions == "learned":
            if positions is None:
                positions = torch.arange(tokens.shape[1], device=tokens.device)
                if documents is not None:
                    positions = positions - first_of_document(documents)
            x = x + self.embed_positions(positions)
        return x

    def _angles(self, length: int, positions: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Cosines and sines of the tokens' positions, (T, D) or (B, 1, T, D)."""
        if self.config.positions != "rotary":
            return None
        cos, sin = self.get_buffer("rotary_cos"), self.get_buffer("rotary_sin")  # (max, D)
        if positions is None:
            return cos[:length], sin[:length]
        if positions.dim() == 1:
            return cos[positions], sin[positions]
        return cos[positions].unsqueeze(1), sin[positions].unsqueeze(1)

    def _masks(
        self, tokens: Tensor, caches: Sequence[LayerCache] | None, documents: Tensor | None
    ) -> list[AttentionMask]:
        """The mask of each layer; those with the same window share one."""
        windows = [self.config.window(layer) for layer in range(self.config.num_hidden_layers)]
        if caches is not None:
            if documents is not None:
                raise InputError("documents say what to look at, and so do caches")
            return [None] * len(windows)
        make = block_mask if tokens.device.type == "cuda" else dense_mask
        masks = {
            window: make(tokens.shape[1], window, documents, tokens.device)
            for window in set(windows)
        }
        return [masks[window] for window in windows]


class DecoderModel(nn.Module):
    """What has a decoder; its kinds differ in what they make of the hidden states.

    Parameters
    ----------
    config : TransformerConfig
        Its shape.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.model = Decoder(config)

    def hidden_states(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        caches: Sequence[LayerCache] | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Run all layers.

        Parameters
        ----------
        tokens : Tensor
            Token ids (B, T), int64.
        positions : Tensor, optional
            Position of each token (B, T) or (T,), int64; by default 0 … T-1. Learned positions
            begin anew with each of ``documents``; rotary ones need not, they are relative.
        caches : sequence of LayerCache, optional
            One for each layer, which says what queries find among all tokens so far; without,
            attention is causal, within the window of layers that have one.
        documents : Tensor, optional
            The document of each token (B, T), int64, where several are packed into one sequence:
            tokens see only earlier tokens of their own. Not together with caches.

        Returns
        -------
        Tensor
            Normalised hidden states (B, T, C).

        Raises
        ------
        InputError
            If the sequence is longer than the model's context, or documents come with caches.
        """
        out: Tensor = self.model(tokens, positions, caches, documents)
        return out


class CausalLM(DecoderModel):
    """A language model that predicts the next token.

    Notes
    -----
    State-dict names equal those of ``transformers.Qwen3ForCausalLM``, also for families whose
    files name their tensors otherwise. A new model has no defined weights until
    :func:`initialise` or :func:`modelwright.models.pretrained.load_model` fills them.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        caches: Sequence[LayerCache] | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, T, vocab_size); parameters as in :meth:`hidden_states`."""
        hidden = self.hidden_states(tokens, positions, caches, documents)
        logits: Tensor = self.lm_head(hidden)
        return logits


def initialise(model: CausalLM, seed: int) -> None:
    """Fill a new model's weights, the same for the same seed.

    Matrices get N(0, 1/fan_in), or the config's ``initial_std``; the projections that write to
    the residual stream start at zero, so that each block begins as the identity (Zhang et al.
    2019, arXiv:1901.09321); embeddings get N(0, 0.02), small enough for a tied output head to
    start near uniform; biases are 0, weights of norms 1.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(0.0 if name.endswith(".bias") else 1.0)
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
            else:
                is_table = "embed_" in name or name.endswith("lm_head.weight")
                std = 0.02 if is_table else model.config.initial_std or parameter.shape[1] ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
