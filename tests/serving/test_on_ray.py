"""Several replicas on a Ray cluster of this machine, through the command line and over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest
from running_server import wait_until, widened

from modelwright.cli.main import main
from modelwright.serving.access.keys import KeyFile

pytest.importorskip("ray.serve", reason="Ray Serve is not installed")

NAME = "mine"
REPLICA = re.compile(r"\(ServeReplica:modelwright:Replica pid=(\d+)\) (\{.*\})")
START_SECONDS = 120


@dataclass
class Cluster:
    """The command, and what it writes."""

    process: subprocess.Popen[str]
    address: str
    secret: str
    errors: Path

    def post(self, path: str, **body: object) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.secret}"}
        return httpx2.post(self.address + path, json=body, headers=headers, timeout=60)

    def complete(self, **more: object) -> httpx2.Response:
        return self.post("/v1/completions", model=NAME, prompt="The quick", **more)

    def rows(self) -> list[tuple[int, dict[str, object]]]:
        """Which process answered, and its line of the log."""
        found = REPLICA.findall(self.errors.read_text())
        return [(int(pid), json.loads(line)) for pid, line in found]


@pytest.fixture(scope="module")
def cluster(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("ray")
    wide = widened(model_folder, folder / "wide", context=2048)
    secret = KeyFile(folder / "keys.json").create("me")
    command = [sys.executable, "-m", "modelwright", "serve", str(wide), "--on", "ray"]
    command += ["--replicas", "2", "--port", "0", "--name", NAME, "--log", "json"]
    command += ["--keys", "keys.json", "--replica-cpus", "1"]
    environment = {**os.environ, "RAY_TMPDIR": "/tmp"}
    with (
        open(folder / "errors", "w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=environment
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "2 replicas at http://127.0.0.1:" in line, (folder / "errors").read_text()
            address = line.partition(" at ")[2].split()[0]
            yield Cluster(process, address, secret, folder / "errors")
        finally:
            process.kill()


def test_every_replica_answers_and_says_the_same(cluster: Cluster) -> None:
    said = {cluster.complete(max_tokens=5, temperature=0).json()["choices"][0]["text"]
            for _ in range(20)}  # fmt: skip
    assert len(said) == 1
    wait_until(lambda: len({pid for pid, _ in cluster.rows()}) == 2)
    assert httpx2.get(f"{cluster.address}/ready").status_code == 200
    assert "<html" in httpx2.get(cluster.address).text


def test_nobody_comes_in_without_a_key(cluster: Cluster) -> None:
    for _ in range(4):
        assert httpx2.get(f"{cluster.address}/v1/models").status_code == 401
    assert cluster.post("/v1/completions", model="other", prompt="x").status_code == 404
    assert cluster.complete(max_tokens=3, unknown=1).status_code == 400


def test_streams_come_as_they_are_made_and_end_with_their_reader(cluster: Cluster) -> None:
    body = {"model": NAME, "prompt": "x", "max_tokens": 1900, "stream": True, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {cluster.secret}"}
    url = f"{cluster.address}/v1/completions"
    with httpx2.stream("POST", url, json=body, headers=headers, timeout=60) as stream:
        lines = (line for line in stream.iter_lines() if line)
        first = [next(lines) for _ in range(3)]
    assert all(line.startswith("data: {") for line in first)

    def left() -> list[object]:
        return [row["generated_tokens"] for _, row in cluster.rows()
                if row["finish_reason"] == "abort"]  # fmt: skip

    wait_until(lambda: len(left()) == 1)
    assert 3 <= left()[0] < 1900


def test_a_replica_that_is_killed_comes_back(cluster: Cluster) -> None:
    before = {pid for pid, _ in cluster.rows()}
    killed = min(before)
    os.kill(killed, signal.SIGKILL)

    def is_back() -> bool:
        try:
            cluster.complete(max_tokens=1)
        except httpx2.HTTPError:
            return False
        return bool({pid for pid, _ in cluster.rows()} - before)

    until = time.monotonic() + START_SECONDS
    while not is_back() and time.monotonic() < until:
        time.sleep(0.1)
    assert all(cluster.complete(max_tokens=1).status_code == 200 for _ in range(6))


def test_sigterm_lets_requests_finish_and_leaves_no_process(cluster: Cluster) -> None:
    below = psutil.Process(cluster.process.pid).children(recursive=True)
    assert below
    body = {"model": NAME, "prompt": "x", "max_tokens": 900, "stream": True, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {cluster.secret}"}
    url = f"{cluster.address}/v1/completions"
    with httpx2.stream("POST", url, json=body, headers=headers, timeout=60) as stream:
        lines = (line for line in stream.iter_lines() if line)
        assert next(lines).startswith("data: {")
        cluster.process.send_signal(signal.SIGTERM)
        rest = list(lines)
    assert rest[-1] == "data: [DONE]"
    assert cluster.process.wait(60) == 0
    _, alive = psutil.wait_procs(below, timeout=20)
    assert not alive


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--replicas", "2"], "--replicas is of no use without --on ray"),
        (["--on", "ray", "--engine", "vllm"], "--on ray does not go with --engine vllm"),
        (["--on", "ray", "--replicas", "9999"], "more than this machine's"),
        (["--on", "ray", "--host", "0.0.0.0"], "this server has no keys"),
        (["--on", "ray", "--ray-address", "127.0.0.1:1"], "no Ray cluster to be reached"),
    ],
)
def test_what_cannot_be_is_refused(
    model_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["modelwright", "serve", str(model_folder), *flags])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert said in capsys.readouterr().err
