"""How much each key may ask for in a minute."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from modelwright.serving.access.keys import Key
from modelwright.serving.errors import LimitReachedError

MINUTE = 60.0


class Bucket:
    """A token bucket: holds a minute's worth, and fills evenly.

    Parameters
    ----------
    per_minute : int
        How much it holds and how much comes in a minute.
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        self.per_minute = per_minute
        self._clock = clock
        self._level, self._at = float(per_minute), clock()

    @property
    def level(self) -> float:
        """What is in it; below 0 if more was taken than there was."""
        at = self._clock()
        self._level += (at - self._at) * self.per_minute / MINUTE
        self._level, self._at = min(self._level, float(self.per_minute)), at
        return self._level

    def seconds_until(self, amount: float) -> float:
        """How long until that much is in it."""
        return max(0.0, (amount - self.level) * MINUTE / self.per_minute)

    def take(self, amount: float) -> None:
        """Take something out, whether it is there or not."""
        self._level = self.level - amount


@dataclass(frozen=True)
class Account:
    """What one key has left.

    Attributes
    ----------
    key : Key
        Whose.
    requests, tokens : Bucket or None
        None without a limit.
    """

    key: Key
    requests: Bucket | None
    tokens: Bucket | None

    @classmethod
    def of(cls, key: Key, clock: Callable[[], float] = time.monotonic) -> Account:
        """A new one, with everything left."""
        requests, tokens = key.requests_per_minute, key.tokens_per_minute
        return cls(
            key,
            None if requests is None else Bucket(requests, clock),
            None if tokens is None else Bucket(tokens, clock),
        )

    def seconds_to_wait(self) -> float:
        """Until a request may come; 0 if it may now, when there is a token left."""
        waits = [0.0]
        if self.requests is not None:
            waits.append(self.requests.seconds_until(1))
        if self.tokens is not None:
            waits.append(self.tokens.seconds_until(1))
        return max(waits)

    def take_request(self) -> None:
        """A request has come."""
        if self.requests is not None:
            self.requests.take(1)

    def take_tokens(self, number: int) -> None:
        """Take what will be read and generated; it may be more than there is, if there is some.

        Raises
        ------
        LimitReachedError
            If there is nothing left.
        """
        if self.tokens is not None:
            wait = self.tokens.seconds_until(1)
            if wait > 0:
                raise LimitReachedError(self.key.name, wait)
            self.tokens.take(number)

    def give_back(self, number: int) -> None:
        """Tokens that were taken and not used."""
        if self.tokens is not None:
            self.tokens.take(-number)

    def headers(self) -> dict[str, str]:
        """What is left, as OpenAI says it."""
        found = dict[str, str]()
        for name, bucket in (("requests", self.requests), ("tokens", self.tokens)):
            if bucket is not None:
                left = max(0, math.floor(bucket.level))
                wait = bucket.seconds_until(bucket.per_minute)
                found |= {
                    f"x-ratelimit-limit-{name}": str(bucket.per_minute),
                    f"x-ratelimit-remaining-{name}": str(left),
                    f"x-ratelimit-reset-{name}": f"{wait:.3f}s",
                }
        return found


class Accounts:
    """The accounts of all keys that have been used."""

    def __init__(self) -> None:
        self._known: dict[str, Account] = {}

    def of(self, key: Key) -> Account:
        """A key's account; a new one if its limits have changed."""
        known = self._known.get(key.sha256)
        if known is None or known.key != key:
            known = self._known[key.sha256] = Account.of(key)
        return known
