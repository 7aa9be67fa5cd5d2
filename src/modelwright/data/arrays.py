"""Arrays in files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelwright.core.files import atomic_open


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as ``.npy``, atomically.

    NumPy itself would write past Python's file, and then says of a full disk only how many bytes
    are missing.
    """
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    with atomic_open(path) as file:
        file.write(buffer.getbuffer())
