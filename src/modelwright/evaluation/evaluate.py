"""The evaluate stage: the final model next to what it was before, and to simple rivals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelwright.core.artifact import Artifact
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import Progress
from modelwright.data.corpus import Split, read_documents
from modelwright.evaluation.answers import (
    Marks,
    Question,
    answer,
    mark,
    prompt_tokens,
    read_questions,
    summarise,
)
from modelwright.evaluation.bits_per_byte import bits_per_byte
from modelwright.evaluation.results import (
    Evaluation,
    ModelResult,
    write_results,
    write_samples,
)
from modelwright.evaluation.selection import TextSample, random_order, sample_texts
from modelwright.evaluation.settings import EvaluateSettings
from modelwright.evaluation.text_baselines import (
    bigram_bits_per_byte,
    primed_xz_bits_per_byte,
    xz_bits_per_byte,
)
from modelwright.inference.engine import Engine
from modelwright.models.device import pick_device, use_all_cores
from modelwright.models.pretrained import load_config
from modelwright.models.transformer import CausalLM, initialise
from modelwright.tokens.tokenizer import Tokenizer

HELD_OUT_QUESTIONS = "heldout.jsonl"
SEQUENCES_AT_ONCE = 64
"""Small models on a CPU are fastest when many answers grow together."""


def evaluate(job: Job[EvaluateSettings]) -> Outcome:
    """Measure the final model (input ``model``) on held-out text and questions.

    The text is the validation split of input ``corpus``, the questions are those that input
    ``examples`` (optional) holds out. Input ``base`` (optional) is the model before fine-tuning.
    Next to them stand an untrained model of the same shape, ``xz -9`` and a byte bigram model.
    Without held-out text (a very small corpus) or without questions, that part is left out.
    """
    settings, corpus = job.settings, job.input("corpus")
    held_out = _sample(corpus, "validation", settings.max_text_bytes, settings.seed)
    if held_out.text_bytes == 0:
        job.progress.note("  the corpus has no held-out text: bits per byte cannot be measured")
    training = _sample(corpus, "train", settings.max_baseline_bytes, settings.seed)
    questions = _choose_questions(job)
    with job.progress.task("compression and bigrams", None, "") as task:
        task.update(0)
        rivals = _baselines(training.texts, held_out.texts)
    models = [
        _measure(name, engine, held_out, questions.chosen, settings, job.progress)
        for name, engine in _engines(job)
    ]
    evaluation = Evaluation(
        models=models,
        rivals=rivals,
        questions=questions.chosen,
        settings=settings.model_dump(),
        text_bytes=held_out.text_bytes,
        documents=len(held_out.texts),
        documents_in_corpus=len(held_out.texts) + held_out.documents_left_out,
        questions_in_examples=questions.in_examples,
    )
    write_results(job.folder, evaluation)
    if questions.chosen:
        write_samples(job.folder, evaluation)
    return Outcome(
        counts={
            "heldout_documents": len(held_out.texts),
            "heldout_bytes": held_out.text_bytes,
            "baseline_training_bytes": training.text_bytes,
            "questions": len(questions.chosen),
        },
        dropped=_without_zeros(
            {
                "held-out documents beyond max_text_bytes": held_out.documents_left_out,
                "held-out bytes cut off at max_text_bytes": held_out.bytes_cut,
                "training documents beyond max_baseline_bytes": training.documents_left_out,
                "training bytes cut off at max_baseline_bytes": training.bytes_cut,
                "questions too long for the context": questions.too_long,
                "questions beyond max_questions": questions.left_out,
            }
        ),
        metrics=evaluation.metrics(),
    )


@dataclass(frozen=True)
class _Questions:
    chosen: list[Question]
    in_examples: int
    too_long: int
    left_out: int


def _choose_questions(job: Job[EvaluateSettings]) -> _Questions:
    if "examples" not in job.inputs:
        return _Questions([], 0, 0, 0)
    folder, settings = job.input("model").path, job.settings
    tokenizer, context = (
        Tokenizer.load(folder),
        load_config(folder).max_position_embeddings,
    )
    asked = read_questions(job.input("examples").file(HELD_OUT_QUESTIONS))
    room = context - min(settings.max_answer_tokens, context // 2)
    chosen, too_long = list[Question](), 0
    for position in random_order(len(asked), settings.seed):
        if len(chosen) == settings.max_questions:
            break
        if len(prompt_tokens(asked[position], tokenizer)) <= room:
            chosen.append(asked[position])
        else:
            too_long += 1
    return _Questions(
        chosen=sorted(chosen, key=lambda question: question.id),
        in_examples=len(asked),
        too_long=too_long,
        left_out=len(asked) - len(chosen) - too_long,
    )


def _engines(job: Job[EvaluateSettings]) -> Iterator[tuple[str, Engine]]:
    """The models to compare, from the least to the most trained; the last is the final one.

    One after another, so that only one is in memory.
    """
    use_all_cores()
    final, base = job.input("model"), job.inputs.get("base")
    untrained = CausalLM(load_config(final.path))
    initialise(untrained, job.settings.seed)
    untrained.to(pick_device("auto")).eval()
    tokenizer = Tokenizer.load(final.path)
    yield "untrained", Engine(untrained, tokenizer, max_sequences=SEQUENCES_AT_ONCE)
    if base is not None and base.manifest.digest != final.manifest.digest:
        yield "base", Engine.load(base.path, max_sequences=SEQUENCES_AT_ONCE)
    yield "final", Engine.load(final.path, max_sequences=SEQUENCES_AT_ONCE)


def _sample(corpus: Artifact, split: Split, max_bytes: int, seed: int) -> TextSample:
    documents = read_documents(corpus.path, split=split)
    return sample_texts(((document.id, document.text) for document in documents), max_bytes, seed)


def _baselines(training: Sequence[str], held_out: Sequence[str]) -> dict[str, float]:
    if not held_out:
        return {}
    rivals = {"xz": xz_bits_per_byte(held_out)}
    if training:
        rivals["xz_primed"] = primed_xz_bits_per_byte(training, held_out)
        rivals["bigram"] = bigram_bits_per_byte(training, held_out)
    return rivals


def _measure(
    name: str,
    engine: Engine,
    held_out: TextSample,
    questions: Sequence[Question],
    settings: EvaluateSettings,
    progress: Progress,
) -> ModelResult:
    bits = None
    if held_out.texts:
        with progress.task(f"{name} model: held-out text", held_out.text_bytes, "bytes") as task:
            bits = bits_per_byte(engine, held_out.texts, task.update)
    if not questions:
        return ModelResult(name, bits, {}, [], [])
    with progress.task(f"{name} model: questions", len(questions), "answers") as task:
        max_tokens = min(settings.max_answer_tokens, engine.context_length // 2)
        answers = answer(engine, questions, max_tokens, task.update)
    marks: list[Marks] = mark(answers, questions)
    return ModelResult(name, bits, summarise(answers, questions, marks), answers, marks)


def _without_zeros(counts: dict[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if count}
