"""One line a request: what is in it, and what never is."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from running_server import NAME, Server, running, wait_until

from modelwright.inference.engine import Engine
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.access_log import LineWriter, LogForm

QUESTION = [{"role": "user", "content": "my secret question"}]
CHAT = {"model": NAME, "messages": QUESTION, "max_tokens": 5, "temperature": 0}


@contextmanager
def logged(
    engine: Engine, form: LogForm = "json", with_texts: bool = False, **options: Any
) -> Iterator[tuple[Server, io.StringIO]]:
    file = io.StringIO()
    with running(engine, on_end=[LineWriter(form, with_texts, file)], **options) as server:
        yield server, file


def lines(file: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_a_line_says_all_that_operators_ask_for_and_no_prompt(scripted: Callable) -> None:
    engine, _ = scripted("my secret answer", seconds_per_step=0.01)
    with logged(engine) as (server, file):
        answer = httpx2.post(server.address + "/v1/chat/completions", json=CHAT | {"n": 2})
        usage = answer.json()["usage"]
        wait_until(lambda: "\n" in file.getvalue())
        (line,) = lines(file)
    times = [line.pop(f"{name}_seconds") for name in ("waiting", "first_token", "total")]
    assert 0 <= times[0] <= times[1] < times[2] < 60
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "request_id": answer.headers["x-request-id"],
        "key": None,
        "method": "POST",
        "route": "/v1/chat/completions",
        "model": NAME,
        "status": 200,
        "prompt_tokens": usage["prompt_tokens"],
        "generated_tokens": usage["completion_tokens"],
        "finish_reason": "length",
    }
    assert "secret" not in file.getvalue()


def test_prompts_only_if_they_are_asked_for(scripted: Callable) -> None:
    engine, _ = scripted("the answer")
    with logged(engine, with_texts=True) as (server, file):
        httpx2.post(server.address + "/v1/chat/completions", json=CHAT | {"max_tokens": 99})
        body = {"model": NAME, "prompt": ["first", "second"]}
        httpx2.post(server.address + "/v1/completions", json=body)
        wait_until(lambda: file.getvalue().count("\n") == 2)
        chat, text = lines(file)
    assert chat["prompt"] == QUESTION
    assert chat["answers"] == ["the answer"]
    assert [one.removeprefix("<|endoftext|>") for one in text["prompt"]] == ["first", "second"]
    assert text["answers"] == ["the answer"] * 2


def test_refusals_and_errors_have_lines_with_the_name_of_the_key(
    model_folder: Path, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    headers = {"Authorization": f"Bearer {keys.create('website')}", "X-Request-Id": "mine-1"}
    with logged(Engine.load(model_folder), keys=keys) as (server, file):
        url = server.address + "/v1/chat/completions"
        httpx2.post(url, json=CHAT)
        httpx2.post(url, json=CHAT | {"n": 99}, headers=headers)
        httpx2.post(url, json=CHAT | {"model": "x"}, headers=headers)
        httpx2.get(server.address + "/no%0A%1B[31mthing", headers=headers)
        embedding = {"model": NAME, "input": "fox"}
        httpx2.post(server.address + "/v1/embeddings", json=embedding, headers=headers)
        for path in ("/health", "/ready", "/metrics"):
            httpx2.get(server.address + path, headers=headers)
        wait_until(lambda: file.getvalue().count("\n") >= 5)
        found = lines(file)
    assert [line["status"] for line in found] == [401, 400, 404, 404, 200]
    assert [line["key"] for line in found] == [None] + ["website"] * 4
    assert {line["request_id"] for line in found[1:]} == {"mine-1"}
    assert found[3]["route"] == "/no\n\x1b[31mthing"
    assert found[4]["prompt_tokens"] > 0
    assert (found[4]["model"], found[4]["finish_reason"]) == (NAME, None)


def test_what_a_client_left_is_told(scripted: Callable) -> None:
    engine, _ = scripted("on and on " * 19, seconds_per_step=0.05)
    with logged(engine) as (server, file):
        body = json.dumps(CHAT | {"max_tokens": 150}).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(head.encode() + body)
            wait_until(lambda: engine.has_work)
        wait_until(lambda: "\n" in file.getvalue())
        (line,) = lines(file)
    assert (line["status"], line["finish_reason"]) == (499, "abort")


def test_columns_for_people(model_folder: Path) -> None:
    with logged(Engine.load(model_folder), "text") as (server, file):
        answer = httpx2.post(server.address + "/v1/chat/completions", json=CHAT)
        httpx2.get(server.address + "/a%0A%1B[31mb")
        wait_until(lambda: file.getvalue().count("\n") == 2)
        first, second = file.getvalue().splitlines()
    usage = answer.json()["usage"]
    counts = f"{NAME}: {usage['prompt_tokens']} + {usage['completion_tokens']} tokens"
    for part in ("200 POST /v1/chat/completions", counts, answer.headers["x-request-id"]):
        assert part in first
    assert "404 GET  /a??[31mb" in second


def test_a_log_that_nobody_reads_does_no_harm(model_folder: Path) -> None:
    with running(Engine.load(model_folder), on_end=[LineWriter("json", False, Broken())]) as server:
        for _ in range(2):
            answer = httpx2.post(server.address + "/v1/chat/completions", json=CHAT)
            assert answer.status_code == 200


class Broken(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError
