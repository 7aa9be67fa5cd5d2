import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from running_server import NAME

from modelwright.core.errors import InputError, UsageError
from modelwright.serving import server as server_module
from modelwright.serving.opening import ServeOptions, is_chat_model
from modelwright.serving.server import listen, serve


@contextmanager
def serve_command(
    *arguments: str, cwd: Path | None = None
) -> Iterator[tuple[subprocess.Popen, str]]:
    """``modelwright serve`` in a process of its own; gives it and its first line."""
    command = [sys.executable, "-m", "modelwright", "serve", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=cwd) as process:
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_and_ends_cleanly_in_the_middle_of_a_stream(
    model_folder: Path, how: signal.Signals
) -> None:
    flags = ("--port", "0", "--name", "mine", "--log", "off", "--drain-seconds", "0")
    with serve_command(str(model_folder), *flags) as (process, line):
        assert line.startswith("mine answers at http://127.0.0.1:")
        address = line.split()[3]
        assert httpx2.get(f"{address}/health").json()["model"] == "mine"
        body = {"model": "mine", "prompt": "x", "max_tokens": 250, "stream": True, "n": 8}
        with httpx2.stream("POST", f"{address}/v1/completions", json=body, timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("data: {")
            process.send_signal(how)
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]" or "error" in json.loads(rest[-1][6:])
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "example.com", "::", ""])
def test_hosts_that_others_can_reach_are_refused(model_folder: Path, host: str) -> None:
    with pytest.raises(UsageError, match="has no keys"):
        serve({NAME: model_folder}, host=host, port=0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_names_of_this_machine_are_listened_on(host: str) -> None:
    try:
        listener = listen(host, 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert listener.getsockname()[1] > 0


def test_a_port_in_use_is_named_with_the_next_free_one(model_folder: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} is in use") as caught:
            serve({NAME: model_folder}, port=port)
        free = int(caught.value.fix.removeprefix("use --port "))
        assert free > port
        listen("127.0.0.1", free).close()


def test_the_command_says_that_a_port_is_in_use_in_plain_words(model_folder: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with serve_command(str(model_folder), "--port", str(port)) as (process, line):
            _, errors = process.communicate(timeout=60)
    assert line == ""
    assert process.returncode == 2
    assert f"port {port} is in use" in errors
    assert "Traceback" not in errors


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model here"):
        serve({NAME: tmp_path}, port=0)


def test_it_says_when_it_is_ready_and_opens_the_page(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    opened: list[str] = []
    answers: list[int] = []
    monkeypatch.setattr(server_module.webbrowser, "open", opened.append)

    def use_and_stop(address: str) -> None:
        def use() -> None:
            answers.append(httpx2.get(address).status_code)
            signal.raise_signal(signal.SIGINT)

        threading.Thread(target=use).start()

    before = signal.getsignal(signal.SIGINT)
    options = ServeOptions(open_browser=True)
    serve({NAME: model_folder}, port=0, options=options, ready=use_and_stop)
    assert signal.getsignal(signal.SIGINT) is before
    assert answers == [200]
    address = opened[0]
    assert capsys.readouterr().out.startswith(f"{NAME} answers at {address} ")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))


def test_a_manifest_tells_whether_the_model_learned_to_answer(
    model_folder: Path, tmp_path: Path
) -> None:
    assert is_chat_model(model_folder)
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    manifest = {"kind": "model", "id": "m", "created": "", "code_version": "", "digest": ""}
    for stage, counts, expected in (
        ("finetune", {}, True),
        ("finetune", {"conversations": 2}, True),
        ("finetune", {"conversations": 0}, False),  # prompts and completions only
        ("pretrain", {}, False),
    ):
        content = {**manifest, "stage": stage, "counts": counts}
        (folder / "manifest.json").write_text(json.dumps(content))
        assert is_chat_model(folder) is expected
