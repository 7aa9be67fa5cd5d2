"""What the report says of an alignment, of both kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from modelwright.core.artifact import Artifact
from modelwright.studio.report import render_report

Make = Callable[..., Artifact]


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def measured(step: int, **values: float) -> dict[str, float]:
    return {"step": step, "tokens": 100 * step, "seconds": 1.0 * step, **values}


def answer(step: int, prompt: Any, text: str, reward: float | None) -> dict[str, Any]:
    return {"step": step, "prompt": prompt, "answer": text, "finished": True, "reward": reward}


@pytest.fixture
def online(make: Make) -> Artifact:
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why <b>?"}]
    rollouts = [
        answer(0, asked, "first words", 0.25),
        answer(0, "Elsewhere", "not asked again", 0.0),
        answer(5, asked, "last <i>words", 0.875),
        answer(5, asked, "", None),
        answer(5, "New", "only now", 1.0),
        *(answer(5, "Crowded", f"too many {number}", 0.5) for number in range(6)),
    ]
    log = [
        measured(1, loss=0.0, reward=0.125, kl=0.5),
        measured(2, validation_reward=0.375),
        measured(4, loss=-0.1, reward=0.75, kl=1.5),
        measured(4, validation_reward=0.625),
    ]
    return make(
        "align",
        "model",
        files={"log/training.jsonl": lines(log), "log/rollouts.jsonl": lines(rollouts)},
        counts={"parameters": 1000, "prompts": 1200, "steps": 4, "tokens": 400},
        settings={"method": "online_dpo"},
        seconds=61.0,
    )


def test_rewards_and_rollouts(online: Artifact) -> None:
    html = render_report([online], "aligned")
    sentence = "It was aligned by online DPO in 1 min 1 s, on its own answers to 1,200 prompts."
    assert html.count(sentence) == 2  # in the summary and in its section
    section = html.partition('<section id="alignment">')[2].partition("</section>")[0]
    for title in ("Reward of the likeliest answers, held out", "Divergence from the model before"):
        assert title in section
    assert "0.625 <small>(at first 0.375)</small>" in section
    assert "0.75 <small>(at first 0.125)</small>" in section
    assert section.count("<figure") == 4
    assert "<h3>Why &lt;b&gt;?</h3>" in section
    assert "<dt>at first, reward 0.25</dt><dd>first words</dd>" in section
    assert "<dt>at last, reward 0.875</dt><dd>last &lt;i&gt;words</dd>" in section
    assert "<dt>at last, reward –</dt><dd>(nothing)</dd>" in section
    assert "only now" in section  # has no earlier answers
    assert "not asked again" not in section
    assert "too many" not in section  # a third prompt
    assert 'id="training"' not in html  # these curves are not drawn twice


def test_pairs(make: Make) -> None:
    log = [measured(2, validation_accuracy=0.5), measured(4, loss=0.6, validation_accuracy=0.8125)]
    model = make(
        "align",
        "model",
        files={"log/training.jsonl": lines(log)},
        counts={"parameters": 1000, "examples": 321, "tokens": 400},
        settings={"method": "dpo"},
        seconds=5.0,
    )
    html = render_report([model], "aligned")
    assert "It was aligned by DPO in 5.0 s, on 321 examples." in html
    assert "0.8125 <small>(at first 0.5)</small>" in html
    assert "Answers that it learnt from" not in html


def test_a_run_without_alignment_has_no_such_section(run: list[Artifact]) -> None:
    html = render_report(run, "plain")
    assert 'id="alignment"' not in html
    assert "this model, after fine-tuning<" in html


def test_what_came_after_pretraining_is_named(run: list[Artifact], online: Artifact) -> None:
    html = render_report([*run[:-1], online, run[-1]], "aligned")
    assert "this model, after fine-tuning and alignment<" in html
    assert "before fine-tuning and alignment<" in html
    without = [one for one in run if one.manifest.stage != "finetune"]
    assert "this model, after alignment<" in render_report([*without[:-1], online, run[-1]], "a")
