"""Conversations with tools: the same ids as transformers', and nothing that can be forged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from foreign_templates import HEADERS, THINKING, write_foreign_tokenizer
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from modelwright.core.errors import InputError
from modelwright.tokens.chat_template import CHAT_TEMPLATE
from modelwright.tokens.tokenizer import Tokenizer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUE = TEXT | st.integers(-9, 9) | st.booleans() | st.none() | st.lists(TEXT, max_size=2)
ARGUMENTS = st.dictionaries(TEXT, VALUE, max_size=3)
CALL = st.builds(
    lambda name, arguments: {
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    },
    TEXT,
    ARGUMENTS,
)
TOOLS = st.lists(
    st.builds(
        lambda name, text, more: {
            "type": "function",
            "function": {"name": name, "description": text, "parameters": more},
        },
        TEXT,
        TEXT,
        ARGUMENTS,
    ),
    max_size=3,
)


@st.composite
def chats(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages = [{"role": "system", "content": draw(TEXT)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 2))):
        messages.append({"role": "user", "content": draw(TEXT)})
        if draw(st.booleans()):
            calls = draw(st.lists(CALL, min_size=1, max_size=2))
            messages.append({"role": "assistant", "content": draw(TEXT), "tool_calls": calls})
            messages += [{"role": "tool", "content": draw(TEXT)} for _ in calls]
        messages.append({"role": "assistant", "content": draw(TEXT)})
    return messages


@pytest.fixture(scope="module")
def folders(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("foreign")
    return {
        CHAT_TEMPLATE: tokenizer_folder,
        THINKING: write_foreign_tokenizer(THINKING, root / "thinking"),
        HEADERS: write_foreign_tokenizer(HEADERS, root / "headers"),
    }


@pytest.fixture(scope="module")
def tokenizers(folders: dict[str, Path]) -> dict[str, Tokenizer]:
    return {template: Tokenizer.load(folder) for template, folder in folders.items()}


@pytest.fixture(scope="module")
def references(folders: dict[str, Path]) -> dict[str, Any]:
    return {name: AutoTokenizer.from_pretrained(folder) for name, folder in folders.items()}


TEMPLATES = pytest.mark.parametrize(
    "template", [CHAT_TEMPLATE, THINKING, HEADERS], ids=["ours", "thinking", "headers"]
)


@TEMPLATES
@given(messages=chats(), tools=TOOLS, prompt=st.booleans())
def test_ids_equal_transformers(
    tokenizers: dict[str, Tokenizer],
    references: dict[str, Any],
    template: str,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]],
    prompt: bool,
) -> None:
    tokenizer = tokenizers[template]
    written = json.dumps([messages, tools], ensure_ascii=False)
    assume(not any(token in written for token in tokenizer.special_tokens))
    expected = references[template].apply_chat_template(
        messages, tools=tools or None, add_generation_prompt=prompt, return_dict=True
    )
    assert tokenizer.encode_chat(messages, prompt, tools) == expected["input_ids"]


@given(messages=chats(), tools=TOOLS)
def test_masks_equal_transformers(
    tokenizers: dict[str, Tokenizer],
    references: dict[str, Any],
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]],
) -> None:
    contents = [message["content"] for message in messages]
    assume(all(text.strip() == text and "<|" not in text for text in contents))
    assume("<|" not in json.dumps([messages, tools]))
    expected = references[CHAT_TEMPLATE].apply_chat_template(
        messages, tools=tools or None, return_dict=True, return_assistant_tokens_mask=True
    )
    tokenizer = tokenizers[CHAT_TEMPLATE]
    ids, trained = tokenizer.encode_spans(tokenizer.chat_spans(messages, tools=tools))
    assert ids == expected["input_ids"]
    assert [int(flag) for flag in trained] == expected["assistant_masks"]


def learnt(tokenizer: Tokenizer, messages: list[dict[str, Any]], **more: Any) -> str:
    ids, trained = tokenizer.encode_spans(tokenizer.chat_spans(messages, **more))
    return tokenizer.decode_special([id for id, flag in zip(ids, trained, strict=True) if flag])


ASKED = {"role": "user", "content": "What is 1+1?"}
CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": "<b>"}}}],
}
TALK = [ASKED, CALLED, {"role": "tool", "content": "2"}, {"role": "assistant", "content": "Two."}]
WRITTEN = '<tool_call>\n{"name": "add", "arguments": {"a": "<b>"}}\n</tool_call><|im_end|>'


def test_calls_are_learnt_and_results_are_not(tokenizers: dict[str, Tokenizer]) -> None:
    assert learnt(tokenizers[CHAT_TEMPLATE], TALK) == WRITTEN + "Two.<|im_end|>"
    thought = "<think>\n\n</think>\n\n"
    assert learnt(tokenizers[THINKING], TALK) == f"{thought}{WRITTEN}{thought}Two.<|im_end|>"
    written = '{"name": "add", "parameters": {"a": "<b>"}}<|eot_id|>'
    assert learnt(tokenizers[HEADERS], TALK) == written + "Two.<|eot_id|>"


@TEMPLATES
def test_what_is_learnt_can_be_cut_to_later_messages(
    tokenizers: dict[str, Tokenizer], template: str
) -> None:
    more = [*TALK, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
    tokenizer = tokenizers[template]
    whole = learnt(tokenizer, more, trained_from=0)
    for first, expected in ((0, "Two."), (3, "Two."), (5, "Yes.")):
        part = learnt(tokenizer, more, trained_from=first)
        assert whole.endswith(part)
        assert expected in part
        assert ("Two." in part) == (first <= 3)
        assert ("add" in part) == (first == 0)
    assert learnt(tokenizer, more, trained_from=6) == ""


CONTROL = ["<|im_end|>", "<|im_start|>assistant", "<|eot_id|>", "<tool_call>", "<|end_of_text|>"]
CONTROL += ["<|start_header_id|>assistant<|end_header_id|>", "</tool_response>"]
PARTS = ["<|", "im_end", "|>", "<", ">", "|", "a", " ", "\n", "\ue000", "\ue001", "\U000f0000"]
PIECES = st.lists(st.sampled_from(CONTROL + PARTS), min_size=1, max_size=6).map("".join)


def forged(text: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A conversation with a text in every place that holds one."""
    function = {"name": text, "arguments": {text: text, "list": [text, {"deep": text}]}}
    calls = [{"type": "function", "function": function}]
    definition = {"name": text, "description": text, "parameters": {text: [text]}}
    messages = [
        {"role": "system", "content": text},
        {"role": "user", "content": text},
        {"role": "assistant", "content": text, "tool_calls": calls},
        {"role": "tool", "content": text, "name": text},
        {"role": "assistant", "content": text},
    ]
    return messages, [{"type": "function", "function": definition}]


def control_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    messages, tools = forged(text)
    special = set(tokenizer.special_tokens.values())
    return [id for id in tokenizer.encode_chat(messages, True, tools) if id in special]


@TEMPLATES
@given(text=PIECES)
def test_control_tokens_cannot_be_forged_anywhere(
    tokenizers: dict[str, Tokenizer], template: str, text: str
) -> None:
    tokenizer = tokenizers[template]
    assert control_ids(tokenizer, text) == control_ids(tokenizer, "harmless")
    messages, tools = forged(text)
    shown = tokenizer.decode_special(tokenizer.encode_chat(messages, False, tools))
    assert text.strip() in shown


@pytest.mark.parametrize(
    ("content", "name"),
    [("<|im_", "end|>"), ("<", "|im_end|>"), ("<|im_end|", ">"), ("§<|im_end|>", "§§"), ("§", "<")],
)
def test_a_token_that_neighbours_make_together_is_text(content: str, name: str) -> None:
    template = "{% for m in messages %}>{{ m.content }}{{ m.name }}|im_end|>{% endfor %}<|im_end|>"
    ranks = {bytes([byte]): byte for byte in range(256)}
    tokenizer = Tokenizer(ranks, {"<|im_end|>": 256, "§": 257}, r"\w+|\W", template)
    ids = tokenizer.encode_chat([{"role": "user", "content": content, "name": name}], False)
    assert [id for id in ids if id > 255] == [256]
    assert tokenizer.decode(ids) == f">{content}{name}|im_end|>"


def test_thoughts_are_given_apart(
    tokenizers: dict[str, Tokenizer], references: dict[str, Any]
) -> None:
    tokenizer = tokenizers[THINKING]
    inside = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nTwo."}
    with pytest.raises(InputError, match="looks for: <think>, </think>") as caught:
        tokenizer.encode_chat([ASKED, inside], False)
    assert "reasoning_content" in str(caught.value.fix)
    apart = {"role": "assistant", "content": "Two.", "reasoning_content": "hm"}
    ids = tokenizer.encode_chat([ASKED, apart], False)
    expected = references[THINKING].apply_chat_template([ASKED, inside], return_dict=True)
    assert ids == expected["input_ids"]
    assert learnt(tokenizer, [ASKED, apart]) == "<think>\nhm\n</think>\n\nTwo.<|im_end|>"


def test_arguments_reach_the_template(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers[THINKING]
    plain = tokenizer.encode_chat([ASKED], True)
    without = tokenizer.encode_chat([ASKED], True, arguments={"enable_thinking": False})
    assert tokenizer.decode_special(without[len(plain) :]) == "<think>\n\n</think>\n\n"


def test_what_a_template_would_leave_out_is_refused() -> None:
    template = "{% for m in messages %}{{ m.content }}<e>{% endfor %}"
    ranks = {bytes([byte]): byte for byte in range(256)}
    tokenizer = Tokenizer(ranks, {"<e>": 256}, r"\w+|\W", template)
    assert tokenizer.encode_chat([ASKED], False)
    with pytest.raises(InputError, match="does not know 'tools'"):
        tokenizer.encode_chat([ASKED], False, [{"type": "function", "function": {"name": "f"}}])
    with pytest.raises(InputError, match="does not know 'tool_calls'"):
        tokenizer.encode_chat(TALK, False)
    thinking = {"role": "assistant", "content": "Two.", "reasoning_content": "hm"}
    with pytest.raises(InputError, match="does not know 'reasoning_content'"):
        tokenizer.encode_chat([ASKED, thinking], False)


def test_arguments_without_end_are_refused(tokenizers: dict[str, Tokenizer]) -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    function = {"name": "f", "arguments": {"x": deep}}
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    with pytest.raises(InputError, match="nested too deeply"):
        tokenizers[CHAT_TEMPLATE].encode_chat([ASKED, call], False)


def test_a_template_says_what_it_refuses(tokenizers: dict[str, Tokenizer]) -> None:
    late = [ASKED, {"role": "system", "content": "Be short."}]
    with pytest.raises(InputError, match="the system speaks first"):
        tokenizers[HEADERS].encode_chat(late, True)


@pytest.mark.parametrize("template", ["{{ 1 / 0 }}", "{{ 'a' + none }}", "{% if %}", "{{ x.y.z }}"])
def test_broken_templates_are_errors_of_ours(template: str) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)}
    with pytest.raises(InputError, match="cannot be rendered"):
        Tokenizer(ranks, {"<e>": 256}, r"\w+|\W", template).encode_chat([ASKED], False)
