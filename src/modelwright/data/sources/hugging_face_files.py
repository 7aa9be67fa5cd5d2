"""Which files of a data set hold a split, and what its card says: the hub's conventions.

See https://huggingface.co/docs/hub/datasets-data-files-configuration. Only names are compared here;
a card can name files of the data set itself and nothing else, no addresses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

import yaml

from modelwright.core.artifact import UNKNOWN_LICENCE
from modelwright.core.errors import InputError
from modelwright.core.nearest import nearest
from modelwright.data.licences import normalise
from modelwright.data.sources.file_types import Compression, file_type

CARD = "README.md"
MAX_CARD_BYTES = 512 * 2**10
ARROW_SUFFIX = ".arrow"
_INFORMATION = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
DESCRIPTIONS = frozenset({CARD, ".gitattributes", *_INFORMATION})
"""Files that describe a data set."""

RowFormat = Literal["parquet", "arrow", "jsonl", "csv", "tsv"]
_PREFERRED: tuple[RowFormat, ...] = get_args(RowFormat)

_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARD = re.compile(r"([A-Za-z]\w*)[-.]\d{4,9}-of-\d{4,9}")
_LICENCES = {
    "odc-by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
    "gfdl": "GFDL-1.3-only",
    "c-uda": "C-UDA-1.0",
    "lgpl-lr": "LGPLLR",
}
"""The hub's own names; the others are SPDX identifiers in small letters."""


@dataclass(frozen=True)
class DataFile:
    """A file with rows.

    Attributes
    ----------
    name : str
        Relative to the data set, with forward slashes.
    format : str
        How it is read, "arrow" included.
    compression : str or None
        What it must be decompressed with first.
    """

    name: str
    format: RowFormat
    compression: Compression | None


@dataclass(frozen=True)
class Card:
    """What the card of a data set says.

    Attributes
    ----------
    licence : str
        SPDX expression, or "" if it says nothing.
    configurations : mapping of str to mapping of str to list of str
        Patterns of file names by configuration and split; most cards have none.
    """

    licence: str = ""
    configurations: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)


def parse_card(raw: bytes) -> Card | None:
    """Read the YAML block at the start of a README.md; None if there is one that is broken."""
    text = raw.decode("utf-8", errors="replace").replace("\r\n", "\n").lstrip("\ufeff")
    match = re.match(r"---\n(.*?)\n---(?:\n|$)", text, re.DOTALL)
    if match is None:
        return None if text.startswith("---\n") else Card()
    try:
        # The plainest loader: in the others "<<" doubles what it merges, level by level.
        block = yaml.load(match[1], Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(block, dict):
        return None
    return Card(_licence(block), _configurations(block.get("configs")))


def data_file(name: str) -> DataFile | None:
    """What a name promises, or None if no rows are read from such a file."""
    path = PurePosixPath(name)
    if path.name in DESCRIPTIONS:
        return None
    if path.suffix.lower() == ARROW_SUFFIX:
        return DataFile(name, "arrow", None)
    kind = file_type(name)
    match kind.format:
        case "jsonl" | "json":  # on the hub both are lines
            return DataFile(name, "jsonl", kind.compression)
        case "csv" | "tsv" | "parquet":
            return DataFile(name, kind.format, kind.compression)
    return None


def choose_files(
    names: Sequence[str], card: Card, configuration: str | None, split: str, where: str
) -> list[DataFile]:
    """The files that hold a split, sorted by name.

    Parameters
    ----------
    names : sequence of str
        All files of the data set.
    card : Card
        Its patterns decide, where it has some; else the names of files and folders do.
    configuration : str or None
        Which part of the data set; may be None where there is one only.
    split : str
        Which split.
    where : str
        The data set, for errors.

    Raises
    ------
    InputError
        If there is no such configuration or split, or no file with rows at all.
    """
    files = [found for name in sorted(names) if (found := data_file(name))]
    if not files:
        raise InputError(
            "there is no file with rows in this data set",
            where=where,
            fix="give a data set of Parquet, Arrow, JSON lines or CSV files",
        )
    if card.configurations:
        return _by_card(files, card, configuration, split, where)
    return _of_split(_of_configuration(files, configuration, where), split, where)


def main_format(files: Sequence[DataFile]) -> RowFormat:
    """The format of most of the files: a split that is there in two forms counts once."""
    numbers = Counter(file.format for file in files)
    return max(_PREFERRED, key=lambda kind: numbers[kind])


def split_of(name: str) -> str | None:
    """The split that a file's name tells, or None."""
    base = PurePosixPath(name).name
    shard = _SHARD.search(base)
    if shard and shard[1] != "data":
        return shard[1]
    for split, words in _KEYWORDS.items():
        if re.search(rf"(?:^|[-._ 0-9/])(?:{'|'.join(words)})(?:[-._ 0-9/]|$)", name.lower()):
            return split
    return None


def _by_card(
    files: list[DataFile], card: Card, configuration: str | None, split: str, where: str
) -> list[DataFile]:
    known = card.configurations
    if configuration is None:
        configuration = "default" if "default" in known or len(known) != 1 else next(iter(known))
    if configuration not in known:
        raise _unknown("configuration", configuration, known, where)
    splits = known[configuration]
    if split not in splits:
        raise _unknown("split", split, splits, where)
    # "*" goes on over slashes here, so that "**" is nothing special.
    return [
        file for file in files if any(fnmatchcase(file.name, pattern) for pattern in splits[split])
    ] or _none_left(split, where)


def _of_configuration(
    files: list[DataFile], configuration: str | None, where: str
) -> list[DataFile]:
    if configuration is None:
        return files
    found = [file for file in files if configuration in PurePosixPath(file.name).parts[:-1]]
    folders = {part for file in files for part in PurePosixPath(file.name).parts[:-1]}
    if not found:
        raise _unknown("configuration", configuration, folders, where)
    return found


def _of_split(files: list[DataFile], split: str, where: str) -> list[DataFile]:
    found = [
        file
        for file in files
        if split_of(file.name) == split or split in PurePosixPath(file.name).parts[:-1]
    ]
    if found:
        return found
    told = {told for file in files if (told := split_of(file.name))}
    if not told and split == "train":
        return files
    raise _unknown("split", split, told or {"train"}, where)


def _none_left(split: str, where: str) -> list[DataFile]:
    raise InputError(f"no file of the split '{split}' is in this data set", where=where)


def _unknown(what: str, name: str, known: Any, where: str) -> InputError:
    guess = nearest(name, known)
    return InputError(
        f"there is no {what} '{name}', but {', '.join(sorted(known)) or 'none'}",
        where=where,
        fix=f"did you mean '{guess}'?" if guess else f"name one of them with '{what}'",
    )


def _licence(block: Mapping[Any, Any]) -> str:
    stated = block.get("license")
    names = stated if isinstance(stated, list) else [stated]
    if names == ["other"] and isinstance(block.get("license_name"), str):
        names = [block["license_name"]]
    found = [_LICENCES.get(name, name) for name in names if isinstance(name, str)]
    licences = sorted({normalise(name) for name in found} - {UNKNOWN_LICENCE})
    # Several are those of several parts, and which row has which is not known: all hold.
    return " AND ".join(f"({one})" if " " in one else one for one in licences)


def _configurations(listed: Any) -> dict[str, dict[str, list[str]]]:
    configurations: dict[str, dict[str, list[str]]] = {}
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and (splits := _patterns(one.get("data_files"))):
            name = one.get("config_name")
            configurations[name if isinstance(name, str) else "default"] = splits
    return configurations


def _patterns(data_files: Any) -> dict[str, list[str]]:
    """Patterns by split, from any of the forms in which a card may give them."""
    if isinstance(data_files, dict):
        pairs = list(data_files.items())
    elif isinstance(data_files, list) and all(isinstance(one, dict) for one in data_files):
        pairs = [(one.get("split"), one.get("path")) for one in data_files]
    else:
        pairs = [("train", data_files)]
    patterns: dict[str, list[str]] = {}
    for split, paths in pairs:
        listed = paths if isinstance(paths, list) else [paths]
        texts = [path.removeprefix("./") for path in listed if isinstance(path, str)]
        if isinstance(split, str) and texts:
            patterns.setdefault(split, []).extend(texts)
    return patterns
