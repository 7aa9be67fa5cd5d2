"""Streams as peers give them: whole, broken off, with errors, with usage."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks" / "serving"
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import answer_streams

    return answer_streams


@pytest.fixture
def figures(reader: ModuleType) -> ModuleType:
    import load_figures

    return load_figures


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def piece(text: str = "a", reason: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "text": text, "finish_reason": reason}]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 3}})
BARE_USAGE = event({"usage": {"prompt_tokens": 3}})
WHOLE = piece() + piece("é") + piece("", "length")


def chunk(part: bytes) -> bytes:
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"


def read(reader: ModuleType, data: bytes) -> Any:
    async def once() -> Any:
        source = asyncio.StreamReader()
        source.feed_data(data)
        source.feed_eof()
        stream = reader.Stream()
        await reader.read_answer(source, stream)
        return stream

    return asyncio.run(once())


@pytest.mark.parametrize("end", [b"", DONE, USAGE + DONE, BARE_USAGE, b": ping\n\n" + DONE])
def test_a_whole_answer(reader: ModuleType, end: bytes) -> None:
    stream = read(reader, PLAIN + WHOLE + end)
    assert (len(stream.pieces), stream.reason, stream.failure) == (3, "length", None)
    assert stream.good
    assert len(stream.gaps) == 2


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, len(WHOLE + DONE) - 1), max_size=12, unique=True))
def test_chunks_may_be_cut_anywhere(reader: ModuleType, cuts: list[int]) -> None:
    body, at = WHOLE + DONE, [0, *sorted(cuts), len(WHOLE + DONE)]
    parts = [body[begin:end] for begin, end in pairwise(at)]
    stream = read(reader, CHUNKED + b"".join(map(chunk, parts)) + b"0\r\n\r\n")
    assert (len(stream.pieces), stream.failure) == (3, None)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.integers(0, len(CHUNKED + chunk(WHOLE)) - 1))
def test_a_cut_answer_is_a_failure_wherever_it_is_cut(reader: ModuleType, kept: int) -> None:
    stream = read(reader, (CHUNKED + chunk(WHOLE))[:kept])
    assert stream.error
    assert not stream.good


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=80))
def test_no_body_raises(reader: ModuleType, body: bytes) -> None:
    for head in (b"", PLAIN, CHUNKED, PLAIN + b"data: "):
        assert read(reader, head + body).failure


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (PLAIN, "ended without a reason after 0 pieces"),
        (PLAIN + piece() + USAGE, "ended without a reason after 1 pieces"),
        (CHUNKED + chunk(piece() + piece()), "broken off after 2 pieces"),
        (PLAIN + piece() + event({"error": "CUDA"}), 'error event: "CUDA"'),
        (CHUNKED + chunk(event({"error": {"message": "full"}})), "full"),
        (PLAIN + piece("a", "stop"), "ended before its length: stop"),
        (PLAIN + event({"choices": 3}), "no stream of events"),
        (PLAIN + event({"choices": ["a"]}), "no stream of events"),
        (PLAIN + event([]), "an event that is no object"),
        (PLAIN + b'data: {"choices": [\n', "no stream of events"),
        (CHUNKED + b"zz\r\n", "no stream of events"),
        (b"HTTP/1.1 503 Busy\r\n\r\nfull up", "HTTP 503: full up"),
        (b"not http\r\n\r\n", "HTTP http"),
    ],
)
def test_what_went_wrong_is_told(reader: ModuleType, body: bytes, said: str) -> None:
    stream = read(reader, body)
    assert said in (stream.failure or "")
    assert not stream.good


def over_tcp(
    reader: ModuleType, answer: bytes, then: Callable[[asyncio.StreamWriter], Any], seconds: float
) -> Any:
    """Ask a server that sends ``answer`` and goes on as told."""

    async def once() -> Any:
        async def serve(source: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await source.readuntil(b"}")
            writer.write(answer)
            await writer.drain()
            then(writer)
            await source.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            stream = reader.Stream()
            try:
                async with asyncio.timeout(seconds):
                    await reader.ask(stream, server.sockets[0].getsockname()[1], {"prompt": "a"})
            except TimeoutError:
                assert stream.cut_off
            return stream

    return asyncio.run(once())


def test_a_connection_that_is_reset(reader: ModuleType) -> None:
    stream = over_tcp(reader, CHUNKED + chunk(piece()), lambda to: to.transport.abort(), 20)
    assert stream.failure == f"broken off after {len(stream.pieces)} pieces"


def test_a_server_that_hangs_is_cut_off_and_not_failed(reader: ModuleType) -> None:
    stream = over_tcp(reader, CHUNKED + chunk(piece()), lambda to: None, 0.5)
    assert stream.cut_off
    assert (len(stream.pieces), stream.failure, stream.good) == (1, None, False)


def test_nobody_listens(reader: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    stream = reader.Stream()
    asyncio.run(reader.ask(stream, port, {}))
    assert stream.failure.startswith("connection: ")


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_rows_with_nothing_to_count(reader: ModuleType, figures: ModuleType) -> None:
    broken = reader.Stream(pieces=[1.0], error="broken off")
    of = figures.Round([broken, broken], 2.0, 0.0)
    assert cells(figures.load_row("it", [of], 9, 5)) == ["it", "-", "-", "-", "-", "0", "2"]
    assert cells(figures.load_row("it", [], 9, 5)) == ["it", "-", "-", "-", "-", "0", "0"]
    stall = figures.Stall([broken], broken, 2.0)
    assert cells(figures.stall_row("it", [stall], 5)) == ["it", "-", "-", "-", "2"]


def test_a_round_that_failed_is_slow(reader: ModuleType, figures: ModuleType) -> None:
    whole = reader.Stream(asked=0, pieces=[0.1, 0.2], reason="length")
    failed = reader.Stream(asked=0, error="broken off")
    rounds = [figures.Round([stream], 1.0, 0.5) for stream in (whole, failed, failed)]
    assert cells(figures.load_row("it", rounds, 16, 30))[1:3] == ["0", "0"]


def test_a_short_rest_weighs_little(reader: ModuleType, figures: ModuleType) -> None:
    whole = reader.Stream(asked=0, pieces=[0.1, 0.2], reason="length")
    begun = reader.Stream(asked=0, cut_off=True)
    rounds = [figures.Round([whole] * 9, 9.0, 3.0), figures.Round([begun], 1.0, 0.6)]
    assert cells(figures.load_row("it", rounds, 10, 10))[1:3] == ["9", "25"]


def test_rows_count_what_was_given_up_by_its_pieces(
    reader: ModuleType, figures: ModuleType
) -> None:
    whole = reader.Stream(asked=0, pieces=[0.1, 0.2, 0.4], reason="length")
    cut = reader.Stream(asked=0, pieces=[0.1, 0.2, 0.3, 0.4], cut_off=True)
    failed = reader.Stream(asked=0, pieces=[7.0, 9.0], error="broken off")
    name, speed, thrift, first, gap, good, bad = cells(
        figures.load_row("it", [figures.Round([whole, cut, failed], 2.0, 0.5)], 16, 30)
    )
    assert name == "it (cut off after 30 s)"
    assert (speed, thrift, good, bad) == ("10", "40", "1", "1")
    assert first == "100.0 / 100.0 / 100.0"
    assert gap == "100.0 / 200.0 / 200.0"


def test_the_longest_gap_is_of_whole_streams(reader: ModuleType, figures: ModuleType) -> None:
    stalls = [
        figures.Stall(
            [
                reader.Stream(0, [0.1, 0.2, 0.3, 0.3 + longest], "length"),
                reader.Stream(0, [0, 50], error="broken off"),
            ],
            reader.Stream(0, [longest * 2], "length"),
            1.0,
        )
        for longest in (0.5, 0.6, 0.9)
    ]
    assert cells(figures.stall_row("it", stalls, 5)) == ["it", "100.0", "600 / 900", "1,200", "3"]
