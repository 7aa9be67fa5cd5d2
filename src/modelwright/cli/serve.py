"""``modelwright serve``: a model behind an OpenAI-shaped API and a chat page."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelwright.cli.feedback import chat_feedback
from modelwright.core.errors import UsageError

if TYPE_CHECKING:
    from modelwright.serving.access.keys import KeyFile


@click.command("serve")
@click.argument("model", required=False)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where it is reached; from other machines only with keys.",
)
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
@click.option(
    "--keys",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Who may use it, made by 'modelwright keys'.  [default: the workspace's keys.json, if it "
    "is there]",
)
def command(
    model: str | None,
    host: str,
    port: int,
    open_browser: bool,
    name: str | None,
    keys: Path | None,
) -> None:
    """Serve MODEL: chat page and OpenAI-shaped API on this machine.

    MODEL is a model folder, an artifact's id or a stage; without it, the recipe's model.
    """
    from modelwright.pipeline.current import find_model
    from modelwright.serving.server import serve

    found = find_model(Path.cwd(), model)
    if found.note:
        click.echo(found.note, err=True)
    with chat_feedback() as feedback:
        serve(
            found.folder,
            host,
            port,
            name=name or found.name,
            keys=_keys(keys),
            feedback=feedback,
            open_browser=open_browser,
        )


def _keys(path: Path | None) -> KeyFile | None:
    """The keys that are given, or those of the workspace around this folder, if it has any."""
    from modelwright.cli.keys import FILE
    from modelwright.core.workspace import find_workspace
    from modelwright.serving.access.keys import KeyFile

    if path is not None:
        return KeyFile(path)
    with suppress(UsageError):  # a model's folder can be served anywhere
        path = find_workspace(Path.cwd()).root / FILE
    return KeyFile(path) if path is not None and path.is_file() else None
