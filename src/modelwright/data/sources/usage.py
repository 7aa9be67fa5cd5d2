"""How much the standard library's own code uses an object: a measure of what people ask about."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from modelwright.data.sources.description import EntryKind
from modelwright.data.sources.python_source import module_files

_CHAIN = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")

BUILTIN_TYPES = ("str", "list", "dict", "set", "bytes", "tuple", "int", "float")


@dataclass(frozen=True)
class Uses:
    """How often names occur in source code.

    Attributes
    ----------
    chains : Counter
        Occurrences of dotted names as they are written, ``os.path.join``.
    attributes : Counter
        Occurrences of the last part of dotted names, ``join``.
    """

    chains: Counter[str]
    attributes: Counter[str]

    def of(self, name: str, kind: EntryKind) -> int:
        """Uses of an object by its qualified name.

        A method of a builtin type is only seen as ``something.method``, whatever the something
        is; half of those are taken to be it.
        """
        owner, _, own_name = name.rpartition(".")
        if kind == "method" and owner in BUILTIN_TYPES:
            return self.attributes[own_name] // 2
        return self.chains[name]


def count_uses(library: Path) -> Uses:
    """Count dotted names in the sources of the standard library."""
    chains: Counter[str] = Counter()
    for path in module_files(library):
        chains.update(_CHAIN.findall(path.read_text(encoding="utf-8", errors="replace")))
    attributes: Counter[str] = Counter()
    for chain, count in chains.items():
        if "." in chain:
            attributes[chain.rpartition(".")[2]] += count
    return Uses(chains, attributes)
