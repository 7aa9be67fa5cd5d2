"""Whether this process is one of several, as torchrun tells it through the environment."""

from __future__ import annotations

import os


def are_several() -> bool:
    """Whether this process was started as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_follower() -> bool:
    """Whether another process leads."""
    return are_several() and os.environ["RANK"] != "0"


def local_rank() -> int:
    """Which of the processes on this machine this one is, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))
