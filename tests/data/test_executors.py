from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.artifact import Artifact, open_artifact
from modelwright.core.errors import InputError
from modelwright.core.job import Job
from modelwright.core.progress import SilentProgress
from modelwright.data.annotate import annotate
from modelwright.data.corpus import CorpusWriter, new_document
from modelwright.data.executors import Execution, map_ordered
from modelwright.data.prepare import prepare
from modelwright.data.settings import AnnotateSettings, Place, PrepareSettings

TWO = Execution(workers=2)


def slow_first(number: int) -> int:
    time.sleep(0.3 if number == 0 else 0)
    return number * number


def threads_of_polars(number: int) -> int:
    return pl.thread_pool_size()


@dataclass(frozen=True)
class Failing:
    """Fails at one task, after the others began."""

    place: int
    error: Exception

    def __call__(self, number: int) -> int:
        if number == self.place:
            raise self.error
        return number


def killed_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def slow_after_the_first(number: int) -> int:
    time.sleep(60 if number else 0)
    return number


@given(st.lists(st.integers(), max_size=20), st.integers(1, 2))
def test_alone_it_is_a_map(tasks, workers):
    few = tasks[:1] if workers > 1 else tasks  # one task needs no process either
    assert list(map_ordered(str, few, Execution(workers))) == [str(task) for task in few]


def test_results_come_in_the_order_of_the_tasks():
    assert list(map_ordered(slow_first, range(20), TWO)) == [n * n for n in range(20)]


def test_each_worker_has_one_thread_and_the_parent_keeps_its_settings(monkeypatch):
    monkeypatch.setenv("POLARS_MAX_THREADS", "7")
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    assert list(map_ordered(threads_of_polars, range(2), TWO)) == [1, 1]
    assert os.environ["POLARS_MAX_THREADS"] == "7"
    assert "RAYON_NUM_THREADS" not in os.environ


def test_errors_come_through_with_all_they_say():
    error = InputError("damaged", where="a.parquet", fix="bring another")
    results = map_ordered(Failing(2, error), range(6), TWO)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(InputError) as caught:
        next(results)
    assert str(caught.value) == str(error)
    assert multiprocessing.active_children() == []


def test_a_full_disk_in_a_worker_names_the_file():
    full = OSError(errno.ENOSPC, "No space left on device")
    full.filename = "000003.parquet"
    with pytest.raises(OSError, match="No space left") as caught:
        list(map_ordered(Failing(1, full), range(4), TWO))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "000003.parquet")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_worker_is_one_clear_error():
    with pytest.raises(InputError, match="a worker process was ended from outside"):
        list(map_ordered(killed_at_three, range(8), TWO))
    assert multiprocessing.active_children() == []


def test_who_wants_no_more_results_does_not_wait_for_them():
    began = time.monotonic()
    results = map_ordered(slow_after_the_first, range(4), TWO)
    assert next(results) == 0
    results.close()
    assert time.monotonic() - began < 30
    assert multiprocessing.active_children() == []


PARENT = """
from test_executors import TWO, map_ordered, slow_after_the_first

if __name__ == "__main__":
    for number in map_ordered(slow_after_the_first, range(4), TWO):
        print(number, flush=True)
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with two workers, of which one has long work."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        yield process
        process.kill()


@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_workers_end_with_a_parent_that_is_killed(parent):
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    parent.send_signal(signal.SIGKILL)
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert (len(gone), alive) == (len(children), [])


@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C works in another way")
def test_ctrl_c_does_not_wait_for_long_work(parent):
    children = psutil.Process(parent.pid).children(recursive=True)
    parent.send_signal(signal.SIGINT)
    _, errors = parent.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.fixture(scope="session")
def two_ray_workers() -> Iterator[None]:
    """A local Ray cluster that runs two tasks at a time, and can import this file."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    ray.init(
        num_cpus=2,
        log_to_driver=False,
        configure_logging=False,
        include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}},
    )
    yield
    ray.shutdown()


def test_ray_gives_the_same_bytes_and_the_same_errors(tmp_path, two_ray_workers):
    words = "storm river stone lamp quiet forest window letter silver horse".split()  # noqa: SIM905
    source = tmp_path / "source"
    source.mkdir()
    with CorpusWriter(source, group_bytes=20_000) as writer:
        for number in range(300):
            text = " ".join(random.Random(number % 280).choices(words, k=50))
            text += f" write to user{number % 280}@mail.org"
            made = new_document(text, source="s", url=f"{number}", title="", licence="MIT")
            writer.write(made)
    corpus = open_artifact(source, "corpus")
    assert made_on("ray", corpus, tmp_path) == made_on("here", corpus, tmp_path)

    error = InputError("damaged", where="a.parquet", fix="bring another")
    with pytest.raises(InputError) as caught:
        list(map_ordered(Failing(1, error), range(3), Execution(place="ray")))
    assert str(caught.value) == str(error)


def made_on(place: Place, corpus: Artifact, folder: Path) -> dict[str, bytes]:
    """What annotate and prepare make there."""
    scored, cleaned = folder / f"{place}-annotated", folder / f"{place}-prepared"
    scored.mkdir()
    cleaned.mkdir()
    first = AnnotateSettings(workers=1, place=place)
    annotate(Job(first, {"corpus": corpus}, scored, SilentProgress()))
    second = PrepareSettings(workers=1, place=place)
    outcome = prepare(
        Job(second, {"corpus": open_artifact(scored, "corpus")}, cleaned, SilentProgress())
    )
    assert outcome.counts["redacted_email"] == 280
    return {
        f"{name}/{path.relative_to(made)}": path.read_bytes()
        for name, made in (("annotated", scored), ("prepared", cleaned))
        for path in made.rglob("*")
        if path.is_file() and "scratch" not in path.parts
    }
