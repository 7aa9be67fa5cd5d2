"""Who is refused, who waits too long, who reads too slowly, and who leaves: over real HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from running_server import NAME, Server, running, wait_until

from modelwright.inference.engine import Engine
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.api.limits import Limits

CHAT, TEXT, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": NAME, "messages": [{"role": "user", "content": "a"}], "max_tokens": 200},
    TEXT: {"model": NAME, "prompt": "a", "max_tokens": 200},
    RESPONSES: {"model": NAME, "input": "a", "max_output_tokens": 200},
    "/v1/embeddings": {"model": NAME, "input": ["so many words " * 9] * 40},
    "/score": {"model": NAME, "text_1": "a", "text_2": ["so many words " * 9] * 40},
}
LONG = "on and on " * 19


def post(server: Server, path: str, secret: str = "", **fields: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    body = BODIES[path] | fields
    return httpx2.post(server.address + path, json=body, headers=headers, timeout=60)


@contextmanager
def asked(server: Server, path: str, secret: str = "", **fields: Any) -> Iterator[socket.socket]:
    """A request on a socket of its own, whose answer nobody has read yet; then it is left."""
    body = json.dumps(BODIES[path] | fields).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {secret}\r\n" if secret else ""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        yield connection


@contextmanager
def held(server: Server) -> Iterator[None]:
    """The engine does something else meanwhile, between two steps."""
    begun, goes_on = threading.Event(), threading.Event()

    def hold(_: Engine) -> None:
        begun.set()
        goes_on.wait(60)

    server.background.call(hold)
    begun.wait(60)
    try:
        yield
    finally:
        goes_on.set()


def error_of(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    return error


@pytest.mark.parametrize("path", BODIES)
def test_every_route_is_refused_when_the_queue_is_full(scripted: Callable, path: str) -> None:
    engine, _ = scripted(LONG, max_sequences=1)
    with running(engine, max_waiting=1) as server, held(server), asked(server, TEXT, n=2):
        wait_until(lambda: server.background.held == 2)
        answer = post(server, path)
        assert error_of(answer, 503, "queue_full")["type"] == "server_error"
        assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_choices_count_one_by_one(scripted: Callable) -> None:
    engine, _ = scripted(LONG, max_sequences=1)
    with running(engine, max_waiting=3) as server, held(server), asked(server, TEXT, n=2):
        wait_until(lambda: server.background.held == 2)
        error_of(post(server, CHAT, n=3), 503, "queue_full")
        with asked(server, CHAT, n=2):
            wait_until(lambda: server.background.held == 4)


def test_a_key_that_holds_its_share_is_429_and_another_comes_in(
    scripted: Callable, tmp_path: Path
) -> None:
    engine, _ = scripted("a", max_sequences=1)
    keys = KeyFile(tmp_path / "keys.json")
    greedy, other = keys.create("greedy"), keys.create("other")
    with running(engine, max_waiting=3, keys=keys) as server:
        with held(server), asked(server, TEXT, greedy, n=2):
            wait_until(lambda: server.background.held == 2)
            answer = post(server, TEXT, greedy)
            error = error_of(answer, 429, "queue_share_reached")
            assert error["type"] == "rate_limit_error"
            assert "'greedy' holds 2 of 4 places" in error["message"]
            assert int(answer.headers["retry-after"]) >= 1
            with asked(server, TEXT, other):
                wait_until(lambda: server.background.held == 3)
        wait_until(lambda: server.background.held == 0)
        assert post(server, TEXT, greedy).status_code == 200


@pytest.mark.parametrize("path", BODIES)
def test_what_waits_longer_than_the_deadline_is_504(scripted: Callable, path: str) -> None:
    engine, script = scripted(LONG)
    with running(engine, limits=Limits(deadline=0.2)) as server:
        with held(server):
            assert (
                "after 0.2 s" in error_of(post(server, path), 504, "deadline_exceeded")["message"]
            )
        wait_until(lambda: not engine.has_work and server.background.held == 0)
    assert not any(sequence.generated for sequence in script.sequences)


@pytest.mark.parametrize("path", [CHAT, TEXT, RESPONSES])
def test_a_stream_of_which_nothing_was_sent_is_504_too(scripted: Callable, path: str) -> None:
    engine, _ = scripted(LONG)
    with running(engine, limits=Limits(deadline=0.2)) as server, held(server):
        error_of(post(server, path, stream=True), 504, "deadline_exceeded")


@pytest.mark.parametrize("path", [CHAT, TEXT, RESPONSES])
def test_a_stream_that_runs_too_long_ends_with_an_error(scripted: Callable, path: str) -> None:
    engine, script = scripted(LONG, seconds_per_step=0.05)
    with running(engine, limits=Limits(deadline=1.0)) as server:
        answer = post(server, path, stream=True)
        assert answer.status_code == 200
        last = json.loads(answer.text.strip().rpartition("data: ")[2])
        code = last["code"] if path == RESPONSES else last["error"]["code"]
        assert code == "deadline_exceeded"
        wait_until(lambda: not engine.has_work)
    (sequence,) = script.sequences
    assert 0 < len(sequence.generated) < len(script.ids)
    assert sequence.finish_reason == "abort"


def test_what_is_in_time_is_whole(scripted: Callable) -> None:
    engine, _ = scripted("in time")
    with running(engine, limits=Limits(deadline=60)) as server:
        assert post(server, TEXT).json()["choices"][0]["text"] == "in time"


@pytest.mark.parametrize("path", [CHAT, TEXT, RESPONSES])
@pytest.mark.parametrize("stream", [True, False])
def test_a_text_that_nobody_waits_for_is_dropped_before_it_begins(
    scripted: Callable, path: str, stream: bool
) -> None:
    engine, script = scripted(LONG)
    with running(engine) as server:
        with held(server):
            with asked(server, path, stream=stream):
                wait_until(lambda: server.background.held == 1)
            # The command that cancels it waits behind the one that adds it.
            wait_until(lambda: server.background._commands.qsize() == 2)
        wait_until(lambda: not engine.has_work and server.background.held == 0)
    assert script.sequences == []


@pytest.mark.parametrize("path", ["/v1/embeddings", "/score"])
def test_texts_that_nobody_waits_for_are_not_read(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Neither before the first part, nor behind the part under way."""
    read, embed = list[int](), Engine.embed

    def slowly(engine: Engine, sequences: list[list[int]], adapter: str | None) -> Any:
        read.append(len(sequences))
        threading.Event().wait(0.2)
        return embed(engine, sequences)

    monkeypatch.setattr(Engine, "embed", slowly)
    with running(Engine.load(model_folder)) as server:
        with held(server):
            with asked(server, path):
                wait_until(lambda: server.background.held == 1)
            wait_until(lambda: server.background.held == 0)
        with asked(server, path):
            wait_until(lambda: len(read) == 1)
        wait_until(lambda: server.background.held == 0)
        server.background.call(lambda engine: None).result(60)
    assert len(read) == 1


@pytest.mark.parametrize("path", [CHAT, TEXT, RESPONSES])
def test_silence_is_broken_by_comments(scripted: Callable, path: str) -> None:
    engine, _ = scripted("ab")
    with running(engine, limits=Limits(keep_alive=0.1)) as server:
        with held(server), asked(server, path, stream=True) as connection:
            received = b""
            while received.count(b": keep-alive\n\n") < 3:
                received += connection.recv(1000)
        assert received.startswith(b"HTTP/1.1 200")
        assert b"data:" not in received
        wait_until(lambda: not engine.has_work)
        # A stream that says something all the time needs none, and clients skip them.
        assert ": keep-alive" not in post(server, path, stream=True).text


def test_what_is_not_read_is_given_up_and_takes_no_more_memory(scripted: Callable) -> None:
    engine, script = scripted(LONG, seconds_per_step=0.002)
    with running(engine, limits=Limits(most_unread=20), send_buffer=4096) as server:
        fields = {"stream": True, "n": 4, "logprobs": True, "top_logprobs": 20}
        body = json.dumps(BODIES[CHAT] | fields).encode()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            wait_until(lambda: len(script.sequences) == 4 and not engine.has_work)
            reasons = {sequence.finish_reason for sequence in script.sequences}
            assert reasons == {"abort"}
            received = b""
            connection.settimeout(60)
            while b"too_slow_reader" not in received:
                received += connection.recv(65536)
