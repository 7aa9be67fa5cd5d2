"""Passwords and keys of no fixed shape: in a URL, or assigned to a name that says what they are."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from modelwright.data.personal_data.matching import Detector, Span

_URL = re.compile(r"://([^\s/:@\"'<>`]{1,64}:([^\s/@\"'<>`]{1,128}))@[A-Za-z0-9\[]")

_NAME = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|credential"
    r"|(?:api|access|auth|account|private|secret|encryption|signing)[_-]?key)"
)
_ASSIGNED = re.compile(
    rf"{_NAME}[0-9]?[\"']?\]?\s{{0,3}}(?:=>|:=|=|:)\s{{0,3}}[bru]?([\"'])([^\"'\s\\]{{8,200}})\1",
    re.IGNORECASE | re.ASCII,
)
# NAME=value of shells and .env files, where nothing is quoted
_ENVIRONMENT = re.compile(
    r"(?<![A-Za-z0-9_])[A-Z0-9_]{0,40}(?:PASSWORD|PASSWD|SECRET|TOKEN|KEY)"
    r"=([A-Za-z0-9+/_!@#%^&*=-]{16,200})(?=\s|\Z)"
)
_STAND_IN = re.compile(
    r"x{4,}|\*{3,}|\.{3}|[<>{}]|\$[({A-Z]|%[(s]|example|change.?me|your|dummy|placeholder|insert"
    r"|redacted|12345678|abcdef|password|secret|test|sample|foo|bar\b",
    re.IGNORECASE,
)
_LEAST_BITS = 2.75  # a character; eight different characters have 3
_LEAST_BITS_UNQUOTED = 3.5


def _url_spans(text: str) -> Iterator[Span]:
    for match in _URL.finditer(text):
        user = match[1].partition(":")[0]
        if (
            match[2] != user
            and match[2].lower() not in {"pass", "pwd"}
            and not _stands_in(match[2])
        ):
            yield match.span(1)


def _assigned_spans(text: str) -> Iterator[Span]:
    for match in _ASSIGNED.finditer(text):
        if _is_random(match[2], _LEAST_BITS):
            yield match.span(2)
    for match in _ENVIRONMENT.finditer(text):
        if _is_random(match[1], _LEAST_BITS_UNQUOTED):
            yield match.span(1)


def _stands_in(value: str) -> bool:
    return _STAND_IN.search(value) is not None


def _is_random(value: str, least_bits: float) -> bool:
    """Whether it mixes letters and digits, with enough entropy, and stands for nothing else."""
    letters = any(character.isalpha() for character in value)
    digits = any(character.isdigit() for character in value)
    return letters and digits and not _stands_in(value) and entropy(value) >= least_bits


def entropy(value: str) -> float:
    """Shannon entropy of the characters of ``value`` in bits a character."""
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(share * math.log2(share) for share in shares)


DETECTORS = (
    Detector("url_password", r"://[^\s/:@]+:[^\s/@]+@", _url_spans),
    Detector(
        "assigned_secret",
        r"(?i:password|passwd|passphrase|pwd|secret|token|credential|key)[0-9]?[\"']?\]?"
        r"\s{0,3}(?:=>|:=|=|:)\s{0,3}[bru]?[\"'][^\"'\s]{8}"
        r"|(?:PASSWORD|PASSWD|SECRET|TOKEN|KEY)=[A-Za-z0-9+/_!@#%^&*=-]{16}",
        _assigned_spans,
    ),
)
