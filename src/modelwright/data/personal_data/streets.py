"""Street addresses as they are written in the United States, and post office boxes.

A number, one to four capitalised words and a kind of street; a unit, and town, state and code
behind it are taken along. Other countries' addresses have no shape of their own and are left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelwright.data.personal_data.matching import Detector, Span, has_cue

_STATE = (
    r"(?:A[AEKLPRZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]"
    r"|P[AR]|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY])"
)
_ZIP = r"[0-9]{5}(?:-[0-9]{4})?(?![\w-])"
_STREET = (
    r"(?:Street|Avenue|Boulevard|Road|Lane|Drive|Court|Place|Square|Terrace|Circle|Parkway|Highway"
    r"|Trail|Alley|Crescent|St|Ave|Blvd|Rd|Ln|Dr|Ct|Pl|Sq|Ter|Cir|Pkwy|Hwy)"
)
_DIRECTION = r"(?: (?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\b\.?)?"
_YEAR_CUE = re.compile(r"\b(?:the|in|of|since|by|from|until) \Z", re.IGNORECASE)
_YEAR = re.compile(r"(?:1[5-9]|20)[0-9]{2} ")
_UNIT = r"(?:,?\s{1,4}(?:Apt\.?|Apartment|Suite|Ste\.?|Unit|Floor|Room|#) ?#?[0-9]{0,5}[A-Z]?\b)"
_TOWN = rf"(?:,?\s{{1,4}}(?:[A-Z][a-z'.-]{{1,20}} ?){{1,3}},?\s{{1,4}}{_STATE}\s{{1,4}}{_ZIP})"
_WORD = (
    r"(?!(?:The|A|An|And|Of|In|On|At|To|For|With|From|By|Dr|Mr|Mrs|Ms|No)\b)"
    r"(?:[A-Z][\w'’-]{0,24}\.?|[0-9]{1,3}(?:st|nd|rd|th))"
)
_ADDRESS = re.compile(
    rf"(?<![\w.,:/$£€#-])[0-9]{{1,6}}[A-Z]?,? (?:{_WORD} ){{1,4}}?{_STREET}\b\.?"
    rf"{_DIRECTION}{_UNIT}{{0,2}}{_TOWN}?"
    rf"|\bP\. ?O\. ?Box [0-9]{{1,6}}\b{_TOWN}?|\bPO Box [0-9]{{1,6}}\b{_TOWN}?"
    rf"|\b(?:PSC|CMR|Unit) [0-9]{{1,5}},? Box [0-9]{{1,6}}\s{{1,4}}[AFD]PO A[AEP] {_ZIP}"
    rf"|\bUS[NC][SG][SC]? [A-Z][a-z]{{1,20}}\s{{1,4}}FPO A[AEP] {_ZIP}"
)


def _street_spans(text: str) -> Iterator[Span]:
    for match in _ADDRESS.finditer(text):
        if _YEAR.match(match[0]) and has_cue(_YEAR_CUE, text, match.start()):
            continue
        yield match.start(), match.start() + len(match[0].rstrip(" ."))


DETECTORS = (
    Detector(
        "street_address",
        rf"[0-9][A-Z]?,? [A-Z0-9][^\n]{{0,110}}? {_STREET}"
        r"|P\.? ?O\.? ?Box|[AFD]PO A[AEP]",
        _street_spans,
    ),
)
