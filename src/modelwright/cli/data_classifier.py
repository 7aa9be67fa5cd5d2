"""``modelwright data classifier``: learn what good text is from two folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

FOLDER = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("good", type=FOLDER)
@click.argument("bad", type=FOLDER)
@click.option("--out", required=True, metavar="FOLDER", help="Where the classifier goes.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses what is held out.")
def command(good: Path, bad: Path, out: str, seed: int) -> None:
    """Train a classifier that tells documents like those in GOOD from those in BAD.

    Both are folders of files (or corpora). Name the result in a recipe as 'annotate: quality_model'
    and set 'prepare: min_quality'.
    """
    from modelwright.data.quality.training import train_quality

    report = train_quality(_texts(good), _texts(bad), Path(out), seed)
    click.echo(f"learnt from {report.good:,} good and {report.bad:,} bad texts")
    if report.on_both_sides:
        click.echo(f"left out because they are on both sides: {report.on_both_sides:,}")
    held_out = f"{report.held_out_good:,} good and {report.held_out_bad:,} bad"
    click.echo(f"on {held_out} texts it never saw: AUC {report.measures.auc:.3f}")
    click.echo(out)


def _texts(folder: Path) -> Iterator[str]:
    """The texts of a corpus, or of the files in a folder."""
    from modelwright.core.progress import make_progress
    from modelwright.data.corpus import read_texts
    from modelwright.data.drops import Drops
    from modelwright.data.sandbox import Sandbox
    from modelwright.data.sources.files import FilesReader
    from modelwright.data.sources.reader import Reading
    from modelwright.data.sources.settings import FilesSource

    if folder.is_dir() and any(folder.glob("documents-*.parquet")):
        yield from read_texts(folder)
        return
    progress = make_progress()
    with Sandbox(workers=1) as sandbox:
        reading = Reading(progress, Drops(progress.note), sandbox, kept=folder / "kept")
        for document in FilesReader(FilesSource(path=str(folder))).documents(reading):
            yield document.text
