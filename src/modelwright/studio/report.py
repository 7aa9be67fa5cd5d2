"""The report: one HTML file on what was made, from its manifests, logs and results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from modelwright.core.artifact import Artifact
from modelwright.core.files import write_text
from modelwright.core.workspace import REPORT
from modelwright.studio import figures, outcome, sections
from modelwright.studio.alignment import ALIGN, alignment
from modelwright.studio.charts import (
    TIME,
    TOKENS,
    Axis,
    Line,
    line_chart,
    smooth,
)
from modelwright.studio.lineage import lineage
from modelwright.studio.pages import page_environment, script_of, style_of
from modelwright.studio.sections import Made, Row
from modelwright.tokens.files import TOKENIZER
from modelwright.tokens.tokenizer import Tokenizer

SHOWN_TEXT = "The quick brown fox jumps over the lazy dog. 1,234 × 5 = 6,170"
SHOWN_CHARACTERS = 280
BY = (("tokens", TOKENS, "tokens"), ("seconds", TIME, "time"))


def write_report(root: Path, artifacts: Sequence[Artifact], title: str) -> Path:
    """Write ``report.html`` into a workspace.

    Parameters
    ----------
    root : Path
        The workspace's folder.
    artifacts : sequence of Artifact
        What a run made or found fresh, in the order of its stages; any stage may be missing.
    title : str
        The model's name.

    Returns
    -------
    Path
        The file. It needs no network and no other file.

    Raises
    ------
    InputError
        If a file of an artifact is missing or damaged.
    """
    path = root / REPORT
    write_text(path, render_report(artifacts, title))
    return path


def render_report(artifacts: Sequence[Artifact], title: str) -> str:
    """The report as HTML; parameters as in :func:`write_report`."""
    made = Made(artifacts)
    shown_samples, sample_count = outcome.samples(made)
    environment = page_environment()
    environment.filters["percent"] = figures.percent
    script, script_hash = script_of(environment, "report.js.jinja")
    return environment.get_template("report.html.jinja").render(
        title=title,
        style=style_of(environment, "report.css.jinja"),
        script=script,
        script_hash=script_hash,
        summary=outcome.summary(made),
        headline=outcome.headline(made),
        comparison=outcome.comparison(made),
        samples=shown_samples,
        sample_count=sample_count,
        alignment=alignment(made),
        curves=list(_curves(made)),
        data=sections.data_steps(made),
        dial=sections.dial(made),
        tokenizer=_tokenizer(made),
        steps=sections.steps(made),
        lineage=lineage(artifacts),
        licences=sections.licences(made),
        machine=sections.table(artifacts[-1].manifest.machine) if artifacts else [],
        has_model=bool(made.models),
        has_examples=made.last("examples") is not None,
    )


@dataclass(frozen=True)
class Curves:
    """One model's training in charts, and a line that sums it up."""

    stage: str
    summary: str
    charts: list[Markup]


def _curves(made: Made) -> Iterator[Curves]:
    for model in made.models:
        if sections.TRAINING_LOG not in model.manifest.files or model.manifest.stage == ALIGN:
            continue  # alignment has a section of its own
        rows = sections.read_rows(model, sections.TRAINING_LOG)
        charts = [chart for chart in _charts(rows) if chart]
        if charts:
            yield Curves(model.manifest.stage, _curves_summary(rows), charts)


def _charts(rows: Sequence[Row]) -> Iterator[Markup]:
    for key, axis, by in BY:
        loss = sections.read_points(rows, key, "loss")
        yield line_chart(
            f"Training loss by {by}",
            axis,
            Axis("loss in nats per token"),
            [Line("as measured", loss, "faint"), Line("smoothed", smooth(loss))],
        )
    bits = any("validation_bits_per_byte" in row for row in rows)
    name = "validation_bits_per_byte" if bits else "validation_loss"
    label = "Validation bits per byte" if bits else "Validation loss (nats per token)"
    for key, axis, by in BY:
        line = Line("validation", sections.read_points(rows, key, name), "dots")
        yield line_chart(f"{label} by {by}", axis, Axis(figures.words(name)), [line])
    rate = Line("learning rate", sections.read_points(rows, "tokens", "learning_rate"))
    yield line_chart("Learning rate by tokens", TOKENS, Axis("learning rate"), [rate])
    speed = Line("speed", sections.read_points(rows, "seconds", "tokens_per_second"))
    yield line_chart("Tokens per second by time", TIME, Axis("tokens/s", has_zero=True), [speed])


def _curves_summary(rows: Sequence[Row]) -> str:
    last = rows[-1]
    parts = [
        f"{last['step']:,} steps" if "step" in last else "",
        f"{figures.count(last['tokens'])} tokens" if "tokens" in last else "",
        f"{figures.duration(last['seconds'])} of training" if "seconds" in last else "",
    ]
    return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Piece:
    """One token of the shown text: its id and what it spells."""

    id: int
    text: str


@dataclass(frozen=True)
class TokenizerView:
    """Facts on the tokenizer, and a text as the model sees it."""

    facts: list[sections.Fact]
    pieces: list[Piece]


def _tokenizer(made: Made) -> TokenizerView | None:
    artifact = made.last("tokenizer")
    if artifact is None:
        return None
    manifest, shards = artifact.manifest, made.last("shards")
    facts = [
        *(sections.Fact(figures.words(k), figures.exact(v)) for k, v in manifest.counts.items()),
        *(sections.Fact(figures.words(k), figures.exact(v)) for k, v in manifest.metrics.items()),
    ]
    if shards is not None and "bytes_per_token" in shards.manifest.metrics:
        each = figures.exact(shards.manifest.metrics["bytes_per_token"])
        facts.append(sections.Fact("bytes of text in a token, on average", each))
    if "pre_tokenizer" in manifest.settings:
        facts.append(sections.Fact("pre-tokenizer", str(manifest.settings["pre_tokenizer"])))
    return TokenizerView(facts, _pieces(artifact, made) if TOKENIZER in manifest.files else [])


def _pieces(artifact: Artifact, made: Made) -> list[Piece]:
    tokenizer = Tokenizer.load(artifact.path)
    shown, _ = outcome.samples(made)
    text = (shown[0].reference if shown else SHOWN_TEXT)[:SHOWN_CHARACTERS]
    return [
        Piece(id, tokenizer.token_bytes(id).decode(errors="replace"))
        for id in tokenizer.encode(text)
    ]
