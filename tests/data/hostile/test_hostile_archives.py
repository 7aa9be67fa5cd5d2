from __future__ import annotations

import pytest
from archives import CASES

from modelwright.core.errors import InputError
from modelwright.core.progress import SilentProgress
from modelwright.data.drops import Drops
from modelwright.data.sandbox import Sandbox
from modelwright.data.sources.files import FilesReader
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import FilesSource
from modelwright.data.sources.streams import ExpansionLimits

# A floor that lets bombs be small, so that the tests are fast; benchmarks take the real one.
LIMITS = ExpansionLimits(floor=100 * 2**20)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_archive_is_contained(folders, case):
    tracemalloc = pytest.importorskip("tracemalloc")
    path = folders / case.name
    case.write(path)
    drops = Drops(lambda text: None)
    reader = FilesReader(FilesSource(path=str(path)), expansion=LIMITS)
    kept = set()
    error = None
    tracemalloc.start()
    try:
        with Sandbox(1) as sandbox:
            reading = Reading(SilentProgress(), drops, sandbox, folders / "kept")
            kept = {document.url for document in reader.documents(reading)}
    except InputError as caught:
        error = caught
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (error is None) == bool(kept)
    assert kept == {f"{case.name}!/{member}" for member in case.keeps}
    for beginning in case.reasons:
        assert any(reason.startswith(beginning) for reason in drops.counts), drops.counts
    assert peak < 220 * 2**20
    assert [entry.name for entry in folders.iterdir() if entry != path] == []
    path.unlink()
