"""How many attempts to reach an address that is not global are refused, and at what cost.

    python benchmarks/data/ssrf.py

Every attempt crawls against real listeners on loopback; see ``tests/data/hostile/servers_ssrf.py``.
After them come the hostile servers of ``tests/data/hostile/servers.py``.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from pathlib import Path

HOSTILE = Path(__file__).resolve().parents[2] / "tests" / "data" / "hostile"
sys.path.insert(0, str(HOSTILE))

from servers import HOSTILE as SERVERS  # noqa: E402
from servers import QUICK, client_of, serving  # noqa: E402
from servers_ssrf import ATTEMPTS, IS_SUPPORTED, Attempt, attempt  # noqa: E402

from modelwright.data.web.network import FetchError  # noqa: E402
from modelwright.data.web.urls import parse_url  # noqa: E402


def main() -> None:
    if not IS_SUPPORTED:
        sys.exit("this needs 127.0.0.2, which only Linux has without setting it up")
    refused = sum(refused_with_reason(one) for one in ATTEMPTS)
    harmless = Attempt("none", "http://good.test:{port}/", [["127.0.0.2"]])
    if attempt(harmless)[0]:
        sys.exit("the harmless attempt was refused too: this measures nothing")
    contained = sum(is_contained(name) for name in SERVERS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"requests to addresses that are not global: {refused} of {len(ATTEMPTS)} refused")
    print(f"hostile servers: {contained} of {len(SERVERS)} contained; peak memory {peak:.0f} MiB")
    if refused < len(ATTEMPTS) or contained < len(SERVERS):
        sys.exit(1)


def refused_with_reason(one: Attempt) -> bool:
    refused, reasons = attempt(one)
    print(f"{'refused' if refused else 'REACHED'}  {one.name}: {reasons}")
    return refused


def is_contained(name: str) -> bool:
    """Whether a fetch from a hostile server ends within its limits, and for the right reason."""
    answer, expected = SERVERS[name]
    reason = "was read as a page"
    started = time.perf_counter()
    with serving(answer) as server:
        try:
            client_of(server).fetch(parse_url(f"http://site.test:{server.port}/"))
        except FetchError as error:
            reason = str(error)
    seconds = time.perf_counter() - started
    contained = bool(re.match(expected, reason)) and seconds < QUICK.seconds + 1
    print(f"{'contained' if contained else 'FAILED'}  {name}: {reason} ({seconds:.2f} s)")
    return contained


if __name__ == "__main__":
    main()
