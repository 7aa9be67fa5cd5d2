"""Phone numbers: by international prefix, by the usual national form, or after a cue word.

``phonenumbers`` (Google's numbering plans) judges candidates only: its own search through a text
reads 6 MB a CPU-second.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import phonenumbers

from modelwright.data.personal_data.matching import Detector, Span, has_cue

# Where a number can be: runs of digits with what may part them. _PHONE is tried only around these.
_DIGITS = re.compile(r"[0-9](?:[ .()-]{0,3}[0-9]){6,}")
_BEFORE, _BEHIND = 4, 24  # characters around a run that _PHONE may look at

_EXTENSION = r"(?: ?(?:x|ext\.?|extension) ?[0-9]{1,6})?"
_PHONE = re.compile(
    r"(?<![\w+./#%$€£=-])(?<![0-9]:)(?:"
    r"(?P<international>(?:\+|00)[1-9](?:[ .-]?\(?[0-9]\)?){6,14})"
    r"|(?P<nanp>(?:1[ .-]?|001[ .-])?(?P<area>\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])"
    r"[2-9][0-9]{2}[ .-][0-9]{4})"
    r"|(?P<national>\(?0[0-9]{1,4}\)?(?:[ .-][0-9]{2,8}){1,4})"
    r"|(?P<cued>\(?[0-9](?:\)?[ .-]?\(?[0-9]){6,13})"
    rf"){_EXTENSION}(?![\w+%=])(?![.,/:-][0-9])"
)

# In front of the number, with no other digit between, or right behind it.
_STRONG = r"(?:tele)?phones?|tel|telefon|telefono|t[ée]l[ée]phone|mobile|cell|fax|desk|whatsapp"
_CUE = re.compile(rf"\b(?:{_STRONG})\b[^0-9{{}}<>=;]{{0,24}}\Z", re.IGNORECASE)
_WEAK_CUE = re.compile(
    r"\b(?:call(?:ing)?|dial|ring|reach|sms|text|messages?|answering)\b"
    r"[^0-9\n{}<>=;]{0,16}\Z",
    re.IGNORECASE,
)
_CUE_BEHIND = re.compile(rf"[ -]{{0,3}}(?:{_STRONG}|office|home)\b", re.IGNORECASE)

_OTHER_NUMBER = re.compile(
    r"(?:1[89]|20)[0-9]{2}[ ./-]?[01]?[0-9][ ./-]?[0-3]?[0-9]\b"
    r"|[0-3]?[0-9][ ./-][0-3]?[0-9][ ./-](?:1[89]|20)[0-9]{2}\b"
    r"|[0-9]{3}-[0-9]{2}-[0-9]{4}\b"  # a social security number, or one made invalid on purpose
)
_NOT_IN_USE = re.compile(r"55501[0-9]{2}\Z")  # 555-0100 to 555-0199: kept free for fiction
_DECIMAL = re.compile(r"\+[0-9]+\.[0-9]+")
_NATIONAL_DIGITS = range(9, 12)
_SHORTEST_UNBROKEN = 10
_LEAST_DIFFERENT = 3  # digits; 0000 0000 and 11 11 11 12 are stand-ins and counters
_GROUP_OF_ONE = re.compile(r"[0-9].*?(?<![0-9])[0-9](?![0-9])")
# Countries that write the trunk prefix 0; their plans are close enough to stand for the others.
_TRUNK_ZERO = ("GB", "FR", "DE", "IT", "NL", "BE", "CH", "AT", "SE", "FI", "AU", "NZ", "ZA", "IN",
               "JP", "TR", "UA", "RO", "HR", "RS", "SI", "SK", "IE", "IL", "BR")  # fmt: skip


def _phone_spans(text: str) -> Iterator[Span]:
    for run in _DIGITS.finditer(text):
        offset = max(0, run.start() - _BEFORE)
        for match in _PHONE.finditer(text[offset : run.end() + _BEHIND]):
            start = offset + match.start()
            if run.start() - 2 <= start < run.end():
                length = _length(match, text, start)
                if length:
                    yield start, start + length


def _length(match: re.Match[str], text: str, start: int) -> int:
    """How many characters of the match are a phone number."""
    if match["international"]:
        return _international_length(match)
    digits = _digits(match[0])
    if _NOT_IN_USE.search(digits) or len(set(digits)) < _LEAST_DIFFERENT:
        return 0
    national = match["national"] and len(digits) in _NATIONAL_DIGITS and _is_national(digits)
    if match["nanp"] or (
        not _OTHER_NUMBER.match(match[0])
        and (national or _is_cued(text, start, start + len(match[0])))
    ):
        return len(match[0])
    return 0


def _digits(number: str) -> str:
    """The digits without the extension."""
    return re.sub("[^0-9]", "", re.split("[ex]", number)[0])


def _international_length(match: re.Match[str]) -> int:
    """Length without groups of digits behind the number that are too many."""
    number, length = match["international"], len(match[0])
    if _DECIMAL.fullmatch(number):
        return 0
    unbroken = number.lstrip("+").isdecimal()
    if unbroken and (number[0] == "0" or len(number) <= _SHORTEST_UNBROKEN):
        return 0
    while number:
        if _is_international(number):
            return 0 if _NOT_IN_USE.search(_digits(number)) else length
        number = number.rpartition(max(" .-", key=number.rfind))[0]
        length = len(number)
    return 0


def _is_cued(text: str, start: int, end: int) -> bool:
    number = text[start:end]
    if _GROUP_OF_ONE.match(number):
        return False
    grouped = not number.isdecimal()
    return (
        has_cue(_CUE, text, start)
        or _CUE_BEHIND.match(text, end) is not None
        or (grouped and has_cue(_WEAK_CUE, text, start))
    )


def _is_international(number: str) -> bool:
    """Whether the length fits the country; made-up ranges count, as plans change every month."""
    plus = number if number.startswith("+") else "+" + number[2:]
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(plus))
    except phonenumbers.NumberParseException:
        return False


def _is_national(digits: str) -> bool:
    return _national_plans().fullmatch(digits) is not None


@functools.cache
def _national_plans() -> re.Pattern[str]:
    """Numbers as dialled within one of the countries with a trunk prefix of 0."""
    plans = (phonenumbers.PhoneMetadata.metadata_for_region(region) for region in _TRUNK_ZERO)
    patterns = [
        plan.general_desc.national_number_pattern or ""
        for plan in plans
        if plan is not None and plan.general_desc is not None
    ]
    return re.compile("0?(?:" + "|".join(f"(?:{pattern})" for pattern in patterns) + ")")


DETECTORS = (Detector("phone", r"[0-9](?:[ .()-]{0,3}[0-9]){6}", _phone_spans),)
