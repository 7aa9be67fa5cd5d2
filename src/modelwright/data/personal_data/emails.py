"""E-mail addresses, found from their ``@``, and the common ways to write them for people only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelwright.data.personal_data.matching import Detector, Span

_LABEL = r"[^\W_][\w-]{0,62}"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL}){{0,7}}\.[A-Za-z]{{2,24}}(?!-?[^\W_])"
_LOCAL = r"(?<![^\W_])[^\W_](?:[\w.%+'-]{0,62}[\w+-])?"

_AFTER_AT = re.compile(rf"@({_DOMAIN})")
_BEFORE_AT = re.compile(rf"{_LOCAL}\Z")
_LONGEST_LOCAL = 64  # RFC 5321, 4.5.3.1.1
# name (at) site.org, name [at] site [dot] org, <name at site.org>
_DOT = r"(?:\.| ?[(\[{] ?(?:dot|DOT) ?[)\]}] ?)"
_SPELT_OUT = re.compile(
    rf"(?<=<){_LOCAL} at ({_DOMAIN})(?=>)"
    rf"|{_LOCAL} ?(?:\((?:at|AT| at | AT )\)|\[(?:at|AT| at | AT )\]|\{{(?:at|AT| at | AT )\}}) ?"
    rf"({_LABEL}(?:{_DOT}{_LABEL}){{1,7}})(?!-?[^\W_])"
)

# RFC 2606 and RFC 6761: never anyone's.
_RESERVED = re.compile(
    r"(?:.*\.)?(?:example\.(?:com|org|net)|[^.]*\.(?:example|test|invalid|localhost|local))"
    r"|(?:example|test|invalid|localhost|local)\b.*",
    re.IGNORECASE,
)
_FILE_ENDINGS = {"png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "html", "json", "pdf"}
_SERVICE_ACCOUNTS = {"git", "hg", "svn"}  # git@host:path is an address of a repository


def _email_spans(text: str) -> Iterator[Span]:
    for match in _AFTER_AT.finditer(text):
        window = text[max(0, match.start() - _LONGEST_LOCAL - 1) : match.start()]
        local = _BEFORE_AT.search(window)
        if local and _is_someones(local[0], match[1]):
            yield match.start() - len(local[0]), match.end()


def _spelt_out_spans(text: str) -> Iterator[Span]:
    for match in _SPELT_OUT.finditer(text):
        if _is_someones("", match[1] or match[2]):
            yield match.span()


def _is_someones(local: str, domain: str) -> bool:
    ending = domain.rpartition(".")[2].lower()
    return (
        ending not in _FILE_ENDINGS
        and local not in _SERVICE_ACCOUNTS
        and not _RESERVED.fullmatch(domain)
    )


DETECTORS = (
    Detector("email", "@", _email_spans),
    # written out: as a set of literals the search is thirty times as fast
    Detector(
        "email",
        r"\(at\)|\[at\]|\{at\}|\( at \)|\[ at \]|\{ at \}"
        r"|\(AT\)|\[AT\]|\{AT\}|\( AT \)|\[ AT \]|\{ AT \}|<[^<>\s]{1,64} at ",
        _spelt_out_spans,
    ),
)
