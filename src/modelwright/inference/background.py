"""One thread that owns the engine, so that many requests can share it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from modelwright.core.errors import ModelwrightError
from modelwright.inference.admission import Admission
from modelwright.inference.continuation import StepOutput
from modelwright.inference.engine import Engine
from modelwright.inference.engine_figures import EngineFigures
from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.sequence import FinishReason, Sequence, SequenceStatus
from modelwright.inference.structured import Structures
from modelwright.tokens.tokenizer import Tokenizer

ResultT = TypeVar("ResultT")

LOGGER = logging.getLogger(__name__)

MOST_FAILURES = 3
"""Steps that may fail one after the other."""

MAX_WAITING = 64
"""Most generations that may wait for a free place."""


class EngineStoppedError(ModelwrightError):
    """The engine was stopped while, or before, a text was generated."""


@dataclass(frozen=True)
class Update:
    """News of one generation.

    Attributes
    ----------
    text : str
        New text.
    tokens : int
        Tokens generated so far.
    finish_reason : {"stop", "length", "abort"} or None
        Set in the last update.
    alternatives : tuple of TokenLogProbability
        Of the new tokens, where the parameters ask for them.
    error : ModelwrightError or None
        Why it was given up, if more is known than that it was.
    """

    text: str
    tokens: int
    finish_reason: FinishReason | None = None
    alternatives: tuple[TokenLogProbability, ...] = ()
    error: ModelwrightError | None = None


class Generation:
    """A text that is being generated in the background.

    Iterating gives the pieces of text as they come, until it has ended.

    Parameters
    ----------
    sequence : Sequence
        What is generated.
    cancel : callable
        Tells the engine's thread to stop this generation.
    deliver : callable, optional
        Called with every :class:`Update`, from the engine's thread, so it must not block.
        Without it, updates wait for the iterator, which one thread may use.
    owner : str, optional
        Whose it is.
    """

    def __init__(
        self,
        sequence: Sequence,
        cancel: Callable[[Generation], None],
        deliver: Callable[[Update], None] | None = None,
        owner: str | None = None,
    ):
        self.sequence = sequence
        self.owner = owner
        self._cancel = cancel
        self._updates: SimpleQueue[Update] = SimpleQueue()
        self.deliver = deliver or self._updates.put
        self.last: Update | None = None
        """The final update, once the iterator has met it."""

    @property
    def prompt_tokens(self) -> int:
        """Length of the prompt in tokens."""
        return len(self.sequence.prompt)

    def cancel(self) -> None:
        """Stop generating, from any thread; the last update then says "abort"."""
        self._cancel(self)

    def __iter__(self) -> Iterator[str]:
        while self.last is None:
            update = self._updates.get()
            if update.finish_reason is not None:
                self.last = update
            if update.text:
                yield update.text


Wanted = tuple[list[int], SamplingParams, Callable[[Update], None] | None]
"""A prompt, how to go on, and who is told."""


class BackgroundEngine:
    """Runs an engine in its own thread for as long as the ``with`` block lasts.

    Parameters
    ----------
    engine : Engine
        Nobody else may use it meanwhile, but for its tokenizer and its fixed properties.
    max_waiting : int
        Most that may wait beside what runs; more is refused.
    """

    def __init__(self, engine: Engine, max_waiting: int = MAX_WAITING):
        self.engine = engine
        self._admission = Admission(engine.max_sequences + max_waiting)
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()  # guards the admission, generations and calls
        self._generations: dict[Sequence, Generation] = {}
        self._calls: set[Future[Any]] = set()
        self.on_tokens: Callable[[Sequence, int], None] | None = None
        """Called with the number of new tokens, from the engine's thread, so it must not block."""
        self.on_end: Callable[[Sequence], None] | None = None
        """Called when a text has ended or was cancelled, likewise."""
        self._failures = 0  # steps that failed one after the other
        self._is_running = False
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def __enter__(self) -> BackgroundEngine:
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
    def tokenizer(self) -> Tokenizer:
        """The model's own."""
        return self.engine.tokenizer

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and answer."""
        return self.engine.context_length

    @property
    def structures(self) -> Structures:
        """Compiles the forms that answers may have to keep to."""
        return self.engine.structures

    @property
    def is_running(self) -> bool:
        """Whether it takes work."""
        return self._is_running

    @property
    def places(self) -> int:
        """Most generations that run and wait at once."""
        return self._admission.places

    @property
    def held(self) -> int:
        """Places that are taken."""
        with self._lock:
            return self._admission.held

    def submit(
        self,
        prompt: list[int],
        params: SamplingParams,
        deliver: Callable[[Update], None] | None = None,
    ) -> Generation:
        """Start to generate; returns at once. Any thread may call this.

        Raises
        ------
        ContextLengthError, InputError
            If the prompt cannot be run.
        QueueFullError
            If too many wait already.
        ShareReachedError
            If its owner holds too many of them.
        EngineStoppedError
            If the engine does not run any more.
        """
        return self.submit_many([(prompt, params, deliver)])[0]

    def submit_many(
        self,
        requests: list[Wanted],
        owner: str | None = None,
        adapter: str | None = None,
    ) -> list[Generation]:
        """Start all of them or, if one is refused, none; raises as :meth:`submit`.

        ``owner`` is whose share of the places they take, ``adapter`` the engine's that speaks.
        """
        generations = [
            Generation(
                self.engine.new_sequence(prompt, params, adapter), self._cancel, deliver, owner
            )
            for prompt, params, deliver in requests
        ]
        with self._lock:
            self._check_running()
            self._admission.enter(len(generations), owner)
            self._generations |= {generation.sequence: generation for generation in generations}
            # One command for all, so that they begin in the same step.
            self._commands.put(partial(self._add, [one.sequence for one in generations]))
        return generations

    @contextmanager
    def place(self, owner: str | None = None) -> Iterator[None]:
        """Hold a place, as a generation does, for what is done in several calls.

        Raises
        ------
        QueueFullError, ShareReachedError, EngineStoppedError
            As :meth:`submit`.
        """
        with self._lock:
            self._check_running()
            self._admission.enter(1, owner)
        try:
            yield
        finally:
            with self._lock:
                self._admission.leave(owner)

    def call(self, work: Callable[[Engine], ResultT]) -> Future[ResultT]:
        """Have something done with the engine between two steps; any thread may call this.

        What many may ask for at once should hold a :meth:`place` meanwhile.

        Raises
        ------
        EngineStoppedError
            If the engine does not run any more; in the future, if it stops before.
        """
        future = Future[ResultT]()

        def do() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(self.engine))
                except Exception as error:  # noqa: BLE001 - whoever waits for it is told
                    future.set_exception(error)

        with self._lock:
            self._check_running()
            self._calls.add(future)
            self._commands.put(do)
        future.add_done_callback(self._calls.discard)
        return future

    def figures(self) -> EngineFigures:
        """How it is doing, from any thread."""
        scheduler, continuation = self.engine.scheduler, self.engine.continuation
        return EngineFigures(
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            cache_usage=scheduler.blocks.usage,
            counts={
                "prefix_cache_queries": scheduler.prefix_queries,
                "prefix_cache_hits": scheduler.prefix_hits,
                "num_preemptions": scheduler.preemptions,
                "spec_decode_num_draft_tokens": continuation.draft_tokens,
                "spec_decode_num_accepted_tokens": continuation.accepted_tokens,
            },
        )

    def stop(self) -> None:
        """Stop after the step under way; all that is unfinished ends with "abort".

        Returns at once, and may be called from a signal handler.
        """
        self._is_stopping = True
        self._commands.put(_wake_up)

    def _check_running(self) -> None:
        if not self._is_running:
            raise EngineStoppedError("the engine has stopped", fix="start it again")

    def _cancel(self, generation: Generation) -> None:
        self._commands.put(partial(self._abort, generation))

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._obey()
                self._step()
        finally:
            # However the thread ends, nobody may wait for it for ever.
            with self._lock:
                self._is_running = False
                unfinished = list(self._generations.values())
                self._generations.clear()
                calls = list(self._calls)
            for generation in unfinished:
                self._end(generation)
            for future in calls:
                with suppress(InvalidStateError):  # it was done or cancelled meanwhile
                    future.set_exception(
                        EngineStoppedError("the engine was stopped", fix="start it again")
                    )

    def _step(self) -> None:
        """One step; an error in it ends what took part, and only if it comes again the engine."""
        try:
            outputs = self.engine.step()
        except Exception:
            LOGGER.exception("a step of the engine failed; what took part is given up")
            self._failures += 1
            if self._failures == MOST_FAILURES:
                raise
            self._give_up_what_took_part()
            return
        self._failures = 0
        for output in outputs:
            self._publish(output)

    def _give_up_what_took_part(self) -> None:
        with self._lock:
            generations = list(self._generations.values())
        for generation in generations:
            if generation.sequence.is_finished:  # in this step, and nobody was told
                self._forget(generation.sequence)
                self._end(generation)
            elif generation.sequence.status is SequenceStatus.RUNNING:
                self._abort(generation)

    def _obey(self) -> None:
        """Carry out what other threads asked for; sleep while there is nothing to do."""
        # What comes meanwhile waits for a step, so that callers cannot hold up all texts for ever.
        if not self.engine.has_work:
            self._commands.get()()
        for _ in range(self._commands.qsize()):
            if self._is_stopping:
                return
            self._commands.get()()

    def _add(self, sequences: list[Sequence]) -> None:
        for sequence in sequences:
            self.engine.scheduler.add(sequence)

    def _publish(self, output: StepOutput) -> None:
        sequence = output.sequence
        generation = self._generations[sequence]
        if self.on_tokens is not None:
            self.on_tokens(sequence, output.tokens)
        if sequence.is_finished:
            self._forget(sequence)
            if self.on_end is not None:
                self.on_end(sequence)
        known = max(0, len(sequence.alternatives) - output.tokens)
        alternatives = tuple(sequence.alternatives[known:])
        tokens, reason = len(sequence.generated), sequence.finish_reason
        generation.deliver(Update(output.text, tokens, reason, alternatives))

    def _abort(self, generation: Generation) -> None:
        sequence = generation.sequence
        if not sequence.is_finished:
            self.engine.abort(sequence)
            self._forget(sequence)
            self._end(generation)

    def _end(self, generation: Generation) -> None:
        """Tell whom it concerns that a text ends before it is complete."""
        if self.on_end is not None:
            self.on_end(generation.sequence)
        generation.deliver(_aborted(generation.sequence))

    def _forget(self, sequence: Sequence) -> None:
        with self._lock:
            self._admission.leave(self._generations.pop(sequence).owner)


def _aborted(sequence: Sequence) -> Update:
    return Update("", len(sequence.generated), "abort")


def _wake_up() -> None:
    """A command that does nothing but end the engine's sleep."""
