"""The judge, over HTTP against a server on this machine."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from modelwright.core.errors import InputError, UsageError
from modelwright.training.rewards import judge as module
from modelwright.training.rewards.judge import Judge
from modelwright.training.rewards.reward import RewardError, Sample
from modelwright.training.rewards.settings import JudgeReward

QUESTION = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "What is {x}?"}]
SAMPLE = Sample(QUESTION, "It is {prompt}.", {"reference": "a letter"})


def completion(said: str) -> Response:
    message = {"role": "assistant", "content": said}
    content = {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    return Response(json.dumps(content), media_type="application/json")


@dataclass
class Server:
    """What it is asked, and what it says to the n-th request."""

    url: str = ""
    asked: list[dict] = field(default_factory=list)
    headers: list[dict] = field(default_factory=list)
    say: Callable[[int], Response] = lambda number: completion("7")
    at_once: int = 0
    most_at_once: int = 0


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    app = FastAPI()
    lock = threading.Lock()

    @app.post("/v1/chat/completions")
    def answer(body: dict, request: Request) -> Response:
        with lock:
            found.asked.append(body)
            found.headers.append(dict(request.headers))
            number = len(found.asked)
            found.at_once += 1
            found.most_at_once = max(found.most_at_once, found.at_once)
        try:
            return found.say(number)
        finally:
            with lock:
                found.at_once -= 1

    listening = socket.create_server(("127.0.0.1", 0))
    found.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, args=([listening],))
    thread.start()
    yield found
    running.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture
def opened(server, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    judges = []

    def open_it(**settings) -> Judge:
        judges.append(Judge(JudgeReward(**{"url": server.url, "model": "m", **settings})))
        return judges[-1]

    yield open_it
    for one in judges:
        one.close()


def test_a_judge_is_asked_as_the_template_says(server, opened):
    template = "{prompt}\n---\n{completion}\n---\n{reference} {}"
    assert opened(template=template, max_tokens=9)([SAMPLE]) == [0.7]
    (asked,) = server.asked
    text = "system: Be kind.\n\nuser: What is {x}?\n---\nIt is {prompt}.\n---\na letter {}"
    assert asked == {
        "model": "m",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 9,
        "temperature": 0,
    }
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("10", 1.0),
        ("Rather good. 8/10", 0.8),
        ("First 3, no, 7.5\n", 0.75),
        ("0", 0.0),
        ("**Score: 6**\nThat is all.", 0.6),
    ],
)
def test_scores(server, opened, said, value):
    server.say = lambda number: completion(said)
    assert opened()([SAMPLE]) == [value]


def test_another_scale_and_pattern(server, opened):
    server.say = lambda number: completion("Score: -1 of 3")
    assert opened(pattern=r"Score: (-?\d)", lowest=-3, highest=1)([SAMPLE]) == [0.5]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("", "no score: ''"),
        ("I cannot say.", "no score"),
        ("11", "a score outside 0.0 to 10.0: '11'"),
        ("-1", "a score outside"),
    ],
)
def test_what_is_no_score_is_an_error_of_its_sample(server, opened, said, problem):
    server.say = lambda number: completion(said)
    (error,) = opened()([SAMPLE])
    assert isinstance(error, RewardError)
    assert problem in error.what
    assert f"{server.url}, prompt 'What is {{x}}?'" in str(error.where)


@pytest.mark.parametrize(
    "body",
    ["", "no JSON", "[]", "{}", '{"choices": []}', '{"choices": [{"message": {}}]}', "[" * 9999],
)
def test_what_is_no_chat_completion_is_an_error(server, opened, body):
    server.say = lambda number: Response(body)
    (error,) = opened()([SAMPLE])
    assert isinstance(error, RewardError)
    assert "no chat completion" in error.what


def test_it_is_asked_again_when_the_server_is_busy_or_broken(server, opened):
    answers = [Response(status_code=429, headers={"Retry-After": "0"}), Response(status_code=503)]
    server.say = lambda number: [*answers, completion("5")][number - 1]
    assert opened()([SAMPLE]) == [0.5]
    assert len(server.asked) == 3


def test_it_is_not_asked_for_ever(server, opened):
    server.say = lambda number: Response("too busy", status_code=500)
    (error,) = opened(retries=2)([SAMPLE])
    assert "did not answer after 3 tries: status 500: 'too busy'" in error.what
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [301, 400, 401, 404])
def test_what_is_refused_is_not_asked_again(server, opened, status):
    headers = {"Location": "http://127.0.0.1:1/"}
    server.say = lambda number: Response("no such model", status_code=status, headers=headers)
    (error,) = opened()([SAMPLE])
    assert f"status {status}: 'no such model'" in error.what
    assert len(server.asked) == 1


def test_a_judge_that_hangs(server, opened):
    def hang(number: int) -> Response:
        time.sleep(1)
        return completion("5")

    server.say = hang
    (error,) = opened(seconds=0.2, retries=0)([SAMPLE])
    assert "after 1 tries: no answer (ReadTimeout" in error.what


def test_an_answer_that_never_ends_is_cut_off(server, opened):
    server.say = lambda number: Response(b"x" * (module.MAX_BODY_BYTES + 1))
    (error,) = opened(retries=0)([SAMPLE])
    assert "too long" in error.what


def test_nobody_there(opened):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (error,) = opened(url=f"http://127.0.0.1:{port}/v1", retries=1)([SAMPLE])
    assert "after 2 tries: no answer (ConnectError" in error.what


def test_several_are_asked_at_a_time_and_answers_keep_their_places(server, opened):
    def slowly(number: int) -> Response:
        question = server.asked[number - 1]["messages"][0]["content"]
        time.sleep(0.05)
        return completion(question)

    server.say = slowly
    samples = [Sample("", str(number % 11)) for number in range(30)]
    values = opened(template="{completion}", concurrency=4)(samples)
    assert values == [number % 11 / 10 for number in range(30)]
    assert 2 <= server.most_at_once <= 4


def test_the_key_comes_from_the_environment(server, opened, monkeypatch):
    with pytest.raises(UsageError, match="JUDGE_KEY is not set"):
        opened(key_variable="JUDGE_KEY")
    monkeypatch.setenv("JUDGE_KEY", "secret-key")
    server.say = lambda number: Response("no", status_code=401)
    (error,) = opened(key_variable="JUDGE_KEY")([SAMPLE])
    assert server.headers[0]["authorization"] == "Bearer secret-key"
    assert "secret-key" not in str(error)


def test_a_row_without_the_field_is_not_asked_about(server, opened):
    (error,) = opened(template="{missing}")([SAMPLE])
    assert isinstance(error, InputError)
    assert server.asked == []


def test_closing_does_not_wait_for_the_next_try(server, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 60.0)
    server.say = lambda number: Response(status_code=500)
    judge = Judge(JudgeReward(url=server.url, model="m"))
    asking = threading.Thread(target=judge, args=([SAMPLE],))
    asking.start()
    while not server.asked:
        time.sleep(0.01)
    started = time.monotonic()
    judge.close()
    asking.join()
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "127.0.0.1:8000"},
        {"url": "file:///etc/passwd"},
        {"pattern": "("},
        {"pattern": "no group"},
        {"lowest": 1, "highest": 1},
        {"highest": float("nan")},
    ],
)
def test_settings_that_cannot_be_meant(settings):
    with pytest.raises(ValidationError):
        JudgeReward(**{"url": "http://127.0.0.1/v1", "model": "m", **settings})
