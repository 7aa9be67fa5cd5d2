"""A Python environment for every peer that a benchmark compares with, made once.

They lie in the folder that the variable MODELWRIGHT_PEERS names, else in
`benchmarks/.environments`.
"""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".environments"


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of the environment `name`; it is made and filled if it is not there.

    Raises
    ------
    subprocess.CalledProcessError
        If the requirements cannot be installed.
    """
    folder = Path(os.environ.get("MODELWRIGHT_PEERS", FOLDER)) / name
    python = folder / "bin" / "python"
    done = folder / "requirements.txt"
    wanted = "".join(f"{requirement}\n" for requirement in requirements)
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return python
    if not python.exists():
        venv.create(folder, with_pip=True)
    print(f"installing {', '.join(requirements)} into {folder}", flush=True)
    install = [str(python), "-m", "pip", "install", "--quiet", *requirements]
    subprocess.run(install, check=True)
    done.write_text(wanted, encoding="utf-8")
    return python


def datatrove() -> Path:
    """The Python of an environment with datatrove, its filters and its MinHash."""
    # datatrove forgets that lxml.html.clean, which trafilatura 1 needs, is a package of its own.
    return environment("datatrove", ["datatrove[processing]==0.10.1", "spacy", "lxml_html_clean"])
