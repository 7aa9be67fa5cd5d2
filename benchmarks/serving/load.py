"""Servers under load: clients in a closed loop, and what a long prompt does to running streams.

python benchmarks/serving/load.py [--size 13m] [--clients 1 8 32] [--rounds 3] [--threads 1]
    [--llama-cpp PYTHON] [--vllm PYTHON] [--folder FOLDER]

Random weights as in ``decoding.py``, with a context of 2,048. Ours in int8; llama-cpp-python's
server in Q8_0, which answers one request after the other; vLLM in bfloat16, behind our server
(``--engine vllm``). All servers are up at
once and asked in turns, each client sending its next request when its last has ended: streams of
``/v1/completions``, greedy, with prompts and lengths that are the same for all. On Linux the server
keeps to the first cores and the clients to the last one. Then eight streams run and a prompt of
about 1,500 tokens arrives: the longest gap between two pieces of any stream is taken.

Printed are medians over the rounds. CPU-seconds are those of the server's processes. An answer that
ended before its length counts as failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median
from urllib.error import URLError

import psutil
from decoding import SIZES, TEXT, environment, export, make_model

CONTEXT = 2048
REQUESTS_A_CLIENT = 3
ANSWER = 96
STALLED_STREAMS, STALLED_ANSWER, LONG_WORDS = 8, 150, 930
START_SECONDS = 600
WORDS = sorted({word for word in TEXT.split() if word.isalpha()})


@dataclass(frozen=True)
class Server:
    """One that answers."""

    name: str
    process: psutil.Process
    port: int
    model: str

    def cpu_seconds(self) -> float:
        """Of all its processes so far."""
        found = 0.0
        for one in [self.process, *self.process.children(recursive=True)]:
            times = one.cpu_times()
            found += times.user + times.system
        return found


@dataclass
class Stream:
    """What one client saw of an answer, in seconds of one clock."""

    asked: float
    pieces: list[float] = field(default_factory=list)
    reason: str | None = None

    @property
    def gaps(self) -> list[float]:
        """From each piece to the next."""
        return [later - earlier for earlier, later in pairwise(self.pieces)]


@dataclass
class Round:
    """All answers of a round."""

    streams: list[Stream]
    seconds: float
    cpu_seconds: float

    @property
    def good(self) -> list[Stream]:
        """Those that were given to the end."""
        return [stream for stream in self.streams if stream.reason == "length"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip  # noqa: E501
    parser.add_argument("--size", choices=list(SIZES), default="13m")
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--llama-cpp", type=Path, help="the Python that has its server")
    parser.add_argument("--vllm", type=Path, help="the Python that has it")
    parser.add_argument("--folder", type=Path, help="keep models there")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = (given.folder or Path(scratch)) / f"{given.size}-long"
        make_model(folder, given.size, CONTEXT)
        servers = [
            stack.enter_context(started(name, command, given.threads, cores))
            for name, command in commands(folder, given)
        ]
        if len(cores) > 1:
            os.sched_setaffinity(0, cores[-1:])
        for server in servers:
            asyncio.run(ask(server, prompt_of(Random(0), 8), 4))  # what is compiled first
        for clients in given.clients:
            show_load(servers, clients, given.rounds)
        show_stall(servers, given.rounds)


def commands(folder: Path, given: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """How each server is started; the port is to follow."""
    ours = [sys.executable, "-m", "modelwright", "serve", str(folder), "--weights", "int8"]
    yield "ours int8", [*ours, "--name", "model", "--max-sequences", "32", "--log", "off", "--port"]
    if given.llama_cpp:
        file, threads = export(folder, "q8_0"), str(given.threads)
        yield (
            "llama.cpp q8_0",
            [
                *(str(given.llama_cpp), "-m", "llama_cpp.server", "--model", str(file)),
                *("--n_ctx", str(CONTEXT), "--n_threads", threads, "--n_threads_batch", threads),
                # A new request would end a running one.
                *("--model_alias", "model", "--interrupt_requests", "false", "--port"),
            ],
        )
    if given.vllm:
        vllm = [sys.executable, "-m", "modelwright", "serve", str(folder), "--engine", "vllm"]
        yield (
            "vLLM bfloat16, behind our server",
            [
                *(*vllm, "--vllm", str(given.vllm), "--name", "model", "--max-sequences", "32"),
                *("--log", "off", "--port"),
            ],
        )


@contextmanager
def started(name: str, command: list[str], threads: int, cores: list[int]) -> Iterator[Server]:
    """Start a server on the first cores and wait until it lists its model."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pinned = []
    if len(cores) > threads:
        pinned = ["taskset", "-c", ",".join(map(str, cores[:threads]))]
    print(f"starting {name}", file=sys.stderr, flush=True)
    with subprocess.Popen(
        [*pinned, *command, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={
            **environment(threads),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_CPU_KVCACHE_SPACE": "4",
        },
    ) as process:
        try:
            wait_for(name, process, f"http://127.0.0.1:{port}/v1/models")
            yield Server(name, psutil.Process(process.pid), port, "model")
        finally:
            process.terminate()
            process.wait(60)


def wait_for(name: str, process: subprocess.Popen, url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.5)
        else:
            return
    raise SystemExit(f"{name} did not start; run its command alone to see why")


def prompt_of(random: Random, words: int) -> str:
    return " ".join(random.choices(WORDS, k=words))


async def ask(server: Server, prompt: str, tokens: int) -> Stream:
    """One request, streamed, over a connection of its own."""
    body = {"model": server.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0}
    data = json.dumps({**body, "stream": True}).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
    )
    head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
    stream = Stream(time.monotonic())
    last = b""
    try:
        writer.write(head.encode() + data)
        async for line in reader:
            if line.startswith(b"data: {"):
                stream.pieces.append(time.monotonic())
                last = line
    finally:
        writer.close()
    if last:
        stream.reason = json.loads(last[6:])["choices"][0]["finish_reason"]
    return stream


async def load(server: Server, clients: int, seed: int) -> Round:
    """So many clients, each with its requests one after the other."""

    async def client(number: int) -> list[Stream]:
        random = Random(f"{seed} {number}")
        found = []
        for _ in range(REQUESTS_A_CLIENT):
            prompt = prompt_of(random, random.randint(20, 200))
            found.append(await ask(server, prompt, ANSWER))
        return found

    cpu, began = server.cpu_seconds(), time.monotonic()
    found = await asyncio.gather(*map(client, range(clients)))
    seconds, cpu = time.monotonic() - began, server.cpu_seconds() - cpu
    return Round([stream for streams in found for stream in streams], seconds, cpu)


def show_load(servers: list[Server], clients: int, rounds: int) -> None:
    found: dict[Server, list[Round]] = {server: [] for server in servers}
    own, began = time.process_time(), time.monotonic()
    for number in range(rounds):
        for server in servers:
            print(f"{clients} client(s), {server.name}, {number + 1}", file=sys.stderr, flush=True)
            # Nothing that a server may have kept of another round.
            seed = 1000 * clients + number
            found[server].append(asyncio.run(load(server, clients, seed)))
    share = (time.process_time() - own) / (time.monotonic() - began)
    print(f"\n{clients} client(s); the clients took {share:.0%} of a core")
    print("p50 / p95 / p99 in milliseconds\n")
    print("| | tokens/s | per CPU-s | first token | gap | failed |")
    print("| --- | --- | --- | --- | --- | --- |")
    for server, of in found.items():
        speed = median(len(one.good) * ANSWER / one.seconds for one in of)
        thrift = median(len(one.good) * ANSWER / one.cpu_seconds for one in of)
        good = [stream for one in of for stream in one.good]
        first = shares([stream.pieces[0] - stream.asked for stream in good])
        gaps = shares([gap for stream in good for gap in stream.gaps])
        failed = sum(len(one.streams) - len(one.good) for one in of)
        print(f"| {server.name} | {speed:,.0f} | {thrift:,.0f} | {first} | {gaps} | {failed} |")


def show_stall(servers: list[Server], rounds: int) -> None:
    print(f"\n{STALLED_STREAMS} streams, and a prompt of about 1,500 tokens")
    print("| | usual gap, ms | longest gap, ms: median / most | first token of the prompt, ms |")
    print("| --- | --- | --- | --- |")
    for server in servers:
        found = [asyncio.run(stall(server, seed)) for seed in range(rounds)]
        usual, longest, first = zip(*found, strict=True)
        print(
            f"| {server.name} | {1e3 * median(usual):,.1f} | {1e3 * median(longest):,.0f} / "
            f"{1e3 * max(longest):,.0f} | {1e3 * median(first):,.0f} |"
        )


async def stall(server: Server, seed: int) -> tuple[float, float, float]:
    """Usual and longest gap of the streams, and how long the long prompt took."""
    random = Random(f"stall {seed}")
    running = [
        asyncio.create_task(ask(server, prompt_of(random, 8), STALLED_ANSWER))
        for _ in range(STALLED_STREAMS)
    ]
    await asyncio.sleep(0.3)
    long = await ask(server, prompt_of(random, LONG_WORDS), 1)
    streams = await asyncio.gather(*running)
    gaps = [gap for stream in streams for gap in stream.gaps]
    return median(gaps), max(gaps), long.pieces[0] - long.asked


def shares(seconds: list[float]) -> str:
    """Percentiles 50, 95 and 99 in milliseconds."""
    if not seconds:
        return "-"
    falling = sorted(seconds)
    return " / ".join(
        f"{1e3 * falling[min(len(falling) - 1, int(share * len(falling)))]:,.1f}"
        for share in (0.5, 0.95, 0.99)
    )


if __name__ == "__main__":
    main()
