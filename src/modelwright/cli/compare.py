"""``modelwright compare``: two answers side by side, without names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelwright.cli.feedback import feedback_here, written_share
from modelwright.core.errors import InputError, UsageError
from modelwright.core.workspace import find_workspace

if TYPE_CHECKING:
    from modelwright.data.feedback.record import Message
    from modelwright.serving.comparing.comparison import Result


@click.command("compare")
@click.argument("models", nargs=-1, metavar="[A B]")
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What to ask, a .jsonl file.  [default: the workspace's held-out examples]",
)
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take prompt, answer_a and answer_b from a .jsonl file; no model is needed.",
)
@click.option("--limit", type=click.IntRange(1), help="Ask about the first ones only.")
@click.option("--person", default="", help="Who judges; may stay empty.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="For the models' answers and for the sides.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 2),
    default=0.7,
    show_default=True,
    help="How freely the models choose words; 0 always takes the likeliest.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Longest answer in tokens.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8001,
    show_default=True,
    help="Where to listen; 0 takes any free port.",
)
@click.option("--open/--no-open", "open_browser", default=False, help="Open the page.")
def command(
    models: tuple[str, ...],
    prompts: Path | None,
    answers: Path | None,
    limit: int | None,
    person: str,
    seed: int,
    temperature: float,
    max_tokens: int,
    port: int,
    open_browser: bool,
) -> None:
    """Compare the answers of models A and B on a page that does not say which is which.

    A and B are model folders, ids of artifacts or stages. Choices are kept in the workspace as
    feedback; the same command again goes on where you stopped.
    """
    from modelwright.data.feedback.compared import read_answers
    from modelwright.data.feedback.record import checked_name
    from modelwright.inference.sampling import SamplingParams
    from modelwright.serving.comparing.compare import (
        CompareOptions,
        compare_answers,
        compare_models,
    )

    if (answers is None) != (len(models) == 2) or (answers and (models or prompts)):
        raise UsageError(
            "either two models or a file of answers can be compared",
            fix="write 'modelwright compare A B' or 'modelwright compare --answers FILE'",
        )
    options = CompareOptions(checked_name(person), seed, port, open_browser)
    with feedback_here() as table:
        if answers is not None:
            answered = read_answers(answers)
            answered = replace(answered, pairs=answered.pairs[:limit])
            result = compare_answers(answered, table, options)
        else:
            asked = (_held_out() if prompts is None else _prompts(prompts))[:limit]
            params = SamplingParams(max_tokens, temperature=temperature)
            result = compare_models(_folders(*models), asked, params, table, options)
    click.echo(_written(result))


def _folders(first: str, second: str) -> dict[str, Path]:
    """Both models by the names under which choices are kept."""
    from modelwright.data.feedback.record import checked_name
    from modelwright.pipeline.current import find_model

    paths = [find_model(Path.cwd(), name).folder.resolve() for name in (first, second)]
    if paths[0] == paths[1]:
        raise UsageError("both are the same model", where=paths[0], fix="give two different ones")
    are_alike = paths[0].name == paths[1].name
    return {checked_name(str(path) if are_alike else path.name): path for path in paths}


def _prompts(path: Path) -> list[list[Message]]:
    from modelwright.data.feedback.compared import read_prompts

    return read_prompts(path)


def _held_out() -> list[list[Message]]:
    from modelwright.core.examples import HELD_OUT
    from modelwright.pipeline.current import current_artifact

    try:
        examples = current_artifact(find_workspace(Path.cwd()), "examples")
    except InputError:
        raise UsageError(
            "this workspace has no examples to take prompts from",
            fix='give --prompts FILE, with {"prompt": ...} on each line',
        ) from None
    return _prompts(examples.path / HELD_OUT)


def _written(result: Result) -> str:
    duel = result.duel
    ties = f"ties: {duel.ties}, skipped: {result.skipped}"
    if duel.rate is None:
        return f"nothing was decided ({ties}); run the same command again to go on"
    score = f"{duel.first} won {duel.wins} to {duel.losses} against {duel.second}"
    return f"{score} ({ties}): {written_share(duel.rate)}"
