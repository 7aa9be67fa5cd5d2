"""What a host lets robots fetch: robots.txt by RFC 9309."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from protego import Protego

from modelwright.data.web.client import USER_AGENT_TOKEN, Client
from modelwright.data.web.network import FetchError
from modelwright.data.web.urls import Url, UrlError, parse_url

MAX_BYTES = 512 * 2**10
"""So much of robots.txt is read; RFC 9309 asks for at least 500 KiB."""

MAX_REDIRECTS = 5
PATH = "/robots.txt"

DISALLOWED = "robots.txt does not allow it"
UNREADABLE = "robots.txt could not be fetched"

_AGENT_LINE = re.compile(r"\s*user[-_ ]?agent\s*:\s*([^#]*)", re.IGNORECASE)
_TOKEN = re.compile(r"[a-z_-]*")


@dataclass(frozen=True)
class Robots:
    """The rules of one origin for us.

    Attributes
    ----------
    rules : Protego or None
        None if there are none.
    refusal : str
        Why nothing may be fetched at all, or "".
    """

    rules: Protego | None = None
    refusal: str = ""

    def refuses(self, url: Url) -> str:
        """The reason for which this page is not fetched, or ""."""
        if self.refusal or self.rules is None:
            return self.refusal
        return "" if self.rules.can_fetch(str(url), USER_AGENT_TOKEN) else DISALLOWED

    @property
    def delay(self) -> float:
        """Seconds to wait between two requests, as asked for; 0 if nothing is asked for."""
        delay = self.rules.crawl_delay(USER_AGENT_TOKEN) if self.rules else None
        return delay if delay is not None and math.isfinite(delay) and delay > 0 else 0.0


def read_robots(raw: bytes) -> Robots:
    """Read the text of a robots.txt."""
    text = raw[:MAX_BYTES].decode("utf-8-sig", errors="replace")
    return Robots(Protego.parse("\n".join(_ours(text.splitlines()))))


def fetch_robots(client: Client, url: Url) -> Robots:
    """Fetch the robots.txt of the origin of ``url``.

    RFC 9309, section 2.3.1: a status 4xx means that all is allowed; 5xx, no answer, or an address
    that is not reached means that nothing is. 429 counts as the latter: the host asks for less.
    Up to five redirects are followed, each checked as any request.
    """
    target = Url(url.scheme, url.host, url.port, PATH)
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = client.fetch(target, types=None, cut_at=MAX_BYTES)
            if response.status == 200:
                return read_robots(response.body)
            if not 300 <= response.status < 400:
                break
            target = parse_url(response.header("location"), target)
        except (FetchError, UrlError) as error:
            return Robots(refusal=f"{UNREADABLE}: {error}")
    if 400 <= response.status < 500 and response.status != 429:
        return Robots()
    return Robots(refusal=f"{UNREADABLE}: HTTP {response.status}")


def _ours(lines: Iterable[str]) -> Iterable[str]:
    """The lines with every user agent but ours and ``*`` replaced by one name.

    RFC 9309 matches the product token as a whole. One name for all others keeps the groups apart
    and the work linear: a parser that keeps rules for each of n agents needs n² for n rules.
    """
    for line in lines:
        agent = _AGENT_LINE.match(line)
        if agent is None:
            yield line
            continue
        name = agent[1].strip().lower()
        token = _TOKEN.match(name)
        if name != "*":
            ours = token is not None and token[0] == USER_AGENT_TOKEN
            name = USER_AGENT_TOKEN if ours else "another"
        yield f"User-agent: {name}"
