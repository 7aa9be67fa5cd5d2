from __future__ import annotations

import pytest

from modelwright.data.web.client import Response
from modelwright.data.web.redirects import Redirect, redirect_of
from modelwright.data.web.urls import parse_url


@pytest.mark.parametrize(
    ("start", "status", "location", "expected"),
    [
        ("http://a.test/x/y", 301, "z", "http://a.test/x/z"),
        ("http://a.test/", 302, "https://a.test/", "https://a.test/"),
        ("https://a.test/", 308, "//b.test/", "https://b.test/"),
        ("https://a.test/", 302, "http://a.test/", "redirect from https to http"),
        ("http://a.test/", 302, "ftp://a.test/", "redirect: address that is not http or https"),
        ("http://a.test/", 303, "http://u:p@a.test/", "redirect: credentials in the address"),
        ("http://a.test/", 304, "/x", ""),
        ("http://a.test/", 200, "/x", ""),
        ("http://a.test/", 302, "", ""),
    ],
)
def test_where_a_redirect_leads(start: str, status: int, location: str, expected: str) -> None:
    headers = (("Location", location),) if location else ()
    led = redirect_of(parse_url(start), Response(parse_url(start), status, "", headers, b""))
    assert (str(led.target) if led.target else led.problem) == expected
    assert led == Redirect() or bool(led.target) != bool(led.problem)
