"""What a process that only computes may ask of the kernel: a filter (seccomp) for Linux.

After :func:`only_compute` a process can think, read files and write to what it has open. It can
start no process, open no socket, change no file, signal nobody: such calls fail with EPERM. The
filter is a program of the classic packet filter that looks at each call's number and arguments
(Linux, Documentation/userspace-api/seccomp_filter.rst); it holds for root too, and nothing takes it
off again. It is a list of what is allowed, so that calls of later kernels are refused.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys
from dataclasses import dataclass
from functools import cache
from typing import Final

Condition = tuple[int, int, tuple[int, ...]]
"""Number of an argument, a mask, and what its low 32 bits may be behind the mask."""


@dataclass(frozen=True)
class Call:
    """A system call that is let pass, if its argument is as it should be.

    Attributes
    ----------
    name : str
        As in the kernel's headers.
    x86_64, aarch64 : int or None
        Its number there (asm/unistd_64.h, asm-generic/unistd.h); None where there is none.
    condition : Condition, optional
        What else must hold.
    """

    name: str
    x86_64: int
    aarch64: int | None
    condition: Condition | None = None


CLONE_THREAD = 0x10000  # linux/sched.h
_ALL_BITS = 0xFFFFFFFF
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# isatty, (non-)inheritable, non-blocking: others reach devices, or files that were opened to read.
_HARMLESS_IOCTLS = (0x5401, 0x5450, 0x5451, 0x5421)  # TCGETS FIONCLEX FIOCLEX FIONBIO
# Not F_SETOWN and F_SETSIG, which make the kernel send signals to others.
_HARMLESS_FCNTLS = (0, 1, 2, 3, 4, 1030)  # F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_DUPFD_CLOEXEC
# Not those that let root mark pages of the machine's memory as broken (linux/mman.h).
_HARMLESS_ADVICE = (0, 1, 2, 3, 4, 8, 14, 15)

ALLOWED: Final = (
    # Files that are open, and opening more to read.
    Call("read", 0, 63),
    Call("write", 1, 64),
    Call("open", 2, None, (1, _CHANGES, (0,))),
    Call("openat", 257, 56, (2, _CHANGES, (0,))),
    Call("close", 3, 57),
    Call("stat", 4, None),
    Call("fstat", 5, 80),
    Call("lstat", 6, None),
    Call("newfstatat", 262, 79),
    Call("statx", 332, 291),
    Call("lseek", 8, 62),
    Call("pread64", 17, 67),
    Call("pwrite64", 18, 68),
    Call("readv", 19, 65),
    Call("writev", 20, 66),
    Call("access", 21, None),
    Call("faccessat", 269, 48),
    Call("faccessat2", 439, 439),
    Call("readlink", 89, None),
    Call("readlinkat", 267, 78),
    Call("getdents64", 217, 61),
    Call("getcwd", 79, 17),
    Call("dup", 32, 23),
    Call("dup2", 33, None),
    Call("dup3", 292, 24),
    Call("ioctl", 16, 29, (1, _ALL_BITS, _HARMLESS_IOCTLS)),
    Call("fcntl", 72, 25, (1, _ALL_BITS, _HARMLESS_FCNTLS)),
    # Memory.
    Call("mmap", 9, 222),
    Call("mprotect", 10, 226),
    Call("munmap", 11, 215),
    Call("brk", 12, 214),
    Call("mremap", 25, 216),
    Call("madvise", 28, 233, (2, _ALL_BITS, _HARMLESS_ADVICE)),
    # Threads of its own, and its own end.
    Call("clone", 56, 220, (0, CLONE_THREAD, (CLONE_THREAD,))),
    Call("futex", 202, 98),
    Call("set_robust_list", 273, 99),
    Call("rseq", 334, 293),
    Call("sched_yield", 24, 124),
    Call("sched_getaffinity", 204, 123),
    Call("exit", 60, 93),
    Call("exit_group", 231, 94),
    # Signals to itself by timers, and time.
    Call("rt_sigaction", 13, 134),
    Call("rt_sigprocmask", 14, 135),
    Call("rt_sigreturn", 15, 139),
    Call("sigaltstack", 131, 132),
    Call("restart_syscall", 219, 128),
    Call("pause", 34, None),
    Call("alarm", 37, None),
    Call("getitimer", 36, 102),
    Call("setitimer", 38, 103),
    Call("nanosleep", 35, 101),
    Call("clock_nanosleep", 230, 115),
    Call("clock_gettime", 228, 113),
    Call("clock_getres", 229, 114),
    Call("gettimeofday", 96, 169),
    Call("time", 201, None),
    Call("times", 100, 153),
    Call("getrusage", 98, 165),
    # Waiting, and pipes and pairs of sockets within itself, as event loops have them.
    Call("poll", 7, None),
    Call("ppoll", 271, 73),
    Call("select", 23, None),
    Call("pselect6", 270, 72),
    Call("epoll_create1", 291, 20),
    Call("epoll_ctl", 233, 21),
    Call("epoll_wait", 232, None),
    Call("epoll_pwait", 281, 22),
    Call("eventfd2", 290, 19),
    Call("pipe", 22, None),
    Call("pipe2", 293, 59),
    Call("socketpair", 53, 199, (1, 0xF, (int(socket.SOCK_STREAM),))),
    Call("sendto", 44, 206),
    Call("recvfrom", 45, 207),
    Call("shutdown", 48, 210),
    Call("getsockname", 51, 204),
    Call("getsockopt", 55, 209),
    # Who and where it is.
    Call("getpid", 39, 172),
    Call("getppid", 110, 173),
    Call("gettid", 186, 178),
    Call("getuid", 102, 174),
    Call("geteuid", 107, 175),
    Call("getgid", 104, 176),
    Call("getegid", 108, 177),
    Call("uname", 63, 160),
    Call("sysinfo", 99, 179),
    Call("getrandom", 318, 278),
)
_CLONE3 = 435  # its flags lie behind a pointer; without it the C library takes clone

# linux/seccomp.h, linux/audit.h, linux/prctl.h
_RETURN_ALLOW, _RETURN_ERRNO, _RETURN_KILL = 0x7FFF0000, 0x00050000, 0x80000000
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
# Offsets in struct seccomp_data: number of the call, architecture, low half of argument 0.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
# Instructions (linux/bpf_common.h): load, mask, jump if equal, jump if greater or equal, return.
_LOAD, _AND, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06


def can_confine() -> bool:
    """Whether :func:`only_compute` works on this system (Linux on x86-64 or 64-bit ARM)."""
    return (
        sys.platform == "linux"
        and platform.machine() in _AUDIT_ARCH
        and sys.maxsize > 2**32
        and sys.byteorder == "little"
    )


def only_compute() -> None:
    """Give up, for good, all system calls of this thread but those in :data:`ALLOWED`.

    Raises
    ------
    OSError
        If the kernel has no such filters, or whoever started us has forbidden more of them.
    """
    program = filter_program(platform.machine())
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))  # sock_fprog
    library = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0),
    ):
        if library.prctl(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


@cache
def filter_program(machine: str) -> bytes:
    """The filter as the kernel takes it: 8 bytes an instruction."""
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _RETURN_KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _RETURN_ERRNO | errno.EPERM),
        (_IF_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _RETURN_ERRNO | errno.ENOSYS),
    ]
    for call in ALLOWED:
        number = call.x86_64 if machine == "x86_64" else call.aarch64
        if number is not None:
            checks = _checks(call.condition)
            instructions += [(_IF_EQUAL, 0, len(checks), number), *checks]
    instructions.append((_RETURN, 0, 0, _RETURN_ERRNO | errno.EPERM))
    return b"".join(struct.pack("HBBI", *one) for one in instructions)


def _checks(condition: Condition | None) -> list[tuple[int, int, int, int]]:
    """Instructions that end with the verdict on a call whose number fits."""
    allow = (_RETURN, 0, 0, _RETURN_ALLOW)
    if condition is None:
        return [allow]
    argument, mask, values = condition
    loaded = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument), (_AND, 0, 0, mask)]
    tests = [one for value in values for one in ((_IF_EQUAL, 0, 1, value), allow)]
    return [*loaded, *tests, (_RETURN, 0, 0, _RETURN_ERRNO | errno.EPERM)]
