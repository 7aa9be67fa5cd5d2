"""One person's way through pairs of answers, blind: what is shown next, what was chosen so far."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from modelwright.core.errors import InputError
from modelwright.data.feedback.agreement import Share
from modelwright.data.feedback.record import Answer, Choice, Message, subject_of
from modelwright.data.feedback.summary import Duel, duel, left_share
from modelwright.data.feedback.table import FeedbackTable

Verdict = Literal["left", "right", "tie", "skip"]

AnswersOf = Callable[[int], tuple[str, str] | None]
"""The answers of both models to prompt i; None while they are being written."""


class OutOfStepError(InputError):
    """A verdict on another pair than the one that is shown, as from a second window."""


@dataclass(frozen=True)
class Compared:
    """What is compared, and by whom.

    Attributes
    ----------
    prompts : list of list of Message
        What both models were asked.
    models : tuple of str
        Their names.
    seed : int
        Sides are drawn with it.
    person : str
        Who judges; may be empty.
    """

    prompts: list[list[Message]]
    models: tuple[str, str]
    seed: int
    person: str


@dataclass(frozen=True)
class Shown:
    """A pair as it is shown: nothing in it tells which model said what.

    Attributes
    ----------
    number : int
        Of the prompt, from 0.
    prompt : list of Message
        What was asked.
    left, right : str
        The answers.
    """

    number: int
    prompt: list[Message]
    left: str
    right: str


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes
    ----------
    duel : Duel
        Seen from the first model.
    left : Share or None
        How often the left answer was chosen.
    skipped, same : int
        Pairs that were skipped, and that were not asked about as both answers are the same.
    """

    duel: Duel
    left: Share | None
    skipped: int
    same: int


@dataclass(frozen=True)
class _Step:
    """What became of a pair: a choice, or why there is none; and whether it was made here."""

    outcome: Choice | Literal["skip", "same"]
    is_own: bool


class Comparison:
    """Asks about pair after pair; what is chosen goes into the table at once.

    Pairs that this person has judged before are not asked about again, so that a comparison goes
    on where it was left. Not safe for several threads at once.

    Parameters
    ----------
    compared : Compared
        What is compared.
    answers_of : callable
        Gives the answers to a prompt.
    table : FeedbackTable
        Where choices are kept.
    """

    def __init__(self, compared: Compared, answers_of: AnswersOf, table: FeedbackTable):
        self._compared = compared
        self._answers_of = answers_of
        self._table = table
        self._steps: list[_Step] = []
        self._known = {
            subject_of(one): one
            for one in table.read()
            if isinstance(one, Choice) and one.person == compared.person
        }

    @property
    def total(self) -> int:
        """How many pairs there are."""
        return len(self._compared.prompts)

    @property
    def done(self) -> int:
        """How many of them are behind us."""
        self._pass_settled()
        return len(self._steps)

    @property
    def can_undo(self) -> bool:
        """Whether something was chosen or skipped here."""
        return any(step.is_own for step in self._steps)

    def current(self) -> Shown | None:
        """The pair to judge now; None at the end, or while its answers are being written."""
        self._pass_settled()
        return self._shown(len(self._steps))

    def judge(self, number: int, verdict: Verdict) -> None:
        """Take a verdict on pair ``number``, which must be the current one.

        Raises
        ------
        OutOfStepError
            If it is another.
        """
        shown = self.current()
        if shown is None or shown.number != number:
            raise OutOfStepError(
                "this pair is not the one that is asked about now", fix="load the page again"
            )
        if verdict == "skip":
            self._steps.append(_Step("skip", is_own=True))
            return
        choice = self._choice(shown, verdict)
        self._table.add([choice])
        self._known[subject_of(choice)] = choice
        self._steps.append(_Step(choice, is_own=True))

    def undo(self) -> None:
        """Go back to the pair that was judged or skipped last; its choice is forgotten."""
        own = [place for place, step in enumerate(self._steps) if step.is_own]
        if not own:
            return
        outcome = self._steps[own[-1]].outcome
        if isinstance(outcome, Choice):
            self._table.remove(outcome)
            del self._known[subject_of(outcome)]
        del self._steps[own[-1] :]

    def result(self) -> Result:
        """What came out so far."""
        outcomes = [step.outcome for step in self._steps]
        # By pair, as a file may hold one twice.
        choices = {subject_of(one): one for one in outcomes if isinstance(one, Choice)}.values()
        return Result(
            duel=duel(*self._compared.models, choices),
            left=left_share(choices),
            skipped=outcomes.count("skip"),
            same=outcomes.count("same"),
        )

    def _pass_settled(self) -> None:
        """Go on behind pairs that need no verdict."""
        while (shown := self._shown(len(self._steps))) is not None:
            outcome = self._settled(shown)
            if outcome is None:
                return
            self._steps.append(_Step(outcome, is_own=False))

    def _settled(self, shown: Shown) -> Choice | Literal["same"] | None:
        if shown.left.strip() == shown.right.strip():
            return "same"
        return self._known.get(subject_of(self._choice(shown, "tie")))

    def _shown(self, number: int) -> Shown | None:
        answers = self._answers_of(number) if number < self.total else None
        if answers is None:
            return None
        left = self._left(number)
        return Shown(number, self._compared.prompts[number], answers[left], answers[1 - left])

    def _left(self, number: int) -> int:
        """Whose answer is on the left: another draw for each pair, person and seed."""
        drawn = random.Random(f"{self._compared.seed}/{self._compared.person}/{number}").random()
        return 0 if drawn < 0.5 else 1

    def _choice(self, shown: Shown, verdict: Literal["left", "right", "tie"]) -> Choice:
        left = self._left(shown.number)
        texts = (shown.left, shown.right) if left == 0 else (shown.right, shown.left)
        winner = None
        if verdict != "tie":
            winner = 0 if (verdict == "left") == (left == 0) else 1
        return Choice(
            prompt=shown.prompt,
            answers=[
                Answer(text=text, model=model)
                for text, model in zip(texts, self._compared.models, strict=True)
            ],
            winner=winner,
            left=left,
            seed=self._compared.seed,
            person=self._compared.person,
            source="compare",
        )
