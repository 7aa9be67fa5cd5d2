from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelwright.core.artifact import Artifact
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import SilentProgress
from modelwright.evaluation.evaluate import evaluate
from modelwright.evaluation.settings import EvaluateSettings


def run(folder: Path, inputs: dict[str, Artifact], **settings: Any) -> Outcome:
    folder.mkdir()
    asked = EvaluateSettings(max_answer_tokens=6, **settings)
    return evaluate(Job(asked, inputs, folder, SilentProgress()))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def inputs(
    models: tuple[Artifact, Artifact], corpus: Artifact, examples: Artifact
) -> dict[str, Artifact]:
    return {"base": models[0], "model": models[1], "corpus": corpus, "examples": examples}


def test_three_models_and_three_rivals(tmp_path: Path, inputs: dict[str, Artifact]) -> None:
    outcome = run(tmp_path / "out", inputs)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["models"]) == ["untrained", "base", "final"]
    assert set(results["rivals"]) == {"xz", "xz_primed", "bigram"}
    text = results["results"]["heldout_text"]
    assert text == {
        "alias": "heldout_text",
        "bits_per_byte,none": outcome.metrics["bits_per_byte"],
    }
    assert set(results["results"]["heldout_questions"]) == {
        "alias",
        "chrf,none",
        "exact_match,none",
        "names_object,none",
    }
    assert results["n-samples"]["heldout_questions"] == {"original": 14, "effective": 13}
    for name, suffix in (("untrained", "_untrained"), ("base", "_base"), ("final", "")):
        figures = results["models"][name]
        assert outcome.metrics["bits_per_byte" + suffix] == figures["heldout_text"]["bits_per_byte"]
        assert outcome.metrics["chrf" + suffix] == figures["heldout_questions"]["chrf"]
    different = {outcome.metrics[f"bits_per_byte{s}"] for s in ("", "_base", "_untrained")}
    assert len(different) == 3
    assert outcome.metrics["xz_primed_bits_per_byte"] < outcome.metrics["xz_bits_per_byte"]
    assert outcome.dropped == {"questions too long for the context": 1}
    assert outcome.counts["questions"] == 13
    assert outcome.counts["heldout_documents"] == 6


def test_samples_hold_every_models_answer(tmp_path: Path, inputs: dict[str, Artifact]) -> None:
    run(tmp_path / "out", inputs)
    lines = (tmp_path / "out" / "samples_heldout_questions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["doc_id"] for row in rows] == list(range(13))
    assert rows[0]["target"] == "m.f0 is function number 0."
    assert rows[0]["doc"]["object"] == "m.f0"
    for row in rows:
        assert set(row["models"]) == {"untrained", "base", "final"}
        assert row["resps"] == [[row["models"]["final"]["resp"]]]
        assert row["chrf"] == row["models"]["final"]["chrf"]
    assert "names_object" in rows[0]
    assert "names_object" not in rows[12]


def test_same_input_same_bytes(tmp_path: Path, inputs: dict[str, Artifact]) -> None:
    first = run(tmp_path / "one", inputs, max_questions=5, max_text_bytes=700)
    second = run(tmp_path / "two", inputs, max_questions=5, max_text_bytes=700)
    assert first == second
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert first.counts["heldout_bytes"] <= 700
    dropped = first.dropped
    too_long = dropped.get("questions too long for the context", 0)
    assert first.counts["questions"] == 5
    assert dropped["questions beyond max_questions"] + too_long == 14 - 5
    assert first.dropped["held-out documents beyond max_text_bytes"] > 0


def test_without_fine_tuning_there_is_no_row_for_it(
    tmp_path: Path, inputs: dict[str, Artifact]
) -> None:
    del inputs["examples"]
    outcome = run(tmp_path / "out", {**inputs, "base": inputs["model"]})
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["models"]) == ["untrained", "final"]
    assert list(results["results"]) == ["heldout_text"]
    assert not (tmp_path / "out" / "samples_heldout_questions.jsonl").exists()
    assert set(outcome.metrics) == {
        "bits_per_byte",
        "bits_per_byte_untrained",
        "xz_bits_per_byte",
        "xz_primed_bits_per_byte",
        "bigram_bits_per_byte",
    }


def test_without_held_out_text_only_questions_count(
    tmp_path: Path, inputs: dict[str, Artifact], corpus_without_validation: Artifact
) -> None:
    inputs["corpus"] = corpus_without_validation
    outcome = run(tmp_path / "out", inputs)
    assert "bits_per_byte" not in outcome.metrics
    assert "chrf" in outcome.metrics
    assert outcome.counts["heldout_bytes"] == 0
