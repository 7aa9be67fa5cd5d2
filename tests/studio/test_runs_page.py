"""Training runs: what is read of them, what is compared, and the page of their curves."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from webdriver import CHROMEDRIVER, CHROMIUM, browser

from modelwright.core.errors import InputError
from modelwright.core.store import Run
from modelwright.core.workspace import Workspace
from modelwright.studio.runs_page import render_runs_page, write_runs_page
from modelwright.studio.training_runs import TrainingRun, differences, named, training_runs

EVIL = '</p><script>alert("1")</script>'


def rows(count: int, scale: float = 1.0) -> list[dict[str, Any]]:
    made = []
    for step in range(1, count + 1):
        row = {"step": step, "tokens": 100 * step, "seconds": 2.0 * step, "flops": 1e9 * step}
        row |= {"loss": scale * (2 + 4 / step), "update_norm": 0.1, "tokens_per_second": 50.0}
        made.append(row)
    made.append({"step": count, "tokens": 100 * count, "validation_bits_per_byte": scale})
    return made


def made_up(name: str, count: int = 5, scale: float = 1.0, **settings: Any) -> TrainingRun:
    samples = [{"step": count, "prompt": "", "text": f"sample of {name} {EVIL}"}]
    log = rows(count, scale)
    return TrainingRun(name, "pretrain", "finished", "2026-01-01", settings, log, samples)


def known(artifact: str, status: str, started: str) -> Run:
    return Run(1, "pretrain", artifact, status, started, None, None)


def leave(workspace: Workspace, name: str, lines: list[str]) -> None:
    log = workspace.artifacts_folder / name / "log"
    log.mkdir(parents=True)
    (log / "training.jsonl").write_text("\n".join(lines))


def test_runs_that_were_cut_off_are_there_without_their_half_line(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    lines = [json.dumps(row) for row in rows(3)[:3]]
    leave(workspace, "pretrain-aaa.partial", [*lines, '{"step": 4, "lo'])
    leave(workspace, "finetune-bbb.partial", lines[:1])
    leave(workspace, "pretrain-ccc.partial", [])
    store = [
        known("pretrain-aaa", "interrupted", "2026-01-01"),
        known("finetune-bbb", "failed", "2026-01-02"),
    ]
    found = {run.id: run for run in training_runs(workspace, store)}
    assert list(found) == ["finetune-bbb", "pretrain-aaa", "pretrain-ccc"]  # newest first
    assert found["pretrain-aaa"].status == "interrupted"
    assert found["finetune-bbb"].status == "failed"
    summary = found["pretrain-aaa"].summary()
    assert (summary["steps"], summary["tokens"], summary["seconds"]) == (3, 300, 6.0)
    assert summary["tokens_per_second"] == 50.0  # of the whole run
    assert summary["validation_loss"] is None
    assert found["pretrain-ccc"].summary()["loss"] is None


def test_names() -> None:
    runs = [made_up("pretrain-abc"), made_up("pretrain-abd"), made_up("other-1")]
    assert named("pretrain", runs) is runs[0]  # the newest of the stage
    assert named("pretrain-abd", runs) is runs[1]
    with pytest.raises(InputError, match="more than one"):
        named("pretrain-a", runs)
    with pytest.raises(InputError, match="did you mean 'other-1'"):
        named("othr-1", runs)


def test_only_settings_that_differ_are_compared() -> None:
    runs = [made_up("a", layers=2, seed=0), made_up("b", layers=3, seed=0, decay=0.1)]
    assert differences(runs) == {"layers": [2, 3], "decay": [None, 0.1]}


def test_what_a_model_wrote_is_only_text(tmp_path: Path) -> None:
    page = render_runs_page([made_up(EVIL), made_up("b")], EVIL)
    assert "<script>alert" not in page
    assert "default-src 'none'" in page


def test_long_runs_are_thinned_out() -> None:
    page = render_runs_page([made_up("a", 100_000), made_up("b", 100_000)], "long")
    assert len(page) < 3e6


def test_a_run_without_rows_has_no_curves() -> None:
    empty = TrainingRun("a", "pretrain", "running", "", {}, [], [])
    page = render_runs_page([empty], "empty")
    assert "<svg" not in page
    assert "running" in page


def test_what_alignment_measures_is_shown_where_a_run_has_it() -> None:
    plain, aligned = made_up("a"), made_up("align-b")
    assert "held-out accuracy" not in render_runs_page([plain], "plain")
    aligned.rows.append({"step": 5, "tokens": 500, "validation_accuracy": 0.625, "reward": 0.5})
    page = render_runs_page([plain, aligned], "both")
    assert "held-out accuracy" in page
    assert "62.5 %" in page
    assert (aligned.summary()["validation_accuracy"], plain.summary()["validation_accuracy"]) == (
        0.625,
        None,
    )


@pytest.mark.skipif(
    not (CHROMIUM.exists() and CHROMEDRIVER.exists()), reason="Chromium is not installed"
)
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    path = tmp_path / "runs.html"
    runs = [made_up("pretrain-one", 30, layers=2), made_up("pretrain-two", 30, 1.5, layers=3)]
    write_runs_page(path, runs, "two")
    with browser(tmp_path / "profile") as page:
        page.requested_addresses()
        page.open(path.as_uri())
        shown = "return [...document.querySelectorAll('.charts')].map(e => e.offsetHeight > 0)"
        assert page.run(shown) == [True, False, False]
        page.click("#by-time")
        assert page.run(shown) == [False, True, False]
        page.click("#by-FLOPs")
        assert page.run(shown) == [False, False, True]
        colours = page.run(
            "return [...document.querySelectorAll('.by-FLOPs figure:first-child polyline')]"
            ".map(line => getComputedStyle(line).stroke)"
        )
        assert isinstance(colours, list)
        assert len(set(colours)) == 2
        read = page.run(HOVER)
        assert isinstance(read, list)
        assert re.match(r"pretrain-two, .*: ", read[0])  # the upper line
        assert re.match(r"pretrain-one, .*: ", read[1])
        page.command(
            "Emulation.setDeviceMetricsOverride",
            {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": True},
        )
        wide = "return document.documentElement.scrollWidth <= window.innerWidth"
        assert page.run(wide) is True
        assert page.log("browser") == []
        addresses = page.requested_addresses()
    assert path.as_uri() in addresses
    assert not [one for one in addresses if one.startswith(("http", "ws"))]


HOVER = """
const svg = document.querySelector('.by-FLOPs figure svg');
const box = svg.getBoundingClientRect();
const read = (share) => {
  svg.dispatchEvent(new PointerEvent('pointermove', {
    clientX: box.left + 0.6 * box.width, clientY: box.top + share * box.height}));
  return svg.querySelector('text.cursor').textContent;
};
return [read(0.0), read(0.95)];
"""
