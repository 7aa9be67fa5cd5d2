"""``modelwright data report``: one page about a corpus."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from modelwright.core.artifact import Artifact, open_artifact
from modelwright.core.errors import UsageError
from modelwright.core.progress import make_progress
from modelwright.core.workspace import find_workspace


@click.command()
@click.argument("workspace", required=False, type=click.Path(path_type=Path))
@click.option("--annotated", metavar="FOLDER", help="What 'annotate' made, without a workspace.")
@click.option("--prepared", metavar="FOLDER", help="What 'prepare' made of it.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="The page to write.")
@click.option("--open/--no-open", "open_browser", default=False, help="Open it in a browser.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def command(
    workspace: Path | None,
    annotated: str | None,
    prepared: str | None,
    out: Path | None,
    open_browser: bool,
    quiet: bool,
) -> None:
    """Write a page about the corpus of WORKSPACE: what came in, what was dropped and why.

    The page shows beginnings of documents, with personal data masked. It is one file and needs no
    network. By default it is data-report.html in the workspace, or in this folder.
    """
    from modelwright.data.survey.inputs import parent_of
    from modelwright.data.survey.survey import survey
    from modelwright.studio.data_report import DATA_REPORT, write_data_report

    if annotated or prepared:
        if workspace or not (annotated and prepared):
            raise UsageError(
                "a report is made of a workspace or of two folders",
                fix="give WORKSPACE, or both --annotated FOLDER and --prepared FOLDER",
            )
        corpora = tuple(open_artifact(Path(one), "corpus") for one in (annotated, prepared))
        folder, title = Path.cwd(), Path(prepared).resolve().name
    else:
        folder, title, corpora = _of_workspace(workspace or Path.cwd())
    path = out or folder / DATA_REPORT
    found = survey(corpora[0], corpora[1], parent_of(corpora[0]), make_progress(quiet))
    write_data_report(path, found, title)
    click.echo(path)
    if open_browser:
        webbrowser.open(path.resolve().as_uri())


def _of_workspace(start: Path) -> tuple[Path, str, tuple[Artifact, ...]]:
    """The workspace's folder, its name, and what is annotated and prepared in it now."""
    from modelwright.pipeline.current import current_artifact
    from modelwright.pipeline.recipe import load_recipe

    workspace = find_workspace(start)
    prepared = current_artifact(workspace, "prepare")
    parents = {parent.role: parent.id for parent in prepared.manifest.parents}
    annotated = workspace.artifact(parents.get("corpus", "annotate"))
    return workspace.root, load_recipe(workspace.recipe).name, (annotated, prepared)
