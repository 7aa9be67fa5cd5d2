"""Tokenizers in the layout of public models: the same ids, an end of text, a conversation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from public_models import GPT2, LLAMA, PUBLIC, QWEN3, SMOL, write_public_tokenizer
from tokenizers import AddedToken
from tokenizers import Tokenizer as Reference

from modelwright.core.errors import InputError
from modelwright.tokens.tokenizer import Tokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.text(
    st.sampled_from("ab 's'LL129٣½²\t\n\r .,;–你🙂\u00a0\u3000_"), max_size=40
)
MESSAGES = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "It is."}]
TRAINING = ["It's 12345 o'clock,  isn't it?\r\n\r\n  Ja!\tДа… 你好 ÀÉ x=1;y", "a  1 b   22 c\n 3"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("public")
    for name in PUBLIC:
        (root / name).mkdir()
        write_public_tokenizer(name, root / name, TRAINING * 5)
    return {name: root / name for name in PUBLIC}


@pytest.mark.parametrize("name", PUBLIC)
def test_ids_equal_the_reference_library(folders: dict[str, Path], name: str) -> None:
    tokenizer = Tokenizer.load(folders[name])
    reference = Reference.from_file(str(folders[name] / "tokenizer.json"))

    @given(text=TEXTS)
    def check(text: str) -> None:
        ids = tokenizer.encode(text)
        assert ids == reference.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == text

    check()


@pytest.mark.parametrize(
    ("name", "end_of_text", "message_end"),
    [
        (QWEN3, "<|endoftext|>", "<|im_end|>"),
        (SMOL, "<|endoftext|>", "<|im_end|>"),
        (LLAMA, "<|end_of_text|>", "<|end_of_text|>"),
        (GPT2, "<|endoftext|>", "<|endoftext|>"),
    ],
)
def test_what_ends_texts_and_messages(
    folders: dict[str, Path], tmp_path: Path, name: str, end_of_text: str, message_end: str
) -> None:
    if name == GPT2:  # only its config.json says it
        end = Tokenizer.load(folders[name]).special_tokens["<|endoftext|>"]
        (folders[name] / "config.json").write_text(json.dumps({"eos_token_id": end}))
    tokenizer = Tokenizer.load(folders[name])
    assert tokenizer.end_of_text == tokenizer.special_tokens[end_of_text]
    assert tokenizer.message_end == tokenizer.special_tokens[message_end]


@pytest.mark.parametrize("eos", [[3, 4], 3, None, "x", []])
def test_an_end_that_is_not_there(folders: dict[str, Path], tmp_path: Path, eos: Any) -> None:
    """Id 3 is a byte, no control token."""
    content = (folders[LLAMA] / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(content)
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": eos}))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode("It") == Tokenizer.load(folders[LLAMA]).encode("It")
    with pytest.raises(InputError, match="eos_token"):
        tokenizer.end_of_text  # noqa: B018


@pytest.mark.parametrize("name", [QWEN3, LLAMA, SMOL])
def test_the_answer_and_its_end_are_trained(folders: dict[str, Path], name: str) -> None:
    """With a template that marks nothing (Qwen3), ours (SmolLM), and ours in words (Llama)."""
    tokenizer = Tokenizer.load(folders[name])
    ids, trained = tokenizer.encode_spans(tokenizer.chat_spans(MESSAGES))
    learnt = [id for id, is_trained in zip(ids, trained, strict=True) if is_trained]
    assert learnt == [*tokenizer.encode("It is."), tokenizer.message_end]
    prompt = tokenizer.encode_chat(MESSAGES[:1], add_generation_prompt=True)
    assert ids[: len(prompt)] == prompt


def test_a_template_may_call_control_tokens_by_name(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folders[LLAMA] / name).read_bytes())
    template = "{{ bos_token }}{% for m in messages %}{{ m.content + eos_token }}{% endfor %}"
    (tmp_path / "chat_template.jinja").write_text(template)
    tokenizer = Tokenizer.load(tmp_path)
    ids, trained = tokenizer.encode_spans(tokenizer.chat_spans(MESSAGES))
    special = tokenizer.special_tokens
    begin, end = special["<|begin_of_text|>"], special["<|end_of_text|>"]
    question, answer = tokenizer.encode("Hello"), tokenizer.encode("It is.")
    assert ids == [begin, *question, end, *answer, end]
    assert trained == [*[False] * (len(question) + 2), *[True] * (len(answer) + 1)]


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "Digits", "individual_digits": False}],
        [{"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated", "invert": False}],
        [
            {"type": "Split", "pattern": {"Regex": r"\p{N}"}, "behavior": "Isolated"},
            {"type": "Split", "pattern": {"Regex": r"\s"}, "behavior": "Isolated"},
        ],
        [{"type": "Split", "pattern": {"Regex": r"\s"}, "behavior": "MergedWithNext"}],
    ],
)
def test_a_split_that_is_another_is_refused(
    folders: dict[str, Path], tmp_path: Path, parts: list[dict[str, Any]]
) -> None:
    """Before it would give other ids without a word."""
    content = json.loads((folders[LLAMA] / "tokenizer.json").read_text())
    content["pre_tokenizer"]["pretokenizers"][:-1] = parts
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="byte-level BPE"):
        Tokenizer.load(tmp_path)


def test_added_tokens_that_are_not_special_are_part_of_the_text(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """As ``<think>`` and ``<tool_call>`` in Qwen3."""
    for path in folders[QWEN3].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    reference = Reference.from_file(str(tmp_path / "tokenizer.json"))
    reference.add_tokens([AddedToken("<think>", special=False)])
    reference.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    text = "<|im_start|>a<think>b<|im_end|>"
    ids = reference.encode(text).ids
    assert tokenizer.encode_special(text) == ids
    assert tokenizer.decode(ids) == reference.decode(ids, skip_special_tokens=True) == "a<think>b"
    assert tokenizer.encode("<think>") != [reference.token_to_id("<think>")]
