"""The same server on Ray Serve: several replicas, each with engines of its own, behind one address.

https://docs.ray.io/en/latest/serve/
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from modelwright.core.errors import ModelwrightError, UsageError
from modelwright.core.machine import available_cores
from modelwright.core.workspace import Workspace
from modelwright.data.feedback.table import open_feedback
from modelwright.monitoring.request_log import RequestTable
from modelwright.monitoring.request_recorder import RequestRecorder
from modelwright.serving.access_log import LineWriter
from modelwright.serving.app import create_app
from modelwright.serving.opening import ServeOptions, open_models
from modelwright.serving.server import check_keys, listen

LOGGER = logging.getLogger(__name__)

APPLICATION = "modelwright"
CONNECT_SECONDS = 5.0
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
    """

    def __init__(self, plan: Plan):
        options = plan.options
        self._stack = ExitStack()
        self._models = open_models(plan.folders, options, self._stack)
        self._app = create_app(
            self._models,
            keys=options.keys,
            feedback=_feedback(plan.workspace, self._stack),
            recorder=_recorder(plan.workspace, plan.share, self._stack),
            on_end=[LineWriter(options.log or "json", options.log_prompts)],
        )

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._app

    def check_health(self) -> None:
        """Ray asks now and then, and makes a new one where this raises."""
        if not self._models.are_running:
            raise RuntimeError("the engine has stopped")

    def __del__(self) -> None:
        # Ray calls it when the replica ends; the constructor may have failed before.
        if hasattr(self, "_stack"):
            self._stack.close()


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
        port = listener.getsockname()[1]
    cpus = _cpus(ray_options)
    plan = replace(plan, options=replace(plan.options, threads=cpus))
    answers, asked_to_end = threading.Event(), threading.Event()
    # In this order: Ray has a handler of its own for SIGTERM.
    with _cluster(ray_options) as ray_serve, _told_by_signals(answers, asked_to_end):
        ray_serve.start(
            proxy_location="HeadOnly",
            http_options={"host": host, "port": port},
            logging_config=LOGGING,
        )
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        print(f"starting {_number(ray_options.replicas)}", file=sys.stderr, flush=True)
        _run(ray_serve, plan, ray_options, cpus)
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        names = ", ".join([*plan.folders, *plan.options.adapters])
        replicas = _number(ray_options.replicas)
        print(f"{names}: {replicas} at {address} (chat page and API; Ctrl-C stops)", flush=True)
        answers.set()
        if plan.options.open_browser:
            webbrowser.open(address)
        if ready is not None:
            ready(address)
        asked_to_end.wait()
        print(f"waiting up to {plan.options.drain_seconds:g} s for requests", file=sys.stderr)
        ray_serve.delete(APPLICATION)


def _run(ray_serve: Any, plan: Plan, ray_options: RayOptions, cpus: int) -> None:
    """Returns when all replicas answer."""
    options = plan.options
    texts = (options.max_sequences + options.max_waiting) * len(plan.folders)
    deployment = ray_serve.deployment(ray_serve.ingress()(Replica)).options(
        name="Replica",
        num_replicas=ray_options.replicas,
        # Each refuses by itself what is too much, with the API's errors.
        max_ongoing_requests=2 * texts + 100,
        logging_config=LOGGING,
        graceful_shutdown_timeout_s=options.drain_seconds,
        ray_actor_options={"num_cpus": cpus, "num_gpus": ray_options.gpus},
    )
    try:
        ray_serve.run(deployment.bind(plan), name=APPLICATION, route_prefix="/")
    except RuntimeError as error:
        raise ModelwrightError(
            f"the replicas do not start: {' '.join(str(error).split())[:300]}",
            fix="look at what they said above; the same command without --on ray says more",
        ) from None


@contextmanager
def _cluster(ray_options: RayOptions) -> Iterator[Any]:
    """A connection to the cluster; gives Ray Serve. What was started here ends with it."""
    is_own = ray_options.address is None
    os.environ |= _environment(is_own)
    try:
        import ray
        from ray import serve as ray_serve
    except ImportError:
        raise UsageError(
            "Ray Serve is not installed", fix="pip install 'modelwright[ray]'"
        ) from None
    where: dict[str, Any] = {"address": ray_options.address}
    if is_own:
        where = {"address": "local", "num_cpus": available_cores(), "include_dashboard": False}
    try:
        _check_reachable(ray_options.address)
        ray.init(**where, logging_level=logging.ERROR, log_to_driver=True)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"there is no Ray cluster to be reached: {' '.join(str(error).split())[:200]}",
            where=ray_options.address,
            fix="give the address of one that runs with --ray-address, or leave it out",
        ) from None
    try:
        yield ray_serve
    finally:
        ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Raise OSError at once where nobody listens, for which Ray waits minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def _environment(is_own: bool) -> dict[str, str]:
    """What Ray reads when it is imported: nobody is told that it is used, and nobody else uses it.

    The processes of a cluster listen on all addresses of their machine.
    """
    found = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    if not sys.stderr.isatty():
        found["RAY_COLOR_PREFIX"] = "0"
    if is_own:
        found |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        # Of its own accord Ray lets all other programs go first, for minutes on a busy machine.
        found["RAY_worker_niceness"] = "0"
    return found


@contextmanager
def _told_by_signals(answers: threading.Event, asked_to_end: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM interrupt the start; once all answers, they ask for the end."""

    def handle(*_: Any) -> None:
        if not answers.is_set():
            raise KeyboardInterrupt
        asked_to_end.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def _feedback(workspace: Workspace | None, stack: ExitStack) -> Any:
    if workspace is None:
        return None
    try:
        table = open_feedback(workspace)
    except (ModelwrightError, OSError) as error:
        LOGGER.warning("no feedback will be kept: %s", error)
        return None
    stack.callback(table.close)
    return table


def _recorder(
    workspace: Workspace | None, share: float, stack: ExitStack
) -> RequestRecorder | None:
    if workspace is None or not share:
        return None
    table = RequestTable(workspace.store_url(), workspace.identity())
    return stack.enter_context(RequestRecorder(table, share))
