"""The reward that another model gives, asked over an OpenAI-compatible API."""

from __future__ import annotations

import json
import math
import os
import random
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import httpcore2

from modelwright.core.errors import UsageError
from modelwright.training.rewards.reward import RewardError, Sample, Value, attempt, described
from modelwright.training.rewards.settings import JudgeReward
from modelwright.training.rewards.template import fill

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
"""Between two tries of a request; the wait doubles from the first to this."""
MAX_BODY_BYTES = 1 << 20
SHOWN_CHARACTERS = 200

Header = tuple[bytes | str, bytes | str]

_TRY_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)


@dataclass(frozen=True)
class _Response:
    status: int
    body: bytes
    retry_after: float | None


@dataclass(frozen=True)
class _Delay:
    """Why a request is to be sent again, and after how many seconds if the server said so."""

    problem: str
    wait: float | None


class Judge:
    """A reward that asks a model behind an API; it connects to no other address.

    Parameters
    ----------
    settings : JudgeReward
        Where the judge is and what it is asked.

    Raises
    ------
    UsageError
        If the environment variable with the key is not set.
    """

    def __init__(self, settings: JudgeReward):
        self._settings = settings
        self._headers = [("Content-Type", "application/json"), *_authorization(settings)]
        self._pattern = re.compile(settings.pattern)
        self._connections = httpcore2.ConnectionPool(max_connections=settings.concurrency)
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="judge")
        self._closing = threading.Event()

    def __call__(self, samples: Sequence[Sample]) -> list[Value]:
        """Scores from 0 to 1, and errors where the judge gave none."""
        return list(self._threads.map(partial(attempt, self._judge), samples))

    def close(self) -> None:
        """Give up what is still asked, and close the connections."""
        self._closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._connections.close()

    def _judge(self, sample: Sample) -> float:
        where = f"{self._settings.url}, {described(sample)}"
        question = {
            "model": self._settings.model,
            "messages": [{"role": "user", "content": fill(self._settings.template, sample)}],
            "max_tokens": self._settings.max_tokens,
            "temperature": 0,
        }
        said = _content(self._ask(json.dumps(question).encode(), where), where)
        return self._score(said, where)

    def _score(self, said: str, where: str) -> float:
        lowest, highest = self._settings.lowest, self._settings.highest
        match = self._pattern.search(said)
        try:
            score = math.nan if match is None else float(match[1])
        except (TypeError, ValueError):  # the group holds something else, or took no part
            score = math.nan
        if not lowest <= score <= highest:
            problem = "no score" if math.isnan(score) else f"a score outside {lowest} to {highest}"
            raise RewardError(
                f"the judge gave {problem}: {_shown(said)}",
                where=where,
                fix="say in 'template' how the score is given, or correct 'pattern'",
            )
        return (score - lowest) / (highest - lowest)

    def _ask(self, body: bytes, where: str) -> bytes:
        """Send a request until it is answered."""
        tries = 0
        while True:
            answer = self._try(body, where)
            tries += 1
            if isinstance(answer, bytes):
                return answer
            pause = _pause(tries) if answer.wait is None else answer.wait
            if tries > self._settings.retries or self._closing.wait(pause):
                break
        raise RewardError(
            f"the judge did not answer after {tries} tries: {answer.problem}",
            where=where,
            fix="look whether it runs; give more 'seconds' or 'retries', or less 'concurrency'",
        )

    def _try(self, body: bytes, where: str) -> bytes | _Delay:
        """Send a request once; gives the answer, or why there is none yet."""
        try:
            response = self._send(body)
        except (
            httpcore2.NetworkError,
            httpcore2.TimeoutException,
            httpcore2.ProtocolError,
        ) as error:
            return _Delay(f"no answer ({type(error).__name__}: {error})", None)
        if response.status == 200:
            return response.body
        problem = f"status {response.status}: {_shown(response.body.decode(errors='replace'))}"
        if response.status in _TRY_AGAIN:
            return _Delay(problem, response.retry_after)
        raise RewardError(
            f"the judge refused the request: {problem}",
            where=where,
            fix="correct 'url', 'model' or 'key_variable' of the reward",
        )

    def _send(self, body: bytes) -> _Response:
        seconds = self._settings.seconds
        deadline = time.monotonic() + seconds
        timeouts = {"connect": seconds, "write": seconds, "read": seconds, "pool": seconds}
        url = f"{self._settings.url}/chat/completions"
        with self._connections.stream(
            "POST", url, headers=self._headers, content=body, extensions={"timeout": timeouts}
        ) as response:
            received = b""
            for piece in response.iter_stream():
                received += piece
                if len(received) > MAX_BODY_BYTES:
                    raise httpcore2.RemoteProtocolError("the answer is too long")
                if time.monotonic() > deadline:
                    raise httpcore2.ReadTimeout("the answer takes too long")
            return _Response(response.status, received, _retry_after(response.headers))


def _authorization(settings: JudgeReward) -> list[Header]:
    if settings.key_variable is None:
        return []
    key = os.environ.get(settings.key_variable, "").strip()
    if not key:
        raise UsageError(
            f"the environment variable {settings.key_variable} is not set",
            where="the reward 'judge', key_variable",
            fix="set it to the key of the API, or leave out 'key_variable'",
        )
    return [("Authorization", f"Bearer {key}")]


def _content(body: bytes, where: str) -> str:
    """What the judge said, in a chat completion."""
    try:
        said = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, RecursionError, LookupError, TypeError):
        said = None
    if not isinstance(said, str):
        raise RewardError(
            f"the judge's answer is no chat completion: {_shown(body.decode(errors='replace'))}",
            where=where,
            fix="give the base address of an OpenAI-compatible API as 'url'",
        )
    return said


def _pause(tries: int) -> float:
    """Seconds before the next try, twice as long each time, and not the same for all requests."""
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** (tries - 1))
    return longest * random.uniform(0.5, 1.0)


def _retry_after(headers: Sequence[tuple[bytes, bytes]]) -> float | None:
    """The seconds that the server asks to wait (RFC 9110, section 10.2.3); a date is not read."""
    for name, value in headers:
        if name.lower() == b"retry-after":
            try:
                seconds = float(value)
            except ValueError:
                return None
            return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS) if math.isfinite(seconds) else None
    return None


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…")
