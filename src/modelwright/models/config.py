"""The shape of a transformer, whatever family it belongs to.

How a family writes its shape into ``config.json`` is said in ``models/families/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelwright.core.errors import InputError

RopeScalingKind = Literal["linear", "dynamic", "llama3", "yarn"]


@dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are changed for contexts longer than those first trained on.

    Attributes
    ----------
    kind : {"linear", "dynamic", "llama3", "yarn"}
        The rule; see :mod:`modelwright.models.rotary`.
    factor : float
        By how much the context grew.
    original_max_position_embeddings : int, optional
        The context before it grew (llama3, yarn).
    low_freq_factor, high_freq_factor : float
        llama3: wavelengths above context / low are stretched, those below context / high kept.
    beta_fast, beta_slow : float
        yarn: rotations in the original context where keeping ends and stretching begins.
    attention_factor, mscale, mscale_all_dim : float, optional
        yarn: what cosines and sines are multiplied by, or what it is worked out from.
    truncate : bool
        yarn: whether the limits between kept and stretched features are whole numbers.
    """

    kind: RopeScalingKind
    factor: float
    original_max_position_embeddings: int | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a decoder; by default Qwen3's (technical report, arXiv:2505.09388).

    Attributes
    ----------
    vocab_size : int
        Rows of the embedding; a multiple of 64 is fastest and what exporters expect.
    hidden_size : int
        Width of the residual stream.
    intermediate_size : int
        Width inside the feed-forward layer.
    num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim : int
        Depth; query heads; key/value heads (grouped-query attention); width of a head.
    max_position_embeddings : int
        Longest sequence in tokens.
    norm_eps, rope_theta : float
        Constants of the norms and of the rotary embedding.
    tie_word_embeddings : bool
        Whether the output head is the embedding matrix.
    bos_token_id, eos_token_id, pad_token_id : int or None
        Special tokens, for engines that read the folder.
    family : str
        Whose names and ``config.json`` the model is written with: a key of ``FAMILIES`` in
        ``models/families/table.py``.
    norm : {"rms", "layer"}
        RMSNorm, or LayerNorm with a bias.
    positions : {"rotary", "learned"}
        Queries and keys turned by angle, or a learned vector added to each token's embedding.
    feed_forward : {"swiglu", "gelu"}
        SiLU gate times a second projection, or one projection through GELU (tanh form).
    attention_bias, feed_forward_bias : bool
        Whether their projections have biases.
    query_key_norm : bool
        Whether queries and keys are normalised in each head.
    rope_scaling : RopeScaling, optional
        For contexts longer than those first trained on.
    sliding_window : int, optional
        How many tokens, itself included, a token sees in the layers of ``sliding_layers``.
    sliding_layers : tuple of int
        Their indices, ascending.
    initial_std : float, optional
        Standard deviation of a new model's matrices; by default 1/√fan-in.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int = 64
    max_position_embeddings: int = 512
    norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    pad_token_id: int | None = None
    family: str = "qwen3"
    norm: Literal["rms", "layer"] = "rms"
    positions: Literal["rotary", "learned"] = "rotary"
    feed_forward: Literal["swiglu", "gelu"] = "swiglu"
    attention_bias: bool = False
    feed_forward_bias: bool = False
    query_key_norm: bool = True
    rope_scaling: RopeScaling | None = None
    sliding_window: int | None = None
    sliding_layers: tuple[int, ...] = ()
    initial_std: float | None = None

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise InputError(
                f"{self.num_attention_heads} attention heads cannot share "
                f"{self.num_key_value_heads} key/value heads evenly",
                fix="make num_attention_heads a multiple of num_key_value_heads",
            )
        if self.positions == "rotary" and self.head_dim % 2:
            raise InputError(
                f"rotary positions turn pairs of features, and head_dim {self.head_dim} is odd",
                fix="make head_dim even",
            )
        if self.sliding_layers and self.sliding_window is None:
            raise InputError("some layers have a sliding window, but its size is not given")

    def window(self, layer: int) -> int | None:
        """How many tokens a token sees in that layer; None for all before it."""
        return self.sliding_window if layer in self.sliding_layers else None

    def parameter_count(self) -> int:
        """Number of parameters, embeddings included."""
        embedding = self.vocab_size * self.hidden_size
        head = 0 if self.tie_word_embeddings else embedding
        learned = self.positions == "learned"
        positions = self.max_position_embeddings * self.hidden_size if learned else 0
        return embedding + positions + head + self.block_parameter_count() + self._norm_parameters()

    def block_parameter_count(self) -> int:
        """Number of parameters in the transformer blocks alone."""
        query, key_value = self._query_width(), self.num_key_value_heads * self.head_dim
        vectors = 2 * self._norm_parameters()
        if self.query_key_norm:
            vectors += 2 * self.head_dim
        if self.attention_bias:
            vectors += query + 2 * key_value + self.hidden_size
        if self.feed_forward_bias:
            vectors += (self._feed_forward_matrices() - 1) * self.intermediate_size
            vectors += self.hidden_size
        return self._block_matrix_weights() + self.num_hidden_layers * vectors

    def matrix_weights(self) -> int:
        """Number of weights in matrix products, the output head included, tied or not."""
        return self._block_matrix_weights() + self.vocab_size * self.hidden_size

    def flops_per_token(self, sequence_length: int) -> float:
        """Floating-point operations of forward and backward for one token.

        6 for each weight in a matrix product (the embedding look-up is none, the output head is
        one, tied or not) plus, for each layer, 12 · query width · positions for attention
        (Chowdhery et al. 2022, arXiv:2204.02311, appendix B). Positions are the sequence's
        length, without the half that a causal mask hides, or the window where that is less.
        """
        positions = sum(
            min(sequence_length, self.window(layer) or sequence_length)
            for layer in range(self.num_hidden_layers)
        )
        return 6.0 * self.matrix_weights() + 12.0 * self._query_width() * positions

    def _block_matrix_weights(self) -> int:
        query, key_value = self._query_width(), self.num_key_value_heads * self.head_dim
        attention = self.hidden_size * (2 * query + 2 * key_value)
        feed_forward = self._feed_forward_matrices() * self.hidden_size * self.intermediate_size
        return self.num_hidden_layers * (attention + feed_forward)

    def _feed_forward_matrices(self) -> int:
        return 3 if self.feed_forward == "swiglu" else 2

    def _norm_parameters(self) -> int:
        return self.hidden_size * (2 if self.norm == "layer" else 1)

    def _query_width(self) -> int:
        return self.num_attention_heads * self.head_dim
