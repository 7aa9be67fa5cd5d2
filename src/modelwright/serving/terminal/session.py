"""One person talking to one model: the conversation, the settings, the answer under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from pydantic import ValidationError

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.data.feedback.record import Feedback, feedback_of
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.background import BackgroundEngine, Update
from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.serving.opening import is_chat_model, load_engine
from modelwright.serving.terminal.conversation import Conversation, Token, Turn
from modelwright.serving.terminal.requests import options_of
from modelwright.serving.terminal.writing import coloured, has_colours, printable, token_of
from modelwright.tokens.tokenizer import Tokenizer

ALTERNATIVES = 5


@dataclass(frozen=True)
class OpenModel:
    """A model that answers.

    Attributes
    ----------
    name : str
        Of its folder, which for an artifact is its id.
    background : BackgroundEngine
        Running.
    is_chat : bool
        Whether it has learned to answer; else it goes on with a text.
    """

    name: str
    background: BackgroundEngine
    is_chat: bool

    @property
    def engine(self) -> Engine:
        """What generates."""
        return self.background.engine

    @property
    def tokenizer(self) -> Tokenizer:
        """Its own."""
        return self.engine.tokenizer

    def close(self) -> None:
        """Stop."""
        self.background.__exit__(None, None, None)


def open_model(folder: Path) -> OpenModel:
    """Load a model and let it run; to be closed.

    Raises
    ------
    InputError
        If the folder holds no usable model.
    """
    background = BackgroundEngine(load_engine(folder)).__enter__()
    return OpenModel(folder.resolve().name, background, is_chat_model(folder))


class Session:
    """What commands work on.

    Parameters
    ----------
    model : OpenModel
        Answers; :meth:`close` closes it.
    params : SamplingParams
        How.
    system : str
        What it is told first; may be empty.
    feedback : FeedbackTable, optional
        Where opinions are kept.
    person : str
        Whose they are; may be empty.
    find : callable, optional
        From what a user calls a model to its folder.
    served_as : str, optional
        What a server of this workspace calls its model; by default the folder's name.
    """

    def __init__(
        self,
        model: OpenModel,
        params: SamplingParams,
        *,
        system: str = "",
        feedback: FeedbackTable | None = None,
        person: str = "",
        find: Callable[[str], Path] | None = None,
        served_as: str | None = None,
    ):
        self.model, self.params, self.person = model, params, person
        self.shows_probabilities = False
        self.conversation = Conversation(mode=self._mode, system=system)
        self._table, self._find, self._served_as = feedback, find, served_as
        self._thumbs: dict[str, Feedback] = {}  # by the answer's id, to be taken back

    @property
    def _mode(self) -> Literal["chat", "complete"]:
        return "chat" if self.model.is_chat else "complete"

    @property
    def _system(self) -> str:
        return self.conversation.system.strip() if self.model.is_chat else ""

    def close(self) -> None:
        """Stop the model."""
        self.model.close()

    def reset(self) -> None:
        """Begin anew; what the model is told first stays."""
        self.conversation = Conversation(mode=self._mode, system=self.conversation.system)

    def switch(self, name: str) -> bool:
        """Go on with another model; whether that begins a new conversation.

        Raises
        ------
        ModelwrightError
            If there is none of that name.
        """
        if self._find is None:
            raise InputError("no other models can be found here", fix="start the chat with another")
        other = open_model(self._find(name))
        self.model.close()
        self.model = other
        begins_anew = self.conversation.mode != self._mode
        if begins_anew:
            self.reset()
        return begins_anew

    @property
    def last_answer(self) -> Turn:
        """The one that is shown last.

        Raises
        ------
        InputError
            If there is none.
        """
        for turn in reversed(self.conversation.path()):
            if turn.role == "assistant":
                return turn
        raise InputError("there is no answer yet", fix="ask something first")

    def ask(self, text: str) -> None:
        """Say something, and have it answered; what cannot be answered is forgotten.

        Raises
        ------
        InputError
            If it does not fit into the model's context.
        """
        path = self.conversation.path()
        parent = path[-1] if path and self.model.is_chat else None  # a text stands alone
        self.say(text, parent)

    def say(self, text: str, parent: Turn | None) -> None:
        """The same behind any message."""
        question = self.conversation.add("user", text, parent)
        try:
            self.answer(question)
        except ModelwrightError:
            self.conversation.remove(question)
            raise

    def answer(self, question: Turn) -> None:
        """Print an answer as it comes, and keep it; Ctrl-C ends it early."""
        prompt, left_out = self.prompt(question)
        self.model.engine.check_prompt(prompt)
        if left_out:
            print("(The oldest messages no longer fit and were left out.)")
        params = self.params
        if self.shows_probabilities:
            params = replace(params, alternatives=ALTERNATIVES)
        text, tokens, end = self._stream(prompt, params)
        answer = self.conversation.add("assistant", text, question)
        answer.model, answer.end = self.model.name, end
        answer.options = options_of(self._served_as or self.model.name, self.params)
        answer.system, answer.left_out = self._system, left_out
        answer.tokens = tokens or None

    def prompt(self, question: Turn) -> tuple[list[int], int]:
        """The ids that the model reads, and how many messages were left out for want of room."""
        tokenizer = self.model.tokenizer
        if not self.model.is_chat:
            text = "".join(turn.text for turn in self.conversation.before(question))
            return [tokenizer.end_of_text, *tokenizer.encode(text)], 0
        said = len(self.conversation.before(question))
        length = self.model.engine.context_length
        room = length - min(self.params.max_tokens, length // 2)
        left_out = 0
        while True:
            messages = self.conversation.messages_for(question, self._system, left_out)
            prompt = tokenizer.encode_chat(messages, add_generation_prompt=True)
            if len(prompt) <= room or left_out + 2 >= said:
                return prompt, left_out
            left_out += 2  # a question and its answer

    def _stream(
        self, prompt: list[int], params: SamplingParams
    ) -> tuple[str, list[Token], Literal["stop", "length", "stopped"]]:
        updates: SimpleQueue[Update] = SimpleQueue()
        generation = self.model.background.submit(prompt, params, updates.put)
        has_colour = self.shows_probabilities and has_colours()
        text, tokens, least = "", list[Token](), 0.0
        end: Literal["stop", "length", "stopped"] = "stopped"
        try:
            while True:
                update = updates.get()
                for found in update.alternatives:
                    tokens.append(token_of(found, self.model.tokenizer))
                    least = min(least, found.value)
                text += update.text
                if update.text:
                    shown = printable(update.text)
                    print(coloured(shown, least) if has_colour else shown, end="", flush=True)
                    least = 0.0
                if update.finish_reason == "abort":
                    raise ModelwrightError("the engine stopped before the answer was complete")
                if update.finish_reason is not None:
                    end = update.finish_reason
                    break
        except KeyboardInterrupt:
            generation.cancel()
            print(" …", end="")
        print()
        return text, _within(tokens, text), end

    def thumb(self, is_good: bool, why: str) -> None:
        """Keep an opinion of the last answer, in place of one that was given before."""
        answer = self.last_answer
        table = self._feedback_table()
        one = self._opinion(answer, why, kind="thumb", up=is_good)
        before = self._thumbs.pop(answer.id, None)
        if before is not None:
            table.remove(before)
        table.add([one])
        self._thumbs[answer.id] = one

    def correct(self, better: str, why: str = "") -> None:
        """Keep what the last answer should have said."""
        answer = self.last_answer
        one = self._opinion(answer, why, kind="correction", better=better)
        self._feedback_table().add([one])
        answer.better = better

    def _opinion(self, answer: Turn, why: str, **verdict: object) -> Feedback:
        about = {
            "prompt": self.conversation.read_for(answer),
            "answer": {"text": answer.text, "model": answer.model},
            "person": self.person,
            "comment": why,
            "source": "chat",
        }
        try:
            return feedback_of({**about, **verdict})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"][1:]))
            raise InputError(
                f"this cannot be kept: {place} {first['msg'].removeprefix('Value error, ')}"
            ) from None

    def _feedback_table(self) -> FeedbackTable:
        if self._table is None:
            raise InputError(
                "there is no workspace here, whose database could keep it",
                fix="start the chat in a workspace's folder",
            )
        return self._table


def _within(tokens: list[Token], text: str) -> list[Token]:
    """Tokens without what is no part of the text: that which ended it, or those of a stop text."""
    left, found = len(text.encode()), list[Token]()
    for token in tokens:
        left -= len(token[0])
        if left < 0:
            break
        found.append(token)
    return found
