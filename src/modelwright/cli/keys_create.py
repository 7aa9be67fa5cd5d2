"""``modelwright keys create``: a new key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from modelwright.cli.keys import file_option, key_file


@click.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["inference", "metrics"]),
    multiple=True,
    default=("inference",),
    show_default=True,
    help="What it is good for; may be repeated.",
)
@click.option("--requests-per-minute", type=click.IntRange(1), help="Most requests in a minute.")
@click.option(
    "--tokens-per-minute", type=click.IntRange(1), help="Most tokens in a minute, read or written."
)
@click.option(
    "--days", type=click.IntRange(1, 36500), help="How long it is valid.  [default: for ever]"
)
@file_option
def command(
    name: str,
    scopes: tuple[str, ...],
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    days: int | None,
    path: Path | None,
) -> None:
    """Make a key for NAME and print it. Only its hash is kept: it cannot be shown again."""
    from modelwright.serving.access.keys import SCOPES

    keys = key_file(path)
    secret = keys.create(
        name,
        [scope for scope in SCOPES if scope in scopes],
        None if days is None else datetime.now(UTC) + timedelta(days=days),
        requests_per_minute,
        tokens_per_minute,
    )
    click.echo(f"a key for {name}, kept as a hash in {keys.path}; it is not shown again:", err=True)
    click.echo(secret)
