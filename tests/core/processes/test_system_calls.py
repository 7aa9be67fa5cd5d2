from __future__ import annotations

import errno
import json
import os
import platform
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from modelwright.core.processes.system_calls import ALLOWED, can_confine, filter_program

confinable = pytest.mark.skipif(not can_confine(), reason="the system has no such filter")

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}

FORBIDDEN = """
import ctypes, errno, fcntl, json, os, resource, signal, socket, subprocess, sys, tempfile
from modelwright.core.processes.system_calls import only_compute
folder, parent, port = sys.argv[1], os.getppid(), int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)

def raw(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

there = os.path.join(folder, "there")
own = os.open(there, os.O_RDONLY)
attempts = {
    "write a file": lambda: open(os.path.join(folder, "new"), "w"),
    "append to a file": lambda: open(there, "a"),
    "truncate a file": lambda: os.open(there, os.O_RDONLY | os.O_TRUNC),
    "a nameless file": lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR),
    "remove a file": lambda: os.unlink(there),
    "rename a file": lambda: os.rename(there, there + "2"),
    "link a file": lambda: os.link(there, there + "3"),
    "change its mode": lambda: os.chmod(there, 0o777),
    "change its times": lambda: os.utime(there),
    "make a folder": lambda: os.mkdir(os.path.join(folder, "sub")),
    "make a pipe with a name": lambda: os.mkfifo(os.path.join(folder, "fifo")),
    "flags of a file": lambda: fcntl.ioctl(own, 0x40086602, b"\\0" * 8),
    "a socket": lambda: socket.create_connection(("127.0.0.1", port), 1),
    "a local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
    "datagrams": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
    "fork": os.fork,
    "run a program": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
    "start a program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "spawn a program": lambda: os.posix_spawn(sys.executable, [sys.executable], {}),
    "end the parent": lambda: os.kill(parent, 0),
    "end everybody": lambda: os.kill(-1, 0),
    "signals by way of a pipe": lambda: fcntl.fcntl(own, fcntl.F_SETOWN, parent),
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_CPU, (100, 100)),
    "the parent's limits": lambda: resource.prlimit(parent, resource.RLIMIT_CPU, (100, 100)),
    "memory of the parent": lambda: raw(310, parent, 0, 0, 0, 0, 0),
    "watch the parent": lambda: raw(101, 16, parent, 0, 0),
    "io_uring": lambda: raw(425, 1, 0),
    "shared memory": lambda: raw(29, 0, 4096, 0o1000),
    "a file in memory": lambda: os.memfd_create("x"),
    "a name space": lambda: raw(272, 0x10000000),
    "leave the folder": lambda: os.chdir("/"),
    "be kinder to itself": lambda: os.nice(-1),
    "broken memory": lambda: raw(28, 0, 4096, 100),
    "the other numbers": lambda: raw(0x40000000 + 41, 2, 1, 0),
}
only_compute()
results = {}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError as error:
        results[name] = error.errno
    except ValueError as error:  # so the module of limits says EPERM
        results[name] = errno.EPERM if "not allowed" in str(error) else str(error)
    else:
        results[name] = 0
print(json.dumps(results))
"""

PERMITTED = """
import asyncio, contextlib, glob, json, os, signal, sys, threading, time
from modelwright.core.processes.system_calls import only_compute
only_compute()
import fractions  # opens files to read

done = []
thread = threading.Thread(target=lambda: done.append("thread"))
thread.start(); thread.join()

async def wait():
    await asyncio.sleep(0.01)
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.01)
    done.append("event loop")
asyncio.run(wait())

def ring(number, frame):
    raise TimeoutError
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.05)
with contextlib.suppress(TimeoutError):
    while True:
        pass
done.append("timer")
len(bytearray(50_000_000)); done.append("memory")
with open(sys.argv[1]) as file:
    done.append(file.read())
assert glob.glob(os.path.dirname(sys.argv[1]) + "/*") and os.stat(sys.argv[1]).st_size
print(json.dumps(done))
"""


@pytest.mark.parametrize("machine", HEADERS)
def test_the_numbers_are_those_of_the_kernel(machine):
    header = HEADERS[machine]
    if not header.is_file():
        pytest.skip("the kernel's headers are not on this machine")
    text = header.read_text(encoding="utf-8")
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
    known = {"newfstatat": known.get("fstatat", ""), **known}
    ours = {call.name: getattr(call, machine) for call in ALLOWED}
    assert {name: known.get(name) for name, number in ours.items() if number is not None} == {
        name: str(number) for name, number in ours.items() if number is not None
    }


@pytest.mark.parametrize("machine", HEADERS)
def test_every_jump_lands_in_the_program(machine):
    program = filter_program(machine)
    count = len(program) // 8
    assert count < 4096  # BPF_MAXINSNS
    for index in range(count):
        kind, if_true, if_false = program[8 * index], program[8 * index + 2], program[8 * index + 3]
        if kind in (0x15, 0x35):
            assert index + 1 + max(if_true, if_false) < count


@confinable
@pytest.mark.skipif(platform.machine() != "x86_64", reason="calls by the numbers of x86-64")
def test_what_is_forbidden_fails_and_changes_nothing(tmp_path):
    there = tmp_path / "there"
    there.write_text("as it was", encoding="utf-8")
    before = there.stat()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        result = subprocess.run(
            [sys.executable, "-c", FORBIDDEN, str(tmp_path), port],
            capture_output=True,
            text=True,
            check=True,
        )
    codes = json.loads(result.stdout)
    assert len(codes) > 30
    assert {name: code for name, code in codes.items() if code != errno.EPERM} == {}
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert there.read_text(encoding="utf-8") == "as it was"
    assert there.stat().st_mode == before.st_mode


@confinable
def test_what_computing_needs_works(tmp_path):
    there = tmp_path / "there"
    there.write_text("content", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-c", PERMITTED, str(there)], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    done = ["thread", "event loop", "timer", "memory", "content"]
    assert json.loads(result.stdout) == done


@confinable
def test_it_fails_where_filters_are_forbidden():
    """As where a container's own filter forbids more of them."""
    program = (
        "import ctypes\n"
        "from modelwright.core.processes.system_calls import only_compute\n"
        "only_compute()\n"
        "only_compute()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert f"PermissionError: [Errno {errno.EPERM}]" in result.stderr
    assert os.strerror(errno.EPERM) in result.stderr
