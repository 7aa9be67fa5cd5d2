"""``modelwright trace``: the two questions of lineage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.core.files import atomic_open
from modelwright.core.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from modelwright.pipeline.sightings import Fate


@click.command()
@click.argument("name", metavar="DOCUMENT|MODEL")
@click.option(
    "--documents",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For a model: write every document and example it learnt from to this .jsonl file.",
)
def command(name: str, documents: Path | None) -> None:
    """Say which documents and licences went into a model, or which models hold a document.

    A MODEL is an artifact's id or a stage (pretrain, finetune, align); a DOCUMENT is an id, a
    SHA-256, a path or url, or a title, or the object or source of examples.
    """
    workspace = find_workspace(Path.cwd())
    model = _find_artifact(workspace, name)
    if model is None:
        _trace_document(name, workspace.artifacts())
    elif model.kind == "model":
        _trace_model(model, workspace.artifacts(), documents)
    else:
        raise InputError(f"'{name}' is a {model.kind}, not a model", fix="give a model's id")


def _find_artifact(workspace: Workspace, name: str) -> Artifact | None:
    from modelwright.pipeline.current import current_artifact

    try:
        return current_artifact(workspace, name)
    except InputError:
        return None


def _trace_model(model: Artifact, artifacts: list[Artifact], file: Path | None) -> None:
    from modelwright.pipeline.lineage import origins, unknown_parents

    click.echo(f"{model.id} learnt from:")
    for origin in origins(model, artifacts):
        click.echo(
            f"  {origin.source}: {origin.number:,} {origin.what}, {origin.characters:,} "
            f"characters, licence {origin.licence}"
        )
    for parent in unknown_parents(model, artifacts):
        click.echo(f"  {parent.kind} {parent.id}: origin unknown")
    click.echo(f"licences of all that went in: {', '.join(model.manifest.licences)}")
    if file is None:
        click.echo("every document and example: give --documents FILE")
        return
    counts = {"document": 0, "example": 0}
    with atomic_open(file, "w") as out:
        for row in _rows(model, artifacts):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            counts[row["kind"]] += 1
    click.echo(
        f"wrote {counts['document']:,} documents and {counts['example']:,} examples to {file}"
    )


def _rows(model: Artifact, artifacts: list[Artifact]) -> Iterator[dict[str, Any]]:
    """One row for each document and then for each example that a model learnt from."""
    from modelwright.pipeline.lineage import (
        licence_of,
        source_of,
        training_documents,
        training_examples,
    )

    for document in training_documents(model, artifacts):
        yield {
            "kind": "document",
            "id": document.id,
            "source": document.source,
            "url": document.url,
            "title": document.title,
            "licence": document.licence,
            "sha256": document.sha256,
        }
    for number, (examples, row) in enumerate(training_examples(model, artifacts)):
        yield {
            "kind": "example",
            "id": f"{examples.id}#{number}",
            "source": source_of(row),
            "object": row.get("object"),
            "licence": licence_of(row),
        }


def _trace_document(name: str, artifacts: list[Artifact]) -> None:
    from modelwright.pipeline.sightings import find_document, find_examples

    documents, examples = find_document(name, artifacts), find_examples(name, artifacts)
    if not documents and not examples:
        raise InputError(
            f"'{name}' is neither an artifact nor a document here",
            fix="give an id, a SHA-256, a path, a url or a title; see 'modelwright show'",
        )
    fates = list["Fate"]()
    for sighting in documents:
        document = sighting.document
        click.echo(f"{document.id} ({document.url}, licence {document.licence})")
        click.echo(f"  in {', '.join(corpus.id for corpus in sighting.corpora)}")
        _print_fates(sighting.fates)
        fates += sighting.fates
    for group in examples:
        click.echo(
            f"{group.trained:,} examples to train on and {group.held_out:,} held out "
            f"({group.source}, licence {group.licence})"
        )
        click.echo(f"  in {group.examples.id}")
        _print_fates(group.fates)
        fates += group.fates
    learnt = {fate.model.id for fate in fates if fate.is_learnt}
    click.echo(f"{len(learnt)} models learnt from it")


def _print_fates(fates: Sequence[Fate]) -> None:
    for fate in fates:
        said = click.style("learnt it", fg="yellow") if fate.is_learnt else fate.reason
        click.echo(f"  → {fate.model.id}: {said}")
