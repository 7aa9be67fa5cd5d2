"""Tiny random checkpoints in the layout of public ones, made with ``transformers``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as HuggingFaceTokenizer

from modelwright.tokens.pre_tokenizers import PATTERNS

QWEN3, LLAMA, GPT2, SMOL = "qwen3", "llama", "gpt2", "smol"
PUBLIC = (QWEN3, LLAMA, GPT2, SMOL)
"""Qwen3, Llama 3, GPT-2 and SmolLM2, which is a Llama with another tokenizer."""

VOCABULARY = 400

_SPECIAL = {
    QWEN3: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    LLAMA: ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"],
    GPT2: ["<|endoftext|>"],
    SMOL: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
}
_END = {QWEN3: "<|im_end|>", LLAMA: "<|end_of_text|>", GPT2: "<|endoftext|>", SMOL: "<|im_end|>"}

QWEN3_TEMPLATE = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
"""In the manner of public ones: without marks of what the model itself says."""


def write_public_model(name: str, folder: Path, texts: Sequence[str], seed: int = 0) -> Path:
    """A model with random weights and a tokenizer that was trained on the texts."""
    folder.mkdir(parents=True)
    tokenizer = write_public_tokenizer(name, folder, texts)
    config, model_type = _config(name, tokenizer)
    torch.manual_seed(seed)
    model_type(config).save_pretrained(folder)
    return folder


def write_public_tokenizer(name: str, folder: Path, texts: Sequence[str]) -> HuggingFaceTokenizer:
    """Its tokenizer's files."""
    tokenizer = HuggingFaceTokenizer(models.BPE())
    tokenizer.pre_tokenizer = _pre_tokenizer(name)
    tokenizer.decoder = decoders.ByteLevel()
    special = _SPECIAL[name]
    is_first = name == SMOL  # its control tokens have the first ids, the others' the last
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - (0 if is_first else len(special)),
        special_tokens=special if is_first else [],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    content: dict[str, Any] = {"model_max_length": 128}
    if name != GPT2:  # its file says no more, the end of a text stands in config.json
        content |= {"eos_token": _END[name], "tokenizer_class": "PreTrainedTokenizerFast"}
    if name == LLAMA:
        begin = {"__type": "AddedToken", "content": "<|begin_of_text|>", "special": True}
        content |= {"bos_token": {**begin, "lstrip": False, "rstrip": False, "normalized": False}}
    if name == QWEN3:
        content |= {"chat_template": QWEN3_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    return tokenizer


def _pre_tokenizer(name: str) -> pre_tokenizers.PreTokenizer:
    if name == GPT2:
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == SMOL:
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    pattern = Regex(PATTERNS["qwen2" if name == QWEN3 else "llama-bpe"])
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _config(name: str, tokenizer: HuggingFaceTokenizer) -> tuple[Any, Any]:
    import transformers

    end = tokenizer.token_to_id(_END[name])
    if name == GPT2:
        config = transformers.GPT2Config(
            vocab_size=VOCABULARY + 1, n_embd=64, n_layer=2, n_head=2, n_positions=128,
            bos_token_id=end, eos_token_id=end,
        )  # fmt: skip
        return config, transformers.GPT2LMHeadModel
    sizes = {
        "vocab_size": VOCABULARY + 48,  # Qwen's has rows that no token uses
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 128,
        "eos_token_id": end,
    }
    if name == QWEN3:
        config = transformers.Qwen3Config(head_dim=32, tie_word_embeddings=True, **sizes)
        return config, transformers.Qwen3ForCausalLM
    begin = tokenizer.token_to_id("<|begin_of_text|>" if name == LLAMA else "<|im_start|>")
    return (
        transformers.LlamaConfig(bos_token_id=begin, tie_word_embeddings=name == SMOL, **sizes),
        transformers.LlamaForCausalLM,
    )
