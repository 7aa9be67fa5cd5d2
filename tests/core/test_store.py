"""The same tests for SQLite and, where it is installed, PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sql

from modelwright.core.errors import ModelwrightError, UsageError
from modelwright.core.store import Store


@pytest.fixture
def url(database_url: str) -> str:
    return database_url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url, "here")
    yield store
    store.close()


def test_runs_and_how_they_end(store: Store) -> None:
    first = store.start_run("collect", "collect-1")
    second = store.start_run("prepare", "prepare-1")
    store.end_run(first, "finished")
    store.end_run(second, "failed", "the disk is full")
    third = store.start_run("prepare", "prepare-1")
    assert store.mark_interrupted() == 1
    assert [run.status for run in store.runs()] == ["finished", "failed", "interrupted"]
    assert [run.id for run in store.runs("prepare-1")] == [second, third]
    assert store.runs("prepare-1")[0].message == "the disk is full"


def test_a_repeated_step_replaces_its_measurements(store: Store) -> None:
    for step in (1, 2, 3):
        store.log_metrics("pretrain-1", step, {"loss": 1.0 / step, "speed": 10.0})
    store.log_metrics("pretrain-1", 2, {"loss": 9.0})
    assert store.metrics("pretrain-1", "loss") == [(1, 1.0), (2, 9.0), (3, pytest.approx(1 / 3))]
    assert store.metrics("pretrain-1", "speed") == [(1, 10.0), (2, 10.0), (3, 10.0)]
    assert store.metrics("other", "loss") == []


def test_workspaces_in_one_database_do_not_see_each_other(store: Store, url: str) -> None:
    other = Store(url, "elsewhere")
    theirs = other.start_run("collect", "collect-1")
    other.log_metrics("collect-1", 1, {"loss": 5.0})
    store.start_run("collect", "collect-1")
    store.log_metrics("collect-1", 1, {"loss": 1.0})
    store.delete_metrics_from("collect-1", 2)
    assert store.mark_interrupted() == 1
    assert [(run.id, run.status) for run in other.runs()] == [(theirs, "running")]
    assert [run.status for run in store.runs("collect-1")] == ["interrupted"]
    assert store.metrics("collect-1", "loss") == [(1, 1.0)]
    store.delete_metrics_from("collect-1", 0)
    assert store.metrics("collect-1", "loss") == []
    assert other.metrics("collect-1", "loss") == [(1, 5.0)]
    other.close()


def test_tables_of_another_program_are_refused(url: str) -> None:
    engine = sql.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sql.text("CREATE TABLE runs (id INTEGER PRIMARY KEY, stage TEXT)"))
    engine.dispose()
    with pytest.raises(ModelwrightError, match="another version or program"):
        Store(url, "here")


def test_values_that_are_not_finite_are_left_out(store: Store) -> None:
    store.log_metrics("a", 1, {"loss": float("nan"), "norm": 1.0})
    assert store.metrics("a", "loss") == []
    assert store.metrics("a", "norm") == [(1, 1.0)]


def test_a_store_keeps_its_content(url: str) -> None:
    store = Store(url, "here")
    store.start_run("collect", "collect-1")
    store.close()
    again = Store(url, "here")
    assert len(again.runs()) == 1
    again.close()


@pytest.mark.parametrize("url", ["nonsense", "mysqlfoo://x", "://"])
def test_a_bad_url_is_wrong_use(url: str) -> None:
    with pytest.raises(UsageError, match="URL"):
        Store(url, "here")


def test_a_database_that_cannot_be_opened_hides_the_password(tmp_path: Path) -> None:
    with pytest.raises(ModelwrightError) as error:
        Store("postgresql+psycopg://user:secret@127.0.0.1:1/none?connect_timeout=2", "here")
    assert "secret" not in str(error.value)
