"""Templates of public models, as TRL ships them: rendered as by transformers, and learnt alike.

For some, TRL has a copy in which answers are marked by hand; our rule must find the same parts.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from modelwright.core.errors import InputError
from modelwright.tokens.chat_template import Chat, ChatFormat, Span, render_spans
from modelwright.tokens.defusing import ControlTokens

trl = pytest.importorskip("trl")
FOLDER = Path(trl.__file__).parent / "chat_templates"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jinja"))

NAMED = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
CONTROL = re.compile(
    r"<\|[^|>'\"{}\s]*\|?>|<[a-z_]+\|>|<｜[^｜]*｜>|</?s>|<(?:start|end)_of_turn>|<bos>|<eos>"
    r"|</?think>|</?tool_call>|</?tool_response>|\[/?INST\]|<end_of_utterance>"
)
STOPS = {
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "gemma": "<end_of_turn>",
    "lfm2": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "qwen": "<|im_end|>",
}

TOOL = {
    "name": "add",
    "description": "Adds <numbers> & more.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer", "description": "é"}},
        "required": ["a"],
    },
}
TALK = [
    {"role": "user", "content": "What is <b>one</b> and one?"},
    {"role": "assistant", "content": "Two."},
    {"role": "user", "content": "And one more?"},
    {"role": "assistant", "content": "Three."},
]
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": "é < ü"}}}
CALLED = [
    TALK[0],
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "name": "add", "content": "2"},
    TALK[1],
]
CHATS = {
    "turns": Chat(TALK),
    "system": Chat([{"role": "system", "content": "Be short."}, *TALK[:2]]),
    "asked": Chat(TALK[:3], None, True),
    "tools": Chat(CALLED, [{"type": "function", "function": TOOL}]),
}


def format_of(name: str) -> ChatFormat:
    template = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    tokens = sorted({*CONTROL.findall(template), *NAMED.values()})
    stop = next((stop for start, stop in STOPS.items() if name.startswith(start)), "</s>")
    return ChatFormat(template, ControlTokens.of(tokens), stop, NAMED)


def knows_tools(format: ChatFormat) -> bool:
    return "tools" in format.template and "tool_calls" in format.template


def reference(format: ChatFormat, chat: Chat) -> str | None:
    """What transformers renders; None if the template refuses."""
    try:
        rendered, _ = render_jinja_template(
            [chat.messages],
            tools=chat.tools,
            chat_template=format.template,
            add_generation_prompt=chat.add_generation_prompt,
            **NAMED,
        )
    except Exception:  # noqa: BLE001 - whatever the template runs into
        return None
    return str(rendered[0])


def ours(format: ChatFormat, chat: Chat) -> str | None:
    """What we render; None if the template refuses."""
    try:
        return "".join(span.text for span in render_spans(format, chat))
    except InputError:
        return None


@pytest.mark.parametrize("name", NAMES)
def test_public_templates_render_as_with_transformers(name: str) -> None:
    format = format_of(name)
    for kind, chat in CHATS.items():
        if kind == "tools" and not knows_tools(format):
            with pytest.raises(InputError, match="does not know 'tool"):
                render_spans(format, chat)
        else:
            assert ours(format, chat) == reference(format, chat), kind


def learnt(spans: list[Span]) -> list[str]:
    """The parts that are learnt, without white space around them."""
    text = "".join(span.text if span.is_trained else "\0" for span in spans)
    return [part.strip() for part in re.split("\0+", text) if part.strip()]


def marked(name: str, chat: Chat) -> list[str]:
    """What is learnt where the template marks it, by transformers' account."""
    format = format_of(f"{name}_training")
    rendered, places = render_jinja_template(
        [chat.messages],
        tools=chat.tools,
        chat_template=format.template,
        return_assistant_tokens_mask=True,
        **NAMED,
    )
    return [rendered[0][start:end].strip() for start, end in places[0]]


ALIKE = ["cohere", "gemma", "gemma3", "lfm2_v2", "llama3", "qwen2_5", "qwen3_instruct_2507"]


@pytest.mark.parametrize("name", [*ALIKE, "qwen3_vl", "qwen2_5_vl"])
@pytest.mark.parametrize("kind", ["turns", "tools"])
def test_our_rule_finds_what_was_marked_by_hand(name: str, kind: str) -> None:
    chat, format = CHATS[kind], format_of(name)
    if kind == "tools" and not knows_tools(format):
        pytest.skip("the template knows no tools")
    found = learnt(render_spans(format, chat, trained_from=0))
    assert found == marked(name, chat)
    assert len(found) == 2


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_think", "qwen3_5_nothink"])
def test_the_last_turn_of_thinking_models_is_learnt_as_it_is_asked_for(name: str) -> None:
    format = format_of(name)
    (part,) = learnt(render_spans(format, Chat(TALK), trained_from=3))
    asked = "".join(span.text for span in render_spans(format, Chat(TALK[:3], None, True)))
    whole = "".join(span.text for span in render_spans(format, Chat(TALK)))
    assert whole.startswith(asked)
    assert whole.removeprefix(asked).strip() == part


def test_results_of_tools_are_never_learnt() -> None:
    """Gemma 4 has them inside the model's turn."""
    format = format_of("gemma4")
    with pytest.raises(InputError, match=r"\{% generation %\}|results of tools"):
        render_spans(
            ChatFormat(format.template, format.control, "<turn|>", NAMED), CHATS["tools"], 0
        )
