"""``modelwright keys revoke``: a key that is good for nothing any more."""

from __future__ import annotations

from pathlib import Path

import click

from modelwright.cli.keys import file_option, key_file


@click.command("revoke")
@click.argument("name")
@file_option
def command(name: str, path: Path | None) -> None:
    """Take the key NAME away. Servers that are running see it at the next request."""
    key_file(path).revoke(name)
    click.echo(f"the key '{name}' is revoked")
