"""``modelwright keys``: who may use a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelwright.cli.verbs import Verbs
from modelwright.core.errors import UsageError
from modelwright.core.workspace import find_workspace

if TYPE_CHECKING:
    from modelwright.serving.access.keys import KeyFile

FILE = "keys.json"
"""Of a workspace."""

COMMANDS = {
    "create": ("modelwright.cli.keys_create", "Make a key and print it, once"),
    "list": ("modelwright.cli.keys_list", "Show names, scopes and limits"),
    "revoke": ("modelwright.cli.keys_revoke", "Take a key away, at once"),
}

file_option = click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Where keys are kept, as hashes.  [default: {FILE} in the workspace]",
)


def key_file(path: Path | None) -> KeyFile:
    """The keys in a file, by default those of the workspace around this folder."""
    from modelwright.serving.access.keys import KeyFile

    if path is not None:
        return KeyFile(path)
    try:
        return KeyFile(find_workspace(Path.cwd()).root / FILE)
    except UsageError:
        raise UsageError("there is no workspace here", fix="say where: --file keys.json") from None


command = Verbs("keys", verbs=COMMANDS, help="Keys of a server: who may use it, and how much.")
