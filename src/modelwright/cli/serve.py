"""``modelwright serve``: a model behind an OpenAI-shaped API and a chat page."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("serve")
@click.argument("model", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="A name of this machine.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Where to listen; 0 takes any free port.",
)
@click.option("--open/--no-open", "open_browser", default=False, help="Open the chat page.")
@click.option(
    "--name", help="What clients call the model.  [default: the recipe's or the folder's name]"
)
def command(model: str | None, host: str, port: int, open_browser: bool, name: str | None) -> None:
    """Serve MODEL: chat page and OpenAI-shaped API on this machine.

    MODEL is a model folder, an artifact's id or a stage; without it, the recipe's model.
    """
    from modelwright.pipeline.current import find_model
    from modelwright.serving.server import serve

    found = find_model(Path.cwd(), model)
    if found.note:
        click.echo(found.note, err=True)
    serve(found.folder, host, port, name=name or found.name, open_browser=open_browser)
