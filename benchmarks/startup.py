"""Cost of starting the command line, and of installing it.

python benchmarks/startup.py

Prints CPU-seconds (median of 5) and modules of ``modelwright --help``, of a bare interpreter
beside it, and the packages and megabytes in this environment with and without torch.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution, requires
from pathlib import Path

from packaging.requirements import Requirement

RUNS = 5


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one run of Python with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def modules(arguments: list[str]) -> int:
    """Number of modules that a run imports."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    return result.stderr.count("import time:") - 1


def needed(name: str, seen: dict[str, float]) -> None:
    """Add the megabytes of a package, and of all it needs, to ``seen``."""
    key = name.lower().replace("_", "-")
    if key in seen:
        return
    files = distribution(name).files or []
    seen[key] = (
        sum(path.stat().st_size for file in files if (path := Path(file.locate())).is_file()) / 1e6
    )
    for text in requires(name) or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed(requirement.name, seen)


def main() -> None:
    """Measure and print."""
    print(f"Python {sys.version.split()[0]} on {sysconfig.get_platform()}")
    for label, arguments in (
        ("python -c pass", ["-c", "pass"]),
        ("modelwright --help", ["-m", "modelwright", "--help"]),
        ("modelwright run --help", ["-m", "modelwright", "run", "--help"]),
    ):
        times = [cpu_seconds(arguments) for _ in range(RUNS)]
        print(
            f"{label:<24} {statistics.median(times):6.3f} CPU-s "
            f"({min(times):.3f} to {max(times):.3f}), {modules(arguments)} modules"
        )
    torch, everything = dict[str, float](), dict[str, float]()
    needed("torch", torch)
    needed("modelwright", everything)
    rest = {name: size for name, size in everything.items() if name not in torch}
    rest.pop("modelwright")
    print(f"torch and what it needs: {len(torch)} packages, {sum(torch.values()):.0f} MB")
    print(f"besides: {len(rest)} packages, {sum(rest.values()):.0f} MB")
    for name, size in sorted(rest.items(), key=lambda item: -item[1])[:8]:
        print(f"  {name:<20} {size:6.1f} MB")


if __name__ == "__main__":
    main()
