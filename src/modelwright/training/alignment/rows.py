"""Rows of examples as ids: pairs of answers, labelled answers, prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelwright.core.errors import InputError
from modelwright.core.examples import Form, form_of, read_examples, reward_fields
from modelwright.tokens.example_tokens import (
    EncodedExample,
    encode_answer,
    encode_pair,
    encode_prompt,
)
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.examples import TokenizedExample
from modelwright.training.labelled import LabelledAnswer
from modelwright.training.pairs import TokenizedPair
from modelwright.training.reinforcement.prompts import Prompt

TOO_LONG = "longer than the context"
EMPTY = "an answer without a token"
SAME = "both answers are the same"
NO_ROOM = "a prompt that leaves no room for an answer"


def read_pairs(
    path: Path, tokenizer: Tokenizer, context: int, dropped: Counter[str]
) -> list[TokenizedPair]:
    """The pairs of a file; what cannot be learnt from is counted in ``dropped`` by reason."""
    kept = []
    for _, row in _rows(path, "preference"):
        chosen, rejected = encode_pair(row, tokenizer)
        if not any(chosen.trained) or not any(rejected.trained):
            dropped[EMPTY] += 1
        elif chosen.ids == rejected.ids:
            dropped[SAME] += 1
        elif max(len(chosen.ids), len(rejected.ids)) > context:
            dropped[TOO_LONG] += 1
        else:
            kept.append(TokenizedPair(_example(chosen), _example(rejected), row.get("margin")))
    return kept


def read_labelled(
    path: Path, tokenizer: Tokenizer, context: int, dropped: Counter[str]
) -> list[LabelledAnswer]:
    """The labelled answers of a file; a pair gives a good and a bad one."""
    kept = []
    for answer, is_good in _labelled(path, tokenizer):
        if not any(answer.trained):
            dropped[EMPTY] += 1
        elif len(answer.ids) > context:
            dropped[TOO_LONG] += 1
        else:
            first = answer.trained.index(True)
            example = _example(answer)
            ids, trained = example.ids.tolist(), example.trained.tolist()
            kept.append(
                LabelledAnswer(
                    tuple(ids[:first]), tuple(ids[first:]), tuple(trained[first:]), is_good
                )
            )
    return kept


def read_prompts(
    path: Path, tokenizer: Tokenizer, longest: int, dropped: Counter[str]
) -> list[Prompt]:
    """The prompts of a file of at most ``longest`` ids."""
    kept = []
    for _, row in _rows(path, "prompt"):
        ids = encode_prompt(row, tokenizer)
        if len(ids) > longest:
            dropped[NO_ROOM] += 1
        else:
            kept.append(Prompt(tuple(ids), row["prompt"], reward_fields(row)))
    return kept


def _example(encoded: EncodedExample) -> TokenizedExample:
    """Up to the token that ends the answer."""
    last = max(place for place, is_trained in enumerate(encoded.trained) if is_trained)
    return TokenizedExample.of(encoded.ids[: last + 1], encoded.trained[: last + 1], False)


def _labelled(path: Path, tokenizer: Tokenizer) -> Iterator[tuple[EncodedExample, bool]]:
    for _, row in _rows(path, "labelled", "preference"):
        if "label" in row:
            yield encode_answer(row, "completion", tokenizer), row["label"]
        else:
            chosen, rejected = encode_pair(row, tokenizer)
            yield chosen, True
            yield rejected, False


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
