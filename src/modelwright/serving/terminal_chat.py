"""Talking to a model in the terminal, or through a pipe."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.sampling import SamplingParams
from modelwright.serving.terminal.commands import is_command, obey
from modelwright.serving.terminal.reading import FENCE, load_readline, typed
from modelwright.serving.terminal.session import OpenModel, Session, open_model

_HELP = f"""\
Ask, and press Enter. {FENCE} begins and ends a text of several lines; /help lists what else there
is; Ctrl-C stops an answer; Ctrl-D leaves."""
_HELP_BASE = "This model has not learned to answer: it continues what you begin. /help lists more."


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
    person : str
        Whose feedback it is; may be empty.
    """

    temperature: float = 0.7
    max_tokens: int = 256
    system: str | None = None
    seed: int | None = None
    person: str = ""

    @property
    def params(self) -> SamplingParams:
        """The sampling parameters."""
        return SamplingParams(self.max_tokens, temperature=self.temperature, seed=self.seed)


def chat(
    folder: Path,
    options: ChatOptions,
    *,
    feedback: FeedbackTable | None = None,
    find: Callable[[str], Path] | None = None,
    served_as: str | None = None,
) -> None:
    """Answer what is typed, or each line of standard input if that is no terminal.

    Parameters
    ----------
    folder : Path
        A model folder.
    options : ChatOptions
        How to answer.
    feedback : FeedbackTable, optional
        Where opinions of answers are kept.
    find : callable, optional
        From what a user calls a model to its folder, for those who want to talk to another.
    served_as : str, optional
        What a server calls the model, for requests that are copied; by default the folder's name.

    Raises
    ------
    InputError
        If the folder holds no usable model, or an option is out of range.
    """
    params = options.params
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    model = open_model(folder)
    session = Session(
        model,
        params,
        system=(options.system or "").encode(errors="replace").decode(),
        feedback=feedback,
        person=options.person,
        find=find,
        served_as=served_as,
    )
    try:
        _check_system(options.system, model, folder)
        if sys.stdin.isatty():
            _talk(session)
        else:
            _answer_lines(session)
    finally:
        session.close()


def _check_system(system: str | None, model: OpenModel, folder: Path) -> None:
    if system and not model.is_chat:
        raise InputError(
            "this model has not learned to follow a system message",
            where=folder,
            fix="leave out --system, or fine-tune the model first",
        )


def _talk(session: Session) -> None:
    """Questions, commands and answers until the end of input."""
    load_readline()
    print(f"{session.model.name}\n{_HELP if session.model.is_chat else _HELP_BASE}\n")
    for text in typed():
        try:
            if is_command(text):
                said = obey(session, text)
                if said:
                    print(said)
            else:
                session.ask(text)
        except ModelwrightError as error:
            print(error)
        except KeyboardInterrupt:  # of a command; answers know what to do with it themselves
            print()
        print()


def _answer_lines(session: Session) -> None:
    """Answer each line on its own: nothing is remembered from one to the next.

    Raises
    ------
    InputError
        Naming the line, if one cannot be answered.
    """
    for number, line in enumerate(sys.stdin, start=1):
        if not line.strip():
            continue
        session.reset()
        try:
            session.ask(line.strip())
        except InputError as error:
            raise InputError(
                error.what, where=f"standard input, line {number}", fix=error.fix
            ) from None
