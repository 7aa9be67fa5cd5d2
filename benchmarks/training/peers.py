"""The Python environment of the peers: transformers' Trainer and LitGPT."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))

from environments import environment

REQUIREMENTS = (
    "torch==2.13.0",
    "transformers==5.23.0",
    "accelerate==1.15.0",
    "lightning==2.6.6",
    "jsonargparse[signatures]==4.53.0",
    "psutil==7.2.2",
)
# Its own requirements want a huggingface_hub that transformers 5 does not take.
LITGPT = "litgpt==0.5.13"


def peers_python(given: Path | None = None) -> Path:
    """The Python that is given, else that of the environment, which is made if it is not there.

    Raises
    ------
    subprocess.CalledProcessError
        If a package cannot be installed.
    """
    if given is not None:
        return given
    python = environment("training", REQUIREMENTS)
    if subprocess.run([python, "-c", "import litgpt"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", LITGPT], check=True)
    return python


def why_not(python: Path, module: str) -> str:
    """The last line of what that Python says if it cannot import one of our modules; or nothing."""
    command = [str(python), "-c", f"import {module}"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
