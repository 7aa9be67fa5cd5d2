"""Fuzzed requests by Schemathesis from our own OpenAPI, and all routes without a key.

python benchmarks/serving/fuzz.py [--requests 10000] [--schemathesis PATH]

Needs Schemathesis 4, best in an environment of its own. Serves a small model of random weights and
lets Schemathesis send requests until there were so many, which is read from the server's log;
prints how often each status was answered, by route. Of seven bodies in eight, what no schema can
say is put right (``fuzz_hooks.py``), so that many get past the first checks. Then asks every route
of a server that has keys without one. Exit code 1 if an answer was 5xx, did not fit its schema, or
came without a key.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import httpx2
from random_server import make_model, serving

from modelwright.serving.access.authentication import OPEN
from modelwright.serving.access.keys import KeyFile

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,"
CHECKS += "response_schema_conformance"
EXAMPLES = 150


def main() -> int:
    """Fuzz, sweep, print; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--schemathesis", type=program, default="schemathesis")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder), context=128)
        failed = fuzz(model, Path(folder) / "log.jsonl", given.schemathesis, given.requests)
        open_routes = sweep(model, Path(folder) / "keys.json")
    print(f"routes that answer without a key: {', '.join(sorted(open_routes))}")
    return int(failed or open_routes != set(OPEN))


def program(name: str) -> str:
    """Its whole path, as it is run in another folder."""
    found = shutil.which(name)
    if found is None:
        raise argparse.ArgumentTypeError(f"there is no program '{name}'")
    return str(Path(found).absolute())


def fuzz(model: Path, log: Path, schemathesis: str, wanted: int) -> bool:
    """Send so many requests; whether an answer was wrong."""
    failed, seed = False, 0
    with serving(model, "--log", "json", "--deadline", "20", log=log) as server:
        before = -1
        while before < len(statuses(log)) < wanted:
            seed, before = seed + 1, len(statuses(log))
            # The first two do the same with every seed.
            phases = "fuzzing" if seed > 1 else "examples,coverage,fuzzing"
            run = subprocess.run(
                [
                    *(schemathesis, "run", f"{server.address}/openapi.json", "--checks", CHECKS),
                    *("--phases", phases, "--max-examples", str(EXAMPLES)),
                    *("--seed", str(seed), "--continue-on-failure", "--warnings", "off"),
                    *("--request-timeout", "60", "--suppress-health-check", "all"),
                ],
                capture_output=True,
                text=True,
                check=False,
                cwd=log.parent,  # where it keeps a folder of its own
                env={
                    **os.environ,
                    "SCHEMATHESIS_HOOKS": "fuzz_hooks",
                    "PYTHONPATH": str(Path(__file__).parent),
                },
            )
            if run.returncode not in (0, 1):
                raise SystemExit(run.stdout + run.stderr)
            failed |= run.returncode == 1
            print(f"seed {seed}: {len(statuses(log))} requests", file=sys.stderr)
            if run.returncode == 1:
                print(run.stdout)
    found = Counter(statuses(log))
    print("| route | status | answers |\n| --- | --- | --- |")
    for (route, status), number in sorted(found.items()):
        print(f"| {route} | {status} | {number} |")
    errors = sum(number for (_, status), number in found.items() if status >= 500)
    print(f"\n{found.total()} requests, {errors} answered with 5xx")
    if found.total() < wanted:
        print(f"only {found.total()} of {wanted} requests: Schemathesis sends no more")
    return failed or errors > 0 or found.total() < wanted


def statuses(log: Path) -> list[tuple[str, int]]:
    """Route and status of each line of the log; paths that are no route are counted together."""
    known = []
    for line in log.read_text(encoding="utf-8").split("\n"):
        if line.startswith("{"):
            row = json.loads(line)
            route = row["route"] if row["status"] != 404 or row["model"] else "(none)"
            known.append((route, row["status"]))
    return known


def sweep(model: Path, path: Path) -> set[str]:
    """The routes that answer something else than 401 without a key."""
    keys = KeyFile(path)
    secret = keys.create("me")
    found = set[str]()
    with serving(model, "--log", "off", "--keys", str(path)) as server:
        headers = {"Authorization": f"Bearer {secret}"}
        document = httpx2.get(f"{server.address}/openapi.json", headers=headers).json()
        routes = [(m, path) for path, methods in document["paths"].items() for m in methods]
        for method, route in [*routes, ("get", "/openapi.json"), ("get", "/docs")]:
            url = server.address + route.replace("{name}", "random")
            if httpx2.request(method, url).status_code != 401:
                found.add(route)
    return found


if __name__ == "__main__":
    sys.exit(main())
