"""vLLM in the place of our engine: the same texts, asked of another process."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import httpcore2

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.inference.admission import Admission
from modelwright.inference.background import EngineStoppedError, Generation, Update, Wanted
from modelwright.inference.engine_figures import EngineFigures
from modelwright.inference.prompt_checks import check_bias, check_prompt
from modelwright.inference.sampler import make_generator
from modelwright.inference.sequence import FinishReason, Sequence
from modelwright.inference.structured import Structures
from modelwright.serving.hand_over.vllm_process import VllmProcess, VllmStartError
from modelwright.serving.hand_over.vllm_protocol import (
    Piece,
    UnreadableAnswerError,
    body_of,
    error_message,
    is_streamed,
    piece_of,
)
from modelwright.tokens.tokenizer import Tokenizer

LOGGER = logging.getLogger(__name__)

WATCH_SECONDS = 0.5

ANSWER_SECONDS = 10.0
"""How long it may take to say which model it has."""

IDLE_SECONDS = 3.0
"""How long a connection is kept; vLLM closes it after 5, which a request might run into."""

_DATA = b"data: "
_LOST = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError)


class VllmEngine:
    """Asks vLLM for texts, in a thread of its own, for as long as the ``with`` block lasts.

    Parameters
    ----------
    process : VllmProcess
        It answers; the caller ends it.
    folder : Path
        The model's, for its tokenizer.
    max_sequences : int
        Texts that vLLM generates at once.
    max_waiting : int
        Most that may wait beside them; more is refused.

    Raises
    ------
    InputError
        If the folder has no usable tokenizer.
    """

    def __init__(self, process: VllmProcess, folder: Path, max_sequences: int, max_waiting: int):
        self.tokenizer = Tokenizer.load(folder)
        self.structures = Structures(self.tokenizer)
        self.context_length = _context_length(process)
        self._unknown = range(self.tokenizer.vocabulary_size, _rows(folder))
        self.on_tokens: Callable[[Sequence, int], None] | None = None
        self.on_end: Callable[[Sequence], None] | None = None
        self._process, self._max_sequences = process, max_sequences
        self._admission = Admission(max_sequences + max_waiting)
        self._lock = threading.Lock()  # guards the admission and the tasks
        self._tasks: dict[Generation, asyncio.Task[None] | None] = {}
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._is_running = False
        self._thread = threading.Thread(target=self._run, name="vllm", daemon=True)

    def __enter__(self) -> VllmEngine:
        self._is_running = True
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._thread.join()

    @property
    def is_running(self) -> bool:
        """Whether it takes work: it was not stopped, and vLLM is there."""
        return self._is_running and self._process.is_alive

    @property
    def places(self) -> int:
        """Most generations that run and wait at once."""
        return self._admission.places

    def figures(self) -> EngineFigures:
        """What is known here; vLLM's cache and counts are not."""
        with self._lock:
            held = len(self._tasks)
        running = min(held, self._max_sequences)
        return EngineFigures(running, held - running)

    def submit_many(
        self, requests: list[Wanted], owner: str | None = None, adapter: str | None = None
    ) -> list[Generation]:
        """Start all of them or, if one is refused, none; raises as ``BackgroundEngine.submit``."""
        assert adapter is None, "adapters are refused when the server starts"
        generations = list[Generation]()
        for prompt, params, deliver in requests:
            check_prompt(prompt, self.tokenizer, self.context_length)
            check_bias(params, self.tokenizer)
            sequence = Sequence(prompt, params, make_generator(params))
            generations.append(Generation(sequence, self._cancel, deliver, owner))
        with self._lock:
            if not self.is_running:
                raise EngineStoppedError("vLLM has stopped", fix="start the server again")
            self._admission.enter(len(generations), owner)
            self._tasks |= dict.fromkeys(generations)
            self._loop.call_soon_threadsafe(self._start, generations)
        return generations

    def stop(self) -> None:
        """End what is unfinished with "abort"; returns at once, also within a signal handler."""
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _start(self, generations: list[Generation]) -> None:
        for one in generations:
            task = self._tasks[one] = self._loop.create_task(self._generate(one))
            # Not within the task, which never begins if it is cancelled at once.
            task.add_done_callback(partial(self._on_done, one))

    def _cancel(self, generation: Generation) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel_now, generation)

    def _cancel_now(self, generation: Generation) -> None:
        task = self._tasks.get(generation)
        if task is not None:
            task.cancel()  # closes the connection, upon which vLLM gives the text up

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            with self._lock:
                self._is_running = False
                left = list(self._tasks)
            for generation in left:
                self._end(generation, None)
            self._loop.close()

    async def _serve(self) -> None:
        """Until the end is asked for; says so if vLLM goes before."""
        self._connections = httpcore2.AsyncConnectionPool(
            max_connections=self.places, keepalive_expiry=IDLE_SECONDS
        )
        is_told = False
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), WATCH_SECONDS)
            if not (self._process.is_alive or is_told or self._stopping.is_set()):
                is_told = True
                LOGGER.error("vLLM has ended; it said last:\n%s", self._process.last_lines())
        with self._lock:
            self._is_running = False  # nothing is submitted from here on
        tasks = [task for task in self._tasks.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._connections.aclose()

    def _on_done(self, generation: Generation, task: asyncio.Task[None]) -> None:
        """Its task has ended; whatever is not complete by now is given up."""
        problem = None if task.cancelled() else task.exception()
        if generation not in self._tasks:
            return
        is_known = isinstance(problem, (*_LOST, UnreadableAnswerError))
        if isinstance(problem, InputError):
            self._end(generation, problem)
            return
        if is_known and self._process.is_alive:
            LOGGER.warning("vLLM gave no answer: %s: %s", type(problem).__name__, problem)
        elif problem is not None and not is_known:
            LOGGER.error("a text could not be asked for", exc_info=problem)
        self._end(generation, None)

    async def _generate(self, generation: Generation) -> None:
        """One text, from the request to its end."""
        async with aclosing(self._pieces(generation.sequence)) as pieces:
            async for piece in pieces:
                self._publish(generation, piece)
                if generation.sequence.is_finished:
                    return  # closes the connection, upon which vLLM does no more

    async def _pieces(self, sequence: Sequence) -> AsyncGenerator[Piece, None]:
        params = sequence.params
        room = self.context_length - len(sequence.prompt)
        ends = (self.tokenizer.message_end, self.tokenizer.end_of_text)
        body = json.dumps(body_of(sequence.prompt, params, room, ends, self._unknown)).encode()
        url = f"{self._process.address}/v1/completions"
        sequence.timing.start()
        async with self._connections.stream(
            "POST", url, headers=self._process.headers, content=body
        ) as response:
            if response.status != 200:
                raise _refusal(response.status, await response.aread())
            contents = _events(response) if is_streamed(params) else _whole(response)
            async for content in contents:
                piece = piece_of(content, params)
                if piece is None:
                    continue
                if any(token in self._unknown for token in piece.tokens):
                    raise UnreadableAnswerError("a token that the tokenizer does not know")
                yield piece

    def _publish(self, generation: Generation, piece: Piece) -> None:
        """Add tokens to their sequence, and tell of them."""
        sequence = generation.sequence
        sequence.alternatives += piece.alternatives
        sequence.prompt_alternatives += piece.prompt_alternatives
        text = "".join(
            sequence.append(token, self.tokenizer.token_bytes(token)) for token in piece.tokens
        )
        sequence.timing.said(len(piece.tokens))
        if piece.tokens and self.on_tokens is not None:
            self.on_tokens(sequence, len(piece.tokens))
        reason = _finish_reason(sequence, piece)
        if reason is not None:
            text += sequence.finish(reason)
            self._forget(generation)
            if self.on_end is not None:
                self.on_end(sequence)
        generated = len(sequence.generated)
        generation.deliver(Update(text, generated, reason, tuple(piece.alternatives)))

    def _end(self, generation: Generation, error: ModelwrightError | None) -> None:
        """Tell whom it concerns that a text ends before it is complete."""
        self._forget(generation)
        sequence = generation.sequence
        if self.on_end is not None:
            self.on_end(sequence)
        generation.deliver(Update("", len(sequence.generated), "abort", error=error))

    def _forget(self, generation: Generation) -> None:
        with self._lock:
            del self._tasks[generation]
            self._admission.leave(generation.owner)


def _finish_reason(sequence: Sequence, piece: Piece) -> FinishReason | None:
    if sequence.detokenizer.is_stopped or piece.finish_reason == "stop":
        return "stop"
    return "length" if piece.finish_reason == "length" else None


def _refusal(status: int, body: bytes) -> Exception:
    """What vLLM refuses is the client's to correct; all else is a fault of vLLM."""
    message = f"vLLM answered {status}: {error_message(body)}"
    if status == 400:
        return InputError(message, fix="change the request")
    return UnreadableAnswerError(message)


async def _whole(response: httpcore2.Response) -> AsyncIterator[Any]:
    yield _parsed(await response.aread())


async def _events(response: httpcore2.Response) -> AsyncIterator[Any]:
    """What the events of a stream hold, up to the end of the last text."""
    rest = b""
    async for data in response.aiter_stream():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            content = line.rstrip(b"\r").removeprefix(_DATA)
            if line.startswith(_DATA) and content != b"[DONE]":
                found = _parsed(content)
                if isinstance(found, dict) and "error" in found:
                    raise UnreadableAnswerError(error_message(content))
                yield found


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise UnreadableAnswerError(f"no JSON: {error}") from None


def _rows(folder: Path) -> int:
    """How many tokens a model has room for."""
    path = folder / "config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            "there is no model here, or its configuration is damaged",
            where=path,
            fix="serve the folder of a model",
        ) from None


def _context_length(process: VllmProcess) -> int:
    try:
        with httpcore2.ConnectionPool() as connections:
            response = connections.request(
                "GET", f"{process.address}/v1/models", headers=process.headers,
                extensions={"timeout": dict.fromkeys(("connect", "read"), ANSWER_SECONDS)},
            )  # fmt: skip
        return int(json.loads(response.content)["data"][0]["max_model_len"])
    except (*_LOST, ValueError, LookupError, TypeError):
        raise VllmStartError(
            f"what answers at {process.address} is not vLLM with this model",
            where=process.log,
            fix="start the server again: another program may have taken the port",
        ) from None
