"""The gate: an export is read back by the engine it is for, and has to say what the model says.

Three things are compared: token ids of some thousand texts and chats, which must all be equal;
logits with those of our own code on the weights *as they are stored*, which shows whether the
reader understands the file; and the reader's probabilities with those of the model in float32, as
KL divergence, which shows what the number format costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.export.gate_strings import PROSE, Probe, make_chats, make_probes
from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer

SEQUENCES, LONGEST, MOST_LOGITS = 6, 96, 2**25
"""How many sequences logits are taken of, how long they are, how many logits are held at most."""


SHOWN_IDS = 8
"""How much is shown of what differs."""


@dataclass(frozen=True)
class Bounds:
    """What an export may differ by.

    Attributes
    ----------
    difference : float
        Largest difference of a logit from our code on the same weights, as a share of the largest
        logit.
    divergence : float
        Mean KL divergence from the model in float32, in nats a token.
    """

    difference: float
    divergence: float


BOUNDS = {
    "f32": Bounds(1e-3, 1e-6),
    "f16": Bounds(1e-2, 1e-4),
    "bf16": Bounds(5e-2, 1e-3),
    "q8_0": Bounds(1e-1, 1e-2),
    "q5_1": Bounds(1e-1, 1e-1),
    "q5_0": Bounds(1e-1, 1e-1),
    "q4_1": Bounds(1e-1, 5e-1),
    "q4_0": Bounds(1e-1, 5e-1),
}


@dataclass(frozen=True)
class Reference:
    """What readers are asked, and what the model itself says to it.

    Attributes
    ----------
    probes : list of Probe
        Texts.
    chats : list of dict
        Conversations that the chat template takes.
    ids : list of list of int
        The token ids of all texts and then of all chats.
    sequences : list of list of int
        Token ids to predict on, all of one length.
    logits : ndarray
        The model's (positions of all sequences, vocabulary), float32.
    """

    probes: list[Probe]
    chats: list[dict[str, Any]]
    ids: list[list[int]]
    sequences: list[list[int]]
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What a reader makes of an export; fields as in :class:`Reference`."""

    ids: list[list[int]]
    logits: NDArray[np.float32]
    reader: str


@dataclass(frozen=True)
class Verdict:
    """How an export did; a row of the table.

    Attributes
    ----------
    file, type : str
        What was read, and the number format of its weights.
    bytes : int
        Its size.
    texts, wrong_texts, chats, wrong_chats : int
        How many there were, and of how many the token ids differ.
    largest_difference : float
        Of a logit from our own code on the same weights.
    largest_logit : float
        For comparison.
    mean_divergence : float
        KL divergence from the model in float32, in nats a token.
    same_best_token : float
        Share of the positions at which both find the same token likeliest.
    reader : str
        Who read it.
    problems : list of str
        Why it does not pass; empty if it does.
    """

    file: str
    type: str
    bytes: int
    texts: int
    wrong_texts: int
    chats: int
    wrong_chats: int
    largest_difference: float
    largest_logit: float
    mean_divergence: float
    same_best_token: float
    reader: str
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For ``export.json``."""
        return asdict(self)


def make_reference(
    model: CausalLM,
    tokenizer: Tokenizer,
    *,
    begin: int | None,
    normalised: bool = False,
    renders: bool = True,
    texts: int,
) -> Reference:
    """Ask the model itself.

    Parameters
    ----------
    model : CausalLM
        In float32, on the CPU.
    tokenizer : Tokenizer
        Its tokenizer.
    begin : int or None
        The token that goes before every prompt.
    normalised : bool
        Whether readers are given texts in form NFC only.
    renders : bool
        Whether readers have chat templates.
    texts : int
        On how many texts.
    """
    probes = make_probes(tokenizer, texts, normalised)
    chats, chat_ids = list[dict[str, Any]](), list[list[int]]()
    for chat in make_chats() if renders else []:
        try:
            chat_ids.append(tokenizer.encode_chat(chat["messages"], chat["add_generation_prompt"]))
        except InputError:  # a template may refuse a system message
            continue
        chats.append(chat)
    ids = [_expected(tokenizer, probe, begin) for probe in probes]
    sequences = make_sequences(model, tokenizer)
    return Reference(probes, chats, ids + chat_ids, sequences, logits_of(model, sequences))


def make_sequences(model: CausalLM, tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids to predict on: prose from several places on, then tokens by chance."""
    config = model.config
    room = MOST_LOGITS // (SEQUENCES * config.vocab_size)
    length = max(2, min(LONGEST, config.max_position_embeddings, room))
    prose = tokenizer.encode(PROSE)
    generator = torch.Generator().manual_seed(0)
    sequences = list[list[int]]()
    for number in range(SEQUENCES):
        if number < SEQUENCES - 2:
            start = number * len(prose) // (SEQUENCES - 2)
            sequences.append(list(islice(cycle(prose), start, start + length)))
        else:
            by_chance = torch.randint(0, config.vocab_size, (length,), generator=generator)
            sequences.append(by_chance.tolist())
    return sequences


@torch.no_grad()
def logits_of(model: CausalLM, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Logits (positions of all sequences, vocabulary), float32, one sequence at a time."""
    logits: list[Tensor] = [model(torch.tensor([one]))[0] for one in sequences]
    array: NDArray[np.float32] = torch.cat(logits).numpy()
    return array


def judge(
    reference: Reference,
    answer: Answer,
    stored: NDArray[np.float32],
    *,
    file: str,
    type: str,
    size: int,
) -> Verdict:
    """Compare what a reader says with what the model says.

    Parameters
    ----------
    reference, answer
        Both sides.
    stored : ndarray
        Logits of our own code on the weights as they are stored, shaped as the reference's.
    file, type, size
        What was read, its number format, its bytes.
    """
    texts = len(reference.probes)
    wrong = [
        index
        for index, (expected, found) in enumerate(zip(reference.ids, answer.ids, strict=True))
        if expected != found
    ]
    difference = float(np.abs(answer.logits - stored).max())
    largest = float(np.abs(stored).max())
    divergence, same = _divergence(reference.logits, answer.logits)
    verdict = Verdict(
        file=file,
        type=type,
        bytes=size,
        texts=texts,
        wrong_texts=sum(index < texts for index in wrong),
        chats=len(reference.chats),
        wrong_chats=sum(index >= texts for index in wrong),
        largest_difference=difference,
        largest_logit=largest,
        mean_divergence=divergence,
        same_best_token=same,
        reader=answer.reader,
    )
    verdict.problems.extend(_problems(verdict, BOUNDS[type]))
    if wrong:
        verdict.problems.append(_shown(wrong[0], reference, answer))
    return verdict


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """Lines of a table for people."""
    rows = [
        (
            "file", "bytes", "texts that differ", "chats", "largest difference", "mean KL",
            "same best token", "read by",
        ),
        *(
            (
                one.file,
                f"{one.bytes:,}",
                f"{one.wrong_texts:,} of {one.texts:,}",
                f"{one.wrong_chats} of {one.chats}",
                f"{one.largest_difference:.1e} of {one.largest_logit:.1f}",
                f"{one.mean_divergence:.1e}",
                f"{one.same_best_token:.1%}",
                one.reader,
            )
            for one in verdicts
        ),
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _expected(tokenizer: Tokenizer, probe: Probe, begin: int | None) -> list[int]:
    if probe.how == "special":
        return tokenizer.encode_special(probe.text)
    before = [begin] if probe.how == "start" and begin is not None else []
    return before + tokenizer.encode(probe.text)


def _divergence(reference: NDArray[np.float32], found: NDArray[np.float32]) -> tuple[float, float]:
    """Mean KL divergence, and the share of equal likeliest tokens; row by row to save memory."""
    total, same = 0.0, 0
    for expected_row, found_row in zip(reference, found, strict=True):
        expected, other = _log_softmax(expected_row), _log_softmax(found_row)
        total += float((np.exp(expected) * (expected - other)).sum())
        same += int(expected_row.argmax() == found_row.argmax())
    return max(total / len(reference), 0.0), same / len(reference)


def _log_softmax(row: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = row.astype(np.float64) - float(row.max())
    normalised: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return normalised


def _problems(verdict: Verdict, bounds: Bounds) -> list[str]:
    """What is beyond the bounds; a logit that is not finite is beyond any."""
    problems = []
    if verdict.wrong_texts or verdict.wrong_chats:
        problems.append(
            f"other token ids for {verdict.wrong_texts:,} of {verdict.texts:,} texts and "
            f"{verdict.wrong_chats} of {verdict.chats} chats"
        )
    limit = bounds.difference * max(1.0, verdict.largest_logit)
    if not verdict.largest_difference <= limit:
        problems.append(
            f"logits differ by {verdict.largest_difference:.1e} from the same weights in "
            f"Modelwright; {limit:.1e} is allowed"
        )
    if not verdict.mean_divergence <= bounds.divergence:
        problems.append(
            f"a KL divergence of {verdict.mean_divergence:.1e} from the model; "
            f"{bounds.divergence:.1e} is allowed for {verdict.type}"
        )
    return problems


def _shown(index: int, reference: Reference, answer: Answer) -> str:
    """The first text that is read otherwise, from the token on at which it is."""
    texts, expected, found = len(reference.probes), reference.ids[index], answer.ids[index]
    if index < texts:
        what = f"the text {reference.probes[index].text!r} ({reference.probes[index].how})"
    else:
        what = f"the chat {reference.chats[index - texts]}"
    pairs = enumerate(zip(expected, found, strict=False))
    shorter = min(len(expected), len(found))
    first = next((place for place, (one, other) in pairs if one != other), shorter)
    there, here = found[first : first + SHOWN_IDS], expected[first : first + SHOWN_IDS]
    return f"from token {first} on, {what} goes on with {there} there and {here} here"
