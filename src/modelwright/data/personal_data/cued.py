"""Values that only the words in front of them make personal: documents and dates of birth."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelwright.data.personal_data.matching import Detector, Span, shape_spans

_IS = r"(?:[ \"']{0,2}(?:number|num|nr|no)\b\.?)?[ \"']{0,2}(?:is\b|:|#|=)?[ \"']{0,3}"
_PASSPORT = re.compile(rf"\bpassport{_IS}([A-Z]{{0,2}}[0-9]{{6,9}})(?![\w-])", re.I | re.ASCII)
_DRIVER = re.compile(
    rf"\b(?:driver'?s?'?|driving)[ ]licen[cs]e{_IS}([A-Z]{{0,2}}[0-9][0-9-]{{4,15}}[0-9])(?![\w-])",
    re.I | re.ASCII,
)

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_YEAR = r"(?:1[89]|20)[0-9]{2}"
_NUMERIC_DATE = (
    rf"(?:[0-3]?[0-9][./-][0-3]?[0-9][./-]{_YEAR}|{_YEAR}[./-][01]?[0-9][./-][0-3]?[0-9])(?![\w-])"
)
_WRITTEN_DATE = (
    rf"(?:{_MONTH} [0-3]?[0-9](?:st|nd|rd|th)?,? {_YEAR}"
    rf"|[0-3]?[0-9](?:st|nd|rd|th)? (?:of )?{_MONTH},? {_YEAR})(?![\w-])"
)
# "born" with a month in words is how encyclopaedias write of public persons: left alone.
_BIRTH = re.compile(
    rf"\b(?:date of birth|birth ?date|birthday|DOB|D\.O\.B\.)[^0-9\n]{{0,16}}?"
    rf"({_NUMERIC_DATE}|{_WRITTEN_DATE})"
    rf"|\bborn(?: on)? ({_NUMERIC_DATE})",
    re.I | re.ASCII,
)


def _birth_spans(text: str) -> Iterator[Span]:
    for match in _BIRTH.finditer(text):
        yield match.span(1 if match[1] else 2)


DETECTORS = (
    Detector("passport", r"(?i)passport[^\n]{0,16}[0-9]{6}", shape_spans(_PASSPORT, group=1)),
    Detector(
        "driver_licence",
        r"(?i)(?:driver|driving)[^\n]{1,4}licen[cs]e[^\n]{0,20}[0-9]",
        shape_spans(_DRIVER, group=1),
    ),
    Detector("date_of_birth", r"(?i)(?:birth|DOB|D\.O\.B\.|born)[^\n]{0,28}[0-9]", _birth_spans),
)
