"""The real vLLM behind our server; needs MODELWRIGHT_VLLM, the Python of an environment with it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from running_server import NAME, running, wait_until, widened
from safetensors.torch import load_file, save_file
from test_server import serve_command

from modelwright.inference.engine import Engine
from modelwright.serving.access.keys import KeyFile
from modelwright.tokens.tokenizer import Tokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (os.environ.get("MODELWRIGHT_VLLM") or shutil.which("vllm")),
        reason="MODELWRIGHT_VLLM does not name the Python of an environment with vLLM",
    ),
]

CHAT = {"model": NAME, "messages": [{"role": "user", "content": "quick"}]}
TEXT = {"model": NAME, "prompt": "The quick"}
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {
            "type": "object",
            "properties": {"far": {"type": "boolean"}},
            "required": ["far"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True)
class HandOver:
    """A server with vLLM behind it."""

    address: str
    pid: int
    secret: str
    folder: Path

    def post(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.secret}"}
        return httpx2.post(self.address + path, json=body, headers=headers, timeout=120)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)


@pytest.fixture(scope="module")
def served(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandOver]:
    place = tmp_path_factory.mktemp("vllm")
    folder = without_unknown_tokens(widened(model_folder, place))
    secret = KeyFile(place / "keys.json").create("somebody", tokens_per_minute=10**6)
    flags = ("--engine", "vllm", "--vllm-args", "--enforce-eager --dtype float32", "--port", "0",
             "--name", NAME, "--log", "off", "--keys", str(place / "keys.json"),
             "--vllm-log", str(place / "vllm.log"), "--drain-seconds", "0")  # fmt: skip
    with serve_command(str(folder), *flags) as (process, line):
        assert line.startswith(f"{NAME} answers at "), process.communicate()
        yield HandOver(line.split()[3], process.pid, secret, folder)


def without_unknown_tokens(folder: Path) -> Path:
    """Cut the rows that the tokenizer does not need, which vLLM counts in log-probabilities."""
    size = Tokenizer.load(folder).vocabulary_size
    tensors = load_file(folder / "model.safetensors")
    name = "model.embed_tokens.weight"
    tensors[name] = tensors[name][:size].contiguous()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": size}))
    return folder


def test_it_says_what_our_engine_says(served: HandOver) -> None:
    bodies = [
        ("/v1/chat/completions", CHAT | {"max_tokens": 24, "logprobs": True, "top_logprobs": 2}),
        ("/v1/completions", TEXT | {"max_tokens": 24, "logprobs": 2, "stop": "e"}),
        ("/v1/completions", TEXT | {"max_tokens": 0, "logprobs": 2, "echo": True}),
        ("/v1/completions", TEXT | {"max_tokens": 9, "min_tokens": 9, "logit_bias": {"40": 100}}),
        ("/v1/completions", TEXT | {"max_tokens": 40, "structured_outputs": {"regex": "[a-f]{5}"}}),
        ("/v1/responses", {"model": NAME, "input": "quick", "max_output_tokens": 9}),
        ("/v1/chat/completions", CHAT | {"max_tokens": 200, "tools": [TOOL],
         "tool_choice": "required", "parallel_tool_calls": False}),
    ]  # fmt: skip
    with running(Engine.load(served.folder)) as ours:
        for path, body in bodies:
            body = body | {"temperature": 0}
            there = served.post(path, body)
            here = httpx2.post(ours.address + path, json=body, timeout=60)
            assert (there.status_code, here.status_code) == (200, 200), there.text
            said, expected = there.json(), here.json()
            if "structured_outputs" in body or "tools" in body:
                # vLLM draws the token that ends a text behind a complete form, too.
                ended = said.pop("usage")["completion_tokens"]
                assert ended - expected.pop("usage")["completion_tokens"] in (0, 1)
            assert plain(said) == pytest.approx(plain(expected), abs=1e-3)


def plain(answer: Any) -> dict[str, Any]:
    """The values of an answer by their place, without ids and times."""
    found = dict[str, Any]()

    def walk(value: Any, place: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name not in ("id", "created", "created_at", "completed_at", "call_id"):
                    walk(inner, f"{place}.{name}")
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                walk(inner, f"{place}[{index}]")
        else:
            found[place] = value

    walk(answer, "")
    return found


def test_seeds_repeat_and_choices_differ(served: HandOver) -> None:
    body = TEXT | {"max_tokens": 20, "n": 3, "seed": 5, "temperature": 1.0, "ignore_eos": True}
    first, second = (
        [choice["text"] for choice in served.post("/v1/completions", body).json()["choices"]]
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == 3


def test_what_cannot_be_is_refused_in_our_words(served: HandOver) -> None:
    refused = [
        ("/v1/completions", TEXT | {"use_beam_search": True}, 400),
        ("/v1/completions", {"model": NAME, "prompt": [5000]}, 400),
        ("/v1/completions", {"model": NAME, "prompt": [5] * 5000}, 400),
        ("/v1/completions", TEXT | {"structured_outputs": {"regex": "("}}, 400),
        ("/v1/completions", TEXT | {"model": "model"}, 404),
        ("/v1/embeddings", {"model": NAME, "input": "x"}, 400),
    ]
    for path, body, status in refused:
        answer = served.post(path, body)
        assert (answer.status_code, set(answer.json()["error"])) == (
            status,
            {"message", "type", "param", "code"},
        )
    assert httpx2.post(served.address + "/v1/completions", json=TEXT).status_code == 401
    # vLLM itself answers nobody else.
    ports = {
        connection.laddr.port
        for child in served.children()
        for connection in child.net_connections("tcp")
        if connection.status == "LISTEN"
    }
    answers = list[int]()
    for port in ports:
        try:
            url = f"http://127.0.0.1:{port}/v1/models"
            answers.append(httpx2.get(url, timeout=5).status_code)
        except httpx2.HTTPError:
            continue  # no HTTP: what its processes say to each other
    assert answers == [401]


def test_a_client_that_leaves_stops_the_text(served: HandOver) -> None:
    body = TEXT | {"max_tokens": 900, "stream": True, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {served.secret}"}
    url = served.address + "/v1/completions"
    with httpx2.stream("POST", url, json=body, headers=headers, timeout=60) as stream:
        assert next(stream.iter_lines()).startswith("data: {")
    metrics = KeyFile(served.folder.parent / "keys.json").create("watcher", ["metrics"])

    def figures() -> str:
        return httpx2.get(
            served.address + "/metrics", headers={"Authorization": f"Bearer {metrics}"}
        ).text

    wait_until(lambda: 'vllm:num_requests_running{engine="0",model_name="tiny"} 0.0' in figures())
    assert 'finished_reason="abort"' in figures()


def test_streams_end_and_readiness_goes_when_vllm_is_killed(served: HandOver) -> None:
    body = TEXT | {"max_tokens": 900, "stream": True, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {served.secret}"}
    url = served.address + "/v1/completions"
    assert httpx2.get(served.address + "/ready").status_code == 200
    children = served.children()
    with httpx2.stream("POST", url, json=body, headers=headers, timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("data: {")
        for child in children:
            child.send_signal(signal.SIGKILL)
        last = [json.loads(line[6:]) for line in lines if line.startswith("data: {")][-1]
    assert "error" in last
    wait_until(lambda: httpx2.get(served.address + "/ready").status_code == 503)
    assert served.post("/v1/completions", TEXT).status_code == 503


def test_unknown_tokens_are_not_drawn_and_vllm_ends_with_us_even_if_we_are_killed(
    model_folder: Path, tmp_path: Path
) -> None:
    folder = widened(model_folder, tmp_path)
    flags = ("--engine", "vllm", "--vllm-args", "--enforce-eager --dtype float32", "--port", "0")
    with serve_command(str(folder), *flags, "--vllm-log", str(tmp_path / "log")) as (process, line):
        body = TEXT | {"max_tokens": 500, "ignore_eos": True, "temperature": 2.0, "n": 4}
        answer = httpx2.post(line.split()[3] + "/v1/completions", json=body, timeout=120)
        assert answer.json()["usage"]["completion_tokens"] == 2000
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=60)
        assert alive == []
