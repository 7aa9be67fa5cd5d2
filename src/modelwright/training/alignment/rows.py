"""Rows of examples as ids: pairs of answers, labelled answers, prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelwright.core.errors import InputError
from modelwright.core.examples import Form, Texts, form_of, read_examples, reward_fields
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.examples import TokenizedExample
from modelwright.training.labelled import LabelledAnswer
from modelwright.training.pairs import TokenizedPair
from modelwright.training.reinforcement.prompts import Prompt

TOO_LONG = "longer than the context"
EMPTY = "an answer without a token"
SAME = "both answers are the same"

Ids = tuple[int, ...]


def read_pairs(
    path: Path, tokenizer: Tokenizer, context: int, dropped: Counter[str]
) -> list[TokenizedPair]:
    """The pairs of a file; what cannot be learnt from is counted in ``dropped`` by reason."""
    kept = []
    for _, row in _rows(path, "preference"):
        prompt = prompt_ids(tokenizer, row["prompt"], row)
        chosen, rejected = (
            answer_ids(tokenizer, row["prompt"], row[name], row) for name in ("chosen", "rejected")
        )
        longest = len(prompt) + max(len(chosen), len(rejected))
        if not chosen or not rejected:
            dropped[EMPTY] += 1
        elif chosen == rejected:
            dropped[SAME] += 1
        elif longest > context:
            dropped[TOO_LONG] += 1
        else:
            better, worse = _example(prompt, chosen), _example(prompt, rejected)
            kept.append(TokenizedPair(better, worse, row.get("margin")))
    return kept


def read_labelled(
    path: Path, tokenizer: Tokenizer, context: int, dropped: Counter[str]
) -> list[LabelledAnswer]:
    """The labelled answers of a file; a pair gives a good and a bad one."""
    kept = []
    for prompt_text, answer_text, is_good, row in _labelled_rows(path):
        prompt = prompt_ids(tokenizer, prompt_text, row)
        answer = answer_ids(tokenizer, prompt_text, answer_text, row)
        if not answer:
            dropped[EMPTY] += 1
        elif len(prompt) + len(answer) > context:
            dropped[TOO_LONG] += 1
        else:
            kept.append(LabelledAnswer(prompt, answer, is_good))
    return kept


def read_prompts(
    path: Path, tokenizer: Tokenizer, longest: int, dropped: Counter[str]
) -> list[Prompt]:
    """The prompts of a file of at most ``longest`` ids."""
    kept = []
    for _, row in _rows(path, "prompt"):
        ids = prompt_ids(tokenizer, row["prompt"], row)
        if len(ids) > longest:
            dropped["a prompt that leaves no room for an answer"] += 1
        else:
            kept.append(Prompt(ids, row["prompt"], reward_fields(row)))
    return kept


def prompt_ids(tokenizer: Tokenizer, prompt: Texts, row: Mapping[str, Any]) -> Ids:
    """Ids up to where the answer begins."""
    if isinstance(prompt, str):
        return (tokenizer.end_of_text, *tokenizer.encode(prompt))
    return tuple(tokenizer.encode_chat(prompt, True))


def answer_ids(tokenizer: Tokenizer, prompt: Texts, answer: Texts, row: Mapping[str, Any]) -> Ids:
    """Ids of an answer behind its prompt, up to the token that ends it.

    Raises
    ------
    InputError
        If the chat template writes a prompt otherwise when an answer follows.
    """
    if isinstance(answer, str):
        ids = tokenizer.encode(answer)
        return (*ids, tokenizer.end_of_text) if ids else ()
    assert not isinstance(prompt, str)
    before = prompt_ids(tokenizer, prompt, row)
    ids, trained = tokenizer.encode_spans(tokenizer.chat_spans([*prompt, *answer]))
    if tuple(ids[: len(before)]) != before:
        raise InputError(
            "the chat template writes a prompt otherwise when an answer follows it",
            fix="use a template that only appends",
        )
    last = max((place for place, is_trained in enumerate(trained) if is_trained), default=0)
    return tuple(ids[len(before) : last + 1])


def _example(prompt: Ids, answer: Ids) -> TokenizedExample:
    trained = [False] * len(prompt) + [True] * len(answer)
    return TokenizedExample.of([*prompt, *answer], trained, is_conversation=False)


def _labelled_rows(path: Path) -> Iterator[tuple[Texts, Texts, bool, Mapping[str, Any]]]:
    for _, row in _rows(path, "labelled", "preference"):
        if "label" in row:
            yield row["prompt"], row["completion"], row["label"], row
        else:
            yield row["prompt"], row["chosen"], True, row
            yield row["prompt"], row["rejected"], False, row


def _rows(path: Path, *forms: Form) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for where, row in read_examples(path):
        if form_of(row) not in forms:
            raise InputError(
                f"a row of the form '{form_of(row)}', and this method learns from "
                f"{' or '.join(forms)}",
                where=where,
                fix="give other examples, or choose another method",
            )
        yield where, row
