"""What came out: the summary, the evaluation against its rivals, and sample answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from modelwright.core.artifact import Artifact
from modelwright.studio import figures
from modelwright.studio.alignment import ALIGN
from modelwright.studio.alignment import sentence as alignment_sentence
from modelwright.studio.sections import Fact, Made, Row, prompt_text, read_rows

SAMPLES = "samples_heldout_questions.jsonl"
SHOWN_SAMPLES = 6


def summary(made: Made) -> str:
    """What was made and how long it took, in plain words."""
    seconds = figures.duration(sum(artifact.manifest.seconds for artifact in made.artifacts))
    if not made.models:
        return f"No model yet. The stages so far took {seconds}."
    sentences = [_model_sentence(made), *_training_sentences(made)]
    cores = made.models[-1].manifest.machine.get("cores")
    on = f" on {cores} cores" if cores else ""
    sentences.append(f"All stages together took {seconds}{on}.")
    return " ".join(sentences)


def _model_sentence(made: Made) -> str:
    parameters = made.models[-1].manifest.counts.get("parameters")
    size = f" with {figures.count(parameters)} parameters" if parameters else ""
    return f"A language model{size}."


def _training_sentences(made: Made) -> Iterator[str]:
    shards = made.last("shards")
    text = {} if shards is None else shards.manifest.counts
    for model in made.models:
        counts, took = model.manifest.counts, figures.duration(model.manifest.seconds)
        if model.manifest.stage == ALIGN:
            yield alignment_sentence(model)
        elif "examples" in counts:
            examples = f"{counts['examples']:,} examples"
            seen = _seen(model.manifest.metrics.get("epochs"), examples) or examples
            yield f"It learnt to answer in {took}, from {seen}."
        elif "tokens" in counts:
            passes = counts["tokens"] / text["tokens_train"] if text.get("tokens_train") else None
            seen = _seen(passes, f"its {text.get('documents_train', 0):,} documents")
            yield f"It read {figures.count(counts['tokens'])} tokens in {took}" + (
                f": {seen}." if seen else "."
            )


def _seen(passes: float | None, what: str) -> str:
    """How much of something was seen, or how often all of it; empty if that is not known."""
    if passes is None:
        return ""
    return (
        f"{figures.percent(passes)} of {what}" if passes < 0.995 else f"{what}, {passes:.1f} times"
    )


def headline(made: Made) -> list[Fact]:
    """The few figures that matter most."""
    facts, metrics = list[Fact](), made.metrics
    if made.models and (parameters := made.models[-1].manifest.counts.get("parameters")):
        facts.append(Fact("parameters", figures.short_count(_three_digits(parameters))))
    if "bits_per_byte" in metrics:
        rival = metrics.get("xz_primed_bits_per_byte")
        note = f"xz -9 that knows the training text: {rival:.2f}" if rival else ""
        facts.append(Fact("bits per byte, held out", f"{_pretrained_bits(metrics):.2f}", note))
    if "names_object" in metrics:
        before = metrics.get("names_object_base", metrics.get("names_object_untrained"))
        note = "" if before is None else f"before: {figures.percent(before)}"
        facts.append(Fact("answers that name the right thing", _share(metrics), note))
    elif "chrf" in metrics:
        facts.append(Fact("chrF of the answers", f"{metrics['chrf']:.1f}", "of 100"))
    if made.artifacts:
        seconds = sum(artifact.manifest.seconds for artifact in made.artifacts)
        facts.append(Fact("all stages", figures.duration(seconds)))
    return facts


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def _share(metrics: Mapping[str, float]) -> str:
    return figures.percent(metrics["names_object"])


TAUGHT = {"finetune": "fine-tuning", ALIGN: "alignment"}


def taught_by(models: Sequence[Artifact]) -> str:
    """What came after pretraining, in words."""
    found = [TAUGHT[one.manifest.stage] for one in models if one.manifest.stage in TAUGHT]
    return " and ".join(found) or "fine-tuning"


@dataclass(frozen=True)
class Competitor:
    """One row of the evaluation table; a figure that does not apply is None."""

    name: str
    bits_per_byte: float | None
    chrf: float | None = None
    names_object: float | None = None
    exact_match: float | None = None
    is_final: bool = False


@dataclass(frozen=True)
class Comparison:
    """The evaluation: who reached what, on how much, and a sentence on it.

    ``most_bits`` is the longest of the bars.
    """

    rows: list[Competitor]
    most_bits: float
    has_text: bool
    has_answers: bool
    has_names: bool
    text_size: str
    questions: int
    primed_size: str
    verdict: str


def comparison(made: Made) -> Comparison | None:
    """The evaluation table; None if nothing was evaluated."""
    evaluation = made.last("evaluation")
    if evaluation is None or not made.metrics:
        return None
    metrics, counts = made.metrics, evaluation.manifest.counts
    has_base = any(name.endswith("_base") for name in metrics)
    taught = taught_by(made.models)
    final_name = f"this model, after {taught}" if has_base else "this model"
    rows = [
        Competitor("byte bigram model", metrics.get("bigram_bits_per_byte")),
        Competitor("xz -9", metrics.get("xz_bits_per_byte")),
        Competitor("xz -9 after the training text", metrics.get("xz_primed_bits_per_byte")),
        _competitor("same model, untrained", metrics, "_untrained"),
        _competitor(f"before {taught}", metrics, "_base"),
        _competitor(final_name, metrics, "", is_final=True),
    ]
    return Comparison(
        rows=[row for row in rows if (row.bits_per_byte, row.chrf) != (None, None)],
        most_bits=max((row.bits_per_byte or 0.0 for row in rows), default=0.0),
        has_text="bits_per_byte" in metrics,
        has_answers="chrf" in metrics,
        has_names="names_object" in metrics,
        text_size=figures.size(counts.get("heldout_bytes", 0)),
        questions=counts.get("questions", 0),
        primed_size=figures.size(counts.get("baseline_training_bytes", 0)),
        verdict=_verdict(metrics, taught),
    )


def _competitor(
    name: str, metrics: Mapping[str, float], suffix: str, is_final: bool = False
) -> Competitor:
    return Competitor(
        name,
        metrics.get("bits_per_byte" + suffix),
        metrics.get("chrf" + suffix),
        metrics.get("names_object" + suffix),
        metrics.get("exact_match" + suffix),
        is_final,
    )


def _verdict(metrics: Mapping[str, float], taught: str) -> str:
    rival = metrics.get("xz_primed_bits_per_byte")
    if "bits_per_byte" not in metrics or not rival:
        return ""
    ours, final = _pretrained_bits(metrics), metrics["bits_per_byte"]
    difference = abs(1 - ours / rival)
    word = "fewer" if ours < rival else "more"
    text = (
        f"To write down text that it has never seen, the model needs {ours:.2f} bits for each "
        f"byte: {figures.percent(difference)} {word} than xz -9 that has read training text too."
    )
    if final > ours:
        text += (
            f" {taught.capitalize()} turned it towards answers; for plain text it now needs "
            f"{final:.2f}."
        )
    return text


def _pretrained_bits(metrics: Mapping[str, float]) -> float:
    """Bits per byte of the model that learnt the text, before it was taught to answer."""
    return metrics.get("bits_per_byte_base", metrics["bits_per_byte"])


@dataclass(frozen=True)
class Sample:
    """A held-out question with the answers before and after, and the reference."""

    question: str
    before: str | None
    after: str
    reference: str
    before_chrf: float | None
    after_chrf: float


def samples(made: Made) -> tuple[list[Sample], int]:
    """Questions at even distances through all of them, and how many there are."""
    evaluation = made.last("evaluation")
    if evaluation is None or SAMPLES not in evaluation.manifest.files:
        return [], 0
    rows = read_rows(evaluation, SAMPLES)
    step = max(1, len(rows) // SHOWN_SAMPLES)
    return [_sample(row) for row in rows[::step][:SHOWN_SAMPLES]], len(rows)


def _sample(row: Row) -> Sample:
    models = row["models"]
    before = models.get("base", models.get("untrained"))
    return Sample(
        question=_question(row["doc"]),
        before=None if before is None else before["resp"],
        after=models["final"]["resp"],
        reference=row["target"],
        before_chrf=None if before is None else before["chrf"],
        after_chrf=models["final"]["chrf"],
    )


def _question(doc: Row) -> str:
    if "messages" not in doc:
        return prompt_text(doc["prompt"])
    return str(doc["messages"][-2]["content"])
