"""The table, on SQLite and PostgreSQL; redaction; the thread that writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.database import sqlite_url
from modelwright.core.errors import ModelwrightError
from modelwright.core.store import Store
from modelwright.monitoring.request_log import LoggedRequest, RequestTable
from modelwright.monitoring.request_recorder import RequestRecorder, is_sampled

REQUEST = LoggedRequest(
    id="req-1",
    created="2026-01-01T00:00:00.000+00:00",
    model="tiny",
    route="/v1/chat/completions",
    key_name=None,
    prompt=[{"role": "user", "content": "Who?"}],
    answers=["Me."],
    prompt_tokens=7,
    generated_tokens=3,
    seconds=0.5,
    finish_reason="stop",
)


@pytest.fixture
def table(database_url: str) -> Iterator[RequestTable]:
    table = RequestTable(database_url, "here")
    yield table
    table.close()


def test_requests_are_kept_in_the_order_of_time(table: RequestTable, database_url: str) -> None:
    later = replace(REQUEST, id="req-0", created="2026-01-02T00:00:00.000+00:00", key_name="web")
    table.add([later, REQUEST])
    table.add([REQUEST])
    table.add([])
    again = RequestTable(database_url, "here")
    assert again.read() == [REQUEST, later]
    assert again.find("req-0") == [later]
    assert again.find("req-9") == []
    again.close()


def test_an_id_that_a_client_uses_twice_is_two_requests(table: RequestTable) -> None:
    later = replace(REQUEST, created="2026-01-02T00:00:00.000+00:00")
    table.add([REQUEST, later])
    assert table.find("req-1") == [REQUEST, later]


def test_characters_that_databases_do_not_like_are_kept(table: RequestTable) -> None:
    nasty = "\0 \x7f 🙂 'quoted' \"\\ \r\n %s :name"
    made = replace(REQUEST, prompt=[nasty], answers=[nasty])
    table.add([made])
    assert table.read() == [made]


def test_it_lives_beside_other_tables_and_workspaces(
    table: RequestTable, database_url: str
) -> None:
    store, other = Store(database_url, "here"), RequestTable(database_url, "elsewhere")
    other.add([REQUEST])
    assert table.read() == []
    assert store.runs() == []
    store.close()
    other.close()


def test_personal_data_is_taken_out_of_every_text() -> None:
    call = {"name": "mail", "arguments": {"to": "jo.doe@mail-host.org", "times": 2}}
    made = replace(
        REQUEST,
        prompt=[
            {"role": "user", "content": "I am jo.doe@mail-host.org"},
            {"role": "assistant", "content": "", "tool_calls": [{"function": call}]},
        ],
        answers=["Write to jo.doe@mail-host.org", "nothing personal"],
    )
    redacted = made.redacted()
    assert "mail-host" not in str(redacted)
    assert redacted.prompt[0] == {"role": "user", "content": "I am <EMAIL>"}
    assert redacted.prompt[1]["tool_calls"][0]["function"]["arguments"] == {
        "to": "<EMAIL>",
        "times": 2,
    }
    assert redacted.answers == ["Write to <EMAIL>", "nothing personal"]
    assert "mail-host" in str(made)
    assert replace(redacted, prompt=made.prompt, answers=made.answers) == made


@given(st.text(min_size=1, max_size=128), st.floats(0, 1), st.floats(0, 1))
def test_the_sample_depends_on_the_id_alone_and_grows_with_the_share(
    id: str, first: float, second: float
) -> None:
    low, high = sorted((first, second))
    assert is_sampled(id, low) == is_sampled(id, low)
    assert is_sampled(id, low) <= is_sampled(id, high)
    assert is_sampled(id, 1.0)
    assert not is_sampled(id, 0.0)


def test_the_sample_has_the_size_of_the_share() -> None:
    kept = sum(is_sampled(f"req-{number}", 0.25) for number in range(10_000))
    assert 2_350 < kept < 2_650  # 3.5 standard deviations


@pytest.fixture
def at_once(tmp_path: Path) -> Callable[..., RequestTable]:
    return lambda: RequestTable(sqlite_url(tmp_path / "store.db"), "here")


def test_what_waits_at_the_end_is_written_without_personal_data(
    at_once: Callable[..., RequestTable],
) -> None:
    secret = replace(REQUEST, answers=["Write to jo.doe@mail-host.org"])
    many = [replace(secret, id=f"req-{number}") for number in range(120)]
    with RequestRecorder(at_once(), 1.0) as recorder:
        for one in many:
            recorder.record(one)
    assert (recorder.written, recorder.dropped) == (120, 0)
    table = at_once()
    kept = table.read()
    table.close()
    assert {one.id for one in kept} == {one.id for one in many}
    assert {one.answers[0] for one in kept} == {"Write to <EMAIL>"}


class Held(RequestTable):
    """A database that is slow, or full."""

    def __init__(self, table: RequestTable, error: ModelwrightError | None = None):
        self.inner, self.error = table, error
        self.begun, self.goes_on = threading.Event(), threading.Event()

    def add(self, requests: Iterable[LoggedRequest]) -> None:
        self.begun.set()
        self.goes_on.wait(60)
        if self.error is not None:
            raise self.error
        self.inner.add(requests)

    def close(self) -> None:
        self.inner.close()


def test_a_database_that_hangs_holds_up_nobody_and_drops_are_counted(
    at_once: Callable[..., RequestTable],
) -> None:
    held = Held(at_once())
    with RequestRecorder(held, 1.0, most_waiting=5) as recorder:
        recorder.record(REQUEST)
        held.begun.wait(60)
        for number in range(12):
            recorder.record(replace(REQUEST, id=f"later-{number}"))
        assert recorder.dropped == 7
        held.goes_on.set()
    assert recorder.written == 6


def test_an_error_of_the_database_is_told_and_counted(
    at_once: Callable[..., RequestTable], caplog: pytest.LogCaptureFixture
) -> None:
    held = Held(at_once(), ModelwrightError("the disk is full"))
    held.goes_on.set()
    with RequestRecorder(held, 1.0) as recorder:
        recorder.record(REQUEST)
    assert (recorder.written, recorder.dropped) == (0, 1)
    assert "the disk is full" in caplog.text


def test_the_end_does_not_wait_for_ever(
    at_once: Callable[..., RequestTable], caplog: pytest.LogCaptureFixture
) -> None:
    held = Held(at_once())
    with RequestRecorder(held, 1.0, closing_seconds=0.1) as recorder:
        recorder.record(REQUEST)
        held.begun.wait(60)
    assert "not complete" in caplog.text
    held.goes_on.set()
