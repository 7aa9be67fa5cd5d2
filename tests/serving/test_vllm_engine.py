"""Places and refusals, with our own server as what is asked: it knows none of vLLM's own fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import SimpleNamespace

import pytest
from running_server import CONTEXT, Server, wait_until

from modelwright.core.errors import InputError
from modelwright.inference.admission import QueueFullError
from modelwright.inference.background import EngineStoppedError, Update
from modelwright.inference.prompt_checks import ContextLengthError
from modelwright.inference.sampling import SamplingParams
from modelwright.serving.hand_over.vllm_engine import VllmEngine
from modelwright.serving.hand_over.vllm_process import VllmStartError

PARAMS = SamplingParams(max_tokens=5)


@dataclass
class Upstream:
    """Where a server answers, as a process that is watched."""

    address: str
    is_alive: bool = True
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)

    def last_lines(self) -> str:
        return "    the end"


@pytest.fixture
def upstream(server: Server) -> Upstream:
    return Upstream(server.address)


@pytest.fixture
def engine(upstream: Upstream, model_folder: Path) -> Iterator[VllmEngine]:
    with VllmEngine(upstream, model_folder, 2, 2) as engine:  # type: ignore[arg-type]
        yield engine


def test_a_text_that_is_cancelled_at_once_frees_its_place(engine: VllmEngine) -> None:
    for _ in range(20):
        updates = SimpleQueue[Update]()
        for one in engine.submit_many([([1, 2], PARAMS, updates.put)] * engine.places):
            one.cancel()
        reasons = [updates.get(timeout=30).finish_reason for _ in range(engine.places)]
        assert reasons == ["abort"] * engine.places
        wait_until(lambda: engine.figures().running == 0)


def test_what_is_refused_there_is_told_here(engine: VllmEngine) -> None:
    updates = SimpleQueue[Update]()
    engine.submit_many([([1, 2], PARAMS, updates.put)])
    last = updates.get(timeout=30)
    assert last.finish_reason == "abort"
    assert isinstance(last.error, InputError)
    assert "vLLM answered 400" in last.error.what
    wait_until(lambda: engine.figures().running == 0)


def test_what_cannot_be_run_is_not_sent(engine: VllmEngine) -> None:
    assert engine.context_length == CONTEXT
    with pytest.raises(ContextLengthError):
        engine.submit_many([([1] * CONTEXT, PARAMS, None)])
    with pytest.raises(QueueFullError):
        engine.submit_many([([1], PARAMS, None)] * 5)
    assert engine.figures().running == 0


def test_nothing_is_taken_once_the_process_has_gone(
    engine: VllmEngine, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.is_alive = False
    assert not engine.is_running
    with pytest.raises(EngineStoppedError):
        engine.submit_many([([1], PARAMS, None)])
    wait_until(lambda: "vLLM has ended; it said last:\n    the end" in caplog.text)


@pytest.mark.parametrize("answer", [b"{}", b"<html>", b'{"data": []}'])
def test_another_program_at_the_port_is_not_taken_for_vllm(
    answer: bytes, model_folder: Path, tmp_path: Path
) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        process = SimpleNamespace(
            address=f"http://127.0.0.1:{server.server_port}", headers=[], log=tmp_path / "log"
        )
        with pytest.raises(VllmStartError, match="is not vLLM"):
            VllmEngine(process, model_folder, 2, 2)  # type: ignore[arg-type]
        server.shutdown()
