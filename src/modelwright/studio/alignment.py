"""How the model was aligned: the method, its curves, and answers with what they were worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelwright.core.artifact import LOG_FOLDER, Artifact
from modelwright.studio import figures
from modelwright.studio.charts import Axis, Line, line_chart, smooth
from modelwright.studio.sections import (
    TRAINING_LOG,
    Fact,
    Made,
    Row,
    prompt_text,
    read_points,
    read_rows,
)

ALIGN = "align"
NAMES = {"online_dpo": "online DPO", "rejection": "rejection sampling", "simpo": "SimPO"}
"""Methods that are not written in capitals."""

ROLLOUTS = f"{LOG_FOLDER}/rollouts.jsonl"
STEPS = Axis("steps", has_zero=True)
SHOWN_PROMPTS, SHOWN_ANSWERS = 2, 4

CURVES = (
    ("Held-out pairs put in the right order", "validation_accuracy", "share"),
    ("Margin of the rewards that are implied, held out", "validation_margin", "margin in nats"),
    ("Reward of the likeliest answers, held out", "validation_reward", "reward"),
)
"""What is measured now and then: title, name in the log, axis."""

STEADY_CURVES = (
    ("Reward of the answers that were drawn", "reward", "reward"),
    ("Divergence from the model before, estimate k3", "kl", "nats per token"),
)
"""What every step measures."""

LOSS = ("Loss", "loss", "loss")
"""Of which only the course says something."""


@dataclass(frozen=True)
class ScoredAnswer:
    """An answer and its reward, as text; a dash if it had none."""

    text: str
    reward: str


@dataclass(frozen=True)
class Rollout:
    """A prompt, and answers to it from the first and from the last time that any were drawn."""

    prompt: str
    first: list[ScoredAnswer]
    last: list[ScoredAnswer]


@dataclass(frozen=True)
class Alignment:
    """What the report says of it."""

    sentence: str
    facts: list[Fact]
    charts: list[Markup]
    rollouts: list[Rollout]


def alignment(made: Made) -> Alignment | None:
    """The section; None if nothing was aligned.

    Raises
    ------
    InputError
        If a log is damaged.
    """
    model = made.last("model", ALIGN)
    if model is None:
        return None
    rows = _rows(model, TRAINING_LOG)
    return Alignment(
        sentence=sentence(model),
        facts=list(_facts(rows)),
        charts=[chart for chart in _charts(rows) if chart],
        rollouts=_rollouts(_rows(model, ROLLOUTS)),
    )


def sentence(model: Artifact) -> str:
    """What it was aligned by and on, in plain words."""
    manifest = model.manifest
    method = str(manifest.settings.get("method", "?"))
    took, counts = figures.duration(manifest.seconds), manifest.counts
    if "prompts" in counts:
        on = f"its own answers to {counts['prompts']:,} prompts"
    else:
        on = f"{counts.get('examples', 0):,} examples"
    return f"It was aligned by {NAMES.get(method, method.upper())} in {took}, on {on}."


def _rows(model: Artifact, name: str) -> list[Row]:
    return read_rows(model, name) if name in model.manifest.files else []


def _facts(rows: Sequence[Row]) -> Iterator[Fact]:
    """First and last value of what was measured; one that was measured once has no first."""
    for title, name, _ in (*CURVES, *STEADY_CURVES):
        values = [value for _, value in read_points(rows, "step", name)]
        if values:
            note = f"at first {figures.exact(values[0])}" if len(values) > 1 else ""
            yield Fact(title, figures.exact(values[-1]), note)


def _charts(rows: Sequence[Row]) -> Iterator[Markup]:
    for title, name, label in CURVES:
        line = Line("held out", read_points(rows, "step", name), "dots")
        yield line_chart(title, STEPS, Axis(label), [line])
    for title, name, label in (*STEADY_CURVES, LOSS):
        points = read_points(rows, "step", name)
        lines = [Line("as measured", points, "faint"), Line("smoothed", smooth(points))]
        yield line_chart(title, STEPS, Axis(label), lines)


def _rollouts(rows: Sequence[Row]) -> list[Rollout]:
    """Some prompts of the last rollout that was kept, with answers from when each came first."""
    last_step = rows[-1]["step"] if rows else 0
    last = [row for row in rows if row["step"] == last_step]
    prompts = list(dict.fromkeys(prompt_text(row["prompt"]) for row in last))[:SHOWN_PROMPTS]
    return [
        Rollout(prompt, _earlier(rows, prompt, last_step), _answers(last, prompt))
        for prompt in prompts
    ]


def _earlier(rows: Sequence[Row], prompt: str, before: int) -> list[ScoredAnswer]:
    """Answers to the prompt from the first rollout that has it; none if that is the last one."""
    steps = [row["step"] for row in rows if prompt_text(row["prompt"]) == prompt]
    if steps[0] == before:
        return []
    return _answers([row for row in rows if row["step"] == steps[0]], prompt)


def _answers(rows: Sequence[Row], prompt: str) -> list[ScoredAnswer]:
    found = [row for row in rows if prompt_text(row["prompt"]) == prompt]
    return [
        ScoredAnswer(
            str(row["answer"]),
            "–" if row.get("reward") is None else figures.exact(row["reward"]),
        )
        for row in found[:SHOWN_ANSWERS]
    ]
