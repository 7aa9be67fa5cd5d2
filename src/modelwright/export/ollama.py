"""What Ollama needs beside a GGUF file: a Modelfile with the chat template in Go's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from modelwright.core.errors import InputError
from modelwright.core.files import write_text
from modelwright.export.gate_strings import make_chats
from modelwright.tokens.chat_template import END_OF_TEXT, MESSAGE_START, Chat, render_spans
from modelwright.tokens.tokenizer import Tokenizer

MODELFILE = "Modelfile"

_GO_TEMPLATE = (
    "{{- range .Messages }}%(start)s{{ .Role }}\n"
    "{{ .Content }}%(end)s\n"
    "{{ end }}%(start)sassistant\n"
)
"""ChatML, also with other words for its two control tokens. There is nothing of tools in it."""


def write_modelfile(tokenizer: Tokenizer, context: int, gguf: str, folder: Path) -> None:
    """Write the Modelfile.

    Parameters
    ----------
    tokenizer : Tokenizer
        Whose chat template Ollama is to follow.
    context : int
        The model's, in tokens.
    gguf : str
        The file's name, in the same folder.
    folder : Path
        Where to.

    Raises
    ------
    InputError
        If the template says anything else than the one in Go.
    """
    start, end = _layout(tokenizer)
    check_template(tokenizer, start, end)
    stops = dict.fromkeys(one for one in (end, END_OF_TEXT) if one in tokenizer.special_tokens)
    lines = [
        f"FROM ./{gguf}",
        f'TEMPLATE """{go_template(start, end)}"""',
        f"PARAMETER num_ctx {context}",
        *(f'PARAMETER stop "{one}"' for one in stops),
    ]
    write_text(folder / MODELFILE, "\n".join(lines) + "\n")


def go_template(start: str, end: str) -> str:
    """The template in Go's language, with these words before and behind a message."""
    return _GO_TEMPLATE % {"start": start, "end": end}


def as_go_renders(messages: Sequence[Mapping[str, str]], start: str, end: str) -> str:
    """What Ollama makes of a conversation by :func:`go_template`; it always asks for an answer."""
    said = (f"{start}{one['role']}\n{one['content']}{end}\n" for one in messages)
    return "".join(said) + f"{start}assistant\n"


def check_template(tokenizer: Tokenizer, start: str, end: str) -> None:
    """Refuse a chat template that says anything else than the one in Go.

    Raises
    ------
    InputError
        With the first conversation that comes out otherwise.
    """
    for chat in make_chats():
        if not chat["add_generation_prompt"]:
            continue
        messages = chat["messages"]
        spans = render_spans(tokenizer.chat_format, Chat(messages, None, True))
        ours, theirs = "".join(one.text for one in spans), as_go_renders(messages, start, end)
        if ours != theirs:
            raise InputError(
                "the model's chat template cannot be written for Ollama: a conversation comes out "
                f"as {ours!r}, and would there as {theirs!r}",
                fix="export to gguf and write the Modelfile's TEMPLATE by hand",
            )


def _layout(tokenizer: Tokenizer) -> tuple[str, str]:
    """What stands before and behind a message: ChatML's tokens, or what stands in for them."""
    start = MESSAGE_START if MESSAGE_START in tokenizer.special_tokens else "### "
    return start, tokenizer.chat_format.stop or ""
