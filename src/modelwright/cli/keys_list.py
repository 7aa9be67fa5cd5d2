"""``modelwright keys list``: names, scopes and limits."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelwright.cli.keys import file_option, key_file
from modelwright.cli.runs import table, written

HEADS = ("name", "scopes", "created", "expires", "requests/min", "tokens/min")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@file_option
def command(as_json: bool, path: Path | None) -> None:
    """Show the keys, oldest first; never the keys themselves."""
    keys = key_file(path).keys()
    if as_json:
        rows = [key.model_dump(mode="json", exclude={"sha256"}) for key in keys]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not keys:
        click.echo("no keys yet; make one with 'modelwright keys create NAME'")
        return
    lines = [
        [
            key.name,
            ", ".join(key.scopes),
            key.created[:10],
            f"{key.expires:%Y-%m-%d}{' (over)' if key.has_expired else ''}" if key.expires else "–",
            written(key.requests_per_minute, "{:,}"),
            written(key.tokens_per_minute, "{:,}"),
        ]
        for key in keys
    ]
    click.echo(table(HEADS, lines))
