"""Extractors that do what no extractor should, to be named to a sandbox by its ``kinds``."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from modelwright.data.extract.extracted import Extracted, ExtractionError
from modelwright.data.extract.formats import Options

KINDS = {
    name: f"{__name__}:{name}"
    for name in (
        "echo",
        "sleep",
        "work",
        "refuse",
        "hang",
        "spin",
        "eat",
        "abort",
        "fail",
        "leave",
        "chatter",
        "lie",
        "lie_at_length",
        "count",
        "write_file",
        "environment",
    )
}
CALLS: list[bytes] = []


def echo(raw: bytes, options: Options) -> Extracted:
    return Extracted(raw.decode(), title=str(os.getpid()))


def sleep(raw: bytes, options: Options) -> Extracted:
    time.sleep(float(raw))
    return Extracted(raw.decode())


def work(raw: bytes, options: Options) -> Extracted:
    while time.process_time() < float(raw):
        pass
    return Extracted(raw.decode())


def refuse(raw: bytes, options: Options) -> Extracted:
    raise ExtractionError("a reason")


def hang(raw: bytes, options: Options) -> Extracted:
    threading.Event().wait()
    raise AssertionError


def spin(raw: bytes, options: Options) -> Extracted:
    while True:
        pass


def eat(raw: bytes, options: Options) -> Extracted:
    eaten = []
    while True:
        eaten.append(bytearray(10_000_000))


def abort(raw: bytes, options: Options) -> Extracted:
    os.abort()


def fail(raw: bytes, options: Options) -> Extracted:
    raise RuntimeError("no extractor expects this")


def leave(raw: bytes, options: Options) -> Extracted:
    os._exit(0)


def chatter(raw: bytes, options: Options) -> Extracted:
    print("on standard output" * 10_000, flush=True)
    os.write(1, b"on file descriptor 1")
    print("on standard error" * 10_000, file=sys.stderr, flush=True)
    return Extracted("said enough")


def lie(raw: bytes, options: Options) -> Extracted:
    """Send raw bytes as the answer; the answers' descriptor is one of the lowest."""
    for descriptor in range(3, 10):
        try:
            os.write(descriptor, raw)
        except OSError:
            continue
    os._exit(0)


def lie_at_length(raw: bytes, options: Options) -> Extracted:
    return lie(b"\0\0\0\2" + b"\0\0\1\0\0\0\0\0" + b"{}", options)


def count(raw: bytes, options: Options) -> Extracted:
    """Remember earlier documents; sit on half of the memory after the second."""
    CALLS.append(raw)
    if len(CALLS) == 2:
        CALLS.append(b"x" * 200_000_000)
    return Extracted(str(len(CALLS)))


def write_file(raw: bytes, options: Options) -> Extracted:
    with open(raw.decode(), "wb") as file:
        file.write(b"x")
    return Extracted("wrote it")


def environment(raw: bytes, options: Options) -> Extracted:
    return Extracted(json.dumps(dict(os.environ)))
