"""The same server on Ray Serve: several replicas, each with engines of its own, behind one address.

https://docs.ray.io/en/latest/serve/
"""

from __future__ import annotations

import logging
import re
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from prometheus_client.core import Metric
from starlette.types import ASGIApp

from modelwright.core.errors import ModelwrightError, UsageError
from modelwright.core.machine import available_cores
from modelwright.core.workspace import Workspace
from modelwright.data.feedback.table import FeedbackTable, open_feedback
from modelwright.monitoring.request_log import RequestTable
from modelwright.monitoring.request_recorder import RequestRecorder
from modelwright.serving.access_log import LineWriter
from modelwright.serving.app import create_app
from modelwright.serving.metrics import ServerMetrics, of_replicas
from modelwright.serving.opening import ServeOptions, open_models
from modelwright.serving.ray_cluster import Interrupts, cluster
from modelwright.serving.server import address_of, check_keys, listen

APPLICATION = "modelwright"
DEPLOYMENT = "Replica"
ANSWER_SECONDS = 5.0
HEALTH_SECONDS = 2.0
POLL_SECONDS = 0.1
OUR_ERROR = re.compile(r"^modelwright\.core\.errors\.\w+: (.*)", re.DOTALL | re.MULTILINE)
"""At the end of a traceback."""
LOGGING = {"log_level": "WARNING", "enable_access_log": False}


@dataclass(frozen=True)
class RayOptions:
    """How many replicas there are, and what each of them takes.

    Attributes
    ----------
    replicas : int
        How many.
    address : str or None
        Of the cluster; None for one on this machine that ends with the server.
    cpus : int or None
        Cores, and threads, of each; None for its share of this machine's.
    gpus : float
        Of each.
    """

    replicas: int = 1
    address: str | None = None
    cpus: int | None = None
    gpus: float = 0.0


@dataclass(frozen=True)
class Plan:
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
    plan : Plan
        What it serves.
    replicas : int
        How many there are to be.
    """

    def __init__(self, plan: Plan, replicas: int):
        self._stack = ExitStack()
        try:
            self._open(plan, replicas)
        except ModelwrightError as error:
            print(f"the replica does not start: {error}", file=sys.stderr)
            raise

    def _open(self, plan: Plan, replicas: int) -> None:
        from ray import serve as ray_serve

        options = plan.options
        self._models = open_models(plan.folders, options, self._stack)
        feedback, recorder = _databases(plan, self._stack)
        self._metrics = ServerMetrics(self._models.engines, recorder)
        self._name = ray_serve.get_replica_context().replica_tag
        self._app = create_app(
            self._models,
            keys=options.keys,
            feedback=feedback,
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
        return None if running >= self._wanted else f"{running} of {_number(self._wanted)} answer"

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


def serve_on_ray(
    plan: Plan,
    host: str,
    port: int,
    ray_options: RayOptions,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve with several replicas until Ctrl-C or SIGTERM.

    Parameters
    ----------
    plan : Plan
        What each serves.
    host, port : str, int
        Where all are reached; port 0 takes any free one.
    ray_options : RayOptions
        How many, and where.
    ready : callable, optional
        Called with the address once all replicas answer.

    Raises
    ------
    UsageError
        If Ray is not installed, the machine has too few cores, the cluster is not there, or as
        :func:`server.serve`.
    ModelwrightError
        If the replicas do not start.
    """
    check_keys(plan.options.keys)
    with listen(host, port, has_keys=plan.options.keys is not None) as listener:
        port, address = listener.getsockname()[1], address_of(listener)
    with ExitStack() as stack:
        _databases(plan, stack)  # each replica opens its own; what fails here would fail there
    cpus = _cpus(ray_options)
    plan = replace(plan, options=replace(plan.options, threads=cpus))
    interrupts, replicas = Interrupts(), _number(ray_options.replicas)
    with interrupts.caught():
        print("starting Ray", file=sys.stderr, flush=True)
        with cluster(ray_options.address) as ray_serve:
            interrupts.catch()
            _start_proxy(ray_serve, host, port)
            print(f"starting {replicas}", file=sys.stderr, flush=True)
            _start_replicas(ray_serve, plan, ray_options, cpus)
            names = ", ".join([*plan.folders, *plan.options.adapters])
            print(f"{names}: {replicas} at {address} (chat page and API; Ctrl-C stops)", flush=True)
            interrupts.start_is_over()
            if plan.options.open_browser:
                webbrowser.open(address)
            if ready is not None:
                ready(address)
            while not interrupts.count:
                time.sleep(POLL_SECONDS)
            seconds = plan.options.drain_seconds
            print(f"waiting up to {seconds:g} s for requests; again ends at once", file=sys.stderr)
            ray_serve.delete(APPLICATION, _blocking=False)
            while interrupts.count < 2 and APPLICATION in ray_serve.status().applications:
                time.sleep(POLL_SECONDS)


def _start_proxy(ray_serve: Any, host: str, port: int) -> None:
    """Have Ray Serve listen, where it does not yet."""
    from ray.exceptions import RayError

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        ray_serve.start(
            proxy_location="HeadOnly",
            http_options={"host": host, "port": port},
            # Less would write a traceback for each replica that does not start.
            logging_config=LOGGING | {"log_level": "CRITICAL"},
        )
    except (RuntimeError, TimeoutError, RayError) as error:
        last = str(error).strip().splitlines()[-1]
        if "Failed to bind" in last:
            raise UsageError(
                f"another program took port {port} meanwhile",
                where=f"{host}:{port}",
                fix="run the same command again, or use another --port",
            ) from None
        raise ModelwrightError(f"Ray Serve does not start: {last}") from None


def _start_replicas(ray_serve: Any, plan: Plan, ray_options: RayOptions, cpus: int) -> None:
    """Returns when all answer."""
    options = plan.options
    texts = (options.max_sequences + options.max_waiting) * len(plan.folders)
    deployment = ray_serve.deployment(ray_serve.ingress()(Replica)).options(
        name=DEPLOYMENT,
        num_replicas=ray_options.replicas,
        # Each refuses by itself what is too much, with the API's errors.
        max_ongoing_requests=2 * texts + 100,
        max_constructor_retry_count=1,
        health_check_period_s=HEALTH_SECONDS,
        logging_config=LOGGING,
        graceful_shutdown_timeout_s=options.drain_seconds,
        ray_actor_options={"num_cpus": cpus, "num_gpus": ray_options.gpus},
    )
    application = deployment.bind(plan, ray_options.replicas)
    try:
        ray_serve.run(application, name=APPLICATION, route_prefix="/")
    except RuntimeError as error:
        ours = OUR_ERROR.search(_said_of_replicas(ray_serve))
        why = ours[1].strip() if ours else str(error).strip().splitlines()[-1]
        raise ModelwrightError(f"a replica does not start: {why}") from None


def _said_of_replicas(ray_serve: Any) -> str:
    application = ray_serve.status().applications.get(APPLICATION)
    deployments = application.deployments.values() if application else ()
    return "\n".join(deployment.message for deployment in deployments)


def _cpus(ray_options: RayOptions) -> int:
    """Cores of each replica; raises UsageError where a cluster on this machine has too few."""
    cores = available_cores()
    cpus = ray_options.cpus or max(1, cores // ray_options.replicas)
    if ray_options.address is None and cpus * ray_options.replicas > cores:
        raise UsageError(
            f"{_number(ray_options.replicas)} of {cpus} cores each want more than this machine's "
            f"{cores}",
            fix="start fewer --replicas, or with fewer --replica-cpus",
        )
    return cpus


def _number(replicas: int) -> str:
    return "1 replica" if replicas == 1 else f"{replicas} replicas"


def _databases(plan: Plan, stack: ExitStack) -> tuple[FeedbackTable | None, RequestRecorder | None]:
    """Feedback and log of requests, where there is a workspace; closed with the stack."""
    if plan.workspace is None:
        return None, None
    feedback = open_feedback(plan.workspace)
    stack.callback(feedback.close)
    if not plan.share:
        return feedback, None
    table = RequestTable(plan.workspace.store_url(), plan.workspace.identity())
    return feedback, stack.enter_context(RequestRecorder(table, plan.share))
