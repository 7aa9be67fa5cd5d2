"""Account, card and social security numbers and Bitcoin addresses: shape, then checksum."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelwright.data.personal_data.checksums import (
    IBAN_LENGTHS,
    base58check,
    bech32,
    iban,
    luhn,
)
from modelwright.data.personal_data.matching import Detector, Span, has_cue, shape_spans

_CARD = re.compile(
    r"[0-9](?<![\w-].)(?<![0-9][.,].)[0-9]{3}"
    r"(?:([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?|([ -])[0-9]{6}\2[0-9]{4,5}|[0-9]{8,15})"
    r"(?![\w-])(?![.,][0-9])"
)
_CARD_CUE = re.compile(
    r"\b(?:cards?|cc|credit|debit|visa|mastercard|maestro|amex|payment)\b", re.IGNORECASE
)
# Prefixes and lengths by issuer (ISO/IEC 7812 ranges as the networks publish them).
_ISSUED_CARD = re.compile(
    r"4(?:[0-9]{15}|[0-9]{18})"  # Visa
    r"|5[1-5][0-9]{14}"  # Mastercard
    r"|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}"  # Diners Club
    r"|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}"  # JCB
    r"|(?:2131|1800)[0-9]{11}"
    r"|62[0-9]{14,17}"  # UnionPay
)
# Short or rare: one number in ten would pass the check, so a word for "card" must stand in front.
_CUED_CARD = re.compile(r"4[0-9]{12}|(?:50|5[6-8]|6[0-9])[0-9]{10,17}")

# The two digits behind the country.
_IBAN_START = re.compile(
    r"[0-9](?<=(?<![A-Za-z0-9])[A-Za-z]{2}.)[0-9](?=[A-Za-z0-9]{11}| [A-Za-z0-9]{4} )"
)

_ISSUED_AREA = r"[0-8](?<![\w.-].)(?<!0(?=00))(?<!6(?=66))[0-9]{2}"
_SSN = re.compile(rf"{_ISSUED_AREA}-(?!00)[0-9]{{2}}-(?!0000)[0-9]{{4}}(?![\w-])(?!\.[0-9])")
_CUED_SSN = re.compile(rf"{_ISSUED_AREA} ?(?!00)[0-9]{{2}} ?(?!0000)[0-9]{{4}}(?![\w-])(?!\.[0-9])")
_SSN_CUE = re.compile(r"\b(?:ssn|social[ -]security)\b", re.IGNORECASE)
_SSN_NEVER_ISSUED = {"078051120", "219099999"}  # printed in advertisements, so withdrawn

_BITCOIN = re.compile(
    r"[13bB](?<![A-Za-z0-9].)(?:[1-9A-HJ-NP-Za-km-z]{25,34}|c1[02-9ac-hj-np-z]{11,87}"
    r"|C1[02-9AC-HJ-NP-Z]{11,87})(?![A-Za-z0-9])"
)


def _card_spans(text: str) -> Iterator[Span]:
    for match in _CARD.finditer(text):
        digits = match[0].replace(" ", "").replace("-", "")
        issued = _ISSUED_CARD.fullmatch(digits) or (
            _CUED_CARD.fullmatch(digits) and has_cue(_CARD_CUE, text, match.start())
        )
        if issued and luhn(digits):
            yield match.span()


def _iban_spans(text: str) -> Iterator[Span]:
    for match in _IBAN_START.finditer(text):
        start = match.start() - 2  # the country
        end = _end_after(text, start, IBAN_LENGTHS.get(text[start : start + 2].upper(), 0))
        compact = text[start:end].replace(" ", "")
        if iban(compact) and not _mixed_case(compact):
            yield start, end


def _end_after(text: str, start: int, length: int) -> int:
    """Where ``length`` ASCII letters and digits in groups of four end; ``start`` if they do not."""
    place, seen = start, 0
    while seen < length and place < len(text):
        character = text[place]
        if character.isascii() and character.isalnum():
            seen += 1
        elif character != " " or seen % 4 or text[place - 1] == " ":
            return start
        place += 1
    ends = place == len(text) or not text[place].isalnum()
    return place if seen == length and ends else start


def _mixed_case(text: str) -> bool:
    return text.upper() != text and text.lower() != text


def _ssn_spans(text: str) -> Iterator[Span]:
    for match in _SSN.finditer(text):
        if match[0].replace("-", "") not in _SSN_NEVER_ISSUED:
            yield match.span()


def _cued_ssn_spans(text: str) -> Iterator[Span]:
    for match in _CUED_SSN.finditer(text):
        if has_cue(_SSN_CUE, text, match.start()):
            yield match.span()


def _is_bitcoin(address: str) -> bool:
    return bech32(address) if address[:2].lower() == "bc" else base58check(address)


# Gates start at a digit, which Rust's search finds fast; at a letter it would read every character.
_IBAN_GATE = r"[0-9]{2}[A-Za-z0-9]{11}|[0-9]{2} [A-Za-z0-9]{4} [A-Za-z0-9]{4} [A-Za-z0-9]{3}"
_BITCOIN_GATE = r"[13][1-9A-HJ-NP-Za-km-z]{25}|bc1[02-9ac-hj-np-z]{11}|BC1[02-9AC-HJ-NP-Z]{11}"

DETECTORS = (
    Detector("iban", _IBAN_GATE, _iban_spans),
    Detector("credit_card", r"[0-9]{4}[ -]?[0-9]{4}[0-9 -]*[0-9]{4}", _card_spans),
    Detector("us_ssn", r"[0-9]{3}-[0-9]{2}-[0-9]{4}", _ssn_spans),
    Detector("us_ssn", r"(?i:ssn|social.security)", _cued_ssn_spans),
    Detector(
        "bitcoin_address", _BITCOIN_GATE,
        shape_spans(_BITCOIN, _is_bitcoin),
    ),
)  # fmt: skip
