"""Pages of the studio: plain files, which ask nobody else for anything."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

ASSETS = "/assets/"
"""Below this address lies what a page loads; nothing there is secret."""

_INDEX = "index.html"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}

# The browser itself makes sure that the page runs nothing but its own files and asks nobody else,
# and (where it knows trusted types) that no text ever becomes markup.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # kept, and asked about every time
}


@dataclass(frozen=True)
class _File:
    """What is sent, and how it is told from other versions of it."""

    content: bytes
    kind: str
    tag: str

    def response_to(self, request: Request) -> Response:
        headers = {**_HEADERS, "ETag": self.tag}
        if request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.kind)


def page_router(name: str) -> APIRouter:
    """A page by the name of its folder in ``studio/``: at ``/``, with its files at ``/assets/``."""
    found = _files_of(name)
    router = APIRouter()

    @router.get("/", response_class=Response)
    async def page(request: Request) -> Response:
        return found[_INDEX].response_to(request)

    @router.get(ASSETS + "{file}", include_in_schema=False)
    async def asset(file: str, request: Request) -> Response:
        if file not in found:
            raise HTTPException(404)
        return found[file].response_to(request)

    return router


def _files_of(name: str) -> dict[str, _File]:
    found = dict[str, _File]()
    for entry in files("modelwright.studio").joinpath(name).iterdir():
        kind = _KINDS.get("." + entry.name.rpartition(".")[2])
        if kind is not None:
            content = entry.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[entry.name] = _File(content, kind, tag)
    return found
