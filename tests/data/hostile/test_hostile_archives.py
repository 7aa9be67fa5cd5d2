from __future__ import annotations

import tracemalloc

import pytest
from archives import CASES, read


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_archive_is_contained(tmp_path, case):
    path = tmp_path / case.name
    case.write(path)
    tracemalloc.start()
    try:
        result = read(path, tmp_path / "kept")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.contains(case), result
    assert peak < 220 * 2**20
    assert list(tmp_path.iterdir()) == [path]
