"""The real packages, where they are installed: what was written is read back."""

import importlib.util
import json
import os
import struct
from pathlib import Path

import pytest

from modelwright.core.errors import ModelwrightError
from modelwright.training.trackers.open_trackers import open_tracker
from modelwright.training.trackers.tracker import TrackedRun

SETTINGS: dict[str, object] = {"learning_rate": 0.01, "optimizer": "muon", "layers": None}
LOSSES = {step: 5.0 / step for step in range(1, 8)}


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the user had set up no tracker."""
    for name in os.environ:
        if name.startswith(("MLFLOW_", "WANDB_", "TRACKIO_")):
            monkeypatch.delenv(name)


def tracked_run(folder: Path, step: int = 0) -> TrackedRun:
    for name in ("log", "scratch", "shared"):
        (folder / name).mkdir(exist_ok=True)
    return TrackedRun(
        "pretrain-1a2b",
        "novels",
        SETTINGS,
        folder / "log",
        folder / "scratch",
        folder / "shared",
        step,
    )


def write_interrupted_run(name: str, folder: Path) -> list[str]:
    """Steps 1-5, cut off; on from a checkpoint of step 3: steps 4-7. Returns what was noted."""
    notes = list[str]()
    for begin, end in ((0, 5), (3, 7)):
        tracker = open_tracker(name, tracked_run(folder, begin), notes.append)
        for step in range(begin + 1, end + 1):
            tracker.write(step, {"loss": LOSSES[step], "tokens": 10.0 * step})
        tracker.write(end, {"validation_loss": 2.0 * end})
        tracker.close(is_complete=end == 7)
    return notes


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert write_interrupted_run("tensorboard", tmp_path) == []
    events = EventAccumulator(str(tmp_path / "log" / "tensorboard"))
    events.Reload()
    rows = [(event.step, event.value) for event in events.Scalars("loss")]
    assert rows == [(step, pytest.approx(loss)) for step, loss in LOSSES.items()]
    assert [event.step for event in events.Scalars("validation_loss")] == [7]
    (text,) = events.Tensors("settings/text_summary")
    assert b'"optimizer": "muon"' in text.tensor_proto.string_val[0]


def test_mlflow(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("alembic", reason="mlflow-skinny stores nothing on this machine")
    from mlflow.tracking import MlflowClient

    assert write_interrupted_run("mlflow", tmp_path) == []
    client = MlflowClient(f"sqlite:///{tmp_path / 'shared' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("novels").experiment_id])
    history = client.get_metric_history(run.info.run_id, "loss")
    assert {metric.step: metric.value for metric in history} == LOSSES
    assert len(history) == len(LOSSES)
    assert run.info.run_name == "pretrain-1a2b"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"learning_rate": "0.01", "optimizer": "muon"}


def test_mlflow_takes_the_server_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ModelwrightError, match="mlflow cannot be opened"):
        open_tracker("mlflow", tracked_run(tmp_path), print)


def test_wandb(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    assert write_interrupted_run("wandb", tmp_path) == []
    files = sorted((tmp_path / "shared" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert len({file.name for file in files}) == 1  # one run in two parts
    rows = [row for file in files for row in _wandb_rows(file)]
    assert [row for row in rows if "loss" in row] == [
        {"_step": step, "loss": loss, "tokens": 10.0 * step}
        | ({"validation_loss": 2.0 * step} if step in (5, 7) else {})
        for step, loss in LOSSES.items()
    ]


def _wandb_rows(path: Path) -> list[dict[str, float]]:
    """Rows of an offline run: LevelDB's log format behind 7 bytes (one block is enough here)."""
    from wandb.proto import wandb_internal_pb2

    rows, data, place = [], path.read_bytes(), 7
    while place < len(data):
        length, kind = struct.unpack_from("<HB", data, place + 4)
        assert kind == 1, "a whole record"
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data[place + 7 : place + 7 + length])
        place += 7 + length
        if record.WhichOneof("record_type") == "history":
            values = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            rows.append({k: v for k, v in values.items() if k[0] != "_" or k == "_step"})
    return rows


def test_trackio(tmp_path: Path) -> None:
    # Not imported here: it reads its folder from the environment when it is.
    if importlib.util.find_spec("trackio") is None:
        pytest.skip("trackio is not installed")
    assert write_interrupted_run("trackio", tmp_path) == []
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs("novels", "pretrain-1a2b")
    assert {row["step"]: row["loss"] for row in rows if "loss" in row} == LOSSES
    assert len([row for row in rows if "loss" in row]) == len(LOSSES)
    assert (tmp_path / "shared" / "trackio").is_dir()
