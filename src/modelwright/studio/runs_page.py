"""The page about training runs: curves of one or several, over tokens, time and operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from modelwright.core.files import write_text
from modelwright.studio import figures
from modelwright.studio.charts import SERIES, TIME, TOKENS, Axis, Line, line_chart
from modelwright.studio.pages import page_environment, script_of, style_of
from modelwright.studio.training_runs import TrainingRun, differences

ALIGNMENT = ("validation_accuracy", "validation_reward")
"""What only runs of alignment measure; the table has them if some run does."""

FLOPS = Axis("operations (FLOPs)", has_zero=True)

ACROSS = (("tokens", TOKENS, "tokens"), ("seconds", TIME, "time"), ("flops", FLOPS, "FLOPs"))
"""Column of the log, axis, and what the choice is called."""


@dataclass(frozen=True)
class Figure:
    """What a chart shows of the log.

    Attributes
    ----------
    column, title, unit : str
        The measurement, and how it is called.
    write : callable
        Number to text.
    """

    column: str
    title: str
    unit: str = ""
    write: Callable[[float], str] = figures.short_count


FIGURES = (
    Figure("loss", "Training loss", "nats"),
    Figure("validation_bits_per_byte", "Held-out bits per byte", "bits"),
    Figure("validation_loss", "Held-out loss", "nats"),
    Figure("validation_accuracy", "Held-out pairs put in the right order", "", figures.percent),
    Figure("validation_reward", "Reward of the likeliest answers, held out"),
    Figure("reward", "Reward of the answers that were drawn"),
    Figure("kl", "Divergence from the model before", "nats per token"),
    Figure("learning_rate", "Learning rate"),
    Figure("gradient_norm", "Norm of the gradient, before clipping"),
    Figure("update_norm", "Norm of the update"),
    Figure("tokens_per_second", "Tokens a second"),
    Figure("model_flops_utilisation", "Share of the machine's peak (MFU)", "", figures.percent),
    Figure("memory_bytes", "Memory of the process", "", figures.size),
    Figure("skipped_steps", "Steps left out"),
)


def write_runs_page(path: Path, runs: Sequence[TrainingRun], title: str) -> None:
    """Write the page into one file that needs no other file and no network.

    Parameters
    ----------
    path : Path
        The file.
    runs : sequence of TrainingRun
        At most as many as there are colours (8).
    title : str
        Name of the workspace's model.
    """
    write_text(path, render_runs_page(runs, title))


def render_runs_page(runs: Sequence[TrainingRun], title: str) -> str:
    """The page as HTML; parameters as in :func:`write_runs_page`."""
    environment = page_environment()
    environment.filters |= {
        "words": figures.words, "exact": figures.exact, "duration": figures.duration,
    }  # fmt: skip
    script, script_hash = script_of(environment, "report.js.jinja")
    summaries = [run.summary() for run in runs]
    return environment.get_template("runs.html.jinja").render(
        title=title,
        style=style_of(environment, "report.css.jinja", "runs.css.jinja"),
        script=script,
        script_hash=script_hash,
        runs=list(zip(SERIES, runs, summaries, strict=False)),
        aligned=any(one[name] is not None for one in summaries for name in ALIGNMENT),
        charts=[(name, _charts(runs, column, axis)) for column, axis, name in ACROSS],
        differences=differences([run for run in runs if run.settings]),
        finished=[run for run in runs if run.settings],
    )


def _charts(runs: Sequence[TrainingRun], column: str, axis: Axis) -> list[Markup]:
    """Every figure that some run has, over one axis."""
    charts = []
    for figure in FIGURES:
        lines = [
            Line(run.id, run.points(column, figure.column), SERIES[number])
            for number, run in enumerate(runs)
        ]
        y = Axis(f"{figure.title}, {figure.unit}".rstrip(", "), figure.write)
        charts.append(line_chart(figure.title, axis, y, lines, reads_all=True))
    return [chart for chart in charts if chart]
