"""The same tests for SQLite and, where it is installed, PostgreSQL."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_feedback import FEEDBACK, all_kinds, choice, swapped, user

from modelwright.core.errors import ModelwrightError
from modelwright.core.store import Store
from modelwright.data.feedback.record import Answer, Thumb, id_of
from modelwright.data.feedback.table import FeedbackTable


@pytest.fixture
def table(database_url: str) -> Iterator[FeedbackTable]:
    table = FeedbackTable(database_url, "here")
    yield table
    table.close()


def test_feedback_is_kept(table: FeedbackTable, database_url: str) -> None:
    kept = all_kinds()
    assert table.add(kept) == len(kept)
    again = FeedbackTable(database_url, "here")
    assert sorted(again.read(), key=id_of) == sorted(kept, key=id_of)
    again.close()


def test_characters_that_databases_do_not_like_are_kept(table: FeedbackTable) -> None:
    nasty = "\0 \x7f 🙂 'quoted' \"\\ \r\n %s :name"
    answer = Answer(text=nasty, model="m")
    made = Thumb(prompt=user(nasty), answer=answer, up=True, comment="it's 50 % :so")
    table.add([made])
    assert table.read() == [made]


def test_nothing_is_stored_twice(table: FeedbackTable) -> None:
    first = choice(0, person="ana")
    assert table.add([first, first, swapped(first)]) == 1
    assert table.add([first, choice(1, person="ana"), choice(0, person="bo")]) == 2
    assert len(table.read()) == 3
    assert table.add([]) == 0


def test_many_at_once(table: FeedbackTable) -> None:
    many = [choice(0, prompt=f"question {number}") for number in range(1200)]
    assert table.add(many[:100]) == 100
    assert table.add(many) == 1100
    assert {id_of(one) for one in table.read()} == {id_of(one) for one in many}


def test_what_was_taken_back_is_forgotten(table: FeedbackTable) -> None:
    table.add([choice(0), choice(1)])
    table.remove(choice(0))
    table.remove(choice(None))
    assert [one.winner for one in table.read()] == [1]


def test_it_is_read_in_the_order_of_time(table: FeedbackTable) -> None:
    times = [f"2026-01-0{day}T00:00:00+00:00" for day in (3, 1, 2)]
    table.add(
        choice(0, prompt=time).model_copy(update={"created": time.replace("+", ".000+")})
        for time in times
    )
    assert [one.created[:10] for one in table.read()] == ["2026-01-01", "2026-01-02", "2026-01-03"]


def test_workspaces_in_one_database_do_not_see_each_other(
    table: FeedbackTable, database_url: str
) -> None:
    other = FeedbackTable(database_url, "elsewhere")
    other.add([choice(0)])
    assert table.read() == []
    assert table.add([choice(0)]) == 1
    table.remove(choice(0))
    assert len(other.read()) == 1
    other.close()


def test_a_database_that_had_no_feedback_gets_the_table(database_url: str) -> None:
    store = Store(database_url, "here")
    run = store.start_run("collect", "collect-1")
    table = FeedbackTable(database_url, "here")
    assert table.add([choice(0)]) == 1
    store.end_run(run, "finished")
    assert [one.status for one in store.runs()] == ["finished"]
    table.close()
    store.close()


def test_all_or_nothing(table: FeedbackTable) -> None:
    broken = choice(0, prompt="b").model_copy(update={"source": None})  # not as it may be
    with pytest.raises(ModelwrightError, match="database cannot be used"):
        table.add([choice(0, prompt="a"), broken])
    assert table.read() == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FEEDBACK, max_size=4))
def test_anything_that_can_be_said_can_be_kept(table: FeedbackTable, made: list) -> None:
    before = {id_of(one) for one in table.read()}
    new = {id_of(one): one for one in reversed(made) if id_of(one) not in before}
    assert table.add(made) == len(new)
    read = {id_of(one): one for one in table.read()}
    assert read.keys() == before | new.keys()
    assert {key: read[key] for key in new} == new
