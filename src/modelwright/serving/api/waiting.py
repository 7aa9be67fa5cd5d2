"""Waiting for something on behalf of a client that may go away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from modelwright.serving.errors import ClientGoneError

ResultT = TypeVar("ResultT")


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone away; the body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """The result of some work, which is cancelled if the client goes away before.

    Raises
    ------
    ClientGoneError
        If it does.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(disconnected(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError("the client has gone away")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
