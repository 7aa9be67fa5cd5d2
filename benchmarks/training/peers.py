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


def peers_python() -> Path:
    """The Python of that environment; it is made if it is not there.

    Raises
    ------
    subprocess.CalledProcessError
        If a package cannot be installed.
    """
    python = environment("training", REQUIREMENTS)
    if subprocess.run([python, "-c", "import litgpt"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", LITGPT], check=True)
    return python
