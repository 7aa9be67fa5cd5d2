"""Progress on the terminal: a live display on a TTY, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from modelwright.core.machine import memory_in_use_bytes

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID

LINE_INTERVAL_SECONDS = 10.0
"""How often a task writes a line when the output is not a terminal."""


class Task(Protocol):
    """One piece of work that is under way."""

    def update(self, done: float, **figures: str) -> None:
        """Say how far it is (in the task's unit) and the figures to show beside it."""


class Progress(Protocol):
    """Where stages say what they are doing."""

    def note(self, text: str) -> None:
        """Print one line that stays."""

    @contextmanager
    def task(self, name: str, total: float | None, unit: str) -> Iterator[Task]:
        """Show a task while the ``with`` block runs; ``total`` may be unknown (None)."""
        raise NotImplementedError


def make_progress(quiet: bool = False) -> Progress:
    """The display that fits: live on a terminal, lines elsewhere, none when ``quiet``."""
    if quiet:
        return SilentProgress()
    if sys.stderr.isatty():
        return LiveProgress()
    return LineProgress()


class _NoTask:
    def update(self, done: float, **figures: str) -> None:
        return


class SilentProgress:
    """Shows nothing."""

    def note(self, text: str) -> None:
        return

    @contextmanager
    def task(self, name: str, total: float | None, unit: str) -> Iterator[Task]:
        yield _NoTask()


class LineProgress:
    """Writes a line to standard error when a task starts, now and then, and when it ends."""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def task(self, name: str, total: float | None, unit: str) -> Iterator[Task]:
        task = _LineTask(name, total, unit)
        yield task
        task.end()


class _LineTask:
    def __init__(self, name: str, total: float | None, unit: str):
        self.name, self.total, self.unit = name, total, unit
        self.started = self.printed = time.monotonic()
        self.done = 0.0
        self.figures: dict[str, str] = {}
        self.is_printed = False

    def update(self, done: float, **figures: str) -> None:
        self.done, self.is_printed = done, False
        self.figures.update(figures)
        if time.monotonic() - self.printed >= LINE_INTERVAL_SECONDS:
            self._print()

    def end(self) -> None:
        if time.monotonic() - self.started >= 2.0 and not self.is_printed:
            self._print()

    def _print(self) -> None:
        self.printed, self.is_printed = time.monotonic(), True
        seconds = self.printed - self.started
        of_total = f" of {self.total:,.0f}" if self.total else ""
        parts = [f"{self.name}: {self.done:,.0f}{of_total} {self.unit}, {seconds:.0f} s"]
        parts += [f"{key} {value}" for key, value in self.figures.items()]
        parts.append(f"memory {memory_in_use_bytes() / 2**20:,.0f} MiB")
        print("  " + ", ".join(parts), file=sys.stderr, flush=True)


class LiveProgress:
    """A live bar for each task, with time left, figures and memory."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False, markup=False, emoji=False)

    def note(self, text: str) -> None:
        self.console.print(text)

    @contextmanager
    def task(self, name: str, total: float | None, unit: str) -> Iterator[Task]:
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("  {task.description}", style="bold", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
        )
        with Progress(*columns, console=self.console, transient=False) as bar:
            yield _LiveTask(bar, bar.add_task(name, total=total, figures=""))


class _LiveTask:
    def __init__(self, bar: RichBar, task: TaskID):
        self.bar, self.task = bar, task
        self.figures: dict[str, str] = {}

    def update(self, done: float, **figures: str) -> None:
        self.figures.update(figures)
        shown = "  ".join(f"{key} {value}" for key, value in self.figures.items())
        self.bar.update(
            self.task, completed=done, figures=f"{shown}  {memory_in_use_bytes() / 2**20:,.0f} MiB"
        )
