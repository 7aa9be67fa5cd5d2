"""vLLM as a process of its own: found, started, watched, and ended with us."""

from __future__ import annotations

import ctypes
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import httpcore2

from modelwright.core.errors import ModelwrightError, UsageError
from modelwright.core.progress import make_progress
from modelwright.serving.hand_over.vllm_protocol import MODEL

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LAST_LINES = 15
END_SECONDS = 15.0
ASK_EVERY_SECONDS = 0.5
OURS = (
    "model", "served-model-name", "host", "port", "uds", "api-key", "max-num-seqs",
    "generation-config", "structured-outputs-config", "enable-lora", "logprobs-mode",
)  # fmt: skip
"""Options of vLLM that are set here."""


@dataclass(frozen=True)
class VllmOptions:
    """Where vLLM is and what it is to be told.

    Attributes
    ----------
    python : Path or None
        Python of the environment that has it; None for that of ``vllm`` on the ``PATH``.
    arguments : str
        More options of vLLM's own, as in a shell.
    log : Path or None
        Where its output goes; None for a new file among the temporary ones.
    """

    python: Path | None = None
    arguments: str = ""
    log: Path | None = None


class VllmStartError(ModelwrightError):
    """vLLM ended before it answered."""


class VllmProcess:
    """vLLM with one model, reached by us alone; ends with the ``with`` block.

    Parameters
    ----------
    folder : Path
        The model's.
    max_sequences : int
        Most texts that are generated at once.
    options : VllmOptions
        The rest.

    Raises
    ------
    UsageError
        If there is no vLLM, or it is told what is ours to say.
    """

    def __init__(self, folder: Path, max_sequences: int, options: VllmOptions):
        more = _checked(options.arguments)
        self.port = _free_port()
        self.key = secrets.token_urlsafe(32)
        self.log = options.log or _new_log()
        self._command = [
            str(find_python(options.python)), "-m", "vllm.entrypoints.openai.api_server",
            "--model", str(folder.resolve()), "--served-model-name", MODEL,
            "--host", "127.0.0.1", "--port", str(self.port),
            "--max-num-seqs", str(max_sequences),
            "--generation-config", "vllm",  # every request says all itself
            "--structured-outputs-config", '{"backend": "guidance"}',
            *more,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What every request to it must have."""
        return [("Authorization", f"Bearer {self.key}"), ("Content-Type", "application/json")]

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> VllmProcess:
        parent, libc = os.getpid(), _libc()

        def end_with_parent() -> None:
            if libc is not None:
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
                if os.getppid() != parent:  # it went before that was said
                    os._exit(1)

        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(self._command[0], self.key),
                preexec_fn=end_with_parent,
                start_new_session=True,  # Ctrl-C is for us; running texts are finished first
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        assert process is not None
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        # Its own processes share its group; whoever is left did not listen.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_until_ready(self) -> None:
        """Return once it answers; shows how long that takes.

        Raises
        ------
        VllmStartError
            If it ends before.
        """
        started = time.monotonic()
        with (
            make_progress().task("vLLM starts", None, "s") as task,
            httpcore2.ConnectionPool() as connections,
        ):
            while not (self._answers(connections) and self.is_alive):
                if not self.is_alive:
                    raise VllmStartError(
                        f"vLLM ended before it answered; it said last:\n{self.last_lines()}",
                        where=self.log,
                        fix="see what it says; '--vllm-args' takes options of its own",
                    )
                task.update(time.monotonic() - started)
                time.sleep(ASK_EVERY_SECONDS)

    def last_lines(self) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line.strip()][-LAST_LINES:]
        return "\n".join("    " + _printable(line)[:300] for line in lines) or "    (nothing)"

    def _answers(self, connections: httpcore2.ConnectionPool) -> bool:
        try:
            response = connections.request(
                "GET", f"{self.address}/health", headers=self.headers,
                extensions={"timeout": {"connect": 1.0, "read": 5.0}},
            )  # fmt: skip
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError):
            return False
        return response.status == 200


def find_python(given: Path | None) -> Path:
    """The Python that has vLLM: as given, of an environment's folder, or beside ``vllm``.

    Raises
    ------
    UsageError
        If there is none.
    """
    if given is None:
        script = shutil.which("vllm")
        if script is None:
            raise UsageError(
                "vLLM is not on the PATH",
                fix="install it into an environment of its own, and give that environment's Python "
                "with --vllm or MODELWRIGHT_VLLM",
            )
        given = Path(script)
    if given.is_dir():
        python = given / "bin" / "python"
    elif given.name == "vllm":
        python = given.parent / "python"
    else:
        python = given
    if not (python.is_file() and os.access(python, os.X_OK)):
        raise UsageError(
            "there is no Python that could run vLLM",
            where=python,
            fix="give the Python of the environment in which vLLM is, as env/bin/python",
        )
    return python.absolute()  # not resolved: an environment is known by the link


def _checked(arguments: str) -> list[str]:
    """Split options of vLLM, and refuse those that are ours."""
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise UsageError(f"--vllm-args cannot be read: {error}", fix="correct it") from None
    for word in words:
        name = word.partition("=")[0].removeprefix("--").replace("_", "-")
        if word.startswith("-") and any(name and ours.startswith(name) for ours in OURS):
            raise UsageError(
                f"'{word}' cannot be given to vLLM: it is set by this server", fix="leave it out"
            )
    return words


def _environment(python: str, key: str) -> dict[str, str]:
    """Of the process: nothing of our own Python, and nothing sent or fetched anywhere."""
    found = {name: one for name, one in os.environ.items() if not name.startswith("PYTHON")}
    found |= {
        "VLLM_API_KEY": key,  # not on the command line, which others can read
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{Path(python).parent}{os.pathsep}{found.get('PATH', os.defpath)}",
    }
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _new_log() -> Path:
    handle, name = tempfile.mkstemp(prefix="modelwright-vllm-", suffix=".log")
    os.close(handle)
    return Path(name)


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def _printable(line: str) -> str:
    return "".join(one if one.isprintable() else " " for one in line)
