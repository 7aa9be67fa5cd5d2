"""Talking to a model in the terminal, or through a pipe."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.inference.background import BackgroundEngine
from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.serving.server import is_chat_model, load_engine

RESET = "/reset"
FENCE = '"""'

# A model may say anything, and a terminal obeys escape sequences: only these two stay.
_WITHOUT_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\n"), ord("\t")})

_HELP = f"""\
Ask, and press Enter. {FENCE} begins and ends a text of several lines; {RESET} forgets the
conversation; Ctrl-C stops an answer; Ctrl-D leaves."""
_HELP_BASE = "This model has not learned to answer: it continues what you begin."
_FORGOTTEN = "(The oldest messages no longer fit and were left out.)"


@dataclass(frozen=True)
class ChatOptions:
    """How to answer.

    Attributes
    ----------
    temperature : float
        As in :class:`SamplingParams`.
    max_tokens : int
        Longest answer.
    system : str or None
        What the model is told before the conversation.
    seed : int or None
        Makes the answers repeatable.
    """

    temperature: float = 0.7
    max_tokens: int = 256
    system: str | None = None
    seed: int | None = None

    @property
    def params(self) -> SamplingParams:
        """The sampling parameters."""
        return SamplingParams(self.max_tokens, temperature=self.temperature, seed=self.seed)


class Conversation:
    """The messages so far, and the prompt that they make.

    Parameters
    ----------
    engine : Engine
        For its tokenizer and context length.
    system : str or None
        First message.
    reserve : int
        Tokens to keep free for the answer, where that is possible.
    is_chat : bool
        Whether to use the chat template; else the last text alone is continued.
    """

    def __init__(self, engine: Engine, system: str | None, reserve: int, is_chat: bool = True):
        self._tokenizer = engine.tokenizer
        self._room = engine.context_length - min(reserve, engine.context_length // 2)
        self._system = [{"role": "system", "content": system}] if system else []
        self._turns: list[dict[str, str]] = []
        self._is_chat = is_chat

    def ask(self, text: str) -> tuple[list[int], bool]:
        """Add a question; return the prompt, and whether older turns were left out for it."""
        if not self._is_chat:
            return [self._tokenizer.end_of_text, *self._tokenizer.encode(text)], False
        self._turns.append({"role": "user", "content": text})
        turns = len(self._turns)
        prompt = self._prompt()
        while len(prompt) > self._room and len(self._turns) > 2:
            del self._turns[:2]  # a question and its answer
            prompt = self._prompt()
        return prompt, len(self._turns) < turns

    def answer(self, text: str) -> None:
        """Add the model's answer."""
        if self._is_chat:
            self._turns.append({"role": "assistant", "content": text})

    def take_back(self) -> None:
        """Forget the last question, which could not be answered."""
        if self._is_chat:
            self._turns.pop()

    def reset(self) -> None:
        """Forget everything but the system message."""
        self._turns.clear()

    def _prompt(self) -> list[int]:
        return self._tokenizer.encode_chat(self._system + self._turns, add_generation_prompt=True)


def chat(folder: Path, options: ChatOptions) -> None:
    """Answer what is typed, or each line of standard input if that is no terminal.

    Raises
    ------
    InputError
        If the folder holds no usable model, or an option is out of range.
    """
    params = options.params
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    is_chat = is_chat_model(folder)
    if options.system and not is_chat:
        raise InputError(
            "this model has not learned to follow a system message",
            where=folder,
            fix="leave out --system, or fine-tune the model first",
        )
    engine = load_engine(folder)
    with BackgroundEngine(engine) as background:
        conversation = Conversation(engine, options.system, options.max_tokens, is_chat)
        if sys.stdin.isatty():
            _talk(background, conversation, params, folder.resolve().name, is_chat)
        else:
            _answer_lines(background, conversation, params)


def _talk(
    background: BackgroundEngine,
    conversation: Conversation,
    params: SamplingParams,
    name: str,
    is_chat: bool,
) -> None:
    """Questions and answers until the end of input."""
    _load_readline()
    print(f"{name}\n{_HELP if is_chat else _HELP_BASE}\n")
    for text in _typed():
        if text == RESET:
            conversation.reset()
            print("(A new conversation.)\n")
            continue
        try:
            prompt, is_shortened = conversation.ask(text)
            if is_shortened:
                print(_FORGOTTEN)
            conversation.answer(_stream(background, prompt, params))
        except InputError as error:
            conversation.take_back()
            print(error)
        print()


def _answer_lines(
    background: BackgroundEngine, conversation: Conversation, params: SamplingParams
) -> None:
    """Answer each line on its own: nothing is remembered from one to the next.

    Raises
    ------
    InputError
        Naming the line, if one cannot be answered.
    """
    for number, line in enumerate(sys.stdin, start=1):
        if not line.strip():
            continue
        conversation.reset()
        try:
            prompt, _ = conversation.ask(line.strip())
            _stream(background, prompt, params)
        except InputError as error:
            raise InputError(
                error.what, where=f"standard input, line {number}", fix=error.fix
            ) from None


def _stream(background: BackgroundEngine, prompt: list[int], params: SamplingParams) -> str:
    """Print an answer as it comes, and return it; Ctrl-C ends it early."""
    generation = background.submit(prompt, params)
    text = ""
    try:
        for piece in generation:
            text += piece
            print(printable(piece), end="", flush=True)
    except KeyboardInterrupt:
        generation.cancel()
        print(" …", end="")
    print()
    if generation.last is not None and generation.last.finish_reason == "abort":
        raise ModelwrightError("the engine stopped before the answer was complete")
    return text


def printable(text: str) -> str:
    """Text without the control characters that a terminal would obey."""
    return text.translate(_WITHOUT_CONTROLS)


def _typed() -> Iterator[str]:
    """What the user types, message by message; Ctrl-C drops a line, Ctrl-D ends."""
    while True:
        try:
            text = input("> ")
            if text.lstrip().startswith(FENCE):
                text = _read_block(text.lstrip().removeprefix(FENCE))
        except KeyboardInterrupt:
            print()
            continue
        except EOFError:
            print()
            return
        if text.strip():
            yield text.strip()


def _read_block(first: str) -> str:
    """Lines up to the closing fence."""
    lines = [first]
    while not lines[-1].rstrip().endswith(FENCE):
        lines.append(input(". "))
    lines[-1] = lines[-1].rstrip().removesuffix(FENCE)
    return "\n".join(lines)


def _load_readline() -> None:
    """Let ``input`` edit lines and remember them, where Python has readline."""
    try:
        import readline  # noqa: F401
    except ImportError:  # Windows, where the console does it
        return
