from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from modelwright.data import sandbox as module
from modelwright.data.extract.extracted import Extracted
from modelwright.data.extract.process import CRASHED, TOO_LONG, TOO_MUCH_MEMORY
from modelwright.data.sandbox import Failure, Limits, Sandbox, Task

HOSTILE = Path(__file__).parent / "hostile"
DEFAULTS = Limits()
SMALL = Limits(memory_bytes=300_000_000)
SHORT = Limits(memory_bytes=300_000_000, wall_seconds=0.7)
posix = pytest.mark.skipif(sys.platform == "win32", reason="the system has no such limits")

Open = Callable[..., Sandbox]


@pytest.fixture
def open_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A sandbox with extractors that misbehave."""
    monkeypatch.syspath_prepend(str(HOSTILE))
    from misbehaving import KINDS

    with ExitStack() as stack:

        def open_it(workers: int = 1, limits: Limits = DEFAULTS) -> Sandbox:
            return stack.enter_context(Sandbox(workers, limits, KINDS))

        yield open_it


def workers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "modelwright.data.extract.worker" in process.cmdline()
    ]


def text(result: Extracted | Failure) -> str:
    assert isinstance(result, Extracted)
    return result.text


def test_results_come_in_the_order_of_the_tasks(open_sandbox):
    seconds = ["0.2", "0", "0.1", "0", "0.05", "0"]
    tasks = [(n, Task("sleep", second.encode())) for n, second in enumerate(seconds)]
    results = list(open_sandbox(workers=3).map(tasks))
    assert [(n, text(result)) for n, result in results] == list(enumerate(seconds))


def test_tasks_are_taken_as_needed(open_sandbox):
    taken = []

    def tasks():
        for n in range(100):
            taken.append(n)
            yield n, Task("echo", b"x")

    results = open_sandbox(workers=2).map(tasks())
    next(results)
    assert len(taken) <= module.IN_FLIGHT * 2


def test_no_process_starts_before_there_is_work_and_none_stays(open_sandbox):
    with Sandbox(2) as sandbox:
        assert list(sandbox.map([])) == []
        assert workers() == []
        sandbox.extract(Task("notebook", b"{}"))
        assert len(workers()) == 1
    assert workers() == []


def test_leaving_does_not_wait_for_a_document_that_hangs(open_sandbox):
    before = time.monotonic()
    with open_sandbox(workers=1) as sandbox:
        results = sandbox.map(
            [(1, Task("echo", b"x")), (2, Task("hang", b"")), (3, Task("echo", b""))]
        )
        next(results)
    assert workers() == []
    assert time.monotonic() - before < Limits().wall_seconds / 2


def test_a_reason_comes_back_and_the_worker_stays(open_sandbox):
    sandbox = open_sandbox()
    first = sandbox.extract(Task("echo", b""))
    assert sandbox.extract(Task("refuse", b"")) == Failure("a reason")
    assert sandbox.extract(Task("echo", b"")) == first  # its title is the process id


@posix
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("hang", TOO_LONG),
        ("eat", TOO_MUCH_MEMORY),
        ("abort", CRASHED),
        ("fail", CRASHED),
        ("leave", CRASHED),
    ],
)
def test_a_document_that_breaks_its_worker_costs_that_document(open_sandbox, kind, reason):
    sandbox = open_sandbox(limits=SHORT)
    tasks = [(0, Task("echo", b"a")), (1, Task(kind, b"")), (2, Task("echo", b"b"))]
    results = [result for _, result in sandbox.map(tasks)]
    assert [text(results[0]), results[1], text(results[2])] == ["a", Failure(reason), "b"]


@posix
def test_processor_time_is_limited(open_sandbox):
    sandbox = open_sandbox(limits=Limits(cpu_seconds=0.2))
    assert sandbox.extract(Task("spin", b"")) == Failure(TOO_LONG)


def test_a_slow_document_gets_a_second_chance(open_sandbox):
    sandbox = open_sandbox(limits=Limits(wall_seconds=1.0))
    assert text(sandbox.extract(Task("sleep", b"1.3"))) == "1.3"


def test_a_worker_that_works_is_not_ended_by_the_clock(open_sandbox):
    """As on a machine so busy that it gets no processor."""
    sandbox = open_sandbox(limits=Limits(wall_seconds=0.2))
    assert text(sandbox.extract(Task("work", b"0.7"))) == "0.7"


@posix
def test_a_worker_that_holds_much_memory_is_replaced(open_sandbox):
    sandbox = open_sandbox(limits=SMALL)
    seen = [text(sandbox.extract(Task("count", b""))) for _ in range(4)]
    assert seen == ["1", "3", "1", "3"]


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense",
        b"\0\0\0\2" + bytes(8) + b"{}",
        b"\0\0\0\2" + bytes(8) + b"[]",
        b"\xff\xff\xff\xff" + bytes(8),
        b"\0\0\0\x0e" + bytes(8) + b'{"reason": 12}',
    ],
)
@posix
def test_a_worker_is_not_believed(open_sandbox, answer):
    assert open_sandbox().extract(Task("lie", answer)) == Failure(CRASHED)


@posix
def test_the_lies_above_do_arrive(open_sandbox):
    reason = b'{"reason": "x"}'
    answer = b"\0\0\0" + bytes([len(reason)]) + bytes(8) + reason
    assert open_sandbox().extract(Task("lie", answer)) == Failure("x")


@posix
def test_a_worker_cannot_fill_the_memory_of_its_parent(open_sandbox):
    assert open_sandbox(limits=SMALL).extract(Task("lie_at_length", b"")) == Failure(CRASHED)


def test_what_an_extractor_prints_is_no_answer(open_sandbox):
    assert text(open_sandbox().extract(Task("chatter", b""))) == "said enough"


@posix
def test_a_worker_can_write_no_file(open_sandbox, tmp_path):
    path = tmp_path / "file"
    assert open_sandbox().extract(Task("write_file", str(path).encode())) == Failure(CRASHED)
    assert not path.exists() or path.stat().st_size == 0


def test_a_worker_sees_nothing_of_the_environment(open_sandbox, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "secret")
    seen = json.loads(text(open_sandbox().extract(Task("environment", b""))))
    assert "SOME_TOKEN" not in seen
    assert seen["PYTHONHASHSEED"] == "0"


def test_large_documents_pass_through(open_sandbox):
    assert text(open_sandbox().extract(Task("echo", b"x" * 20_000_000))) == "x" * 20_000_000


@posix
@pytest.mark.parametrize("kind", ["echo", "hang"])
def test_workers_end_when_the_parent_is_killed(kind):
    program = (
        "import sys, threading\n"
        f"sys.path.insert(0, {str(HOSTILE)!r})\n"
        "from misbehaving import KINDS\n"
        "from modelwright.data.sandbox import Limits, Sandbox, Task\n"
        "sandbox = Sandbox(1, Limits(wall_seconds=0.1), KINDS)\n"
        "sandbox.extract(Task('echo', b''))\n"
        "print('ready', flush=True)\n"
        f"sandbox.extract(Task({kind!r}, b''))\n"
        "threading.Event().wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ}
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (worker,) = psutil.Process(parent.pid).children()
        time.sleep(0.2)
        parent.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs([worker], timeout=30)
    assert not alive
