"""Recognising licences in files: SPDX tags, and the characteristic sentences of licence texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

HEAD_CHARACTERS = 4096
"""Where an SPDX tag is looked for."""

MAX_TEXT = 256 * 2**10
"""What is read of a licence file, in bytes and characters; the longest known one has 35,000."""

LICENCE_FILE = re.compile(
    r"(un)?(licen[cs]e|copying|copyright)s?([._-].*)?|mit-licen[cs]e([._-].*)?", re.IGNORECASE
)
"""Names of files that hold a licence; what they hold decides."""

_NOT_TEXT = frozenset({".py", ".js", ".ts", ".c", ".h", ".java", ".go", ".rs", ".rb", ".html"})

# A tag stands at the start of a line, after marks of a comment; elsewhere it is only spoken of.
# https://spdx.github.io/spdx-spec/v2.3/using-SPDX-short-identifiers-in-source-files/
_TAG = re.compile(
    r"^[^\w\n]{0,20}SPDX-License-Identifier:[ \t]*([A-Za-z0-9][A-Za-z0-9.+() \t-]{0,200})",
    re.MULTILINE,
)
_TAG_IN_BRACKETS = re.compile(
    r"^[^\w\n]{0,20}SPDX-License-Identifier:[ \t]*(\([A-Za-z0-9.+() \t-]{1,200})", re.MULTILINE
)

_REDISTRIBUTION = (
    "redistribution and use in source and binary forms with or without modification"
    " are permitted provided that the following conditions are met"
)
_NO_ENDORSEMENT = r"neither the names? of|names? of .{0,120} may not be used to endorse"
_MIT_GRANT = "permission is hereby granted free of charge to any person obtaining a copy"
_ISC_GRANT = (
    "permission to use copy modify and or distribute this software for any purpose"
    " with or without fee is hereby granted"
)
_ISC_NOTICE = "provided that the above copyright notice and this permission notice appear"
_APACHE = r"apache license version 2\.0"

# (identifier, what the text must hold, what it must not hold); all in the form of `_flattened`.
_SENTENCES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("MIT", (_MIT_GRANT, "this permission notice shall be included in all"), ()),
    ("MIT-0", (_MIT_GRANT, "is furnished to do so the software is provided"), ()),
    ("ISC", (_ISC_GRANT, _ISC_NOTICE), ()),
    ("0BSD", (_ISC_GRANT + " the software is provided",), ()),
    ("BSD-4-Clause", (_REDISTRIBUTION, "all advertising materials mentioning"), ()),
    ("BSD-3-Clause", (_REDISTRIBUTION, _NO_ENDORSEMENT), ("all advertising materials mentioning",)),
    (
        "BSD-2-Clause",
        (_REDISTRIBUTION,),
        (_NO_ENDORSEMENT, "all advertising materials mentioning", "beopen"),
    ),
    ("Apache-2.0", (r"apache license version 2\.0 january 2004|under the " + _APACHE,), ()),
    ("AGPL-3.0-only", ("gnu affero general public license version 3 19 november 2007",), ()),
    ("LGPL-3.0-only", ("gnu lesser general public license version 3 29 june 2007",), ()),
    ("LGPL-2.1-only", (r"gnu lesser general public license version 2\.1 february 1999",), ()),
    ("GPL-3.0-only", ("gnu general public license version 3 29 june 2007",), ()),
    ("GPL-2.0-only", ("gnu general public license version 2 june 1991",), ()),
    ("MPL-2.0", (r"mozilla public license version 2\.0|mozilla public license v 2\.0",), ()),
    ("BSL-1.0", (r"boost software license version 1\.0",), ()),
    ("CC0-1.0", (r"cc0 1\.0 universal",), ()),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",), ()),
    ("Python-2.0", ("python software foundation license version 2", "beopen"), ()),
    ("PSF-2.0", ("python software foundation license version 2",), ("beopen",)),
)
_FINGERPRINTS = tuple(
    (identifier, tuple(map(re.compile, present)), tuple(map(re.compile, absent)))
    for identifier, present, absent in _SENTENCES
)
_CREATIVE_COMMONS = re.compile(
    r"attribution( ?non ?commercial)?( ?share ?alike| ?no ?deriv(?:ative)?s)?"
    r" (1\.0|2\.0|2\.5|3\.0|4\.0) (?:international|unported|generic)"
)


def licence_in_tag(text: str) -> str:
    """What the first ``SPDX-License-Identifier:`` in the head of a text says, or ""."""
    head = text[:HEAD_CHARACTERS]
    if "SPDX-License-Identifier:" not in head:
        return ""
    matches = (pattern.search(head) for pattern in (_TAG, _TAG_IN_BRACKETS))
    found = [match for match in matches if match]
    if not found:
        return ""
    statement = min(found, key=lambda match: match.start())[1]
    return re.sub(r"[\s-]*-+$", "", statement.strip()).strip()  # the end of an XML comment


def licence_of_text(text: str) -> str:
    """Recognise the licences in a licence file.

    Several of them, as in a file that also holds those of bundled parts, are joined by AND: what
    is read so may be too narrow, never too wide. GPL texts do not say whether later versions are
    permitted; that is taken as no.

    Returns
    -------
    str
        SPDX expression, or "" if no known licence is in it.
    """
    flat = _flattened(text[:MAX_TEXT])
    found = [
        identifier
        for identifier, present, absent in _FINGERPRINTS
        if all(pattern.search(flat) for pattern in present)
        and not any(pattern.search(flat) for pattern in absent)
    ]
    if match := _CREATIVE_COMMONS.search(flat):
        found.append(_creative_commons_identifier(match))
    return " AND ".join(sorted(found))


def is_licence_file(name: str) -> bool:
    """Whether a file's name says that it holds a licence."""
    path = PurePosixPath(name)
    return bool(LICENCE_FILE.fullmatch(path.name)) and path.suffix.lower() not in _NOT_TEXT


def licences_by_folder(files: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The licence that covers each folder in which there are licence files.

    Parameters
    ----------
    files : iterable of (name, text)
        Licence files, their names with forward slashes.

    Returns
    -------
    dict of str to str
        SPDX expression by folder ("" is the topmost); "" where no text is known, which hides the
        licence of the folders above it.
    """
    found: dict[str, set[str]] = {}
    for name, text in files:
        folder = name.rpartition("/")[0]
        found.setdefault(folder, set()).add(licence_of_text(text))
    return {
        folder: "" if "" in licences and len(licences) == 1 else _joined(licences - {""})
        for folder, licences in found.items()
    }


def nearest_licence(name: str, folders: Mapping[str, str]) -> str:
    """The licence of the nearest folder above a file that has one, or ""."""
    folder = name
    while folder:
        folder = folder.rpartition("/")[0]
        if folder in folders:
            return folders[folder]
    return ""


def _joined(licences: set[str]) -> str:
    return " AND ".join(sorted({part for licence in licences for part in licence.split(" AND ")}))


def _flattened(text: str) -> str:
    """Lower case words with single spaces; points stay only within numbers."""
    text = re.sub(r"[^\w.]+", " ", text.lower())
    text = re.sub(r"\.(?!\d)|(?<!\d)\.", " ", text)
    return re.sub(r" +", " ", text)


def _creative_commons_identifier(match: re.Match[str]) -> str:
    commercial, further, version = match.groups()
    ending = "" if not further else "-SA" if "share" in further else "-ND"
    return f"CC-BY{'-NC' if commercial else ''}{ending}-{version}"
