"""The text of a Jupyter notebook (nbformat 3 and 4)."""

from __future__ import annotations

import json
from typing import Any

from modelwright.data.decoding import decode
from modelwright.data.extract.characters import readable
from modelwright.data.extract.extracted import Extracted, ExtractionError
from modelwright.data.extract.formats import Options

BROKEN = "broken notebook"
EMPTY = "notebook without text"
MAX_BYTES = 100_000_000
DEFAULT_LANGUAGE = "python"


def extract_notebook(raw: bytes, options: Options) -> Extracted:
    """Give the Markdown cells as they are and the code cells in fences; outputs are left out.

    Raises
    ------
    ExtractionError
        If it is no JSON, no notebook, too large, or holds no text.
    """
    if len(raw) > MAX_BYTES:
        raise ExtractionError("notebook too large")
    content, replaced = decode(raw)
    try:
        notebook = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ExtractionError(BROKEN) from error
    if not isinstance(notebook, dict):
        raise ExtractionError(BROKEN)
    language = _language(notebook)
    cells = _cells(notebook)
    parts = [_cell_text(cell, language) for cell in cells]
    text = readable("\n\n".join(part for part in parts if part))
    if not text:
        raise ExtractionError(EMPTY)
    return Extracted(text, title=_title(cells), replaced=replaced)


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Cells of format 4, or those of all worksheets of format 3."""
    sheets = [notebook, *_objects(notebook.get("worksheets"))]
    return [cell for sheet in sheets for cell in _objects(sheet.get("cells"))]


def _cell_text(cell: dict[str, Any], language: str) -> str:
    source = _joined(cell.get("source", cell.get("input"))).strip("\n")
    if not source.strip():
        return ""
    match cell.get("cell_type"):
        case "markdown":
            return source
        case "code":
            fence = "````" if "```" in source else "```"
            return f"{fence}{language}\n{source}\n{fence}"
        case "heading":
            return f"{'#' * _level(cell)} {source}"
        case _:  # raw cells are for converters
            return ""


def _level(cell: dict[str, Any]) -> int:
    level = cell.get("level")
    return min(max(level, 1), 6) if isinstance(level, int) else 1


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    info = metadata.get("language_info") if isinstance(metadata, dict) else None
    name = info.get("name") if isinstance(info, dict) else None
    return name if isinstance(name, str) and name.isalnum() else DEFAULT_LANGUAGE


def _title(cells: list[dict[str, Any]]) -> str:
    """The first heading of the first level in Markdown; a comment in code looks the same."""
    for cell in cells:
        if cell.get("cell_type") == "markdown":
            for line in _joined(cell.get("source")).splitlines():
                if line.startswith("# "):
                    return readable(line[2:])
    return ""


def _joined(source: Any) -> str:
    """A multiline string, which the format allows to be a list of lines."""
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
