"""What is tuned of a peer, and when it has to be done."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field

from task import Task

WARM_UP = 0.04
"""Part of the time with rising rate."""

SAVE_SECONDS = 1.0


@dataclass(frozen=True)
class Recipe:
    """How a peer trains: shape, batch, peak learning rate, tokenizer.

    Text is encoded by the minute: on a CPU more than a model of a million parameters gets through.
    """

    width: int = 256
    layers: int = 6
    rows: int = 16
    learning_rate: float = 2e-3
    vocabulary: int = 4096
    context: int = 256
    precision: str = "float32"
    compiled: bool = False
    device: str = "cpu"
    megabytes_per_minute: float = 3.2

    def task(self) -> Task:
        """The model: Qwen3's shape, feed-forward 8/3 of the width, rounded up to 64."""
        return Task(
            width=self.width,
            layers=self.layers,
            heads=self.width // 64,
            feed_forward=-(-self.width * 8 // 3 // 64) * 64,
            vocabulary=self.vocabulary,
            context=self.context,
            rows=self.rows,
            micro_rows=min(self.rows, 32),
            precision=self.precision,
            compiled=self.compiled,
            device=self.device,
        )

    def to_json(self) -> str:
        """For a command line, and as a key."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """What :meth:`to_json` wrote."""
        return cls(**json.loads(text))


@dataclass
class Clock:
    """The learning rate by the time that is left, and the end.

    Attributes
    ----------
    deadline : float
        ``time.time()`` at which the saved model must be there.
    started : float
        When the first step was done; compiling does not use up the schedule.
    """

    deadline: float
    started: float | None = None
    steps: int = 0
    last: float = field(default_factory=time.time)
    step_seconds: float = 0.0

    def step_done(self) -> None:
        """Count a step."""
        now = time.time()
        if self.started is None:
            self.started = now
        else:
            self.step_seconds = now - self.last
        self.steps, self.last = self.steps + 1, now

    @property
    def is_over(self) -> bool:
        """Whether another step would come too late."""
        return time.time() + self.step_seconds + SAVE_SECONDS > self.deadline

    def rate(self) -> float:
        """Part of the peak rate: up in a straight line, then down to zero (D2Z)."""
        if self.started is None:
            return 0.1
        whole = max(1e-9, self.deadline - SAVE_SECONDS - self.started)
        progress = (time.time() - self.started) / whole
        return min(1.0, 0.1 + progress / WARM_UP, max(0.0, (1.0 - progress) / (1.0 - WARM_UP)))
