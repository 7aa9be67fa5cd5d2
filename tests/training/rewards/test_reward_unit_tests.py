from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError, UsageError
from modelwright.core.processes.system_calls import can_confine
from modelwright.training.rewards import unit_tests
from modelwright.training.rewards.reward import RewardError, Sample
from modelwright.training.rewards.settings import UnitTestsReward
from modelwright.training.rewards.unit_tests import UnitTests, code_in, program_of

pytestmark = pytest.mark.skipif(not can_confine(), reason="code cannot be confined here")

GOOD = "def double(x):\n    return 2 * x"
TESTS = ["assert double(2) == 4", "assert double(-1) == -2"]


@pytest.fixture(scope="module")
def reward() -> Iterator[UnitTests]:
    opened = UnitTests(UnitTestsReward(seconds=1))
    yield opened
    opened.close()


def one(reward: UnitTests, code: str, tests: list[str] | str = "pass"):
    (value,) = reward([Sample("write code", code, {"tests": tests})])
    return value


def passes(reward: UnitTests, code: str) -> bool:
    """Whether code runs to its end."""
    return one(reward, code) == 1.0


@pytest.mark.parametrize(
    ("code", "value"),
    [
        (GOOD, 1),
        (f"Here it is:\n```python\n{GOOD}\n```\nDone.", 1),
        ("def double(x):\n    return x + x if x > 0 else 0", 0),
        ("def double(x):\n    return", 0),
        ("def double(x:", 0),
        ("", 0),
        ("I cannot do this.", 0),
        (GOOD + "\nraise SystemExit(0)", 0),
        (GOOD + "\nimport os; os._exit(0)", 0),
        (GOOD + "\nprint('all tests passed')", 1),
        ("import sys\nsys.exit(0)", 0),
        ("def double(x):\n    import os; os._exit(0)", 0),
        ("def double(x):\n    import sys; sys.exit(0)", 0),
        ("def double(x):\n    import os; os.write(3, b'passed\\npassed\\n'); os._exit(0)", 0),
        ("x = '\ud800'", 0),
        ("x = '\0'", 0),
        ("x = " + "(" * 10_000 + ")" * 10_000, 0),
    ],
)
def test_code_passes_its_tests_or_not(reward, code, value):
    assert one(reward, code, TESTS) == value


def test_a_share_of_the_tests():
    partial = UnitTests(UnitTestsReward(seconds=1, partial=True))
    half = "def double(x):\n    return 4"
    stuck = "def double(x):\n    while x < 0: pass\n    return 2 * x"
    assert one(partial, half, TESTS) == 0.5
    assert one(partial, GOOD, TESTS) == 1.0
    assert one(partial, stuck, TESTS) == 0.5
    assert one(partial, "", TESTS) == 0.0
    partial.close()


HANGING = [
    "while True: pass",
    "import time\ntime.sleep(1000)",
    "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\nwhile True: pass",
    "import re\nre.match('(a+)+b', 'a' * 50)",
    "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    "threading.Event().wait()",
    "9 ** 9 ** 9",
    "import os\nos.read(os.pipe()[0], 1)",
]


def test_code_that_hangs_is_ended(reward, monkeypatch):
    monkeypatch.setattr(unit_tests, "WALL_FACTOR", 1)
    samples = [Sample("", code, {"tests": "pass"}) for code in ["x = 1", *HANGING, "x = 1"]]
    started = time.monotonic()
    assert reward(samples) == [1.0, *[0.0] * len(HANGING), 1.0]
    assert time.monotonic() - started < 5 * len(HANGING)


def test_processor_time_is_limited_too(reward, monkeypatch):
    monkeypatch.setattr(unit_tests, "WALL_FACTOR", 1000)
    assert not passes(reward, HANGING[2])


def test_nothing_comes_from_standard_input_nor_from_the_verdicts(reward):
    assert not passes(reward, "input()")
    assert not passes(reward, "import os\nos.read(3, 1)")


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(10 ** 9)",
        "x = []\nwhile True: x.append(bytearray(10 ** 6))",
        "x = 'y' * 10 ** 10",
        "import mmap\nx = mmap.mmap(-1, 10 ** 9)",
    ],
)
def test_code_that_takes_much_memory_fails(reward, code):
    assert not passes(reward, code)
    assert passes(reward, "x = bytearray(10 ** 7)")


def test_a_fork_bomb_is_none(reward):
    before = len(psutil.pids())
    bomb = "import os\nfor n in range(100):\n    try: os.fork()\n    except OSError: pass\n"
    assert passes(reward, bomb)  # every try failed, and it ran to its end alone
    for start in (
        "import os\nwhile True: os.fork()",
        "import subprocess\nsubprocess.Popen(['sleep', '100'])",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "import os\nos.system('sleep 100') == 0 or exit()",
        "import pty\npty.fork()",
    ):
        assert not passes(reward, start)
    assert len(psutil.pids()) < before + 20
    assert not [p for p in psutil.Process().children(recursive=True) if p.name() == "sleep"]


def test_threads_are_allowed_and_many_end_with_the_code(reward):
    start = "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()"
    assert passes(reward, start)
    bomb = "import threading\nwhile True: threading.Thread(target=threading.Event().wait).start()"
    assert not passes(reward, bomb)


def test_no_file_is_written_or_changed(reward, tmp_path):
    there = tmp_path / "there"
    there.write_text("as it was", encoding="utf-8")
    for code in (
        f"open({str(tmp_path / 'new')!r}, 'w').write('x')",
        f"open({str(there)!r}, 'a').write('x')",
        f"import os\nos.unlink({str(there)!r})",
        f"import os\nos.rename({str(there)!r}, {str(tmp_path / 'new')!r})",
        f"import shutil\nshutil.rmtree({str(tmp_path)!r})",
        "import tempfile\ntempfile.TemporaryFile()",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"import sqlite3\nsqlite3.connect({str(tmp_path / 'new')!r}).execute('create table t (a)')",
    ):
        assert not passes(reward, code)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert there.read_text(encoding="utf-8") == "as it was"


def test_no_socket_is_opened(reward):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        port = server.getsockname()[1]
        for code in (
            f"import socket\nsocket.create_connection(('127.0.0.1', {port}))",
            f"import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}')",
            "import socket\nsocket.socket()",
        ):
            assert not passes(reward, code)
        with pytest.raises(TimeoutError):
            server.accept()


def test_other_processes_are_out_of_reach(reward):
    own, parent = os.getpid(), os.getppid()
    for code in (
        f"import os\nos.kill({own}, 0)",
        f"import os, signal\nos.kill({parent}, signal.SIGWINCH)",
        "import os\nos.kill(os.getppid(), 9)",
        "import os\nos.kill(-1, 0)",
        f"open('/proc/{own}/mem', 'r+b')",
        "open('/proc/self/oom_score_adj', 'w').write('-1000')",
    ):
        assert not passes(reward, code)


def test_nothing_of_the_environment_is_seen(reward, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "secret")
    opened = UnitTests(UnitTestsReward(seconds=1))
    assert passes(opened, "import os\nassert 'SOME_TOKEN' not in os.environ")
    opened.close()


def test_one_answer_does_not_reach_the_next(reward):
    spoil = "import builtins, math\nbuiltins.len = None\nmath.pi = 3\nimport sys\nsys.path.clear()"
    samples = [
        Sample("", code, {"tests": ["import math", "assert math.pi > 3.1 and len('a') == 1"]})
        for code in [spoil, "x = 1"] * 20
    ]
    assert reward(samples) == [0.0, 1.0] * 20


def test_what_it_draws_is_the_same_each_time(reward):
    samples = [
        Sample("", "import random\nx = random.random()", {"tests": f"assert x == {number!r}"})
        for number in (0.8444218515250481, 0.5)  # the first of Random(0)
    ]
    assert reward(samples) == [1.0, 0.0]


def test_code_as_people_write_it_runs(reward):
    for code in (
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int' = 1\nassert A().x",
        "import pickle\nclass A: pass\npickle.loads(pickle.dumps(A()))",
        "import asyncio\nasync def f(): await asyncio.sleep(0.01)\nasyncio.run(f())",
        "from concurrent.futures import ThreadPoolExecutor as T\nlist(T(2).map(len, ['a', 'b']))",
        "import numpy\nassert numpy.arange(3).sum() == 3",
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as o: print(1)\n"
        "assert o.getvalue() == '1\\n'",
        "if __name__ == '__main__':\n    raise AssertionError",
        "import sys\nsys.setrecursionlimit(5000)\ndef f(n): return n and f(n - 1)\nf(3000)",
    ):
        assert passes(reward, code), code


@pytest.mark.parametrize("tests", [None, [], [1], {}, 5])
def test_a_row_without_tests_is_an_error(reward, tests):
    error = one(reward, GOOD, tests)
    assert isinstance(error, InputError)
    assert "'tests' is neither a text nor a list of texts" in error.what


def test_the_program_of_a_sample():
    settings = UnitTestsReward(
        field="test", before=["start"], setup=["end"], after="check({entry_point})"
    )
    row = {"test": "def check(f): ...", "start": "import math", "end": "x = 1", "entry_point": "f"}
    assert program_of(settings, Sample("", "def f(): ...", row)) == {
        "code": "import math\ndef f(): ...\nx = 1",
        "tests": ["def check(f): ...\ncheck(f)"],
    }


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        ("x = 1", "x = 1"),
        ("    return 1\n", "    return 1\n"),
        ("```python\nx = 1\n```", "x = 1\n"),
        ("```\nx = 1\n```\n", "x = 1\n"),
        ("a\n```py\nx\n```\nb\n```python\ny\n```\n", "y\n"),
        ("```python\nx\n```\n```json\n{}\n```", "x\n"),
        ("```json\n{}\n```", "```json\n{}\n```"),
        ("```python\nx = 1", "x = 1"),
        ("~~~python\ns = '''\n```\n'''\n~~~", "s = '''\n```\n'''\n"),
        ("````python\n```\nx\n```\n````", "```\nx\n```\n"),
        ("", ""),
    ],
)
def test_code_in_an_answer(completion, code):
    assert code_in(completion) == code


@given(st.lists(st.sampled_from(["```", "~~~", "````", "```python", "```c", "x", "  ```", ""])))
def test_any_answer_gives_some_code(lines):
    completion = "\n".join(lines)
    code = code_in(completion)
    assert code in completion


def test_a_hundred_answers_take_seconds(reward):
    samples = [Sample("", GOOD, {"tests": TESTS})] * 100
    started = time.monotonic()
    assert reward(samples) == [1.0] * 100
    assert time.monotonic() - started < 20


def test_processes_start_once_and_end():
    name = unit_tests._WORKER_MODULE

    def workers() -> set[int]:
        children = psutil.Process().children(recursive=True)
        return {process.pid for process in children if name in process.cmdline()}

    others = workers()
    opened = UnitTests(UnitTestsReward(seconds=1))
    one(opened, GOOD, TESTS)
    first = workers()
    one(opened, GOOD, TESTS)
    assert workers() == first
    for pid in first - others:
        psutil.Process(pid).kill()
    value = one(opened, GOOD, TESTS)
    assert isinstance(value, RewardError)
    assert one(opened, GOOD, TESTS) == 1.0
    opened.close()
    assert workers() == others


def test_where_code_cannot_be_confined_it_is_not_run(monkeypatch):
    monkeypatch.setattr(unit_tests, "can_confine", lambda: False)
    with pytest.raises(UsageError, match="cannot be kept from files"):
        UnitTests(UnitTestsReward())
    opened = UnitTests(UnitTestsReward(unconfined=True))
    assert one(opened, GOOD, TESTS) == 1.0
    opened.close()


def test_the_memory_is_counted_without_python_itself():
    opened = UnitTests(UnitTestsReward(seconds=1, memory_mb=20))
    assert passes(opened, "x = bytearray(15_000_000)")
    assert not passes(opened, "x = bytearray(25_000_000)")
    opened.close()


def test_a_kernel_that_refuses_is_said_and_runs_nothing():
    program = (
        "import sys\n"
        "from modelwright.training.rewards.unit_tests_worker import Allowance, run_apart\n"
        "from modelwright.training.rewards import unit_tests_worker as worker\n"
        "def refuse(): raise OSError(1, 'not permitted')\n"
        "worker.only_compute = refuse\n"
        "answer = run_apart({'code': '', 'tests': ['pass']}, Allowance(1, 2, 10**9, True))\n"
        "assert answer == {'refused': '[Errno 1] not permitted'}, answer\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
