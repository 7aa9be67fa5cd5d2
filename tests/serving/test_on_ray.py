"""Several replicas on a Ray cluster of this machine, through the command line and over HTTP."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from running_server import wait_until, widened

from modelwright.cli.main import main
from modelwright.core.workspace import RECIPE
from modelwright.serving.access.keys import KeyFile

pytest.importorskip("ray.serve", reason="Ray Serve is not installed")

NAME = "mine"
REPLICA = re.compile(r"\(ServeReplica:modelwright:Replica pid=(\d+)\) (\{.*\})")
ENDLESS = {"model": NAME, "prompt": "x", "stream": True, "ignore_eos": True}


@dataclass
class Cluster:
    """The command, and what it writes."""

    process: subprocess.Popen[str]
    address: str
    secret: str
    metrics_secret: str
    errors: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def post(self, path: str, **body: object) -> httpx2.Response:
        return httpx2.post(self.address + path, json=body, headers=self.headers, timeout=60)

    def complete(self, **more: object) -> httpx2.Response:
        return self.post("/v1/completions", model=NAME, prompt="The quick", **more)

    def has_asked_all(self) -> bool:
        """Asks once more; whether both replicas have answered: they count from then on."""
        assert self.complete(max_tokens=1).status_code == 200
        return len({pid for pid, _ in self.rows()}) == 2

    @contextmanager
    def streamed(self, tokens: int) -> Iterator[Iterator[str]]:
        """The lines of an answer that takes its time."""
        url, body = f"{self.address}/v1/completions", {**ENDLESS, "max_tokens": tokens}
        with httpx2.stream("POST", url, json=body, headers=self.headers, timeout=60) as stream:
            yield (line for line in stream.iter_lines() if line)

    def ready(self) -> httpx2.Response:
        """Asks for it as often as a load balancer would."""
        time.sleep(0.1)
        return httpx2.get(f"{self.address}/ready", timeout=60)

    def counted(self, name: str) -> dict[str, float]:
        """Values of a metric by replica."""
        headers = {"Authorization": f"Bearer {self.metrics_secret}"}
        answer = httpx2.get(f"{self.address}/metrics", headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        found = [
            (sample.labels["replica"], sample.value)
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == name
        ]
        assert len(found) == len(dict(found))
        return dict(found)

    def rows(self) -> list[tuple[int, dict[str, object]]]:
        """Which process answered, and its line of the log."""
        found = REPLICA.findall(self.errors.read_text())
        return [(int(pid), json.loads(line)) for pid, line in found]


def started(folder: Path, *flags: str, **environment: str) -> subprocess.Popen[str]:
    """The command, whose errors go to a file ``errors`` in the folder."""
    command = [sys.executable, "-m", "modelwright", "serve", "--on", "ray", *flags]
    environment = {**os.environ, "RAY_TMPDIR": "/tmp", **environment}
    with open(folder / "errors", "w") as errors:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=environment
        )


@pytest.fixture(scope="module")
def cluster(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("ray")
    wide = widened(model_folder, folder / "wide", context=16_384)
    keys = KeyFile(folder / "keys.json")
    secret, metrics_secret = keys.create("me"), keys.create("prometheus", scopes=["metrics"])
    flags = ["--replicas", "2", "--replica-cpus", "1", "--port", "0", "--name", NAME]
    flags += ["--keys", "keys.json", "--log", "json", "--drain-seconds", "600"]
    with started(folder, str(wide), *flags) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "2 replicas at http://127.0.0.1:" in line, (folder / "errors").read_text()
            address = line.partition(" at ")[2].split()[0]
            found = Cluster(process, address, secret, metrics_secret, folder / "errors")
            wait_until(found.has_asked_all)
            yield found
        finally:
            process.kill()


def test_every_replica_answers_and_says_the_same(cluster: Cluster) -> None:
    said = {cluster.complete(max_tokens=5, temperature=0).json()["choices"][0]["text"]
            for _ in range(20)}  # fmt: skip
    assert len(said) == 1
    wait_until(lambda: len({pid for pid, _ in cluster.rows()}) == 2)
    assert (cluster.ready().status_code, cluster.ready().json()["status"]) == (200, "ok")
    assert "<html" in httpx2.get(cluster.address).text


def test_nobody_comes_in_without_a_key(cluster: Cluster) -> None:
    for _ in range(4):
        assert httpx2.get(f"{cluster.address}/v1/models").status_code == 401
    assert cluster.post("/v1/completions", model="other", prompt="x").status_code == 404
    assert cluster.complete(max_tokens=3, unknown=1).status_code == 400


def test_streams_come_as_they_are_made_and_end_with_their_reader(cluster: Cluster) -> None:
    with cluster.streamed(16_000) as lines:
        first = [next(lines) for _ in range(3)]
    assert all(line.startswith("data: {") for line in first)

    def left() -> list[object]:
        return [row["generated_tokens"] for _, row in cluster.rows()
                if row["finish_reason"] == "abort"]  # fmt: skip

    wait_until(lambda: len(left()) == 1)
    assert 3 <= left()[0] < 16_000


def test_one_reading_of_the_metrics_has_those_of_all_replicas(cluster: Cluster) -> None:
    before = cluster.counted("vllm:generation_tokens_total")
    assert len(before) == 2
    for _ in range(8):
        assert cluster.complete(max_tokens=3, ignore_eos=True).status_code == 200
    readings = [cluster.counted("vllm:generation_tokens_total") for _ in range(4)]
    assert all(reading == readings[0] for reading in readings)
    assert readings[0].keys() == before.keys()
    assert sum(readings[0].values()) - sum(before.values()) == 8 * 3


def test_the_cluster_takes_nothing_from_who_has_no_token(cluster: Cluster) -> None:
    grpc = pytest.importorskip("grpc")
    (control,) = [
        child
        for child in psutil.Process(cluster.process.pid).children()
        if child.name() == "gcs_server"
    ]
    (port,) = {one.laddr.port for one in control.net_connections() if one.status == "LISTEN"}

    def ask(*metadata: tuple[str, str]) -> bytes:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo")
            return bytes(call(b"", metadata=metadata, timeout=30))

    assert ask(("authorization", f"Bearer {control.environ()['RAY_AUTH_TOKEN']}"))
    for wrong in ((), (("authorization", f"Bearer {'0' * 64}"),)):
        with pytest.raises(grpc.RpcError) as refused:
            ask(*wrong)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_the_cluster_gives_its_figures_to_nobody(cluster: Cluster) -> None:
    said = {}
    for process in psutil.Process(cluster.process.pid).children(recursive=True):
        for one in process.net_connections():
            if one.status == "LISTEN":
                host = one.laddr.ip.replace("0.0.0.0", "127.0.0.1").replace("::", "127.0.0.1")
                place = f"http://{host}:{one.laddr.port}"
                with suppress(httpx2.HTTPError):  # most speak gRPC
                    said[place] = httpx2.get(f"{place}/metrics", timeout=5).status_code
    assert said.pop(cluster.address) == 401
    assert 200 not in said.values(), said


def files_of(cluster: Cluster) -> Path:
    """Where Ray keeps the cluster's."""
    below = psutil.Process(cluster.process.pid).children()
    (raylet,) = [child for child in below if child.name() == "raylet"]
    found = re.search(r"=(/tmp/ray-\w+)/ray/session_", " ".join(raylet.cmdline()))
    assert found
    return Path(found[1])


def test_a_replica_that_is_killed_comes_back_and_is_missed_meanwhile(cluster: Cluster) -> None:
    before = {pid for pid, _ in cluster.rows()}
    names = cluster.counted("vllm:generation_tokens_total").keys()
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: cluster.ready().status_code == 503)
    said = cluster.ready().json()
    assert (said["status"], said["reason"]) == ("incomplete", "1 of 2 replicas answer")
    wait_until(lambda: cluster.ready().status_code == 200)
    assert all(cluster.complete(max_tokens=1).status_code == 200 for _ in range(6))
    after = cluster.counted("vllm:generation_tokens_total").keys()
    assert len(after) == 2
    assert len(after & names) == 1


def test_sigterm_lets_requests_finish_a_second_one_does_not(cluster: Cluster) -> None:
    below = psutil.Process(cluster.process.pid).children(recursive=True)
    files = files_of(cluster)
    assert stat.S_IMODE(files.stat().st_mode) == 0o700
    assert list(files.glob("ray/session_*/logs/*.err"))
    with cluster.streamed(16_000) as cut, cluster.streamed(600) as finished:
        assert next(cut).startswith("data: {")
        assert next(finished).startswith("data: {")
        cluster.process.send_signal(signal.SIGTERM)
        wait_until(lambda: cluster.ready().status_code == 503)
        assert cluster.ready().json()["status"] == "stopping"
        assert httpx2.get(f"{cluster.address}/health", timeout=60).status_code == 200
        for _ in range(4):
            refusal = cluster.complete(max_tokens=1)
            assert refusal.status_code == 503
            assert refusal.json()["error"]["code"] == "server_stopping"
        assert list(finished)[-1] == "data: [DONE]"
        assert next(cut).startswith("data: {")
        cluster.process.send_signal(signal.SIGTERM)
        with suppress(httpx2.HTTPError):
            assert list(cut)[-1] != "data: [DONE]"
    assert cluster.process.wait(60) == 0
    assert "again ends at once" in cluster.errors.read_text()
    assert_gone(below)
    assert not files.exists()


def assert_gone(processes: list[psutil.Process]) -> None:
    # Those that nothing ends wait for each other for a minute.
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive


def test_sigterm_while_the_cluster_starts_leaves_no_process(
    model_folder: Path, tmp_path: Path
) -> None:
    below = list[psutil.Process]()

    def has_begun() -> bool:
        time.sleep(0.1)  # looking for processes is work for a core that is needed elsewhere
        below[:] = psutil.Process(process.pid).children(recursive=True)
        return "raylet" in [child.name() for child in below]

    with started(tmp_path, str(model_folder), "--port", "0") as process:
        wait_until(has_begun)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM  # as without Ray
    assert (tmp_path / "errors").read_text() == "starting Ray\n"
    assert_gone(below)


OTHER_CLUSTER = """
import sys
import ray
from ray import serve
ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
print(ray.get_runtime_context().gcs_address, flush=True)
for _ in sys.stdin:
    print(*serve.status().applications, flush=True)
"""


@dataclass
class OtherCluster:
    """One that does not end with the command; it wants a token."""

    process: subprocess.Popen[str]
    address: str
    environment: dict[str, str]

    def applications(self) -> list[str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    @contextmanager
    def started(
        self, folder: Path, model: Path, port: int, *flags: str
    ) -> Iterator[subprocess.Popen[str]]:
        """The command with this cluster; a test that fails does not wait for its end."""
        folder.mkdir()
        flags = (str(model), "--ray-address", self.address, "--port", str(port), *flags)
        with started(folder, *flags, **self.environment) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def other_cluster() -> Iterator[OtherCluster]:
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    command = [sys.executable, "-c", OTHER_CLUSTER]
    all_of_it = {**os.environ, **environment, "RAY_TMPDIR": "/tmp", "RAY_USAGE_STATS_ENABLED": "0"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=all_of_it, **pipes) as process:
        assert process.stdout is not None
        yield OtherCluster(process, process.stdout.readline().strip(), environment)
        process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.mark.slow
def test_a_cluster_that_is_there_has_one_server_and_keeps_nothing_of_it(
    other_cluster: OtherCluster, model_folder: Path, tmp_path: Path
) -> None:
    port = free_port()
    flags = ("--replica-cpus", "1", "--name", NAME)
    with other_cluster.started(tmp_path / "first", model_folder, port, *flags) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert f" at http://127.0.0.1:{port} of the cluster's head node" in line, (
            tmp_path / "first" / "errors"
        ).read_text()
        second, third, other_port = tmp_path / "second", tmp_path / "third", free_port()
        with (
            other_cluster.started(second, model_folder, port, *flags) as at_same,
            other_cluster.started(third, model_folder, other_port, *flags) as at_other,
        ):
            assert (at_same.wait(60), at_other.wait(60)) == (2, 2)
        said = "serves the application 'modelwright' at this address"
        assert said in (second / "errors").read_text()
        said = f"Ray Serve listens at 127.0.0.1:{port} already, not at 127.0.0.1:{other_port}"
        assert said in (third / "errors").read_text()
        assert other_cluster.applications() == ["modelwright"]
        body = {"model": NAME, "prompt": "x", "max_tokens": 3}
        url = f"http://127.0.0.1:{port}/v1/completions"
        assert httpx2.post(url, json=body, timeout=60).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert other_cluster.applications() == []


@pytest.mark.slow
def test_a_cluster_that_is_there_keeps_nothing_of_a_start_that_ends(
    other_cluster: OtherCluster, model_folder: Path, tmp_path: Path
) -> None:
    folder, flags = tmp_path / "first", ("--replica-gpus", "1")
    with other_cluster.started(folder, model_folder, free_port(), *flags) as process:
        assert process.wait(60) == 2
    assert "room for 0 of 1 replica (each cores: 2, GPUs: 1)" in (folder / "errors").read_text()
    assert other_cluster.applications() == []
    with other_cluster.started(tmp_path / "second", model_folder, free_port()) as process:
        wait_until(lambda: other_cluster.applications() == ["modelwright"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    assert other_cluster.applications() == []


@pytest.mark.slow
def test_a_cluster_that_wants_another_token_is_told_from_none(
    other_cluster: OtherCluster, model_folder: Path, tmp_path: Path
) -> None:
    other_cluster.environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    with other_cluster.started(tmp_path / "folder", model_folder, free_port()) as process:
        assert process.wait(120) == 2
    said = (tmp_path / "folder" / "errors").read_text()
    assert "the Ray cluster cannot be used" in said
    assert "RAY_AUTH_TOKEN" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_port_that_is_taken_while_the_cluster_starts_is_named(
    model_folder: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with started(tmp_path, str(model_folder), "--port", str(port)) as process:
        errors = tmp_path / "errors"
        wait_until(lambda: "starting Ray" in errors.read_text())
        with socket.create_server(("127.0.0.1", port)):
            assert process.wait(60) == 2
        assert f"another program took port {port}" in errors.read_text()
        assert "Traceback" not in errors.read_text()


@pytest.mark.parametrize("share", ["0", "1"])
def test_a_database_that_cannot_be_opened_is_told_before_anything_starts(
    model_folder: Path,
    tmp_path: Path,
    refused: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    share: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / RECIPE).write_text("store: sqlite:///store.db\n")
    (tmp_path / "store.db").write_text("this is no database" * 100)
    code, said = refused("--log-requests", share)
    assert code == 1
    assert "the database cannot be used: " in said
    assert "starting Ray" not in said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--on", "here", "--replicas", "2"], "--replicas is of no use without --on ray"),
        (["--engine", "vllm"], "--on ray does not go with --engine vllm"),
        (["--replicas", "9999"], "more than this machine's"),
        (["--host", "0.0.0.0"], "this server has no keys"),
        (["--replica-gpus", "1.5"], "neither a part of one nor whole ones"),
        (["--ray-address", "127.0.0.1:1"], "no Ray cluster to be reached"),
        (["--ray-address", "a..b:1"], "no Ray cluster to be reached"),
        (["--ray-address", "nowhere"], "'nowhere' is no address of a Ray cluster"),
        (["--ray-address", "127.0.0.1:1", "--port", "0"], "--port 0 does not go with"),
        (["--ray-address", "127.0.0.1:1", "--host", "0.0.0.0"], "this server has no keys"),
    ],
)
def test_what_cannot_be_is_refused(
    refused: Callable[..., tuple[int, str]], flags: list[str], said: str
) -> None:
    code, errors = refused(*flags)
    assert code == 2
    assert said in errors


@pytest.fixture
def refused(
    model_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Serves in this process, which is not to come far; gives the exit code and what was said."""

    def serve(*flags: str) -> tuple[int, str]:
        command = ["modelwright", "serve", str(model_folder), "--on", "ray", *flags]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as left:
            main()
        assert isinstance(left.value.code, int)
        return left.value.code, capsys.readouterr().err

    return serve
