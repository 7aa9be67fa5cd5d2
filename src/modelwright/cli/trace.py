"""``modelwright trace``: the two questions of lineage."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.core.files import atomic_open
from modelwright.core.workspace import find_workspace


@click.command()
@click.argument("name", metavar="DOCUMENT|MODEL")
@click.option(
    "--documents",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For a model: write every document it learnt from to this .jsonl file.",
)
def command(name: str, documents: Path | None) -> None:
    """Say which documents and licences went into a model, or which models hold a document.

    A MODEL is an artifact's id or a stage (pretrain, finetune); a DOCUMENT is an id, a SHA-256,
    a path or url, or a title.
    """
    workspace = find_workspace(Path.cwd())
    artifacts = workspace.artifacts()
    try:
        model = workspace.artifact(name)
    except InputError:
        _trace_document(name, artifacts)
        return
    if model.kind != "model":
        raise InputError(f"'{name}' is a {model.kind}, not a model", fix="give a model's id")
    _trace_model(model, artifacts, documents)


def _trace_model(model: Artifact, artifacts: list[Artifact], file: Path | None) -> None:
    from modelwright.pipeline.lineage import origins, training_documents

    click.echo(f"{model.id} learnt from:")
    for origin in origins(model, artifacts):
        click.echo(
            f"  {origin.source}: {origin.documents:,} documents, {origin.characters:,} "
            f"characters, licence {origin.licence}"
        )
    click.echo(f"licences of all that went in: {', '.join(model.manifest.licences)}")
    if file is None:
        click.echo("every document: give --documents FILE")
        return
    count = 0
    with atomic_open(file, "w") as out:
        for document in training_documents(model, artifacts):
            row = {
                "id": document.id,
                "source": document.source,
                "url": document.url,
                "title": document.title,
                "licence": document.licence,
                "sha256": document.sha256,
            }
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    click.echo(f"wrote {count:,} documents to {file}")


def _trace_document(name: str, artifacts: list[Artifact]) -> None:
    from modelwright.pipeline.lineage import find_document

    sightings = find_document(name, artifacts)
    if not sightings:
        raise InputError(
            f"'{name}' is neither an artifact nor a document here",
            fix="give an id, a SHA-256, a path, a url or a title; see 'modelwright show'",
        )
    for sighting in sightings:
        document = sighting.document
        split = f", {document.split} split" if document.split else ""
        click.echo(f"{document.id} ({document.url}, licence {document.licence}{split})")
        click.echo(f"  in {sighting.corpus.id}")
        for artifact in sighting.descendants:
            mark = click.style("model", fg="yellow") if artifact.kind == "model" else artifact.kind
            click.echo(f"  → {artifact.id} ({mark})")
    models = {a.id for s in sightings for a in s.descendants if a.kind == "model"}
    click.echo(f"{len(models)} models were made from corpora that hold it")
