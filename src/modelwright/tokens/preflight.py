"""What a model would learn from rows of examples, before it does: lengths, and what is wrong."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from modelwright.core.errors import InputError
from modelwright.core.examples import Form, Row, TrainOn, form_of
from modelwright.tokens.example_tokens import (
    EncodedExample,
    encode_answer,
    encode_example,
    encode_pair,
    encode_prompt,
)
from modelwright.tokens.tokenizer import Tokenizer

NOTHING_TRAINED = "nothing in it would be learnt"
NO_END = "its answer does not end with a token that ends answers"
REFUSED = "the chat template refuses it"


@dataclass(frozen=True)
class Shown:
    """A row as the model sees it.

    Attributes
    ----------
    where : str
        Its file and line.
    form : str
        Its form.
    answers : list of EncodedExample
        One, or the chosen and the rejected.
    """

    where: str
    form: Form
    answers: list[EncodedExample]


@dataclass
class Preflight:
    """What was found.

    Attributes
    ----------
    forms : Counter of str
        Rows by form.
    lengths : list of int
        Tokens of each rendered answer with all before it.
    trained : int
        How many of these tokens are learnt.
    too_long : int
        Rows that are longer than the context.
    problems : dict of str to list of str
        By reason, the places of rows that fine-tuning would refuse.
    shown : list of Shown
        Some rows, by chance but always the same, in their order.
    """

    forms: Counter[Form] = field(default_factory=Counter)
    lengths: list[int] = field(default_factory=list)
    trained: int = 0
    too_long: int = 0
    problems: dict[str, list[str]] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)

    def quantiles(self, shares: Sequence[float]) -> list[int]:
        """Lengths that these shares of the rows do not exceed."""
        ordered = sorted(self.lengths)
        return [ordered[round(share * (len(ordered) - 1))] for share in shares] if ordered else []


def inspect(
    rows: Iterable[tuple[str, Row]],
    tokenizer: Tokenizer,
    context: int | None,
    train_on: TrainOn = "all_turns",
    show: int = 10,
) -> Preflight:
    """Encode rows as training does, and count.

    Parameters
    ----------
    rows : iterable of (str, dict)
        Places and rows in one of the known forms.
    tokenizer : Tokenizer
        Of the model.
    context : int or None
        Most tokens that the model takes, if that is known.
    train_on : {"all_turns", "last_turn"}
        What is learnt of a conversation.
    show : int
        How many rows to keep for showing.
    """
    found, chance = Preflight(), random.Random(0)
    kept: list[tuple[int, Shown]] = []
    ends = {tokenizer.end_of_text, tokenizer.message_end}
    for number, (where, row) in enumerate(rows):
        form = form_of(row)
        assert form is not None  # both readers of rows see to it
        found.forms[form] += 1
        try:
            answers = _encode(row, form, tokenizer, train_on)
        except InputError as error:
            found.problems.setdefault(f"{REFUSED}: {error.what}", []).append(where)
            continue
        _count(found, where, form, answers, context, ends)
        # Reservoir sampling (Vitter 1985, algorithm R): each row is kept with the same chance.
        place = number if len(kept) < show else chance.randrange(number + 1)
        if len(kept) < show:
            kept.append((number, Shown(where, form, answers)))
        elif place < show:
            kept[place] = (number, Shown(where, form, answers))
    found.shown = [shown for _, shown in sorted(kept, key=lambda one: one[0])]
    return found


def pieces(example: EncodedExample, tokenizer: Tokenizer) -> list[tuple[str, bool]]:
    """The text of an example, control tokens included, cut where what is learnt begins or ends."""
    pairs = zip(example.ids, example.trained, strict=True)
    return [
        (tokenizer.decode_special([id for id, _ in group]), is_trained)
        for is_trained, group in groupby(pairs, key=lambda pair: pair[1])
    ]


def _encode(row: Row, form: Form, tokenizer: Tokenizer, train_on: TrainOn) -> list[EncodedExample]:
    match form:
        case "conversation" | "completion":
            return [encode_example(row, tokenizer, train_on)]
        case "preference":
            return list(encode_pair(row, tokenizer))
        case "labelled":
            return [encode_answer(row, "completion", tokenizer)]
        case "prompt":
            ids = encode_prompt(row, tokenizer)
            return [EncodedExample(ids, [False] * len(ids))]


def _count(
    found: Preflight,
    where: str,
    form: Form,
    answers: list[EncodedExample],
    context: int | None,
    ends: set[int],
) -> None:
    found.lengths += [len(answer.ids) for answer in answers]
    found.trained += sum(sum(answer.trained) for answer in answers)
    found.too_long += context is not None and any(len(answer.ids) > context for answer in answers)
    if form == "prompt":
        return
    for answer in answers:
        learnt = [id for id, trained in zip(answer.ids, answer.trained, strict=True) if trained]
        if not learnt:
            found.problems.setdefault(NOTHING_TRAINED, []).append(where)
        elif not ends & set(learnt):
            found.problems.setdefault(NO_END, []).append(where)
