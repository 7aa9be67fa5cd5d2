"""Asking ``git`` for objects, so that neither a repository nor a URL can make it do more.

Nothing is checked out, so no filter, hook or attribute of the repository is run. Of configuration
only what stands here counts, besides the repository's own, in which the keys that name programs are
overridden.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from modelwright.core.errors import InputError
from modelwright.data.drops import Drops
from modelwright.data.folder import printable
from modelwright.data.sources.git_urls import pinned_settings
from modelwright.data.sources.streams import ContentError

MAX_FILES = 1_000_000
"""A few kilobytes of trees that contain each other can list billions of files."""
TOO_MANY = f"more than {MAX_FILES:,} files in the repository"
MISSING = "object missing in the repository"
FETCH_SECONDS = 3600

NO_PROTOCOL = "none"
"""Reading a repository never opens a connection, not even for objects that it lacks."""
REMOTE_PROTOCOLS = "https:ssh"

_KEPT_VARIABLES = ("PATH", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT", "TMPDIR")
_SETTINGS = (
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=false",
    "credential.helper=",
    "protocol.ext.allow=never",
    "http.followRedirects=false",  # another host would not have been checked
    "http.sslVerify=true",
    "http.proxy=",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
)
_FETCH_OPTIONS = (
    *("--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head"),
    *("--no-auto-gc", "--no-recurse-submodules"),
)
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]{0,250}")
_LOCAL_REVISION = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_./+@{}^~-]{0,250}")

Kind = Literal["file", "link", "submodule"]
_KINDS: dict[str, Kind] = {"100": "file", "120": "link", "160": "submodule"}


@dataclass(frozen=True)
class Entry:
    """A file in a commit.

    Attributes
    ----------
    name : str
        Path with forward slashes; odd bytes are lone surrogates.
    kind : {"file", "link", "submodule"}
        What it is.
    object : str
        Hash of its content.
    size : int
        Bytes.
    """

    name: str
    kind: Kind
    object: str
    size: int


@dataclass(frozen=True)
class Repository:
    """A repository on this machine at one commit."""

    folder: Path
    commit: str

    @contextmanager
    def objects(self) -> Iterator[Callable[[Entry], bytes]]:
        """Give a function that reads the content of files, by one process for all of them."""
        with _started(self.folder, "cat-file", "--batch") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            ask, answer = process.stdin, process.stdout
            yield lambda entry: _read_object(ask, answer, entry.object)


def open_repository(folder: str, revision: str) -> Repository:
    """Find the commit that a revision of a local repository means.

    Raises
    ------
    InputError
        If there is no git, no repository, or no such commit.
    """
    path = Path(folder).resolve()
    if not path.is_dir():
        raise InputError("no such folder", where=path, fix="give the folder or URL of a repository")
    if not _LOCAL_REVISION.fullmatch(revision):
        raise _bad_revision(revision)
    found = _run(path, ["rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"])
    return Repository(path, found.strip())


def fetch(
    url: str,
    revision: str,
    folder: Path,
    *,
    protocols: str = REMOTE_PROTOCOLS,
    pinned: Callable[[str], list[str]] | None = None,
) -> Repository:
    """Fetch one commit of a repository into an empty folder, without its history or a work tree.

    Parameters
    ----------
    url : str
        ``https://``, ``ssh://`` or ``user@host:path``.
    revision : str
        Branch, tag or full hash of a commit.
    folder : Path
        Where to put it.
    protocols, pinned
        For tests: what git may speak, and what stands for :func:`pinned_settings`.

    Raises
    ------
    InputError
        If the URL is refused, or git cannot fetch it.
    """
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise _bad_revision(revision)
    settings = (pinned or pinned_settings)(url)
    _run(folder, ["init", "--quiet", "--bare", "--template=", "."])
    _run(
        folder,
        ["fetch", *_FETCH_OPTIONS, "--", url, f"+{revision}:refs/heads/fetched"],
        settings=settings,
        protocols=protocols,
        seconds=FETCH_SECONDS,
        where=url,
    )
    commit = _run(folder, ["rev-parse", "--verify", "refs/heads/fetched^{commit}"])
    return Repository(folder, commit.strip())


def list_files(repository: Repository, drops: Drops) -> list[Entry]:
    """The files of a commit in the order of git; at most ``MAX_FILES``, the rest is counted."""
    command = ("ls-tree", "-r", "-z", "-l", "--full-tree", repository.commit)
    entries: list[Entry] = []
    with _started(repository.folder, *command) as process:
        assert process.stdout is not None
        for record in _records(process.stdout):
            if len(entries) >= MAX_FILES:
                drops.add(TOO_MANY, repository.folder.name)
                return entries
            entries.append(_entry(record))
        if process.wait():
            raise _failed("git cannot list the files of the commit", repository.folder)
    return entries


def _records(stream: IO[bytes]) -> Iterator[bytes]:
    """What stands between NULs."""
    rest = b""
    while piece := stream.read(2**16):
        *records, rest = (rest + piece).split(b"\0")
        yield from records


def _entry(record: bytes) -> Entry:
    """Read "MODE TYPE HASH SIZE<tab>NAME"; the size of a submodule is "-"."""
    header, _, name = record.partition(b"\t")
    mode, _, identity, size = header.decode("ascii").split()
    return Entry(
        name=name.decode("utf-8", "surrogateescape"),
        kind=_KINDS[mode[:3]],
        object=identity,
        size=int(size) if size.isdigit() else 0,
    )


def _read_object(ask: IO[bytes], answer: IO[bytes], identity: str) -> bytes:
    try:
        ask.write(identity.encode() + b"\n")
        ask.flush()
        header = answer.readline().split()
    except OSError:
        raise ContentError(MISSING) from None
    if len(header) != 3:  # "HASH missing", or nothing when git has ended
        raise ContentError(MISSING)
    content = answer.read(int(header[2]))
    if len(content) != int(header[2]):
        raise ContentError(MISSING)
    answer.read(1)  # the line feed after it
    return content


@contextmanager
def _started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads one repository, and is gone when the block ends."""
    process = subprocess.Popen(
        _command(folder, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(folder),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what it did not read cannot be flushed
                if pipe is not None:
                    pipe.close()


def _run(
    folder: Path,
    arguments: Sequence[str],
    *,
    settings: Sequence[str] = (),
    protocols: str = NO_PROTOCOL,
    seconds: float = 60,
    where: str | None = None,
) -> str:
    """Run git and give what it prints.

    Raises
    ------
    InputError
        If it fails, takes too long, or is not there.
    """
    place = where or folder
    try:
        done = subprocess.run(
            _command(folder, *arguments, settings=settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(folder, protocols),
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise InputError("git is not installed", where=place, fix="install git") from None
    except subprocess.TimeoutExpired:
        raise _failed(f"git took more than {seconds:,.0f} s", place) from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise _failed(f"git cannot read this repository: {printable(lines[0])}", place)
    return done.stdout.decode("utf-8", "surrogateescape")


def _command(folder: Path, *arguments: str, settings: Sequence[str] = ()) -> list[str]:
    chosen = [part for setting in (*_SETTINGS, *settings) for part in ("-c", setting)]
    return ["git", "-C", str(folder), "--no-pager", "--no-replace-objects", *chosen, *arguments]


def _environment(folder: Path, protocols: str = NO_PROTOCOL) -> dict[str, str]:
    """Nothing of the user's but where programs and keys are; no question, no configuration."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "GIT_CEILING_DIRECTORIES": str(folder.parent),  # not the repository around the folder
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS": "false",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }


def _bad_revision(revision: str) -> InputError:
    return InputError(
        f"'{printable(revision)}' cannot be a revision", fix="give a branch, a tag or a commit"
    )


def _failed(what: str, where: str | Path) -> InputError:
    return InputError(
        what, where=where, fix="check the repository and the revision, also with git itself"
    )
