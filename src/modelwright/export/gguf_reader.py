"""Reading a GGUF file back with the ``gguf`` package, into our own model and ``tokenizers``.

It takes everything from the file and nothing from the model that was exported; what it shares with
the writer are the names and the layout of tensors, so other engines are the better judges.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as HuggingFaceTokenizer

from modelwright.export.gguf import import_gguf
from modelwright.export.gguf_layout import FACTORS, HEAD, from_gguf
from modelwright.export.gguf_tokenizer import CONTROL, SINGLE_DIGITS, USER_DEFINED
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.transformer import CausalLM
from modelwright.tokens.pre_tokenizers import GPT2_SINGLE_DIGITS, PATTERNS


class GGUFFile:
    """An open GGUF file.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path):
        self._gguf = import_gguf()
        self._reader = self._gguf.GGUFReader(path)
        self.family = str(self.value("general.architecture"))

    def value(self, key: str, default: Any = None) -> Any:
        """A value of the file's header."""
        field = self._reader.get_field(key)
        return default if field is None else field.contents()

    def model(self, config: TransformerConfig | None = None) -> CausalLM:
        """A model with the file's weights, quantized ones as they come out, fp32.

        Parameters
        ----------
        config : TransformerConfig, optional
            Its shape; by default what the file says. How rotary positions are scaled is not read
            from it.
        """
        config = config or self.config()
        tensors = {
            one.name: self._tensor(one) for one in self._reader.tensors if one.name != FACTORS
        }
        model = CausalLM(config)
        model.load_state_dict(from_gguf(config, tensors), strict=False)
        return model.eval()

    def config(self) -> TransformerConfig:
        """The shape that the file describes."""
        size = self._size
        heads, width = size("attention.head_count"), size("embedding_length")
        is_rotary = self.family != "gpt2"
        epsilon = (
            "attention.layer_norm_rms_epsilon" if is_rotary else "attention.layer_norm_epsilon"
        )
        sizes = TransformerConfig(
            vocab_size=len(self.value("tokenizer.ggml.tokens")),
            hidden_size=width,
            intermediate_size=size("feed_forward_length"),
            num_hidden_layers=size("block_count"),
            num_attention_heads=heads,
            num_key_value_heads=size("attention.head_count_kv", heads),
            head_dim=size("attention.key_length", width // heads),
            max_position_embeddings=size("context_length"),
            norm_eps=float(self.value(f"{self.family}.{epsilon}")),
            rope_theta=float(self.value(f"{self.family}.rope.freq_base", 10_000.0)),
            tie_word_embeddings=not self._has(HEAD),
            attention_bias=self._has("blk.0.attn_q.bias"),
            feed_forward_bias=self._has("blk.0.ffn_up.bias"),
        )
        return in_family(self.family, sizes)

    def tokenizer(self) -> HuggingFaceTokenizer:
        """The tokenizer that the file describes, run by ``tokenizers``."""
        tokens, kinds = self.value("tokenizer.ggml.tokens"), self.value("tokenizer.ggml.token_type")
        merges = [tuple(one.split(" ")) for one in self.value("tokenizer.ggml.merges")]
        vocabulary = {token: id for id, token in enumerate(tokens)}
        tokenizer = HuggingFaceTokenizer(models.BPE(vocab=vocabulary, merges=merges))
        splitter = self.value("tokenizer.ggml.pre")
        pattern = {**PATTERNS, SINGLE_DIGITS: GPT2_SINGLE_DIGITS}[splitter]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        for token, kind in zip(tokens, kinds, strict=True):
            if kind in (CONTROL, USER_DEFINED):
                tokenizer.add_tokens([AddedToken(token, special=kind == CONTROL)])
        return tokenizer

    def token_named(self, key: str) -> str:
        """The text of the token that the file calls ``bos``, ``eos`` and so on; "" if none."""
        id = self.value(f"tokenizer.ggml.{key}_token_id")
        return "" if id is None else str(self.value("tokenizer.ggml.tokens")[id])

    def _size(self, name: str, default: int | None = None) -> int:
        return int(self.value(f"{self.family}.{name}", default))

    def _has(self, name: str) -> bool:
        return any(one.name == name for one in self._reader.tensors)

    def _tensor(self, stored: Any) -> torch.Tensor:
        """One tensor as fp32."""
        array = self._gguf.dequantize(stored.data, stored.tensor_type)
        return torch.from_numpy(array.copy())
