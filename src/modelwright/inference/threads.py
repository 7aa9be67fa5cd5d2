"""How many processor threads to generate with."""

from __future__ import annotations

from modelwright.core.machine import available_cores

SMALL_MODEL_PARAMETERS = 30_000_000


def decoding_threads(parameters: int) -> int:
    """Threads for a model of that many parameters that answers people.

    A step of a small model is so short that threads spend it waiting for each other: on a machine
    with other work, two are more than ten times slower than one. A larger model gets all cores
    but one, which is left to whoever asks the questions.
    """
    if parameters < SMALL_MODEL_PARAMETERS:
        return 1
    return max(1, available_cores() - 1)
