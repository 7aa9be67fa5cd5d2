"""What the Python documentation says of one object: the common form of all its readers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["module", "class", "function", "method", "property"]
EntryKind = Literal["module", "class", "function", "method"]

REMARK_WORDS = 4
"""What follows a call's arrow is a remark on the object if it is this long, else its result."""

_PARENTHESES = r"(\([^()]*(?:\([^()]*\)[^()]*)*\))"
_ARROW = re.compile(r"^\s*(-+>\s*(\w+[,.]\s+|[^-]*--\s*)?|--|:|-)\s*")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Description:
    """One documented object.

    Attributes
    ----------
    name : str
        Qualified name, as a user would write it: ``os.path.join``, ``str.join``.
    kind : {"module", "class", "function", "method", "property"}
        What it is.
    signature : str
        Its parameters in parentheses, or "" where they are not known.
    text : str
        Its docstring without indentation, or "".
    members : list of Description
        The methods and properties of a class.
    """

    name: str
    kind: Kind
    signature: str = ""
    text: str = ""
    members: list[Description] = field(default_factory=list)

    @property
    def is_documented(self) -> bool:
        """Whether there is any text, its members' included."""
        return bool(self.text) or any(member.text for member in self.members)


def without_addresses(text: str) -> str:
    """Take out memory addresses, which differ from run to run."""
    return _ADDRESS.sub("", text)


def split_call(name: str, text: str) -> tuple[str, str]:
    """Split off the lines ``name(...) -> ...`` that a docstring of C code may begin with.

    Parameters
    ----------
    name : str
        The object's own name, without its module or class.
    text : str
        The docstring.

    Returns
    -------
    signature : str
        The parameters of the first such line, or "".
    rest : str
        The docstring without these lines, but with a remark that follows an arrow or dash.
    """
    call = re.compile(rf"(?:\w+\.)*{re.escape(name)}{_PARENTHESES}(.*)")
    first, _, rest = text.partition("\n\n")
    lines = first.split("\n")
    signature, remark = "", ""
    while lines and (match := call.match(lines[0])):
        signature = signature or match.group(1)
        said = _ARROW.sub("", match.group(2)).strip()
        if len(said.split()) >= REMARK_WORDS:
            remark = remark or said[0].upper() + said[1:]
        lines = lines[1:]
    if remark:
        lines = [remark, *lines]
    return signature, "\n\n".join(part for part in ("\n".join(lines), rest) if part).strip()
