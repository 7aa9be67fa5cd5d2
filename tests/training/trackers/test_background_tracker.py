"""A tracker in its thread: order, going on after an interruption, failure, silence."""

import json
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelwright.core.errors import MissingExtraError, ModelwrightError, UsageError
from modelwright.training.trackers import background
from modelwright.training.trackers.background import BackgroundTracker
from modelwright.training.trackers.open_trackers import TRACKERS, open_tracker, open_trackers
from modelwright.training.trackers.tracker import TrackedRun


class ListTracker:
    """Keeps rows; fails at a step if asked to."""

    def __init__(self, run_id: str = "run-1", fails_at: int | None = None):
        self.run_id, self.fails_at = run_id, fails_at
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.closed: bool | None = None
        self.threads = set[str]()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.threads.add(threading.current_thread().name)
        if step == self.fails_at:
            raise ConnectionError("the server is gone")
        self.rows.append((step, dict(values)))

    def close(self, is_complete: bool) -> None:
        self.closed = is_complete


def opened(tracker: ListTracker, folder: Path, notes: list[str]) -> BackgroundTracker:
    return BackgroundTracker("list", lambda run_id: tracker, folder, notes.append)


def tracked_run(folder: Path, step: int = 0) -> TrackedRun:
    for name in ("log", "scratch"):
        (folder / name).mkdir(exist_ok=True)
    settings = {"learning_rate": 0.01, "optimizer": "muon", "layers": None}
    return TrackedRun(
        "pretrain-1", "novels", settings, folder / "log", folder / "scratch", folder / "s", step
    )


def test_rows_arrive_in_order_and_from_one_thread(tmp_path: Path) -> None:
    inner, notes = ListTracker(), list[str]()
    tracker = opened(inner, tmp_path, notes)
    for step in range(1, 101):
        tracker.write(step, {"loss": 1 / step})
    tracker.write(100, {"validation_loss": 2.0})
    tracker.close(True)
    expected: list[tuple[int, dict[str, float]]] = [(n, {"loss": 1 / n}) for n in range(1, 101)]
    assert inner.rows == [*expected, (100, {"validation_loss": 2.0})]
    assert len(inner.threads) == 1
    assert threading.current_thread().name not in inner.threads
    assert inner.closed is True
    assert notes == []


def test_a_run_that_goes_on_writes_no_step_twice(tmp_path: Path) -> None:
    first = ListTracker("abc")
    tracker = opened(first, tmp_path, [])
    for step in (1, 2, 3):
        tracker.write(step, {"loss": 1.0})
    tracker.close(False)
    asked = list[str | None]()
    second = ListTracker("abc")

    def open_again(run_id: str | None) -> ListTracker:
        asked.append(run_id)
        return second

    tracker = BackgroundTracker("list", open_again, tmp_path, print)
    for step in (2, 3, 4, 5):  # the checkpoint was of step 1
        tracker.write(step, {"loss": 1.0})
    tracker.close(True)
    assert asked == ["abc"]
    assert [step for step, _ in first.rows + second.rows] == [1, 2, 3, 4, 5]
    assert (first.closed, second.closed) == (False, True)


def test_a_tracker_that_fails_is_noted_once_and_dropped(tmp_path: Path) -> None:
    inner, notes = ListTracker(fails_at=3), list[str]()
    tracker = opened(inner, tmp_path, notes)
    for step in range(1, 50):
        tracker.write(step, {"loss": 1.0})
    tracker.close(True)
    assert [step for step, _ in inner.rows] == [1, 2]
    assert len(notes) == 1
    assert "ConnectionError: the server is gone" in notes[0]
    bookmark = json.loads((tmp_path / "tracker-list.json").read_text())
    assert bookmark == {"run_id": "run-1", "step": 2}


def test_a_tracker_that_hangs_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "CLOSE_SECONDS", 0.05)
    answer = threading.Event()

    class Hanging(ListTracker):
        def write(self, step: int, values: Mapping[str, float]) -> None:
            answer.wait(10)

    notes = list[str]()
    tracker = opened(Hanging(), tmp_path, notes)
    for step in range(1, 6):
        tracker.write(step, {"loss": 1.0})
    tracker.close(True)
    answer.set()
    assert notes == ["  list does not answer: 5 rows may be missing there"]


def test_what_fails_at_opening_ends_before_training(tmp_path: Path) -> None:
    def refuse(run_id: str | None) -> ListTracker:
        raise ConnectionError("no such host")

    def lack(run_id: str | None) -> ListTracker:
        raise MissingExtraError("wandb", "wandb")

    with pytest.raises(ModelwrightError, match="no such host"):
        BackgroundTracker("list", refuse, tmp_path, print)
    with pytest.raises(MissingExtraError, match="wandb"):
        BackgroundTracker("list", lack, tmp_path, print)


def test_an_unknown_tracker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tracker"):
        open_tracker("tensorbored", tracked_run(tmp_path), print)


@pytest.mark.parametrize("name", ["mlflow", "wandb", "trackio", "tensorboard"])
def test_a_missing_package_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow.entities"}
    monkeypatch.setitem(sys.modules, missing.get(name, name), None)
    with pytest.raises(MissingExtraError, match=f"package '{name}'"):
        open_tracker(name, tracked_run(tmp_path), print)


def test_several_get_every_row_and_all_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"one": ListTracker(), "two": ListTracker(fails_at=1)}
    monkeypatch.setitem(TRACKERS, "one", lambda run, run_id: made["one"])
    monkeypatch.setitem(TRACKERS, "two", lambda run, run_id: made["two"])
    notes = list[str]()

    def train() -> None:
        with open_trackers(["one", "two"], tracked_run(tmp_path), notes.append) as write:
            write(1, {"loss": 1.0})
            write(2, {"loss": 0.5})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert [step for step, _ in made["one"].rows] == [1, 2]
    assert made["one"].closed is False
    assert made["two"].rows == []
    assert len(notes) == 1
