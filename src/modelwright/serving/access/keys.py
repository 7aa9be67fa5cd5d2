"""Keys of a server: who may use it, for what, and how much."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelwright.core.clock import now
from modelwright.core.errors import InputError, UsageError
from modelwright.core.files import write_text

Scope = Literal["inference", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX = "mw-"
"""Of every key, so that people and scanners for secrets know one when they see it."""

SECRET_BYTES = 32

MOST_CHARACTERS = 100
"""Of a name."""

LOCK_SECONDS = 10.0


class Key(BaseModel):
    """What is kept of a key; never the key itself.

    Attributes
    ----------
    name : str
        Who or what it is for.
    sha256 : str
        Of the key. A plain hash is enough: it cannot be guessed, as a password could.
    created : str
        When, ISO 8601.
    scopes : list of str
        What it is good for.
    expires : datetime or None
        When it ends.
    requests_per_minute, tokens_per_minute : int or None
        Limits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=MOST_CHARACTERS)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    created: str
    scopes: list[Scope] = Field(min_length=1)
    expires: datetime | None = None
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)

    @property
    def has_expired(self) -> bool:
        """Whether it is too late for it."""
        return self.expires is not None and datetime.now(UTC) >= self.expires


class KeyFile:
    """The keys in a file; what another process changes there is seen.

    Parameters
    ----------
    path : Path
        A JSON file, which need not be there yet.
    """

    def __init__(self, path: Path):
        self.path = path
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}

    def keys(self) -> list[Key]:
        """All of them, oldest first.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        self._refresh()
        return list(self._keys.values())

    def find(self, secret: str) -> Key | None:
        """The key with that secret; None if there is none, or it has expired."""
        self._refresh()
        key = self._keys.get(_hash(secret))
        return None if key is None or key.has_expired else key

    def create(
        self,
        name: str,
        scopes: Sequence[Scope] = ("inference",),
        expires: datetime | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> str:
        """Add a key and return its secret, which is kept nowhere.

        Raises
        ------
        UsageError
            If there is a key of that name, or it is no name.
        """
        if not (name.isprintable() and 1 <= len(name) <= MOST_CHARACTERS):
            raise UsageError(
                f"{name!r} is no name: it has 1 to {MOST_CHARACTERS} characters in one line",
                fix="take another",
            )
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        key = Key(
            name=name,
            sha256=_hash(secret),
            created=now(),
            scopes=list(scopes),
            expires=expires,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        with self._held():
            if name in [one.name for one in self.keys()]:
                raise UsageError(
                    f"there is a key named '{name}'", fix="revoke it, or take another name"
                )
            self._write([*self.keys(), key])
        return secret

    def revoke(self, name: str) -> None:
        """Take a key away.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        with self._held():
            names = [key.name for key in self.keys()]
            if name not in names:
                raise UsageError(
                    f"there is no key named '{name}'",
                    fix=f"known: {', '.join(names) or 'none yet'}",
                )
            self._write([key for key in self.keys() if key.name != name])

    def _held(self) -> FileLock:
        """Keeps other processes from changing it meanwhile, which would bring back what went."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=LOCK_SECONDS)

    def _write(self, keys: Sequence[Key]) -> None:
        content = [key.model_dump(mode="json") for key in keys]
        write_text(self.path, json.dumps(content, indent=2) + "\n")
        self.path.chmod(0o600)

    def _refresh(self) -> None:
        if not self.path.is_file():
            self._stamp, self._keys = None, {}
            return
        status = self.path.stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            self._keys = {key.sha256: key for key in _read(self.path)}
            self._stamp = stamp


def _read(path: Path) -> list[Key]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, list):
            raise ValueError("no list of keys")
        return [Key.model_validate(one) for one in content]
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc'])) or 'a key'}: {first['msg']}"
    except (ValueError, TypeError) as error:
        problem = str(error)
    raise InputError(
        f"the keys cannot be read: {problem}",
        where=path,
        fix="restore the file, or remove it and make new keys",
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
