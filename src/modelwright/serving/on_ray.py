"""The same server on Ray Serve: several replicas, each with engines of its own, behind one address.

https://docs.ray.io/en/latest/serve/
"""

from __future__ import annotations

import logging
import math
import re
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from modelwright.core.errors import ModelwrightError, UsageError
from modelwright.core.machine import available_cores
from modelwright.serving.api.served_models import check_names
from modelwright.serving.opening import ServeOptions
from modelwright.serving.ray_cluster import Interrupts, cluster
from modelwright.serving.ray_replica import (
    ANSWER_SECONDS,
    APPLICATION,
    DEPLOYMENT,
    Replica,
    ReplicaPlan,
    number_of,
    open_databases,
)
from modelwright.serving.server import address_of, check_host, check_keys, listen

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


def serve_on_ray(
    plan: ReplicaPlan,
    host: str,
    port: int,
    ray_options: RayOptions,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve with several replicas until Ctrl-C or SIGTERM.

    Parameters
    ----------
    plan : ReplicaPlan
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
        If Ray is not installed, there are too few cores or GPUs, the cluster is not there or serves
        something else at this address, or as :func:`server.serve`.
    ModelwrightError
        If the replicas do not start.
    """
    check_keys(plan.options.keys)
    check_names([*plan.folders, *plan.options.adapters], plan.options.aliases)
    host = host.removeprefix("[").removesuffix("]")
    is_own = ray_options.address is None
    port, address = (_own_address if is_own else _cluster_address)(host, port, plan.options)
    with ExitStack() as stack:
        open_databases(plan, stack)  # each replica opens its own; what fails here would fail there
    cpus = _cpus(ray_options)
    plan = replace(plan, options=replace(plan.options, threads=cpus))
    interrupts, replicas = Interrupts(), number_of(ray_options.replicas)
    with interrupts.caught():
        print("starting Ray", file=sys.stderr, flush=True)
        with cluster(ray_options.address) as ray_serve:
            interrupts.catch()
            _check_room(ray_options, cpus)
            _start_proxy(ray_serve, host, port)
            print(f"starting {replicas}", file=sys.stderr, flush=True)
            is_drained = False
            try:
                _start_replicas(ray_serve, plan, ray_options, cpus)
                names = ", ".join([*plan.folders, *plan.options.adapters])
                place = address if is_own else f"{address} of the cluster's head node"
                print(
                    f"{names}: {replicas} at {place} (chat page and API; Ctrl-C stops)", flush=True
                )
                interrupts.start_is_over()
                if plan.options.open_browser:
                    webbrowser.open(address)
                if ready is not None:
                    ready(address)
                while not interrupts.count:
                    time.sleep(POLL_SECONDS)
                _drain(ray_serve, interrupts, plan.options.drain_seconds)
                is_drained = True
            finally:
                if is_drained or not is_own:  # one of our own takes with it what a start has left
                    _delete(ray_serve, interrupts)


def _own_address(host: str, port: int, options: ServeOptions) -> tuple[int, str]:
    """Port, free at the moment, and address on this machine."""
    with listen(host, port, has_keys=options.keys is not None) as listener:
        return listener.getsockname()[1], address_of(listener)


def _cluster_address(host: str, port: int, options: ServeOptions) -> tuple[int, str]:
    """Port and address on the machine where a cluster listens, which may be another."""
    check_host(host, has_keys=options.keys is not None)
    if port == 0:
        raise UsageError("--port 0 does not go with --ray-address", fix="name the port")
    return port, f"http://{_joined(host, port)}"


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _drain(ray_serve: Any, interrupts: Interrupts, seconds: float) -> None:
    """Until all that was begun is answered, its time is over, or a second signal comes."""
    print(f"waiting up to {seconds:g} s for requests; again ends at once", file=sys.stderr)
    until = time.monotonic() + seconds
    while interrupts.count < 2:
        answers = _answers(ray_serve, "drain")
        if (answers and all(answers)) or time.monotonic() > until:
            break
        time.sleep(POLL_SECONDS)
    _answers(ray_serve, "stop")


def _answers(ray_serve: Any, method: str) -> list[Any]:
    """Of all replicas, an error for one that has died; empty where one neither answers nor has."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    try:
        handle = ray_serve.get_deployment_handle(DEPLOYMENT, APPLICATION)
        answers = handle.broadcast(method)
        return list(answers.results(timeout_s=ANSWER_SECONDS, return_exceptions=True))
    except (TimeoutError, RayServeException):
        return []
    except RayError as error:  # the cluster has ended Ray Serve
        return [error]


def _delete(ray_serve: Any, interrupts: Interrupts) -> None:
    """Take the replicas from the cluster; a second signal does not wait until they are gone."""
    from ray.exceptions import RayError

    with suppress(RayError):  # the cluster has ended Ray Serve
        ray_serve.delete(APPLICATION, _blocking=False)
        # Asked at least once: what comes to Ray Serve behind the other is answered behind it.
        while APPLICATION in ray_serve.status().applications and interrupts.count < 2:
            time.sleep(POLL_SECONDS)


def _check_room(ray_options: RayOptions, cpus: int) -> None:
    """Raise UsageError where a cluster has no room for all replicas: Ray would wait for it."""
    import ray

    gpus = ray_options.gpus
    fit = 0
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"]:
            has = node["Resources"]
            of_gpus = math.floor(has.get("GPU", 0) / gpus + 1e-6) if gpus else math.inf
            fit += int(min(has.get("CPU", 0) // cpus, of_gpus))
    if fit < ray_options.replicas:
        each = f"cores: {cpus}, GPUs: {gpus:g}"
        raise UsageError(
            f"the cluster has room for {fit} of {number_of(ray_options.replicas)} (each {each})",
            fix="start fewer --replicas, or with less --replica-cpus or --replica-gpus",
        )


def _start_proxy(ray_serve: Any, host: str, port: int) -> None:
    """Have Ray Serve listen, where it does not yet; raise UsageError where it serves another."""
    from ray.exceptions import RayError
    from ray.serve import context

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
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
    client: Any = context._get_global_client()
    _check_serve(client.http_config, client.get_serve_details(), host, port)


def _check_serve(http: Any, details: Mapping[str, Any], host: str, port: int) -> None:
    """Raise UsageError where a Ray Serve that was there listens elsewhere or has another server."""
    if details["proxy_location"] == "Disabled":
        raise UsageError(
            "the cluster's Ray Serve does not listen for requests",
            fix="end it there with 'serve shutdown'",
        )
    if (http.host, http.port) != (host, port):
        raise UsageError(
            f"the cluster's Ray Serve listens at {_joined(http.host, http.port)} already, not at "
            f"{_joined(host, port)}",
            fix=f"use --host {http.host} --port {http.port}, or end it there with 'serve shutdown'",
        )
    for name, application in details["applications"].items():
        if name == APPLICATION or application["route_prefix"] == "/":
            raise UsageError(
                f"the cluster serves the application '{name}' at this address",
                fix="end that one first, or use another cluster",
            )


def _start_replicas(ray_serve: Any, plan: ReplicaPlan, ray_options: RayOptions, cpus: int) -> None:
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
        graceful_shutdown_wait_loop_s=POLL_SECONDS,
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
    """Cores of each replica; raises UsageError where this cannot be."""
    if ray_options.gpus > 1 and ray_options.gpus % 1:
        raise UsageError(
            f"{ray_options.gpus:g} GPUs are neither a part of one nor whole ones",
            fix="give --replica-gpus such as 0.5, 1 or 2",
        )
    cores = available_cores()
    cpus = ray_options.cpus or max(1, cores // ray_options.replicas)
    if ray_options.address is None and cpus * ray_options.replicas > cores:
        raise UsageError(
            f"{number_of(ray_options.replicas)} of {cpus} cores each want more than this machine's "
            f"{cores}",
            fix="start fewer --replicas, or with fewer --replica-cpus",
        )
    return cpus
