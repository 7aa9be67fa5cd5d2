"""Examples as token ids, for fine-tuning: what can be learnt, and a count of what cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelwright.core.errors import InputError
from modelwright.core.examples import TO_FINETUNE, TrainOn, form_of, read_examples
from modelwright.tokens.example_tokens import encode_example
from modelwright.tokens.template_checks import check_template
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.examples import TokenizedExample

TOO_LONG = "longer than the context"
FOR_ALIGNMENT = "for alignment, not for fine-tuning"
ALL_FOR_ALIGNMENT = "all examples are for alignment, none says what to answer"


def tokenize_example(
    row: Mapping[str, Any], tokenizer: Tokenizer, train_on: TrainOn = "all_turns"
) -> TokenizedExample:
    """Ids of a conversation or a completion, and what is trained on."""
    encoded = encode_example(row, tokenizer, train_on)
    return TokenizedExample.of(encoded.ids, encoded.trained, is_conversation="messages" in row)


def tokenize_file(
    path: Path, tokenizer: Tokenizer, context: int, train_on: TrainOn, dropped: dict[str, int]
) -> list[TokenizedExample]:
    """All examples of a file that can be fine-tuned on.

    Parameters
    ----------
    path : Path
        A file of an examples artifact.
    tokenizer : Tokenizer
        Of the model.
    context : int
        Most tokens of an example.
    train_on : {"all_turns", "last_turn"}
        What is learnt of a conversation.
    dropped : dict of str to int
        Gets the count of the others by reason.

    Raises
    ------
    InputError
        If a row is broken or does not fit the chat template, or nothing in it would be learnt.
    """
    kept = []
    for where, row in read_examples(path):
        if form_of(row) not in TO_FINETUNE:
            dropped[FOR_ALIGNMENT] = dropped.get(FOR_ALIGNMENT, 0) + 1
            continue
        try:
            example = tokenize_example(row, tokenizer, train_on)
        except InputError as error:
            raise InputError(error.what, where=where, fix=error.fix) from None
        if len(example.ids) > context:
            dropped[TOO_LONG] = dropped.get(TOO_LONG, 0) + 1
        elif not example.trained[1:].any():
            raise InputError(
                "nothing in this example would be learnt",
                where=where,
                fix="see what is with 'modelwright data examples'",
            )
        else:
            kept.append(example)
    return kept


def require_template(tokenizer: Tokenizer, train_on: TrainOn, note: Callable[[str], None]) -> None:
    """Refuse a chat template that cannot be trained with; say what else it does not do.

    Raises
    ------
    InputError
        If the model would not stop, or would be served otherwise than it was trained.
    """
    for finding in check_template(tokenizer):
        if finding.is_fatal:
            raise InputError(finding.problem, fix=finding.fix)
        if train_on == "all_turns":
            note(f"  {finding.problem}; to do: {finding.fix}")
