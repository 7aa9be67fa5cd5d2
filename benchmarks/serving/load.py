"""Servers under load: clients in a closed loop, and what a long prompt does to running streams.

python benchmarks/serving/load.py [--size 13m | --model FOLDER] [--clients 1 8 32] [--rounds 3]
    [--tries 5] [--threads 1] [--max-seconds 300] [--llama-cpp PYTHON] [--transformers PYTHON]
    [--vllm PYTHON] [--folder FOLDER]

Random weights as in ``decoding.py``, with a context of 2,048; the rows of ids that have no text of
their own are zero, so that they are never drawn and every token of every server can be streamed.
Ours in int8; llama-cpp-python's server in Q8_0, which answers one request after the other;
``transformers serve`` in float32, in its own default of one answer after the other (5.23 gave
nothing of a stream on a CPU with ``--continuous-batching``); vLLM in bfloat16, behind our server
(``--engine vllm``). All servers are up at once and asked in turns, each client sending its next
request when its last has ended: streams of
``/v1/completions``, greedy, with prompts and lengths that are the same for all. Our server gets
prompts as ids, since it puts the model's start of a document before a text and the others do not;
how many tokens each server counts in a prompt is printed first. On Linux the server keeps to the
first cores and the clients to the last one. Then eight streams run and a prompt of about 1,500
tokens arrives: the longest gap between two pieces of any stream is taken.

Printed are medians over the rounds. CPU-seconds are those of the server's processes. An answer that
ended before its length, with an error or not at all counts as failed, and the first failure is
shown. A system gets at most ``--max-seconds`` for all rounds of one number of clients: then its
answers are given up, the pieces that came of them count as a token each, and speeds are of all
rounds together. Its times to the first token are then of those answers that had one.
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
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import psutil
import torch
from answer_streams import Stream
from answer_streams import ask as read_into
from decoding import SIZES, TEXT, environment, export, make_model
from load_figures import Round, Stall, load_row, stall_row
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

CONTEXT = 2048
STALLED_STREAMS, STALLED_ANSWER = 8, 150
START_SECONDS, SETTLE_SECONDS = 600, 60
WORDS = sorted({word for word in TEXT.split() if word.isalpha()})


@dataclass(frozen=True)
class System:
    """How a server is started; its port is to follow."""

    name: str
    command: list[str]
    model: str = "model"
    tokenizer: Tokenizer | None = None
    """With it, prompts are sent as ids."""


@dataclass(frozen=True)
class Server:
    """One that answers."""

    name: str
    process: psutil.Process
    port: int
    model: str
    tokenizer: Tokenizer | None

    def cpu_seconds(self) -> float:
        """Of all its processes so far; nothing of those that are gone."""
        found = 0.0
        with suppress(psutil.NoSuchProcess):
            for one in [self.process, *self.process.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    found += times.user + times.system
        return found

    def body(self, prompt: str, tokens: int) -> dict[str, object]:
        """A greedy request."""
        sent = self.tokenizer.encode(prompt).ids if self.tokenizer else prompt
        return {"model": self.model, "prompt": sent, "max_tokens": tokens, "temperature": 0}


Counted = TypeVar("Counted", Round, Stall)


@dataclass(frozen=True)
class Work:
    """What each client asks for."""

    requests: int
    answer: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip  # noqa: E501
    parser.add_argument("--size", choices=list(SIZES), default="13m")
    parser.add_argument("--model", type=Path, help="a model folder instead of random weights")
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tries", type=int, default=5, help="with the long prompt")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--requests", type=int, default=3, help="of each client in a round")
    parser.add_argument("--answer", type=int, default=96, help="tokens")
    parser.add_argument("--long-words", type=int, default=930, help="of the long prompt")
    parser.add_argument(
        "--max-seconds", type=float, default=300, help="for a system and a number of clients"
    )
    parser.add_argument("--llama-cpp", type=Path, help="the Python that has its server")
    parser.add_argument(
        "--transformers", type=Path, help="the Python that has transformers[serving]"
    )
    parser.add_argument("--vllm", type=Path, help="the Python that has it")
    parser.add_argument("--folder", type=Path, help="keep models there")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = given.model or make_texts(
            (given.folder or Path(scratch)) / f"{given.size}-load", given.size
        )
        servers = [
            stack.enter_context(started(system, given.threads, cores, scratch))
            for system in systems(folder, given)
        ]
        if len(cores) > 1:
            os.sched_setaffinity(0, cores[-1:])
        for server in servers:
            alone(server, prompt_of(Random(0), 8), 4, START_SECONDS)  # what is compiled first
        show_prompts(servers)
        for clients in given.clients:
            show_load(servers, clients, given)
        show_stall(servers, given)


def make_texts(folder: Path, size: str) -> Path:
    """A model of random weights that draws texts."""
    if not (folder / "model.safetensors").is_file():
        half_made = folder.with_name(f"{folder.name}.partial")
        make_model(half_made, size, CONTEXT)
        draw_texts_only(half_made)
        half_made.rename(folder)
    return folder


def draw_texts_only(folder: Path) -> None:
    """Make a model draw only ids with a text of their own: no others can be seen in a stream.

    Its head must be tied: the best of many random logits is positive, that of a zero row is zero.
    """
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    file = folder / "model.safetensors"
    tensors = load_file(file)
    embedding = tensors["model.embed_tokens.weight"]
    shown = torch.zeros(len(embedding), 1)
    for token in range(tokenizer.get_vocab_size()):
        text = tokenizer.decode([token])
        shown[token] = bool(text) and "\N{REPLACEMENT CHARACTER}" not in text
    tensors["model.embed_tokens.weight"] = (embedding * shown).to(embedding.dtype)
    save_file(tensors, file, {"format": "pt"})


def systems(folder: Path, given: argparse.Namespace) -> Iterator[System]:
    """Ours, and those whose Python was given."""
    ours = [sys.executable, "-m", "modelwright", "serve", str(folder), "--name", "model"]
    ours += ["--max-sequences", "32", "--log", "off"]
    # A text of its own gets our document start in front, which the others do not know.
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    yield System("ours int8", [*ours, "--weights", "int8", "--port"], tokenizer=tokenizer)
    if given.llama_cpp:
        file, threads = export(folder, "q8_0"), str(given.threads)
        yield System(
            "llama.cpp q8_0",
            [
                *(str(given.llama_cpp), "-m", "llama_cpp.server", "--model", str(file)),
                *("--n_ctx", str(CONTEXT), "--n_threads", threads, "--n_threads_batch", threads),
                # A new request would end a running one.
                *("--model_alias", "model", "--interrupt_requests", "false", "--port"),
            ],
        )
    if given.transformers:
        yield System(
            "transformers serve float32",
            [
                *(str(given.transformers), "-m", "transformers.cli.transformers", "serve"),
                *(str(folder), "--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1"),
                "--port",
            ],
            str(folder),
        )
    if given.vllm:
        vllm = ["--engine", "vllm", "--vllm", str(given.vllm)]
        command = [*ours, *vllm, "--port"]
        yield System("vLLM bfloat16, behind our server", command, tokenizer=tokenizer)


@contextmanager
def started(system: System, threads: int, cores: list[int], scratch: str) -> Iterator[Server]:
    """Start a server on the first cores and wait until it lists its models."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pinned = []
    if len(cores) > threads:
        pinned = ["taskset", "-c", ",".join(map(str, cores[:threads]))]
    print(f"starting {system.name}", file=sys.stderr, flush=True)
    with subprocess.Popen(
        [*pinned, *system.command, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={
            **environment(threads),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_CPU_KVCACHE_SPACE": "4",
            # transformers serve lists what is in that folder, and fails if there is none.
            "HF_HUB_CACHE": scratch,
            "HF_HUB_OFFLINE": "1",
        },
    ) as process:
        try:
            wait_for(system.name, process, f"http://127.0.0.1:{port}/v1/models")
            own = psutil.Process(process.pid)
            yield Server(system.name, own, port, system.model, system.tokenizer)
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(name: str, process: subprocess.Popen, url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (OSError, HTTPException):
            time.sleep(0.5)
        else:
            return
    raise SystemExit(f"{name} did not start; run its command alone to see why")


def prompt_of(random: Random, words: int) -> str:
    return " ".join(random.choices(WORDS, k=words))


async def ask(server: Server, prompt: str, tokens: int, streams: list[Stream]) -> Stream:
    """One request, streamed; the answer is among ``streams`` from the beginning."""
    stream = Stream()
    streams.append(stream)
    await read_into(stream, server.port, server.body(prompt, tokens))
    return stream


def alone(server: Server, prompt: str, tokens: int, seconds: float) -> Stream:
    """One request while nothing else is asked."""

    async def once() -> Stream:
        streams: list[Stream] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ask(server, prompt, tokens, streams)
        return streams[0]

    return asyncio.run(once())


def prompt_tokens(server: Server, prompt: str) -> int | None:
    """How many the server counts in a prompt, if it tells."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/v1/completions",
        json.dumps(server.body(prompt, 1)).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=SETTLE_SECONDS) as answer:
            return int(json.load(answer)["usage"]["prompt_tokens"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def show_prompts(servers: list[Server]) -> None:
    """Say whether all systems see the same number of tokens."""
    random = Random("prompts")
    prompts = [prompt_of(random, words) for words in (1, 20, 200)]
    print("tokens of three prompts, as each server counts them")
    for server in servers:
        counts = [prompt_tokens(server, prompt) for prompt in prompts]
        print(f"- {server.name}: {', '.join('-' if one is None else str(one) for one in counts)}")


async def load(server: Server, clients: int, seed: int, work: Work, seconds: float) -> Round:
    """So many clients, each with its requests one after the other, until the time is over."""
    streams: list[Stream] = []

    async def client(number: int) -> None:
        random = Random(f"{seed} {number}")
        for _ in range(work.requests):
            prompt = prompt_of(random, random.randint(20, 200))
            await ask(server, prompt, work.answer, streams)

    cpu, began = server.cpu_seconds(), time.monotonic()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*map(client, range(clients)))
    return Round(streams, time.monotonic() - began, server.cpu_seconds() - cpu)


def in_turns(
    servers: list[Server],
    times: int,
    max_seconds: float,
    what: str,
    once: Callable[[Server, int, float], Coroutine[Any, Any, Counted]],
) -> dict[Server, list[Counted]]:
    """What came of so many times for each server, one server after the other.

    ``once`` is given the server, the number of the time and the seconds that the server has left.
    """
    found: dict[Server, list[Counted]] = {server: [] for server in servers}
    for number in range(times):
        for server, counted in found.items():
            left = max_seconds - sum(one.seconds for one in counted)
            if left <= 0:
                continue
            print(f"{what}, {server.name}, {number + 1}", file=sys.stderr, flush=True)
            counted.append(asyncio.run(once(server, number, left)))
            if counted[-1].cut_off:
                settle(server)
    return found


def show_load(servers: list[Server], clients: int, given: argparse.Namespace) -> None:
    work = Work(given.requests, given.answer)

    def once(server: Server, number: int, left: float) -> Coroutine[Any, Any, Round]:
        # Nothing that a server may have kept of another round.
        return load(server, clients, 1000 * clients + number, work, left)

    own, began = time.process_time(), time.monotonic()
    found = in_turns(servers, given.rounds, given.max_seconds, f"{clients} client(s)", once)
    share = (time.process_time() - own) / (time.monotonic() - began)
    print(f"\n{clients} client(s); the clients took {share:.0%} of a core")
    print("p50 / p95 / p99 in milliseconds\n")
    print("| | tokens/s | per CPU-s | first token | gap | answers | failed |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for server, rounds in found.items():
        print(load_row(server.name, rounds, work.answer, given.max_seconds))
    show_failures({server: [s for one in of for s in one.streams] for server, of in found.items()})


def show_failures(streams: dict[Server, list[Stream]]) -> None:
    """The first failure of each system."""
    for server, of in streams.items():
        if failures := [stream.failure for stream in of if stream.failure]:
            print(f"\n{server.name}, first failure: {failures[0]}")


def settle(server: Server) -> None:
    """Wait until a server is done with what was given up, or nearly a minute is over."""
    alone(server, "the", 1, SETTLE_SECONDS)


def show_stall(servers: list[Server], given: argparse.Namespace) -> None:
    def once(server: Server, number: int, left: float) -> Coroutine[Any, Any, Stall]:
        return stall(server, number, given.long_words, left)

    found = in_turns(servers, given.tries, given.max_seconds, "long prompt", once)
    print(f"\n{STALLED_STREAMS} streams, and a prompt of {given.long_words} words; milliseconds\n")
    print("| | usual gap | longest gap: median / most | first token of the prompt | failed |")
    print("| --- | --- | --- | --- | --- |")
    for server, stalls in found.items():
        print(stall_row(server.name, stalls, given.max_seconds))
    show_failures(
        {
            server: [s for one in of for s in [one.long, *one.streams]]
            for server, of in found.items()
        }
    )


async def stall(server: Server, seed: int, long_words: int, seconds: float) -> Stall:
    """Start the streams, then the long prompt, and wait for all until the time is over."""
    random = Random(f"stall {seed}")
    streams: list[Stream] = []
    longs: list[Stream] = []

    async def long() -> None:
        await asyncio.sleep(0.3)
        await ask(server, prompt_of(random, long_words), 1, longs)

    began = time.monotonic()
    prompts = [prompt_of(random, 8) for _ in range(STALLED_STREAMS)]
    running = [ask(server, prompt, STALLED_ANSWER, streams) for prompt in prompts]
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*running, long())
    return Stall(streams, *(longs or [Stream(cut_off=True)]), time.monotonic() - began)


if __name__ == "__main__":
    main()
