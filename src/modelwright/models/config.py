"""The shape of a decoder, under the names that Hugging Face's ``config.json`` uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelwright.core.errors import InputError


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a Qwen3 decoder (Qwen3 technical report, arXiv:2505.09388).

    Attributes
    ----------
    vocab_size : int
        Rows of the embedding; a multiple of 64 is fastest and what exporters expect.
    hidden_size : int
        Width of the residual stream.
    intermediate_size : int
        Width inside the SwiGLU feed-forward layer.
    num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim : int
        Depth; query heads; key/value heads (grouped-query attention); width of a head.
    max_position_embeddings : int
        Longest sequence in tokens.
    rms_norm_eps, rope_theta : float
        Constants of RMSNorm and of the rotary embedding.
    tie_word_embeddings : bool
        Whether the output head is the embedding matrix.
    bos_token_id, eos_token_id, pad_token_id : int or None
        Special tokens, for engines that read the folder.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int = 64
    max_position_embeddings: int = 512
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise InputError(
                f"{self.num_attention_heads} attention heads cannot share "
                f"{self.num_key_value_heads} key/value heads evenly",
                fix="make num_attention_heads a multiple of num_key_value_heads",
            )

    def parameter_count(self) -> int:
        """Number of parameters, embeddings included."""
        head = 0 if self.tie_word_embeddings else self.vocab_size * self.hidden_size
        embedding = self.vocab_size * self.hidden_size
        return embedding + head + self.block_parameter_count() + self.hidden_size

    def block_parameter_count(self) -> int:
        """Number of parameters in the transformer blocks alone."""
        query = self.num_attention_heads * self.head_dim
        key_value = self.num_key_value_heads * self.head_dim
        attention = self.hidden_size * (2 * query + 2 * key_value) + 2 * self.head_dim
        feed_forward = 3 * self.hidden_size * self.intermediate_size
        return self.num_hidden_layers * (attention + feed_forward + 2 * self.hidden_size)

    def flops_per_token(self, sequence_length: int) -> float:
        """Floating-point operations of forward and backward for one token.

        6 for each weight in a matrix product (the embedding look-up is none, the output head is
        one) plus 12 · layers · query width · length for attention (Chowdhery et al. 2022,
        arXiv:2204.02311, appendix B).
        """
        matrices = self.block_parameter_count() + self.vocab_size * self.hidden_size
        query = self.num_attention_heads * self.head_dim
        return 6.0 * matrices + 12.0 * self.num_hidden_layers * query * sequence_length

    def to_hugging_face(self) -> dict[str, Any]:
        """The content of ``config.json`` for ``Qwen3ForCausalLM``."""
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps,
            # Readers before transformers 5 look for rope_theta, later ones for rope_parameters.
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "tie_word_embeddings": self.tie_word_embeddings,
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "use_sliding_window": False,
            "initializer_range": 0.02,
            "use_cache": True,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": self.eos_token_id,
            "pad_token_id": self.pad_token_id,
            "dtype": "float32",
            "torch_dtype": "float32",
        }

    @classmethod
    def from_hugging_face(cls, config: Any, where: str) -> TransformerConfig:
        """Read the content of ``config.json``.

        Raises
        ------
        InputError
            If it describes something other than a plain Qwen3 decoder.
        """
        if not isinstance(config, dict):
            raise InputError("config.json holds no JSON object", where=where)
        if config.get("model_type") != "qwen3":
            raise InputError(
                f"model_type {config.get('model_type')!r} is not known here",
                where=where,
                fix="use a model of type qwen3",
            )
        rope = config.get("rope_parameters") or {}
        if not isinstance(rope, dict):
            raise InputError("'rope_parameters' in config.json is no object", where=where)
        if rope.get("rope_type", "default") != "default" or config.get("rope_scaling"):
            raise InputError("scaled rotary embeddings are not known here", where=where)
        if config.get("attention_bias") or config.get("use_sliding_window"):
            raise InputError("attention biases and sliding windows are not known here", where=where)
        read = _Reader(config, where)
        theta = _Reader(rope if rope.get("rope_theta") else config, where)
        return cls(
            vocab_size=read.size("vocab_size"),
            hidden_size=read.size("hidden_size"),
            intermediate_size=read.size("intermediate_size"),
            num_hidden_layers=read.size("num_hidden_layers"),
            num_attention_heads=read.size("num_attention_heads"),
            num_key_value_heads=read.size("num_key_value_heads"),
            head_dim=read.size("head_dim", 128),
            max_position_embeddings=read.size("max_position_embeddings"),
            rms_norm_eps=read.constant("rms_norm_eps", 1e-6),
            rope_theta=theta.constant("rope_theta", 10_000.0),
            tie_word_embeddings=read.switch("tie_word_embeddings"),
            bos_token_id=read.token("bos_token_id"),
            eos_token_id=read.token("eos_token_id"),
            pad_token_id=read.token("pad_token_id"),
        )


@dataclass(frozen=True)
class _Reader:
    """Takes values out of a foreign ``config.json`` and refuses those of a wrong type."""

    config: dict[str, Any]
    where: str

    def size(self, name: str, default: int | None = None) -> int:
        value = self.config.get(name, default)
        if value is None:
            raise InputError(f"config.json lacks '{name}'", where=self.where)
        if not _is_integer(value) or value < 1:
            raise self._wrong(name, "is no positive integer")
        return int(value)

    def constant(self, name: str, default: float) -> float:
        value = self.config.get(name)
        if value is None:
            return default
        if not (_is_integer(value) or isinstance(value, float)) or value <= 0:
            raise self._wrong(name, "is no positive number")
        return float(value)

    def switch(self, name: str) -> bool:
        value = self.config.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, "is neither true nor false")
        return value

    def token(self, name: str) -> int | None:
        """A token's id; of several the first."""
        value = self.config.get(name)
        first = value[0] if isinstance(value, list) and value else value
        if first is None:
            return None
        if not isinstance(first, int) or isinstance(first, bool):
            raise self._wrong(name, "is no token id")
        return first

    def _wrong(self, name: str, problem: str) -> InputError:
        return InputError(f"'{name}' in config.json {problem}", where=self.where)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
