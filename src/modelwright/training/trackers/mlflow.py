"""MLflow: the server that MLFLOW_TRACKING_URI names, or a SQLite file in the workspace."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelwright.core.errors import MissingExtraError
from modelwright.training.trackers.tracker import TrackedRun

DATABASE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"

BATCH = 100
"""Parameters that one request may hold (``MlflowClient.log_batch``)."""

LONGEST_VALUE = 500
"""Characters of a parameter that every version stores."""


class MLflowTracker:
    """Writes metrics through MLflow's client, without its global active run."""

    def __init__(self, run: TrackedRun, run_id: str | None):
        # Its library sends usage data unless it is told not to.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow.entities import Metric
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise MissingExtraError("mlflow", "mlflow") from None
        self._metric = Metric
        address = os.environ.get("MLFLOW_TRACKING_URI")
        self._client = MlflowClient(address or _local(run.shared))
        if run_id is None:
            artifacts = None if address else (run.shared / ARTIFACTS).absolute().as_uri()
            run_id = _new_run(self._client, run, artifacts)
        else:
            self._client.update_run(run_id, status="RUNNING")
        self.run_id = run_id

    def write(self, step: int, values: Mapping[str, float]) -> None:
        now = round(1000 * time.time())
        metrics = [self._metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self.run_id, metrics=metrics)

    def close(self, is_complete: bool) -> None:
        self._client.set_terminated(self.run_id, "FINISHED" if is_complete else "KILLED")


def _local(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(folder / DATABASE).absolute().as_posix()}"


def _new_run(client: Any, run: TrackedRun, artifacts: str | None) -> str:
    from mlflow.entities import Param

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.project
    experiment = client.get_experiment_by_name(name)
    experiment_id = (
        experiment.experiment_id if experiment else client.create_experiment(name, artifacts)
    )
    run_id = str(client.create_run(experiment_id, run_name=run.name).info.run_id)
    parameters = [
        Param(key, str(value)[:LONGEST_VALUE])
        for key, value in run.settings.items()
        if value is not None
    ]
    for start in range(0, len(parameters), BATCH):
        client.log_batch(run_id, params=parameters[start : start + BATCH])
    return run_id
