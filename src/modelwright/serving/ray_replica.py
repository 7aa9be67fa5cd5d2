"""One of several servers on Ray Serve, in a process of its own, and what it knows of the others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from prometheus_client.core import Metric
from starlette.types import ASGIApp

from modelwright.core.errors import ModelwrightError
from modelwright.core.workspace import Workspace
from modelwright.data.feedback.table import FeedbackTable, open_feedback
from modelwright.monitoring.request_recorder import RequestRecorder, open_recorder
from modelwright.serving.access.drain import Drain
from modelwright.serving.access_log import LineWriter
from modelwright.serving.app import create_app
from modelwright.serving.metrics import ServerMetrics, of_replicas
from modelwright.serving.opening import ServeOptions, open_models

APPLICATION = "modelwright"
DEPLOYMENT = "Replica"
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class ReplicaPlan:
    """What a replica opens, wherever it runs; it is sent there.

    Attributes
    ----------
    folders : mapping of str to Path
        Models' folders by the names that clients call them; each machine has to have them.
    options : ServeOptions
        Without recorder and feedback, which cannot be sent.
    workspace : Workspace or None
        Whose database keeps feedback and requests.
    share : float
        Of requests and answers that are kept.
    """

    folders: Mapping[str, Path]
    options: ServeOptions
    workspace: Workspace | None = None
    share: float = 0.0


class Replica:
    """Answers as ``modelwright serve`` does; Ray makes it, in a process of its own.

    Parameters
    ----------
    plan : ReplicaPlan
        What it serves.
    replicas : int
        How many there are to be.
    """

    def __init__(self, plan: ReplicaPlan, replicas: int):
        self._stack = ExitStack()
        try:
            self._open(plan, replicas)
        except ModelwrightError as error:
            print(f"the replica does not start: {error}", file=sys.stderr)
            raise

    def _open(self, plan: ReplicaPlan, replicas: int) -> None:
        from ray import serve as ray_serve

        options = plan.options
        self._models = open_models(plan.folders, options, self._stack)
        feedback, recorder = open_databases(plan, self._stack)
        self._metrics = ServerMetrics(self._models.engines, recorder)
        self._drain = Drain(options.drain_seconds)
        self._name = ray_serve.get_replica_context().replica_tag
        self._app = create_app(
            self._models,
            keys=options.keys,
            feedback=feedback,
            drain=self._drain,
            recorder=recorder,
            on_end=[LineWriter(options.log or "json", options.log_prompts)],
            metrics=self._metrics,
            replicas=_AllReplicas(ray_serve, replicas),
        )

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._app

    async def state(self) -> ReplicaState:
        """How it is; every replica asks all of them."""
        return ReplicaState(self._name, self._models.are_running, self._metrics.collected())

    async def drain(self) -> bool:
        """Begin nothing new from now on; whether all that was begun is over, or its time."""
        if not self._drain.has_begun:
            self._drain.begin()
        return self._drain.is_over

    async def stop(self) -> None:
        """Give up what still runs."""
        for engine in self._models.engines.values():
            engine.stop()

    def check_health(self) -> None:
        """Ray asks now and then, and makes a new one where this raises."""
        if not self._models.are_running:
            raise RuntimeError("the engine has stopped")

    def __del__(self) -> None:
        # Ray calls it when the replica ends, also when it has failed to start.
        self._stack.close()


@dataclass(frozen=True)
class ReplicaState:
    """What a replica tells the others.

    Attributes
    ----------
    name : str
        Of the replica; one that takes its place has another.
    is_running : bool
        Whether its engines run.
    collected : list of Metric
        What it has counted.
    """

    name: str
    is_running: bool
    collected: list[Metric]


class _AllReplicas:
    """What ``/ready`` and ``/metrics`` of a replica say of all of them."""

    def __init__(self, ray_serve: Any, wanted: int):
        self._handle = ray_serve.get_deployment_handle(DEPLOYMENT, APPLICATION)
        self._wanted = wanted

    async def missing(self) -> str | None:
        try:
            running = sum(state.is_running for state in await self._states())
        except TimeoutError as error:
            return str(error)
        return None if running >= self._wanted else f"{running} of {number_of(self._wanted)} answer"

    async def collected(self) -> list[Metric]:
        try:
            states = await self._states()
        except TimeoutError as error:
            raise HTTPException(503, str(error)) from None
        return of_replicas({state.name: state.collected for state in states})

    async def _states(self) -> list[ReplicaState]:
        """Of all but those that have died; TimeoutError where one neither answers nor has died."""
        from ray.serve.exceptions import RayServeException

        try:
            answers = await self._handle.broadcast("state").results_async(
                timeout_s=ANSWER_SECONDS, return_exceptions=True
            )
        except (TimeoutError, RayServeException):
            message = f"not all replicas answer within {ANSWER_SECONDS:g} s"
            raise TimeoutError(message) from None
        return [answer for answer in answers if isinstance(answer, ReplicaState)]


def open_databases(
    plan: ReplicaPlan, stack: ExitStack
) -> tuple[FeedbackTable | None, RequestRecorder | None]:
    """Feedback and log of requests, where there is a workspace; closed with the stack."""
    if plan.workspace is None:
        return None, None
    feedback = open_feedback(plan.workspace)
    stack.callback(feedback.close)
    if not plan.share:
        return feedback, None
    return feedback, stack.enter_context(open_recorder(plan.workspace, plan.share))


def number_of(replicas: int) -> str:
    """As it is said."""
    return "1 replica" if replicas == 1 else f"{replicas} replicas"
