"""Where a redirect leads, if it may be followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from modelwright.data.web.urls import Url, UrlError, parse_url

MAX_REDIRECTS = 5
STATUSES = (301, 302, 303, 307, 308)

TOO_MANY_REDIRECTS = "too many redirects"
UNSAFE = "redirect from https to http"


class Answer(Protocol):
    """A response, fetched or kept."""

    @property
    def status(self) -> int: ...

    def header(self, name: str) -> str: ...


@dataclass(frozen=True)
class Redirect:
    """Where an answer leads; nowhere if both are empty.

    Attributes
    ----------
    target : Url or None
    problem : str
        The reason for which it is not followed, or "".
    """

    target: Url | None = None
    problem: str = ""


def redirect_of(url: Url, answer: Answer) -> Redirect:
    """Read the redirect in an answer; every check of an address is made of its target too."""
    location = answer.header("location")
    if answer.status not in STATUSES or not location:
        return Redirect()
    try:
        target = parse_url(location, url)
    except UrlError as error:
        return Redirect(problem=f"redirect: {error}")
    if url.scheme == "https" and target.scheme == "http":
        return Redirect(problem=UNSAFE)
    return Redirect(target)
