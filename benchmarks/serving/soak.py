"""A server under clients that behave badly, for minutes; then it is told to stop.

python benchmarks/serving/soak.py [MINUTES]

32 clients ask a small model of random weights: whole answers and streams (which must be what a
single client got before), answers that are left in the middle, bodies that are too large or
malformed, readers that hardly read, embeddings. Every few seconds all pause: the engine must then
hold nothing. At the end comes SIGTERM while all are at work. Prints the counts and the memory.
Exit code 1 if an answer was lost or wrong, a text was left in the engine, the memory grew by
more than 10 % after the first third, or the server did not end with 0.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families
from random_server import NAME, Server, make_model, serving

CLIENTS = 32
ROUND_SECONDS = 10.0
PROMPTS = [f"Question {number}: {'why ' * (number % 7)}" for number in range(12)]
MOST_GROWTH = 1.10
REFUSED = (429, 503)


class LostAnswerError(Exception):
    """An answer that had begun was cut off."""


@dataclass
class Soak:
    """What is known while it goes on."""

    port: int
    wanted: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    is_ending: bool = False


def body_of(prompt: str, **fields: Any) -> dict[str, Any]:
    return {
        "model": NAME, "prompt": prompt, "max_tokens": 60, "temperature": 0, "ignore_eos": True,
        **fields,
    }  # fmt: skip


async def send(soak: Soak, path: str, body: bytes, announced: int | None = None) -> Any:
    """Connect and send; returns reader and writer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", soak.port, limit=2**22)
    length = len(body) if announced is None else announced
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Connection: close\r\nContent-Length: {length}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer


async def ask(soak: Soak, path: str, body: Any, announced: int | None = None) -> tuple[int, bytes]:
    """Status and body of an answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reader, writer = await send(soak, path, raw, announced)
    try:
        answer = await read_all(reader)
    finally:
        writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        content = _unchunked(content)
    return int(head.split()[1]), content


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """All up to the end; a connection that is reset behind the first byte has lost an answer."""
    answer = b""
    try:
        while part := await reader.read(65536):
            answer += part
    except ConnectionResetError:
        if answer:
            raise LostAnswerError(answer[-100:]) from None
        raise
    return answer


def _unchunked(content: bytes) -> bytes:
    found = b""
    while content:
        size, _, content = content.partition(b"\r\n")
        found += content[: int(size, 16)]
        content = content[int(size, 16) + 2 :]
    return found


async def whole(soak: Soak, draw: random.Random) -> str:
    prompt = draw.choice(PROMPTS)
    number = draw.choice([1, 1, 2, 4])
    status, content = await ask(soak, "/v1/completions", body_of(prompt, n=number))
    if status in REFUSED:
        return "refused"
    answer = json.loads(content)
    if status == 200 and len(answer["choices"]) == number:
        texts = {choice["text"] for choice in answer["choices"]}
        return "right" if texts == {soak.wanted[prompt]} else f"wrong text {texts}"
    return f"wrong: {status} {content[:200]!r}"


async def stream(soak: Soak, draw: random.Random) -> str:
    prompt = draw.choice(PROMPTS)
    status, content = await ask(soak, "/v1/completions", body_of(prompt, stream=True))
    if status in REFUSED:
        return "refused"
    lines = [line[6:] for line in content.decode().split("\n") if line.startswith("data: ")]
    if not lines or lines[-1] != "[DONE]":
        said = json.loads(lines[-1]) if lines else {}
        is_told = "error" in said and soak.is_ending
        return "ended with the server" if is_told else f"lost: {lines[-1:]}"
    text = "".join(json.loads(line)["choices"][0]["text"] for line in lines[:-1])
    return "right" if text == soak.wanted[prompt] else f"wrong text {text!r}"


async def leave(soak: Soak, draw: random.Random) -> str:
    body = body_of(draw.choice(PROMPTS), max_tokens=900, stream=draw.random() < 0.5, n=2)
    _, writer = await send(soak, "/v1/completions", json.dumps(body).encode())
    await asyncio.sleep(draw.random() * 0.5)
    if draw.random() < 0.5:
        writer.transport.abort()
    else:
        writer.close()
    return "left"


async def hardly_read(soak: Soak, draw: random.Random) -> str:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", soak.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
    body = json.dumps(body_of("slow", max_tokens=900, stream=True, n=4, logprobs=20)).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    for _ in range(draw.randrange(20)):
        await reader.read(200)
        await asyncio.sleep(0.1)
    writer.transport.abort()
    return "hardly read"


async def too_large(soak: Soak, draw: random.Random) -> str:
    status, _ = await ask(soak, "/v1/completions", b"{", announced=11 * 2**20)
    if status == 503 and soak.is_ending:
        return "refused"
    return "413" if status == 413 else f"wrong: {status} for a large body"


async def malformed(soak: Soak, draw: random.Random) -> str:
    good = json.dumps(body_of("x")).encode()
    bad = draw.choice([good[:-3], b"\xff" + good, b"[" * 5000, b"null", good.replace(b"60", b"-1")])
    status, _ = await ask(soak, "/v1/completions", bad)
    if status == 503 and soak.is_ending:
        return "refused"
    return "400" if status == 400 else f"wrong: {status} for {bad[:40]!r}"


async def embed(soak: Soak, draw: random.Random) -> str:
    texts = PROMPTS * draw.choice([1, 4])
    status, content = await ask(soak, "/v1/embeddings", {"model": NAME, "input": texts})
    if status in REFUSED:
        return "refused"
    is_right = status == 200 and len(json.loads(content)["data"]) == len(texts)
    return "right" if is_right else f"wrong: {status} {content[:200]!r}"


ACTIONS: list[Callable[[Soak, random.Random], Awaitable[str]]] = [
    whole, whole, whole, stream, stream, stream, leave, leave, hardly_read, too_large, malformed,
    embed,
]  # fmt: skip


async def client(soak: Soak, number: int, until: float) -> None:
    """One client until a time, or until the server has gone."""
    draw = random.Random(f"{number} {until}")
    while time.monotonic() < until:
        action = draw.choice(ACTIONS)
        try:
            outcome = await asyncio.wait_for(action(soak, draw), 120)
        except (OSError, IndexError, TimeoutError, LostAnswerError) as error:
            # What was not begun may fail, as it came to a socket that was being closed.
            outcome = f"lost: {type(error).__name__} {error}"
            if soak.is_ending and isinstance(error, ConnectionError | IndexError):
                soak.counts["too late"] += 1
                return
        soak.counts[f"{action.__name__}: {outcome}" if ":" not in outcome else outcome] += 1
        if outcome.startswith(("lost", "wrong")):
            soak.problems.append(f"{action.__name__}: {outcome}")


async def left_in_the_engine(soak: Soak) -> float:
    """Texts that run or wait; what was left a moment ago has some time to go."""
    left = 1.0
    for _ in range(100):
        reader, writer = await asyncio.open_connection("127.0.0.1", soak.port, limit=2**22)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = (await reader.read()).decode().partition("\r\n\r\n")[2]
        writer.close()
        left = sum(
            sample.value
            for family in text_string_to_metric_families(answer)
            if family.name in ("vllm:num_requests_running", "vllm:num_requests_waiting")
            for sample in family.samples
        )
        if not left:
            break
        await asyncio.sleep(0.1)
    return left


async def run(server: Server, minutes: float) -> Soak:
    """All rounds, then the end."""
    soak = Soak(int(server.address.rpartition(":")[2]))
    for prompt in PROMPTS:
        _, content = await ask(soak, "/v1/completions", body_of(prompt))
        soak.wanted[prompt] = json.loads(content)["choices"][0]["text"]
    process = psutil.Process(server.process.pid)
    memory = list[int]()
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        until = time.monotonic() + ROUND_SECONDS
        await asyncio.gather(*(client(soak, number, until) for number in range(CLIENTS)))
        if left := await left_in_the_engine(soak):
            soak.problems.append(f"{left:g} texts are left in the engine")
        memory.append(process.memory_info().rss)
        print(f"{len(memory)}: {soak.counts.total()} requests, {memory[-1] / 2**20:.0f} MiB")
    later = memory[len(memory) // 3 :]
    if max(later) > later[0] * MOST_GROWTH:
        soak.problems.append(f"the memory grew from {later[0]} to {max(later)} bytes")
    clients = [client(soak, number, time.monotonic() + 60) for number in range(CLIENTS)]
    working = asyncio.gather(*clients)
    await asyncio.sleep(3)
    soak.is_ending = True
    server.process.send_signal(signal.SIGTERM)
    await working
    code = server.process.wait(60)
    if code != 0:
        soak.problems.append(f"the server ended with {code}")
    return soak


def main() -> int:
    """Soak and print; returns the exit code."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with serving(make_model(Path(folder)), "--log", "off", log=log) as server:
            soak = asyncio.run(run(server, minutes))
        said = log.read_text(encoding="utf-8")
    for name, number in sorted(soak.counts.items()):
        print(f"{number:>7} {name}")
    if "Traceback" in said:
        soak.problems.append("there is a traceback in the log")
    print(f"log: {said.strip() or 'empty'}")
    for problem in soak.problems[:20]:
        print(f"PROBLEM {problem}")
    print(f"{soak.counts.total()} requests, {len(soak.problems)} problems")
    return int(bool(soak.problems))


if __name__ == "__main__":
    sys.exit(main())
