"""A real server for a comparison, for the tests of this folder."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from modelwright.core.database import sqlite_url
from modelwright.data.feedback.record import Message
from modelwright.data.feedback.table import FeedbackTable
from modelwright.serving.comparing.compare_app import create_compare_app
from modelwright.serving.comparing.comparison import AnswersOf, Compared, Comparison
from modelwright.serving.server import address_of, listen

MODELS = ("base", "tuned")
ANSWERS = [
    ("The base says one.", "The tuned says one."),
    ("The base says two.", "The tuned says two."),
    ("The same.", "The same. "),
    ("The base says four.", "The tuned says four."),
]


def prompts(count: int = len(ANSWERS)) -> list[list[Message]]:
    return [[Message(role="user", content=f"Question {number}?")] for number in range(count)]


def table_in(folder: Path) -> FeedbackTable:
    return FeedbackTable(sqlite_url(folder / "store.db"), "here")


def comparison_of(
    table: FeedbackTable,
    answers_of: AnswersOf = ANSWERS.__getitem__,
    *,
    asked: list[list[Message]] | None = None,
    person: str = "ana",
    seed: int = 1,
) -> Comparison:
    compared = Compared(prompts() if asked is None else asked, MODELS, seed, person)
    return Comparison(compared, answers_of, table)


@contextmanager
def serving(comparison: Comparison) -> Iterator[str]:
    """A real server on a free port, in a thread; gives its address."""
    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(create_compare_app(comparison), log_level="critical")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield address_of(listener)
        finally:
            server.should_exit = True
            thread.join()
