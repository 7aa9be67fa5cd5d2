"""``modelwright chat``: talk to a model in the terminal."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("chat")
@click.argument("model", required=False)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 2),
    default=0.3,
    show_default=True,
    help="How freely to choose words; 0 always takes the likeliest.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Longest answer in tokens.",
)
@click.option("--system", help="What to tell the model before the conversation.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Make the answers repeatable.")
@click.option("--person", default="", help="Whose feedback is kept; may stay empty.")
def command(
    model: str | None,
    temperature: float,
    max_tokens: int,
    system: str | None,
    seed: int | None,
    person: str,
) -> None:
    """Talk to MODEL; or pipe in questions, one a line (there /help and the like are text too).

    MODEL is a model folder, an artifact's id or a stage; without it, the recipe's model. In the
    chat, /help lists what can be done besides asking: branches, settings, probabilities, feedback.
    """
    from modelwright.cli.feedback import chat_feedback
    from modelwright.data.feedback.record import checked_name
    from modelwright.pipeline.current import find_model
    from modelwright.serving.terminal_chat import ChatOptions, chat

    found = find_model(Path.cwd(), model)
    if found.note:
        click.echo(found.note, err=True)
    options = ChatOptions(temperature, max_tokens, system, seed, checked_name(person))
    with chat_feedback() as feedback:
        chat(
            found.folder,
            options,
            feedback=feedback,
            find=lambda name: find_model(Path.cwd(), name).folder,
            served_as=found.name,
        )
