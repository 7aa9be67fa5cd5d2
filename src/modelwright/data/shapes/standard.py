"""The shapes of TRL and of OpenAI: messages, prompts with completions, pairs, labels, prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelwright.core.conversation import Message
from modelwright.core.examples import ORIGIN, Row, Texts
from modelwright.data.shapes.dialogues import is_dialogue, read_dialogue
from modelwright.data.shapes.fields import (
    EMPTY,
    WRONG_TYPE,
    BadRowError,
    flag_field,
    number_field,
    text_field,
    tools_field,
)
from modelwright.data.shapes.turns import check_order, read_messages

MIXED = "text in one field and messages in another"
SAME_ANSWERS = "two answers that are the same"
NO_PROMPT = "two answers that do not begin alike, and no prompt"


def conversation(row: Mapping[str, Any]) -> Row:
    """``messages``, and ``tools`` that may be called."""
    messages = read_messages(row["messages"], "messages")
    check_order(messages, "messages")
    return {"messages": messages, **tools_of(row)}


def completion(row: Mapping[str, Any]) -> Row:
    """``prompt`` and ``completion``."""
    prompt, answer = _read_texts(row, "prompt", "completion")
    _check_answer(prompt, answer, "completion")
    return {"prompt": prompt, "completion": answer, **tools_of(row)}


def labelled(row: Mapping[str, Any]) -> Row:
    """``prompt``, ``completion`` and ``label``, which says whether the completion is good."""
    return {**completion(row), "label": flag_field(row, "label")}


def preference(row: Mapping[str, Any]) -> Row:
    """``prompt``, ``chosen`` and ``rejected``; ``margin`` says by how much it is better.

    As in UltraFeedback's data, the prompt may be the text of a question with which both messages
    begin.
    """
    if isinstance(row["prompt"], str) and isinstance(row["chosen"], list):
        read = implicit_preference(row)
        if read["prompt"][-1]["content"].strip() != row["prompt"].strip():
            raise BadRowError(MIXED, "prompt", "is text, and not the question before both answers")
        return read
    prompt, chosen, rejected = _read_texts(row, "prompt", "chosen", "rejected")
    return pair(row, prompt, chosen, rejected)


def implicit_preference(row: Mapping[str, Any]) -> Row:
    """``chosen`` and ``rejected`` that begin with the same prompt."""
    chosen, rejected = _read_texts(row, "chosen", "rejected")
    if isinstance(chosen, str) and isinstance(rejected, str):
        if is_dialogue(chosen) and is_dialogue(rejected):
            chosen, rejected = read_dialogue(chosen, "chosen"), read_dialogue(rejected, "rejected")
        else:
            return pair(row, *_cut_texts(chosen, rejected))
    assert isinstance(chosen, list)
    assert isinstance(rejected, list)  # both are, or neither
    for messages, name in ((chosen, "chosen"), (rejected, "rejected")):
        check_order(messages, name)
    common = _common_length(chosen, rejected)
    if not common:
        raise BadRowError(NO_PROMPT, "rejected", "begins otherwise than 'chosen'")
    if common == len(chosen) == len(rejected):
        raise BadRowError(SAME_ANSWERS, "rejected", "is the same as 'chosen'")
    return pair(row, chosen[:common], chosen[common:], rejected[common:])


def prompt(row: Mapping[str, Any]) -> Row:
    """``prompt``, and whatever rewards need to know."""
    (asked,) = _read_texts(row, "prompt")
    if isinstance(asked, list):
        check_order(asked, "prompt", ends_with_answer=False)
    others = {name: row[name] for name in row if name not in ("prompt", "tools", *ORIGIN)}
    return {"prompt": asked, **tools_of(row), **others}


def pair(row: Mapping[str, Any], asked: Texts, chosen: Texts, rejected: Texts) -> Row:
    """A preference of what was read, with the margin and tools of the row.

    Raises
    ------
    BadRowError
        If an answer is empty or does not fit the prompt, or both are the same.
    """
    for answer, name in ((chosen, "chosen"), (rejected, "rejected")):
        _check_answer(asked, answer, name)
    if chosen == rejected:
        raise BadRowError(SAME_ANSWERS, "rejected", "is the same as 'chosen'")
    read: Row = {"prompt": asked, "chosen": chosen, "rejected": rejected}
    if "margin" in row:
        read["margin"] = number_field(row, "margin")
    return {**read, **tools_of(row)}


def tools_of(row: Mapping[str, Any]) -> Row:
    """The tools of a row, if it has any."""
    return {"tools": tools_field(row)} if "tools" in row else {}


def _read_texts(row: Mapping[str, Any], *names: str) -> list[Texts]:
    """Fields that are all texts or all messages."""
    kinds = {name: isinstance(row[name], list) for name in names if name in row}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"'{name}'" for name, is_list in kinds.items() if is_list)
        raise BadRowError(
            MIXED, names[0], f"and the others must be all texts or all messages; messages: {listed}"
        )
    if not any(kinds.values()):
        return [text_field(row, name) for name in names]
    return [read_messages(row[name], name) for name in names]


def _check_answer(asked: Texts, answer: Texts, name: str) -> None:
    if isinstance(asked, str) or isinstance(answer, str):
        if not isinstance(answer, str):
            raise BadRowError(WRONG_TYPE, name, "is messages, where the prompt is text")
        if not answer.strip():
            raise BadRowError(EMPTY, name, "is empty")
        return
    if not answer:
        raise BadRowError(EMPTY, name, "holds no message behind what it begins with")
    check_order(asked, "prompt", ends_with_answer=False)
    check_order([*asked, *answer], f"prompt + {name}")


def _cut_texts(chosen: str, rejected: str) -> tuple[str, str, str]:
    """The longest common beginning, and how each goes on.

    A space before the first difference belongs to the answers, as in TRL's ``extract_prompt``:
    tokenizers put it before a word.
    """
    common = _common_length(chosen, rejected)
    if common and chosen[common - 1] == " ":
        common -= 1
    if not chosen[:common].strip():
        raise BadRowError(NO_PROMPT, "rejected", "begins otherwise than 'chosen'")
    return chosen[:common], chosen[common:], rejected[common:]


def _common_length(one: Sequence[Message] | str, other: Sequence[Message] | str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    shorter = min(len(one), len(other))
    return next((n for n, (first, second) in pairs if first != second), shorter)
