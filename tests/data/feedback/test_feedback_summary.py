from hypothesis import given, settings
from hypothesis import strategies as st
from made_feedback import CHOICES, FEEDBACK, all_kinds, choice, swapped

from modelwright.data.feedback.record import Choice
from modelwright.data.feedback.summary import agreements, duel, duels, left_share, summarise


def test_counts() -> None:
    summary = summarise(all_kinds())
    assert summary.kinds == {"choice": 1, "correction": 1, "rating": 1, "thumb": 1}
    assert summary.people == {"ana": 2, "bo": 2}
    assert summary.models["a"] == {"choice": 1, "correction": 1, "rating": 1, "thumb": 1}
    assert summary.models["b"] == {"choice": 1}
    assert summarise([]).kinds == {}


def test_who_wins() -> None:
    choices = [choice(0), choice(0), choice(1), choice(None), swapped(choice(0))]
    (found,) = duels(choices)
    assert (found.first, found.second) == ("a", "b")
    assert (found.wins, found.losses, found.ties) == (3, 1, 1)
    assert found.rate is not None
    assert (found.rate.count, found.rate.total) == (3, 4)
    turned = duel("b", "a", choices)
    assert (turned.wins, turned.losses, turned.ties) == (1, 3, 1)


def test_models_that_never_met_fairly_are_left_out() -> None:
    assert duels([choice(0, models=("a", "a")), choice(0, models=("", "b"))]) == []
    names = [(one.first, one.second) for one in duels([choice(0), choice(0, models=("c", "a"))])]
    assert names == [("a", "b"), ("a", "c")]
    assert duels([choice(None)])[0].rate is None


def test_a_model_may_be_called_anything() -> None:
    (found,) = duels([choice(0, models=("tie", "None")), choice(None, models=("tie", "None"))])
    assert (found.first, found.wins, found.losses, found.ties) == ("None", 0, 1, 1)


def test_how_often_the_left_one_is_chosen() -> None:
    choices = [choice(0, left=0), choice(1, left=0), choice(1, left=1), choice(None, left=1)]
    found = left_share([*choices, choice(0)])
    assert found is not None
    assert (found.count, found.total) == (2, 3)
    assert left_share([choice(0)]) is None


def test_two_people() -> None:
    both = [choice(winner, person="ana", prompt=str(n)) for n, winner in enumerate((0, 0, 1, 1))]
    both += [
        swapped(choice(winner, person="bo", prompt=str(n)))
        for n, winner in enumerate((0, 1, 0, 1, 1))
    ]
    (found,) = agreements(both)
    assert (found.people, found.pairs, found.kappa) == (["ana", "bo"], 4, 0.0)


def test_three_people() -> None:
    choices = [
        choice(winner, person=person, prompt=str(n))
        for person in ("ana", "bo", "cy")
        for n, winner in enumerate((0, 1, None))
    ]
    found = agreements(choices)
    assert [one.people for one in found] == [
        ["ana", "bo"], ["ana", "cy"], ["bo", "cy"], ["ana", "bo", "cy"],
    ]  # fmt: skip
    assert [one.kappa for one in found] == [1, 1, 1, 1]
    assert found[-1].pairs == 3


def test_a_newer_word_replaces_an_older_one_and_the_nameless_are_nobody() -> None:
    choices = [choice(1, person="ana"), choice(0, person="ana"), choice(0, person="bo"), choice(1)]
    other = [choice(1, person="ana", prompt="x"), choice(1, person="bo", prompt="x")]
    (found,) = agreements(choices + other)
    assert (found.pairs, found.kappa) == (2, 1)


def test_people_who_never_judged_the_same() -> None:
    assert agreements([choice(0, person="ana"), choice(0, person="bo", prompt="x")]) == []


@settings(max_examples=40)
@given(st.lists(FEEDBACK, max_size=5))
def test_everything_is_counted_once(feedback: list) -> None:
    summary = summarise(feedback)
    assert sum(summary.kinds.values()) == sum(summary.people.values()) == len(feedback)
    met = sum(one.wins + one.losses + one.ties for one in summary.duels)
    assert met == sum(
        len({answer.model for answer in one.answers} - {""}) == 2
        for one in feedback
        if isinstance(one, Choice)
    )


@settings(max_examples=40)
@given(st.lists(CHOICES, max_size=4))
def test_the_order_of_two_answers_changes_nothing(choices: list) -> None:
    assert summarise([swapped(one) for one in choices]) == summarise(choices)
