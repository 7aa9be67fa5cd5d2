import multiprocessing
import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from modelwright.core.errors import UsageError, WorkspaceBusyError
from modelwright.core.workspace import Workspace, find_workspace


def hold_lock(root: Path, held: Event) -> None:
    with Workspace(root).lock():
        held.set()
        time.sleep(60)


def test_a_second_run_is_refused_and_a_killed_one_frees_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=hold_lock, args=(tmp_path, held))
    other.start()
    assert held.wait(30)
    with pytest.raises(WorkspaceBusyError, match=str(other.pid)), Workspace(tmp_path).lock():
        pass
    assert other.pid is not None
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    with Workspace(tmp_path).lock():
        pass


def test_a_workspace_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "modelwright.yaml").write_text("name: x\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_workspace(tmp_path / "a" / "b").root == tmp_path.resolve()


def test_no_workspace_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="modelwright init"):
        find_workspace(tmp_path)


def test_each_workspace_has_an_id_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = Workspace(tmp_path / "a").identity()
    assert first
    assert Workspace(tmp_path / "a").identity() == first
    assert Workspace(tmp_path / "b").identity() != first
