import multiprocessing
import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from modelwright.core.errors import InputError, UsageError, WorkspaceBusyError
from modelwright.core.workspace import Workspace, find_model, find_workspace


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


def test_models_by_path_and_what_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(InputError, match=r"config\.json"):
        find_model(tmp_path, str(folder))
    (folder / "config.json").write_text("{}")
    assert find_model(tmp_path, str(folder)) == folder
    with pytest.raises(InputError, match="no such model"):
        find_model(tmp_path, "gone")
    (tmp_path / "modelwright.yaml").write_text("name: x\n")
    with pytest.raises(InputError, match="no finished model"):
        find_model(tmp_path, None)
    with pytest.raises(InputError, match="no artifact"):
        find_model(tmp_path, "gone")
