"""The licence that a web page states for itself."""

from __future__ import annotations

import re

from resiliparse.parse.html import HTMLTree

REL_LICENSE = "rel=license link"
META = "meta element"

_META_NAMES = frozenset(
    (
        "copyright",
        "dc.rights",
        "dc.rights.license",
        "dcterms.license",
        "dcterms.rights",
        "license",
        "rights",
    )
)
_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses/(by(?:-nc|-nd|-sa)*)/(\d\.\d)|publicdomain/(zero|mark)/1\.0)",
    re.IGNORECASE,
)
_PUBLIC_DOMAIN = {"zero": "CC0-1.0", "mark": "CC-PDM-1.0"}


def page_licence(tree: HTMLTree) -> tuple[str, str]:
    """Find the Creative Commons licence of a page as a whole.

    Links count only with ``rel="license"``: others may be about something on the page. If there are
    several and they differ, none counts, as each may be that of a picture.

    Returns
    -------
    licence : str
        SPDX identifier, or "". Ported versions (``/by/3.0/de/``) are given as the unported one.
    licence_from : str
        "rel=license link", "meta element", or "".
    """
    if tree.document is None:
        return "", ""
    links = [
        link.getattr("href") or ""
        for link in tree.document.query_selector_all('link[rel~="license" i], a[rel~="license" i]')
    ]
    metas = [
        meta.getattr("content") or ""
        for meta in tree.document.query_selector_all('meta[content*="creativecommons" i]')
        if _names_rights(meta.getattr("name") or meta.getattr("property") or "")
    ]
    for how, addresses in ((REL_LICENSE, links), (META, metas)):
        found = {spdx for address in addresses if (spdx := creative_commons(address))}
        if found:
            return (found.pop(), how) if len(found) == 1 else ("", "")
    return "", ""


def creative_commons(text: str) -> str:
    """Give the SPDX identifier of the first Creative Commons address in a text, or ""."""
    match = _CREATIVE_COMMONS.search(text)
    if match is None:
        return ""
    conditions, version, public_domain = match.groups()
    if public_domain:
        return _PUBLIC_DOMAIN[public_domain.lower()]
    # Before version 2.0 the order of the conditions was not always the same.
    given = set(conditions.upper().split("-"))
    return "-".join(["CC", *(c for c in ("BY", "NC", "ND", "SA") if c in given), version])


def _names_rights(name: str) -> bool:
    return name.lower() in _META_NAMES
