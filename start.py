"""Set everything up on a machine that has only Python 3.11 or newer.

python3 start.py demo    install, build the demo model, open the chat page
python3 start.py test    install with all test tools, run every check
python3 start.py setup   install only

Everything goes into the folder .venv beside this file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
PARALLEL = ("-n", str(os.cpu_count() or 1), "--dist", "loadscope")
DEBIAN_PACKAGES = ("chromium", "chromium-driver", "postgresql")


def main() -> int:
    """Carry out the command; returns the exit code."""
    commands = {"demo": demo, "test": test, "setup": setup}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        print(__doc__)
        return 2
    return commands[sys.argv[1]](sys.argv[2:])


def demo(arguments: list[str]) -> int:
    """Install and run ``modelwright demo``."""
    return install("") or run(PYTHON, "-m", "modelwright", "demo", *arguments)


def setup(arguments: list[str]) -> int:
    """Install and stop."""
    return install("")


def test(arguments: list[str]) -> int:
    """Install the test tools and run the linters, the type checker and the tests."""
    code = install("[test]") or install_debian_packages()
    if code:
        return code
    checks = [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("pytest", *PARALLEL, "-m", "not slow and not alone", *arguments),
        ("pytest", "-m", "alone", *arguments),
    ]
    # All are run, so that one failure does not hide another.
    codes = [run(PYTHON, "-m", *check) for check in checks]
    return int(any(codes))


def install(extras: str) -> int:
    """Install the package and its extras at the pinned versions."""
    if not make_environment():
        return 1
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    constraints = ("-c", str(ROOT / "constraints.txt"))
    print("installing (a few minutes the first time)", flush=True)
    torch = next(
        line
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("torch==")
    )
    # First and alone, so that no other package chooses another build of it.
    return run(*pip, *constraints, torch) or run(*pip, *constraints, "-e", f"{ROOT}{extras}")


def make_environment() -> bool:
    """Make the virtual environment, or make it anew if it was left half made."""
    works = (
        PYTHON.exists()
        and not subprocess.run(
            [PYTHON, "-m", "pip", "--version"], capture_output=True, check=False
        ).returncode
    )
    if works:
        return True
    print(f"making {VENV}", flush=True)
    try:
        venv.create(VENV, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        print("Python's venv cannot install pip; on Debian or Ubuntu: apt install python3-venv")
        return False
    return True


def install_debian_packages() -> int:
    """Install the browser and the database for the tests where that is possible.

    Elsewhere the tests that need them are skipped, and say so. Returns an exit code.
    """
    missing = not (shutil.which("chromedriver") and Path("/usr/lib/postgresql").is_dir())
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if missing and is_root and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ("apt-get", "update", "-qq"),
            ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *DEBIAN_PACKAGES),
        ):
            code = subprocess.run(
                command, env=environment, stdout=subprocess.DEVNULL, check=False
            ).returncode
            if code:
                return code
    return 0


def run(*command: str | Path) -> int:
    """Run a command in the project's folder; returns its exit code."""
    return subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
