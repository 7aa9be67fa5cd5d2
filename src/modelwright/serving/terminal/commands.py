"""What can be typed with a slash before it."""

from __future__ import annotations

import base64
import difflib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelwright.core.errors import InputError
from modelwright.serving.terminal.conversation import Turn, load, save
from modelwright.serving.terminal.reading import read_block, read_line
from modelwright.serving.terminal.requests import SETTABLE, as_curl, as_python, body_of
from modelwright.serving.terminal.session import Session
from modelwright.serving.terminal.writing import printable, token_bars, token_table

HOTTEST = 2
"""Highest temperature, as in the API."""

_WIDTH = 70  # characters of a message in a list


@dataclass(frozen=True)
class Command:
    """One of them.

    Attributes
    ----------
    usage : str
        What may follow.
    help : str
        What it does.
    run : callable
        (session, what follows) → what to print.
    """

    usage: str
    help: str
    run: Callable[[Session, str], str]


def is_command(text: str) -> bool:
    """Whether a text is meant for this program and not for the model."""
    return text.startswith("/") and text[1:2].isalpha() and "\n" not in text


def obey(session: Session, text: str) -> str:
    """Carry a command out; returns what to print.

    Raises
    ------
    ModelwrightError
        If it cannot be.
    """
    name, _, argument = text[1:].partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        fix = f"did you mean /{close[0]}?" if close else "/help lists what there is"
        raise InputError(f"there is no command '/{name}'", fix=fix)
    return command.run(session, argument.strip())


def _help(session: Session, argument: str) -> str:
    names = {f"/{name} {command.usage}".rstrip(): command for name, command in COMMANDS.items()}
    width = max(map(len, names))
    return "\n".join(f"{name:<{width}}  {command.help}" for name, command in names.items())


def _reset(session: Session, argument: str) -> str:
    session.reset()
    return "(A new conversation.)"


def _regenerate(session: Session, argument: str) -> str:
    path = session.conversation.path()
    question = next((turn for turn in reversed(path) if turn.role == "user"), None)
    if question is None:
        raise InputError("there is nothing to answer yet", fix="ask something first")
    session.answer(question)
    return ""


def _edit(session: Session, argument: str) -> str:
    path = session.conversation.path()
    questions = [turn for turn in path if turn.role == "user"]
    if not questions:
        raise InputError("there is nothing to edit yet", fix="ask something first")
    turn = _numbered(path, argument) if argument else questions[-1]
    if turn.role != "user":
        raise InputError("that is an answer", fix="edit one of your messages, or use /correct")
    text = read_line("edit> ", turn.text).strip()
    if not text:
        return "(Nothing was changed.)"
    session.say(text, session.conversation.parent_of(turn))
    return ""


def _branch(session: Session, argument: str) -> str:
    conversation = session.conversation
    path = conversation.path()
    if not argument:
        lines = [
            f"message {number}: version {versions.index(turn) + 1} of {len(versions)}"
            for number, turn in enumerate(path, start=1)
            if len(versions := conversation.versions(turn)) > 1
        ]
        return "\n".join(lines) or "no message has another version: see /regenerate and /edit"
    first, *more = argument.split()
    turn = _numbered(path, first) if more else session.last_answer
    versions = conversation.versions(turn)
    number = _number(more[0] if more else first, len(versions), "version")
    conversation.show(versions[number - 1])
    return _history(session, "")


def _history(session: Session, argument: str) -> str:
    path = session.conversation.path()
    if not path:
        return "nothing was said yet"
    lines = []
    for number, turn in enumerate(path, start=1):
        versions = session.conversation.versions(turn)
        mark = f" ‹{versions.index(turn) + 1}/{len(versions)}›" if len(versions) > 1 else ""
        who = "you" if turn.role == "user" else turn.model or "model"
        lines.append(f"{number:3}  {who}{mark}: {_short(turn.text)}")
    return "\n".join(lines)


def _system(session: Session, argument: str) -> str:
    if not argument:
        return session.conversation.system or "the model is told nothing before the conversation"
    if not session.model.is_chat:
        raise InputError(
            "this model has not learned to follow a system message", fix="fine-tune it first"
        )
    session.conversation.system = "" if argument == "none" else argument
    return "(From the next answer on.)"


def _set(session: Session, argument: str) -> str:
    if not argument:
        values = {name: getattr(session.params, name) for name in SETTABLE}
        return "\n".join(f"{name}={_written(value)}" for name, value in values.items())
    changes = dict[str, Any]()
    for part in _parts(argument):
        name, equals, value = part.partition("=")
        if name not in SETTABLE or not equals:
            known = ", ".join(SETTABLE)
            raise InputError(f"'{part}' sets nothing", fix=f"write NAME=VALUE; names: {known}")
        changes[name] = _value(name, value)
    session.params = replace(session.params, **changes)
    return ""


def _model(session: Session, argument: str) -> str:
    if argument and session.switch(argument):
        return f"{session.model.name} (A new conversation: the two are not talked to in one way.)"
    return session.model.name


def _probabilities(session: Session, argument: str) -> str:
    if argument in ("on", "off"):
        session.shows_probabilities = argument == "on"
        return "(From the next answer on.)" if argument == "on" else ""
    tokens = session.last_answer.tokens
    if not tokens:
        raise InputError(
            "the last answer has no probabilities", fix="say '/probabilities on', and ask again"
        )
    if not argument:
        return token_table(tokens)
    return token_bars(tokens[_number(argument, len(tokens), "token") - 1])


def _good(session: Session, argument: str) -> str:
    session.thumb(True, argument)
    return "(Kept as good.)"


def _bad(session: Session, argument: str) -> str:
    session.thumb(False, argument)
    return "(Kept as bad; /correct says what it should have been.)"


def _correct(session: Session, argument: str) -> str:
    said = _short(session.last_answer.text)
    better = argument or read_block(f"instead of: {said}\nit should have said")
    if not better.strip():
        return "(Nothing was kept.)"
    session.correct(better)
    return "(Kept.)"


def _copy(session: Session, argument: str) -> str:
    answer = session.last_answer
    if argument in ("", "answer"):
        _to_clipboard(answer.text)
        return "(On the clipboard, where the terminal allows it.)"
    forms = {"curl": as_curl, "python": as_python}
    form = forms.get(argument.removeprefix("as "))
    if form is None:
        raise InputError(f"'{argument}' cannot be copied", fix="say answer, curl or python")
    messages = session.conversation.read_for(answer)
    prompt = messages if session.conversation.mode == "chat" else messages[-1]["content"]
    text = form(body_of(prompt, answer.options or {"model": answer.model}))
    _to_clipboard(text)
    return printable(text)


def _save(session: Session, argument: str) -> str:
    path = _path(argument)
    save(session.conversation, path)
    return f"(Saved in {path}; the chat page imports it.)"


def _load(session: Session, argument: str) -> str:
    name, _, number = argument.rpartition(" ")
    if not (name and number.isdigit()) or _path(argument).is_file():
        name, number = argument, ""
    found = load(_path(name))
    chosen = _number(number, len(found), "conversation") if number else 1
    conversation = found[chosen - 1]
    if (conversation.mode == "chat") != session.model.is_chat:
        raise InputError(
            f"this conversation is of the kind '{conversation.mode}', which this model does not do",
            fix="go to another model with /model",
        )
    session.conversation = conversation
    shown = _history(session, "")
    if len(found) > 1 and not number:
        return f"(The first of {len(found)}; '/load FILE NUMBER' takes another.)\n{shown}"
    return shown


COMMANDS = {
    "regenerate": Command("", "answer the last question again", _regenerate),
    "edit": Command("[N]", "change your last message, or message N of /history", _edit),
    "branch": Command("[[N] VERSION]", "other versions of a message; of the last answer", _branch),
    "history": Command("", "what was said, numbered", _history),
    "system": Command("[TEXT|none]", "what the model is told first", _system),
    "set": Command("[NAME=VALUE ...]", "how it answers: temperature=0.7 top_p=0.9 ...", _set),
    "model": Command("[NAME]", "talk to another model: a folder, an id or a stage", _model),
    "probabilities": Command(
        "[on|off|N]", "colour tokens; list those of the last answer; bars of token N",
        _probabilities,
    ),
    "good": Command("[WHY]", "the last answer is good", _good),
    "bad": Command("[WHY]", "the last answer is bad", _bad),
    "correct": Command("[TEXT]", "what it should have said", _correct),
    "copy": Command("[answer|curl|python]", "the answer, or the request for it", _copy),
    "save": Command("FILE", "keep this conversation", _save),
    "load": Command("FILE [NUMBER]", "go on with one from /save or the chat page's export", _load),
    "reset": Command("", "forget the conversation", _reset),
    "help": Command("", "this list", _help),
}  # fmt: skip


def _numbered(path: list[Turn], number: str) -> Turn:
    return path[_number(number, len(path), "message") - 1]


def _number(text: str, most: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise InputError(f"there is no {what} '{text}'", fix=f"give a number from 1 to {most}")
    return int(text)


def _parts(text: str) -> list[str]:
    """Settings apart from each other: a word without = belongs to the value before it."""
    parts = list[str]()
    for word in text.split(" "):
        if "=" in word or not parts:
            parts.append(word)
        else:
            parts[-1] += " " + word
    return parts


def _value(name: str, text: str) -> Any:
    """A value as JSON has it, or none; stop texts may be written plainly, too."""
    if name == "seed" and text in ("none", ""):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if name == "stop":
        texts = value if isinstance(value, list) else [text] if text else []
        if not all(isinstance(one, str) for one in texts):
            raise InputError("stop takes texts", fix='write stop=END or stop=["END", "\\n"]')
        return tuple(texts)
    is_whole = name in ("top_k", "max_tokens", "min_tokens", "seed")
    if isinstance(value, bool) or not isinstance(value, int if is_whole else int | float):
        kind = "a whole number" if is_whole else "a number"
        raise InputError(f"{name} is {kind}, not '{text}'", fix=f"write {name}=VALUE")
    if name == "temperature" and value > HOTTEST:
        raise InputError(f"temperature {value} is too high", fix=f"give it 0 to {HOTTEST}")
    return value


def _written(value: object) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _path(name: str) -> Path:
    if not name:
        raise InputError("a file is missing", fix="write its name behind the command")
    return Path(name).expanduser()


def _short(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _to_clipboard(text: str) -> None:
    """Ask the terminal to (OSC 52 of xterm's control sequences); many do, and others ignore it."""
    if sys.stdout.isatty():
        encoded = base64.b64encode(text.encode()).decode()
        print(f"\x1b]52;c;{encoded}\a", end="", flush=True)
