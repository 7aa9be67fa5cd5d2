"""Taking values out of a foreign ``config.json``, and refusing those of a wrong type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.core.errors import InputError


@dataclass(frozen=True)
class ConfigReader:
    """One object of a ``config.json``.

    Parameters
    ----------
    config : dict
        Its content.
    where : str
        Its path, for messages.
    """

    config: dict[str, Any]
    where: str

    def size(self, name: str, default: int | None = None) -> int:
        """A positive integer; missing or null gives the default, or an error if there is none."""
        value = self._or_default(name, default)
        if not _is_integer(value) or value < 1:
            raise self.wrong(name, "is no positive integer")
        return int(value)

    def constant(self, name: str, default: float | None = None) -> float:
        """A positive number; missing or null gives the default, or an error if there is none."""
        value = self._or_default(name, default)
        if not (_is_integer(value) or isinstance(value, float)) or not 0 < value < float("inf"):
            raise self.wrong(name, "is no positive number")
        return float(value)

    def optional_constant(self, name: str) -> float | None:
        """A positive number, or None."""
        return None if self.config.get(name) is None else self.constant(name)

    def switch(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self._or_default(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "is neither true nor false")
        return value

    def token(self, name: str) -> int | None:
        """A token's id; of several the first."""
        first: Any = self.config.get(name)
        if isinstance(first, list) and first:
            first = first[0]
        if first is None:
            return None
        if not _is_integer(first):
            raise self.wrong(name, "is no token id")
        return int(first)

    def part(self, name: str) -> ConfigReader:
        """The object of that name; an empty one if it is missing or null."""
        value = self.config.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(name, "is no object")
        return ConfigReader(value or {}, self.where)

    def expect(self, name: str, known: Sequence[object]) -> None:
        """Refuse values other than ``known``; missing or null is fine."""
        value = self.config.get(name)
        if value is not None and value not in known:
            raise self.wrong(name, f"is {value!r}, which is not known here")

    def wrong(self, name: str, problem: str) -> InputError:
        """The error that names a field."""
        return InputError(f"'{name}' in config.json {problem}", where=self.where)

    def _or_default(self, name: str, default: object) -> Any:
        value = self.config.get(name)
        if value is not None:
            return value
        if default is None:
            raise InputError(f"config.json lacks '{name}'", where=self.where)
        return default


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
