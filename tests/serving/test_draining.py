"""The end of a server: what runs is finished, what comes is refused, and nothing takes for ever."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from running_server import NAME, running, wait_until, widened
from test_server import serve_command

from modelwright.serving.access.drain import Drain
from modelwright.serving.opening import ServeOptions
from modelwright.serving.server import serve

BODY = {"model": "mine", "prompt": "x", "stream": True, "ignore_eos": True}


@pytest.fixture(scope="module")
def long_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose answers take seconds."""
    return widened(model_folder, tmp_path_factory.mktemp("long"), context=4096)


def flags(*more: str) -> tuple[str, ...]:
    return ("--port", "0", "--name", "mine", "--log", "off", *more)


def events(lines: list[str]) -> list[Any]:
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def test_running_requests_finish_and_new_ones_are_told_to_come_back(long_folder: Path) -> None:
    with serve_command(str(long_folder), *flags()) as (process, line):
        address = line.split()[3]
        body = BODY | {"max_tokens": 3000}
        with httpx2.stream("POST", f"{address}/v1/completions", json=body, timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("data: {")
            assert httpx2.get(f"{address}/ready").status_code == 200
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: httpx2.get(f"{address}/ready").status_code == 503)
            assert httpx2.get(f"{address}/ready").json()["status"] == "stopping"
            assert httpx2.get(f"{address}/health").status_code == 200
            refused = httpx2.post(f"{address}/v1/completions", json=body)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "server_stopping"
            assert 1 <= int(refused.headers["retry-after"]) <= 30
            assert refused.headers["connection"] == "close"
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert events(rest)[-1]["choices"][0]["finish_reason"] == "length"
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, "")
        assert errors == "waiting up to 30 s for 1 request; again ends at once\n"


@pytest.mark.parametrize("how", ["time", "signal"])
def test_what_does_not_finish_in_time_or_is_not_waited_for_ends_with_an_error(
    long_folder: Path, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    seconds = 0.5 if how == "time" else 60
    last, said = list[Any](), list[str]()

    def has_told() -> bool:
        said.append(capfd.readouterr().err)
        return bool("".join(said))

    def use(address: str) -> None:
        body = BODY | {"max_tokens": 4000, "n": 4}
        with httpx2.stream("POST", f"{address}/v1/completions", json=body, timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("data: {")
            signal.raise_signal(signal.SIGTERM)
            if how == "signal":
                wait_until(has_told)
                signal.raise_signal(signal.SIGTERM)
            last.append(events([line for line in lines if line])[-1])

    serve_and(use, long_folder, seconds)
    assert "the server was stopped" in last[0]["error"]["message"]
    has_told()
    assert "".join(said) == f"waiting up to {seconds:g} s for 1 request; again ends at once\n"


def test_a_server_that_does_nothing_ends_at_once(
    model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    serve_and(lambda address: signal.raise_signal(signal.SIGTERM), model_folder, 600)
    assert capfd.readouterr().err == ""


def serve_and(use: Callable[[str], None], folder: Path, drain_seconds: float) -> None:
    """Serve in this process, as the command does, until ``use`` has it stopped."""
    threads = list[threading.Thread]()

    def ready(address: str) -> None:
        threads.append(threading.Thread(target=use, args=(address,)))
        threads[0].start()

    options = ServeOptions(drain_seconds=drain_seconds, log="off")
    serve({"mine": folder}, port=0, options=options, ready=ready)
    threads[0].join()


def test_only_what_generates_is_waited_for(scripted: Callable) -> None:
    engine, _ = scripted("slowly " * 6, seconds_per_step=0.05)
    at = 100.0
    drain = Drain(30, lambda: at)
    with running(engine, drain=drain) as server:
        for path in ("/health", "/ready", "/metrics", "/v1/models"):
            assert httpx2.get(server.address + path).status_code == 200
        wait_until(lambda: drain.in_flight == 0)
        body = {"model": NAME, "prompt": "x", "max_tokens": 100}
        answers = list[httpx2.Response]()

        def ask() -> None:
            url = server.address + "/v1/completions"
            answers.append(httpx2.post(url, json=body, timeout=60))

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: drain.in_flight == 1)
        assert not drain.is_over
        drain.begin()
        at += 29
        assert not drain.is_over
        assert httpx2.get(server.address + "/v1/models").headers["retry-after"] == "1"
        at += 1
        assert drain.is_over
        at -= 10
        asking.join()
        assert answers[0].json()["choices"][0]["text"].startswith("slowly")
        wait_until(lambda: drain.is_over)  # the client has all a moment before the server knows
        assert httpx2.get(server.address + "/metrics").status_code == 200
