"""What feedback says as a whole: counts, which model wins, how far people agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from modelwright.data.feedback.agreement import Share, cohen_kappa, fleiss_kappa, share
from modelwright.data.feedback.record import Answer, Choice, Feedback, subject_of

TIE = "tie"


@dataclass(frozen=True)
class Duel:
    """Choices between the answers of two models.

    Attributes
    ----------
    first, second : str
        The models.
    wins, losses, ties : int
        Seen from the first.
    rate : Share or None
        Wins of the first among choices that were no tie; None if there are none.
    """

    first: str
    second: str
    wins: int
    losses: int
    ties: int
    rate: Share | None


@dataclass(frozen=True)
class Agreement:
    """How far people agree on the same pairs of answers.

    Attributes
    ----------
    people : list of str
        Two of them, or all.
    pairs : int
        How many pairs were judged by at least two of them.
    kappa : float or None
        Cohen's for two, Fleiss' for more; None where it is not defined.
    """

    people: list[str]
    pairs: int
    kappa: float | None


@dataclass(frozen=True)
class Summary:
    """All of it.

    Attributes
    ----------
    kinds, people : dict of str to int
        How much feedback there is of each kind, and by each person.
    models : dict of str to dict of str to int
        How much of each kind is about each model.
    duels : list of Duel
        One for each two models that were compared, in alphabetical order.
    agreements : list of Agreement
        Each two people who judged the same pairs, then all if they are more than two.
    left : Share or None
        Choices for the answer on the left, where sides are known: half, if the side plays no part.
    """

    kinds: dict[str, int]
    people: dict[str, int]
    models: dict[str, dict[str, int]]
    duels: list[Duel]
    agreements: list[Agreement]
    left: Share | None


def summarise(feedback: Sequence[Feedback]) -> Summary:
    """Count everything; "" stands for people and models without a name."""
    models: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in feedback:
        for model in {answer.model for answer in _answers(one)}:
            models[model][one.kind] += 1
    choices = [one for one in feedback if isinstance(one, Choice)]
    return Summary(
        kinds=_sorted(Counter(one.kind for one in feedback)),
        people=_sorted(Counter(one.person for one in feedback)),
        models={model: _sorted(models[model]) for model in sorted(models)},
        duels=duels(choices),
        agreements=agreements(choices),
        left=left_share(choices),
    )


def duels(choices: Iterable[Choice]) -> list[Duel]:
    """Who won against whom; choices between answers of one or of unknown models are left out."""
    met: defaultdict[tuple[str, str], list[Choice]] = defaultdict(list)
    for choice in choices:
        names = sorted({answer.model for answer in choice.answers} - {""})
        if len(names) == 2:
            met[names[0], names[1]].append(choice)
    return [duel(first, second, met[first, second]) for first, second in sorted(met)]


def duel(first: str, second: str, choices: Collection[Choice]) -> Duel:
    """What choices between answers of these two models say, seen from the first."""
    winners = [
        None if choice.winner is None else choice.answers[choice.winner].model for choice in choices
    ]
    wins, losses, ties = (winners.count(winner) for winner in (first, second, None))
    return Duel(first, second, wins, losses, ties, rate=share(wins, wins + losses))


def left_share(choices: Iterable[Choice]) -> Share | None:
    """How often the answer on the left won, where that is known and one did."""
    sides = [
        choice.winner == choice.left
        for choice in choices
        if choice.left is not None and choice.winner is not None
    ]
    return share(sum(sides), len(sides))


def agreements(choices: Iterable[Choice]) -> list[Agreement]:
    """How far people with a name agree; a person's newest word on a pair counts."""
    verdicts: defaultdict[str, dict[str, str]] = defaultdict(dict)  # by pair, by person
    for choice in choices:
        if choice.person:
            verdicts[subject_of(choice)][choice.person] = _verdict(choice)
    both: defaultdict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for given in verdicts.values():
        for first, second in combinations(sorted(given), 2):
            both[first, second].append((given[first], given[second]))
    found = [
        Agreement([*people], len(judged), cohen_kappa(*zip(*judged, strict=True)))
        for people, judged in sorted(both.items())
    ]
    if len(found) > 1:  # three people or more
        items = [list(given.values()) for given in verdicts.values() if len(given) > 1]
        everyone = sorted({person for people in both for person in people})
        found.append(Agreement(everyone, len(items), fleiss_kappa(items)))
    return found


def _verdict(choice: Choice) -> str:
    """Which answer won, told in an order that does not depend on who was shown what where."""
    if choice.winner is None:
        return TIE
    keys = [(answer.text, answer.model) for answer in choice.answers]
    return "first" if keys[choice.winner] == min(keys) else "second"


def _answers(feedback: Feedback) -> list[Answer]:
    return feedback.answers if isinstance(feedback, Choice) else [feedback.answer]


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
