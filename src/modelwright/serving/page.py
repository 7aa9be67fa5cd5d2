"""Pages of the studio as responses: one file each, which asks nobody else for anything."""

from __future__ import annotations

from importlib.resources import files

from fastapi.responses import HTMLResponse

# The page carries all it needs; the browser itself makes sure that it asks nobody else.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def page(name: str) -> HTMLResponse:
    """A page by the name of its file in ``studio/``."""
    text = files("modelwright.studio").joinpath(name).read_text(encoding="utf-8")
    return HTMLResponse(text, headers=_HEADERS)
