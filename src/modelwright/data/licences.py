"""Licences as SPDX expressions: how they are read, and which of them a policy lets through."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import pairwise
from typing import Any

from license_expression import (
    ExpressionError,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)

from modelwright.core.artifact import UNKNOWN_LICENCE
from modelwright.data.licence_texts import licence_in_tag

PUBLIC_DOMAIN = "LicenseRef-public-domain"
"""SPDX has no identifier for works whose term has run out, or that never were protected."""

FROM_ROW = "row"
FROM_TAG = "SPDX tag"
FROM_FILE = "LICENSE file"
FROM_SETTINGS = "settings"

DENIED = "licence denied by the policy"
NOT_ALLOWED = "licence not among the allowed"
UNKNOWN = "licence unknown"

SHARE_ALIKE = (
    *("CC-BY-SA-*", "CC-BY-NC-SA-*", "ODbL-*", "GFDL-*"),
    *("GPL-*", "LGPL-*", "AGPL-*", "SSPL-*", "OSL-*", "EUPL-*", "CECILL-1*", "CECILL-2*"),
    *("MPL-*", "EPL-*", "CDDL-*", "CPL-*", "MS-RL"),
)
"""Licences that ask for the same licence on what is derived, strongly or by file."""

MAX_STATEMENT = 500
_NO_STATEMENT = frozenset({"", "unknown", "none", "n/a", "na", "other", "null", "noassertion", "?"})
_PHRASES: Mapping[str, str] = {
    "public-domain": PUBLIC_DOMAIN,
    "publicdomain": PUBLIC_DOMAIN,
    "pd": PUBLIC_DOMAIN,
    "cc0": "CC0-1.0",
    "bsd": "BSD-3-Clause",
    "new-bsd": "BSD-3-Clause",
    "3-clause-bsd": "BSD-3-Clause",
    "simplified-bsd": "BSD-2-Clause",
    "2-clause-bsd": "BSD-2-Clause",
    "apache": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "expat": "MIT",
    "psf": "PSF-2.0",
    "python-software-foundation": "PSF-2.0",
    "mozilla-2.0": "MPL-2.0",
    "eclipse-2.0": "EPL-2.0",
    "boost-software-1.0": "BSL-1.0",
}
_LATER = re.compile(r"(\s+|-|,\s*)or(\s+|-)(any(\s+|-))?(later|newer)((\s+|-)versions?)?", re.I)
_OPERATOR = re.compile(r"(\(|\)|\s+(?:and|or|with)\s+|\s*/\s*)", re.I)
_GNU = re.compile(
    r"(?:gnu-)?(?:(a|l)?gpl|(lesser-|affero-)?general)-?v?(\d)(?:\.(\d))?(?:\.\d)?(\+?)"
)
_CC_NAME = re.compile(r"creative-commons-(attribution.*)")
_CC_URL = re.compile(
    r"creativecommons\.org/(?:licen[cs]es|publicdomain)/([a-z+-]+)(?:/(\d\.\d))?(?:/([a-z]{2,4}))?"
)
_OTHER_URLS = (
    re.compile(r"(?:opensource|spdx)\.org/licenses?/([\w.+-]+?)(?:\.html|\.php|\.json)?/?$"),
    re.compile(r"gnu\.org/(?:licenses|copyleft)/((?:old-licenses/)?[al]?gpl-[\d.]+?)(?:\.\D.*)?$"),
    re.compile(r"(apache)\.org/licenses/license-2\.0"),
    re.compile(r"(unlicense)\.org"),
)


@dataclass(frozen=True)
class LicencePolicy:
    """Which licences are let through.

    Patterns are compared with SPDX identifiers, in any case; ``*`` stands for anything, so that
    ``CC-BY-*`` covers ``CC-BY-SA-4.0`` and ``CC-BY-NC-4.0`` too.

    Attributes
    ----------
    allow : tuple of str
        If not empty, only these.
    deny : tuple of str
        Never these; wins over ``allow``.
    strict : bool
        Refuse what is unknown: no licence, or one that SPDX does not list and ``allow`` does not
        name.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    strict: bool = False

    def judge(self, licence: str) -> str | None:
        """Why documents under a licence are left out, or None if they may stay.

        Of ``A OR B`` one is enough; of ``A AND B`` both are needed.
        """
        return _judge(_parsed(normalise(licence)), self._judge_one)

    def _judge_one(self, names: tuple[str, ...]) -> str | None:
        if _matches(names, self.deny):
            return DENIED
        if _matches(names, self.allow):
            return None
        if not _is_listed(names[-1]):
            return UNKNOWN if self.strict else None
        return NOT_ALLOWED if self.allow else None


def is_share_alike(licence: str) -> bool:
    """Whether a licence asks for the same licence on what is derived from the work.

    ``A OR B`` does only if both do, as one may choose the other.
    """

    def freely(names: tuple[str, ...]) -> str | None:
        return "share-alike" if _matches(names, SHARE_ALIKE) else None

    return _judge(_parsed(normalise(licence)), freely) is not None


def find_licence(
    *, stated: str = "", stated_by: str = FROM_ROW, text: str = "", folder: str = "", default: str
) -> tuple[str, str]:
    """The licence of a document: what it states itself, else its folder's, else the user's.

    Parameters
    ----------
    stated : str
        What a field or the page itself says, or "".
    stated_by : str
        What that is, for the answer.
    text : str
        The document, whose head is searched for an SPDX tag.
    folder : str
        SPDX expression of the nearest licence file, or "".
    default : str
        What the settings name for documents that state none.

    Returns
    -------
    licence : str
        SPDX expression; ``LicenseRef-unknown`` if nobody says anything.
    found : str
        "row", "SPDX tag", "LICENSE file", "settings", or what ``stated_by`` says; "" if unknown.
    """
    statements = (
        (stated, stated_by),
        (licence_in_tag(text), FROM_TAG),
        (folder, FROM_FILE),
        (default, FROM_SETTINGS),
    )
    for statement, found in statements:
        licence = normalise(statement)
        if licence != UNKNOWN_LICENCE:
            return licence, found
    return UNKNOWN_LICENCE, ""


@lru_cache(maxsize=4096)
def normalise(statement: str) -> str:
    """Read what somebody wrote as a licence: an expression, a common name, or an address.

    Returns
    -------
    str
        An SPDX expression. What SPDX does not know becomes ``LicenseRef-`` and the statement
        itself; what says nothing ("", "unknown", "other") becomes ``LicenseRef-unknown``.

    Examples
    --------
    >>> normalise("cc by-sa 4.0"), normalise("MIT/Apache-2.0"), normalise("GPL v2 or later")
    ('CC-BY-SA-4.0', 'MIT OR Apache-2.0', 'GPL-2.0-or-later')
    """
    is_long = len(statement) > MAX_STATEMENT
    statement = " ".join(statement[:MAX_STATEMENT].split()).strip(" .;,\"'")
    if statement.lower() in _NO_STATEMENT:
        return UNKNOWN_LICENCE
    if is_long:
        return _reference(statement)
    if "://" in statement or statement.startswith("www."):
        return licence_of_url(statement) or _reference(statement)
    return _expression(_LATER.sub("+", statement)) or _reference(statement)


def licence_of_url(url: str) -> str:
    """The SPDX identifier of a licence that has a well-known address, or ""."""
    url = url.lower()
    if match := _CC_URL.search(url):
        kind, version, place = match.groups()
        if kind in ("zero", "mark", "publicdomain"):
            return "CC0-1.0" if kind == "zero" else PUBLIC_DOMAIN
        name = f"CC-{kind}-{version or '4.0'}"
        return _known(f"{name}-{place}") or _known(name)
    for pattern in _OTHER_URLS:
        if match := pattern.search(url):
            return _known(match[1].removeprefix("old-licenses/"))
    return ""


_BROKEN = {("(", after) for after in ("AND", "OR", "WITH", ")")}


def _expression(statement: str) -> str:
    """A statement as an SPDX expression, or "" if it names something that SPDX does not list."""
    if whole := _known(statement):
        return whole
    parts = []
    for part in _OPERATOR.split(statement):
        operator = part.strip().upper()
        if operator in ("AND", "OR", "WITH", "(", ")"):
            parts.append(operator)
        elif not operator:
            continue
        elif operator == "/":
            parts.append("OR")
        elif name := _known(part):
            parts.append(name)
        else:
            return ""
    # The library does not refuse these, it breaks: "(" before anything but a name or "(".
    if any(pair in _BROKEN for pair in pairwise(parts)):
        return ""
    try:
        expression = _licensing().parse(" ".join(parts))
    except ExpressionError:
        return ""
    return str(expression) if expression is not None else ""


def _known(name: str) -> str:
    """The identifier that a name stands for, or ""."""
    key = re.sub(r"[\s_,-]+", "-", name.strip().lower()).strip("-")
    if key.startswith("licenseref-"):
        return name.strip() if re.fullmatch(r"[\w.+-]+", name.strip(), re.ASCII) else ""
    short = re.sub(r"\b(the|(public-)?licen[cs]e|version)\b", "", key)
    short = re.sub(r"-+", "-", short).strip("-")
    for candidate in (key, short):
        if found := _PHRASES.get(candidate) or _identifiers().get(candidate):
            return found
    if match := _GNU.fullmatch(short):
        letter, word, major, minor, later = match.groups()
        name = f"{letter or (word or '')[:1]}gpl-{major}.{minor or '0'}{later}"
        return _identifiers().get(name, "")
    if match := _CC_NAME.fullmatch(short):
        return _creative_commons(match[1])
    return ""


def _creative_commons(name: str) -> str:
    """The identifier of "attribution-share-alike-4.0-international" and the like, or ""."""
    for words, letters in (
        ("attribution", "by"),
        ("non-?commercial", "nc"),
        ("share-?alike", "sa"),
        ("no-?deriv(ative)?s", "nd"),
        ("-(international|unported|generic)", ""),
    ):
        name = re.sub(words, letters, name)
    return _identifiers().get(f"cc-{name}", "")


def _reference(statement: str) -> str:
    name = re.sub(r"[^A-Za-z0-9.]+", "-", statement).strip("-.")
    return f"LicenseRef-{name}" if name else UNKNOWN_LICENCE


@lru_cache(maxsize=1)
def _licensing() -> Licensing:
    return get_spdx_licensing()


@lru_cache(maxsize=1)
def _identifiers() -> dict[str, str]:
    """SPDX identifier by every name of it in lower case."""
    names: dict[str, str] = {}
    for identifier, symbol in _licensing().known_symbols.items():
        for name in (identifier, *symbol.aliases):
            names.setdefault(name.lower(), identifier)
    return names


@lru_cache(maxsize=4096)
def _parsed(licence: str) -> Any:
    return _licensing().parse(licence)


def _judge(expression: Any, judge_one: Callable[[tuple[str, ...]], str | None]) -> str | None:
    """Combine the judgements of single licences: None for what passes, else the reason."""
    licensing = _licensing()
    if isinstance(expression, (licensing.AND, licensing.OR)):
        reasons = [_judge(part, judge_one) for part in expression.args]
        if isinstance(expression, licensing.OR) and None in reasons:
            return None
        return next((reason for reason in reasons if reason is not None), None)
    if isinstance(expression, LicenseWithExceptionSymbol):
        return judge_one((str(expression), expression.license_symbol.key))
    return judge_one((expression.key,))


def _matches(names: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.lower(), wanted.lower()) for name in names for wanted in patterns)


def _is_listed(identifier: str) -> bool:
    return identifier == PUBLIC_DOMAIN or identifier.lower() in _identifiers()
