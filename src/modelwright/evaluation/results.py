"""Results on disk, in the shape that lm-evaluation-harness writes and its readers know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright.core.files import atomic_open, sha256_bytes, write_json
from modelwright.evaluation.answers import Marks, Question

RESULTS = "results.json"
SAMPLES = "samples_heldout_questions.jsonl"
TEXT_TASK, QUESTIONS_TASK = "heldout_text", "heldout_questions"
TASK_VERSION = 1
DECIMALS = 6

HIGHER_IS_BETTER = {
    TEXT_TASK: {"bits_per_byte": False},
    QUESTIONS_TASK: {"chrf": True, "exact_match": True, "names_object": True},
}


@dataclass(frozen=True)
class ModelResult:
    """What one model reached.

    Attributes
    ----------
    name : str
        ``untrained``, ``base`` (before fine-tuning) or ``final``.
    bits_per_byte : float or None
        On the held-out text; None if there was none.
    figures : dict
        Over all answers; empty if there were no questions.
    answers : sequence of str
        One for each question.
    marks : sequence of Marks
        One for each answer.
    """

    name: str
    bits_per_byte: float | None
    figures: Mapping[str, float]
    answers: Sequence[str]
    marks: Sequence[Marks]

    def tasks(self) -> dict[str, dict[str, float]]:
        """Figures by task, rounded for the files."""
        tasks = {}
        if self.bits_per_byte is not None:
            tasks[TEXT_TASK] = _rounded({"bits_per_byte": self.bits_per_byte})
        if self.figures:
            tasks[QUESTIONS_TASK] = _rounded(self.figures)
        return tasks


@dataclass(frozen=True)
class Evaluation:
    """All that the stage measured.

    Attributes
    ----------
    models : sequence of ModelResult
        From the least to the most trained; the last is the final one.
    rivals : dict
        Bits per byte of ``xz``, ``xz_primed`` and ``bigram``, as far as there was text.
    questions : sequence of Question
        What was asked.
    settings : dict
        The stage's settings.
    text_bytes, documents, documents_in_corpus, questions_in_examples : int
        Size of the held-out text, and how much of it there was.
    """

    models: Sequence[ModelResult]
    rivals: Mapping[str, float]
    questions: Sequence[Question]
    settings: Mapping[str, Any]
    text_bytes: int
    documents: int
    documents_in_corpus: int
    questions_in_examples: int

    @property
    def final(self) -> ModelResult:
        """The model that was evaluated."""
        return self.models[-1]

    def metrics(self) -> dict[str, float]:
        """Flat figures for the manifest: the final model's plain, others' with their name."""
        metrics = dict[str, float]()
        for model in reversed(self.models):
            suffix = "" if model is self.final else f"_{model.name}"
            for figures in model.tasks().values():
                metrics |= {f"{name}{suffix}": value for name, value in figures.items()}
        rivals = {f"{name}_bits_per_byte": value for name, value in self.rivals.items()}
        return metrics | _rounded(rivals)


def write_results(folder: Path, evaluation: Evaluation) -> None:
    """Write ``results.json``: the final model as lm-eval would, then the comparison."""
    final = evaluation.final.tasks()
    sizes = {
        TEXT_TASK: (evaluation.documents_in_corpus, evaluation.documents),
        QUESTIONS_TASK: (evaluation.questions_in_examples, len(evaluation.questions)),
    }
    write_json(
        folder / RESULTS,
        {
            "results": {
                task: {"alias": task} | {f"{name},none": value for name, value in figures.items()}
                for task, figures in final.items()
            },
            "configs": {task: _task_config(task, evaluation) for task in final},
            "versions": dict.fromkeys(final, TASK_VERSION),
            "n-shot": dict.fromkeys(final, 0),
            "higher_is_better": {task: HIGHER_IS_BETTER[task] for task in final},
            "n-samples": {
                task: {"original": sizes[task][0], "effective": sizes[task][1]} for task in final
            },
            "models": {model.name: model.tasks() for model in evaluation.models},
            "rivals": {
                name: {"bits_per_byte": round(value, DECIMALS)}
                for name, value in evaluation.rivals.items()
            },
        },
    )


def write_samples(folder: Path, evaluation: Evaluation) -> None:
    """Write one JSONL row a question: the final answer as lm-eval would, then all models'."""
    with atomic_open(folder / SAMPLES, "w") as file:
        for index, question in enumerate(evaluation.questions):
            file.write(json.dumps(_sample(index, question, evaluation), ensure_ascii=False) + "\n")


def _task_config(task: str, evaluation: Evaluation) -> dict[str, Any]:
    settings = evaluation.settings
    if task == TEXT_TASK:
        return {
            "task": task,
            "output_type": "loglikelihood_rolling",
            "test_split": "validation",
            "metadata": {"version": TASK_VERSION, "bytes": evaluation.text_bytes}
            | {key: settings[key] for key in ("max_text_bytes", "max_baseline_bytes", "seed")},
        }
    return {
        "task": task,
        "output_type": "generate_until",
        "test_split": "heldout",
        "generation_kwargs": {
            "do_sample": False,
            "temperature": 0.0,
            "max_gen_toks": settings["max_answer_tokens"],
        },
        "metadata": {
            "version": TASK_VERSION,
            "max_questions": settings["max_questions"],
            "seed": settings["seed"],
        },
    }


def _sample(index: int, question: Question, evaluation: Evaluation) -> dict[str, Any]:
    final = evaluation.final
    canonical = json.dumps(question.row, ensure_ascii=False, sort_keys=True)
    return {
        "doc_id": question.id,
        "doc": question.row,
        "target": question.target,
        "resps": [[final.answers[index]]],
        "filtered_resps": [final.answers[index]],
        "filter": "none",
        "metrics": list(_marks(final.marks[index])),
        "doc_hash": sha256_bytes(canonical.encode()),
        **_marks(final.marks[index]),
        "models": {
            model.name: {"resp": model.answers[index], **_marks(model.marks[index])}
            for model in evaluation.models
        },
    }


def _marks(marks: Marks) -> dict[str, float]:
    figures = {"chrf": marks.chrf, "exact_match": float(marks.exact_match)}
    if marks.names_object is not None:
        figures["names_object"] = float(marks.names_object)
    return _rounded(figures)


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), DECIMALS) for name, value in figures.items()}
