"""Serves the page that compares two answers, until it is told to stop."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelwright.data.feedback.compared import AnsweredPrompts
from modelwright.data.feedback.record import Message
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.sampling import SamplingParams
from modelwright.serving.comparing.compare_app import create_compare_app
from modelwright.serving.comparing.comparison import Compared, Comparison, Result
from modelwright.serving.comparing.generated_answers import GeneratedAnswers
from modelwright.serving.server import address_of, listen, run_app

HOST = "127.0.0.1"


@dataclass(frozen=True)
class CompareOptions:
    """How to compare.

    Attributes
    ----------
    person : str
        Who judges; may be empty.
    seed : int
        For the sides, and for generated answers.
    port : int
        Where to listen; 0 takes any free port.
    open_browser : bool
        Whether to open the page.
    """

    person: str
    seed: int
    port: int
    open_browser: bool


def compare_answers(
    answered: AnsweredPrompts, table: FeedbackTable, options: CompareOptions
) -> Result:
    """Compare answers from a file until Ctrl-C or SIGTERM.

    Raises
    ------
    UsageError
        If the port is in use.
    """
    pairs = answered.pairs
    compared = Compared(
        [pair.prompt for pair in pairs], answered.models, options.seed, options.person
    )
    comparison = Comparison(compared, lambda number: pairs[number].answers, table)
    with listen(HOST, options.port) as listener:
        return _serve(comparison, listener, options, stop=lambda: None)


def compare_models(
    models: dict[str, Path],
    prompts: list[list[Message]],
    params: SamplingParams,
    table: FeedbackTable,
    options: CompareOptions,
) -> Result:
    """Compare what two models answer until Ctrl-C or SIGTERM.

    Parameters
    ----------
    models : dict of str to Path
        Two folders by name.
    prompts : list of list of Message
        What both are asked.
    params : SamplingParams
        How they answer.
    table : FeedbackTable
        Where choices are kept.
    options : CompareOptions
        The rest.

    Raises
    ------
    UsageError
        If the port is in use.
    InputError
        If a folder holds no usable model, or a prompt does not fit into a model's context.
    """
    (first, first_folder), (second, second_folder) = models.items()
    compared = Compared(prompts, (first, second), options.seed, options.person)
    with (
        listen(HOST, options.port) as listener,
        GeneratedAnswers((first_folder, second_folder), prompts, params, options.seed) as answers,
    ):
        comparison = Comparison(compared, answers.answers_of, table)
        return _serve(comparison, listener, options, answers.stop)


def _serve(
    comparison: Comparison,
    listener: socket.socket,
    options: CompareOptions,
    stop: Callable[[], None],
) -> Result:
    address = address_of(listener)

    def announce() -> None:
        print(f"compare at {address} (every choice is kept at once; Ctrl-C stops)", flush=True)
        if options.open_browser:
            webbrowser.open(address)

    run_app(create_compare_app(comparison), listener, announce, stop)
    return comparison.result()
