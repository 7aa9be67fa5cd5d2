"""``/feedback`` over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from running_server import NAME, Server, running

from modelwright.core.database import sqlite_url
from modelwright.data.feedback.record import Thumb
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.engine import Engine

THUMB = {
    "kind": "thumb",
    "prompt": [{"role": "user", "content": "Who?"}],
    "answer": {"text": "me", "model": NAME, "request_id": "req-1"},
    "up": True,
    "person": "ana",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeedbackTable]:
    table = FeedbackTable(sqlite_url(tmp_path_factory.mktemp("store") / "store.db"), "here")
    yield table
    table.close()


@pytest.fixture(scope="module")
def keeping(model_folder: Path, table: FeedbackTable) -> Iterator[Server]:
    with running(Engine.load(model_folder), feedback=table) as server:
        yield server


def give(server: Server, **changes: Any) -> httpx2.Response:
    return httpx2.post(f"{server.address}/feedback", json={**THUMB, **changes})


def test_it_is_kept_once_and_taken_back_once(keeping: Server, table: FeedbackTable) -> None:
    assert httpx2.get(f"{keeping.address}/feedback").json() == {"is_kept": True}
    first = give(keeping)
    assert (first.status_code, first.json()["is_new"]) == (201, True)
    assert give(keeping).json() == {"id": first.json()["id"], "is_new": False}
    (one,) = table.read()
    assert isinstance(one, Thumb)
    assert (one.source, one.person, one.answer.request_id) == ("chat", "ana", "req-1")
    gone = f"{keeping.address}/feedback/{first.json()['id']}"
    assert [httpx2.delete(gone).status_code for _ in range(2)] == [204, 404]
    assert table.read() == []


def test_what_did_not_come_from_a_chat_cannot_be_taken_back(
    keeping: Server, table: FeedbackTable
) -> None:
    made = Thumb.model_validate(THUMB)  # imported
    table.add([made])
    one = give(keeping).json()
    assert one["is_new"] is False
    assert httpx2.delete(f"{keeping.address}/feedback/{one['id']}").status_code == 404
    assert table.read() == [made]
    table.remove(made)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "shrug"}, "kind"),
        ({"up": 1}, "up"),
        ({"mood": "good"}, "mood"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [{"role": "nobody", "content": "x"}]}, "nobody"),
        ({"answer": {"text": "\ud800"}}, "surrogate"),
        ({"person": "x" * 201}, "200"),
        ({"source": "import"}, "'source' is filled in by the server"),
        ({"created": "2020-01-01T00:00:00+00:00"}, "'created' is filled in by the server"),
    ],
)
def test_what_is_no_feedback_is_refused(
    keeping: Server, table: FeedbackTable, changes: dict[str, Any], said: str
) -> None:
    answer = httpx2.post(
        f"{keeping.address}/feedback",
        content=json.dumps({**THUMB, **changes}),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert table.read() == []


def test_a_server_without_a_table_says_so(server: Server) -> None:
    assert httpx2.get(f"{server.address}/feedback").json() == {"is_kept": False}
    answer = give(server)
    assert answer.status_code == 409
    assert "workspace" in answer.json()["error"]["message"]
    assert httpx2.delete(f"{server.address}/feedback/x").status_code == 409


def test_a_page_is_sent_once(server: Server) -> None:
    """Its files are the same until the server is another one."""
    for path, kind in (("/", "text/html"), ("/assets/main.js", "text/javascript")):
        first = httpx2.get(server.address + path)
        assert first.headers["content-type"].startswith(kind)
        again = httpx2.get(server.address + path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for name in ("nothing.js", "..%2Freport.py", "chat.html.jinja"):
        assert httpx2.get(f"{server.address}/assets/{name}").status_code == 404
