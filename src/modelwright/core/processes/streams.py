"""The standard streams of a worker, taken for frames, so that what libraries print is no answer."""

from __future__ import annotations

import os
from typing import BinaryIO


def take_streams(*, prints_to_stderr: bool = False) -> tuple[BinaryIO, BinaryIO]:
    """Take standard input and output for tasks and answers.

    Parameters
    ----------
    prints_to_stderr : bool
        Where what is printed goes from now on: to standard error, or nowhere.

    Returns
    -------
    tasks, answers : binary file
        Input and output as they were.
    """
    tasks, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(2 if prints_to_stderr else nowhere, 1)
    os.close(nowhere)
    return tasks, answers
