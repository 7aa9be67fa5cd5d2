"""Shards and a tokenizer of novels, to pretrain on from the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from books import write_split

SHARED = Path(__file__).resolve().parents[3] / "shared"


def make_inputs(folder: Path, text: str) -> dict[str, str]:
    """Make them in a folder, of one part of the books; returns flags of ``pretrain``."""
    write_split(SHARED, folder / "data")
    recipe = f'budget: "5 minutes"\ncollect:\n  sources: ["{folder / "data" / text}"]\n'
    (folder / "modelwright.yaml").write_text(recipe)
    command = [sys.executable, "-m", "modelwright", "run", "--until", "shards", "--quiet"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    flags = {}
    for stage in ("shards", "tokenizer"):
        (artifact,) = (folder / "artifacts").glob(f"{stage}-*")
        flags[stage] = str(artifact)
    return flags


def pretrain(flags: Mapping[str, object]) -> list[str]:
    """The command line of ``modelwright pretrain`` with those flags."""
    texts = [text for name, value in flags.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", "modelwright", "pretrain", "--no-compile", *texts]
