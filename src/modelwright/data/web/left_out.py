"""What a crawl left out, kept beside its archive so that it is told again when that is read."""

from __future__ import annotations

import json
from pathlib import Path

from modelwright.core.errors import InputError
from modelwright.core.files import write_json
from modelwright.data.drops import Drops

FILE = "crawl.json"


def save_left_out(left_out: Drops, folder: Path) -> None:
    """Write counts and places beside the archive; a crawl with this file is finished."""
    places: dict[str, list[str]] = {reason: [] for reason in left_out.counts}
    for reason, place in left_out.places:
        places[reason].append(place)
    rows = {
        reason: {"count": count, "places": places[reason]}
        for reason, count in left_out.counts.items()
    }
    write_json(folder / FILE, {"left_out": rows})


def tell_left_out(folder: Path, drops: Drops) -> None:
    """Add what a finished crawl left out to the counts of a stage.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = folder / FILE
    try:
        for reason, row in json.loads(path.read_text(encoding="utf-8"))["left_out"].items():
            places = [str(place) for place in row["places"]]
            for number in range(int(row["count"])):
                drops.add(reason, places[number] if number < len(places) else None)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            "the summary of this crawl is damaged",
            where=path,
            fix="delete it; the crawl then goes on from its archive",
        ) from None


def is_finished(folder: Path) -> bool:
    """Whether the crawl in a folder came to its end."""
    return (folder / FILE).is_file()
