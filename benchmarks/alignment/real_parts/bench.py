"""Where the parts of real_data.py work, and how they call Modelwright."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Budgets:
    """Optimizer steps of each training."""

    supervised: int
    preferences: int
    tasks: int
    rewarded: int


@dataclass(frozen=True)
class Stage:
    """What a command made."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """What it measured."""
        return dict(self.manifest["metrics"])

    def log(self) -> list[dict[str, float]]:
        """The rows of its training log."""
        text = (self.folder / "log" / "training.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


@dataclass(frozen=True)
class Bench:
    """Folders and budgets.

    Attributes
    ----------
    base : Path
        The model that all begins with.
    shared : Path
        Folder with the data sets.
    work : Path
        Where results go; what is there already is not made again.
    budgets : Budgets
        How long to train.
    """

    base: Path
    shared: Path
    work: Path
    budgets: Budgets

    def stage(self, verb: str, out: str, **options: object) -> Stage:
        """Run ``modelwright VERB``; options are flags, a list gives its flag once an item.

        Raises
        ------
        subprocess.CalledProcessError
            If it fails.
        """
        folder = self.work / out
        command = [sys.executable, "-m", "modelwright", verb, "--out", str(folder)]
        for name, value in options.items():
            for one in value if isinstance(value, list) else [value]:
                command += [f"--{name.replace('_', '-')}", str(one)]
        self.work.mkdir(parents=True, exist_ok=True)
        with open(self.work / f"{out}.log", "a", encoding="utf-8") as log:
            subprocess.run(command, cwd=self.work, check=True, stdout=log, stderr=log)
        return Stage(folder, json.loads((folder / "manifest.json").read_text(encoding="utf-8")))

    def write(self, name: str, rows: Iterable[Row]) -> Path:
        """Write rows to a file below the work folder, unless it holds just these."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        return path
