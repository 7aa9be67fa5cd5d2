"""What users have instead of good input: one clear error, the right exit code, nothing lost."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_workspace import (
    ENVIRONMENT,
    contents,
    make_workspace,
    modelwright,
    write_sources,
)

from modelwright.core import files
from modelwright.core.workspace import Workspace

FULL = "the disk is full"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_sources(tmp_path / "sources")[0]


@pytest.fixture
def examples(text: Path) -> Path:
    return text.parent / "examples.jsonl"


@pytest.fixture
def workspace(tmp_path: Path, text: Path, examples: Path) -> Workspace:
    return make_workspace(tmp_path / "workspace", text, examples)


def error_of(result, *said: str, exit_code: int = 1) -> str:
    """The one error of a command that failed as it should."""
    assert result.exit_code == exit_code
    assert result.errors.count("error: ") == 1
    error = result.errors.partition("error: ")[2]
    assert "to do: " in error
    for part in said:
        assert part in error
    return error


def test_an_empty_folder(command, workspace: Workspace, text: Path) -> None:
    shutil.rmtree(text)
    text.mkdir()
    error_of(command("run", cwd=workspace.root), "no usable text here: found no files", str(text))


def test_a_folder_that_is_gone(command, workspace: Workspace, text: Path) -> None:
    shutil.rmtree(text)
    before = contents(workspace.root)
    error_of(command("run", cwd=workspace.root), "no such file or folder", str(text))
    error_of(command("run", "--dry-run", cwd=workspace.root), "no such file or folder")
    assert contents(workspace.root).keys() - before.keys() <= {".modelwright.lock"}


def test_only_binary_files(command, workspace: Workspace, text: Path) -> None:
    shutil.rmtree(text)
    text.mkdir()
    (text / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (text / "named.txt").write_bytes(b"\x00\x01\x02" * 500)
    error_of(command("run", cwd=workspace.root), "1 x .png", "1 x binary content", str(text))


def test_binary_files_among_others_are_counted(command, workspace, text: Path) -> None:
    (text / "image.png").write_bytes(b"\x89PNG")
    (text / "named.txt").write_bytes(b"\x00\x01\x02" * 500)
    result = command("run", "--until", "prepare", cwd=workspace.root)
    assert result.exit_code == 0
    assert "dropped: binary content: named.txt" in result.errors
    dropped = workspace.artifact("collect").manifest.dropped
    assert dropped == {"binary content": 1, "unknown file type: .png": 1}


def test_broken_utf8_in_a_text_is_counted(command, workspace: Workspace, text: Path) -> None:
    (text / "broken.txt").write_bytes(b"good words and \xff\xfe\xfd then more good words " * 3)
    assert command("run", "--until", "prepare", cwd=workspace.root).exit_code == 0
    collected = workspace.artifact("collect").manifest
    prepared = workspace.artifact("prepare").manifest
    assert collected.counts["documents"] == 9
    assert prepared.counts["documents_out"] == 8
    assert sum(prepared.dropped.values()) == 1


def test_broken_utf8_in_examples(command, workspace: Workspace, examples: Path) -> None:
    rows = examples.read_bytes().splitlines()
    rows[3] = b'{"prompt": "\xff", "completion": "x"}'
    examples.write_bytes(b"\n".join(rows))
    error_of(command("run", cwd=workspace.root), "UTF-8", f"{examples}, line 4")
    assert workspace.artifact("prepare").manifest.counts["documents_out"] == 8


def test_broken_json_in_line_7(command, workspace: Workspace, text: Path, examples: Path) -> None:
    rows = (text / "rows.jsonl").read_text().splitlines()
    (text / "rows.jsonl").write_text("\n".join([*rows, '{"text": "no end']) + "\n")
    result = command("run", "--until", "collect", cwd=workspace.root)
    assert result.exit_code == 0
    assert "dropped: broken JSON: rows.jsonl, line 7" in result.errors
    assert workspace.artifact("collect").manifest.dropped == {"broken JSON": 1}

    lines = examples.read_text().splitlines()
    lines[6] = lines[6][:-1]
    examples.write_text("\n".join(lines) + "\n")
    error_of(command("run", cwd=workspace.root), "broken JSON", f"{examples}, line 7")
    lines[6] += "}"
    examples.write_text("\n".join(lines) + "\n")
    assert command("run", "--until", "examples", cwd=workspace.root).exit_code == 0


def test_a_recipe_that_is_no_text(command, workspace: Workspace) -> None:
    workspace.recipe.write_bytes(b"name: \xff\xfe\n")
    result = command("run", cwd=workspace.root)
    error_of(result, "not UTF-8", str(workspace.recipe), exit_code=2)


def test_an_unknown_model(command, finished: Workspace, tmp_path: Path) -> None:
    for verb in ("chat", "serve"):
        error_of(command(verb, "nothing", cwd=finished.root), "'nothing' is no artifact")
        error_of(command(verb, "tokenizer", cwd=finished.root), "is a tokenizer, not a model")
        error_of(command(verb, "nothing", cwd=tmp_path), "no such model")
    flags = ("--out", "out", "--corpus", str(finished.artifact("prepare").path))
    error_of(command("evaluate", "--model", "nothing", *flags), "no model here: not a folder")
    wrong = str(finished.artifact("tokenizer").path)
    error_of(command("evaluate", "--model", wrong, *flags), "this is a tokenizer")
    assert not (tmp_path / "out").exists()


def test_a_workspace_without_a_model(command, workspace: Workspace) -> None:
    error_of(command("chat", cwd=workspace.root), "no finished model yet", "modelwright run")


def test_the_result_of_a_stage_never_replaces_something_else(
    command, finished: Workspace, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(finished.artifact("collect").path, corpus)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "diary.txt").write_text("mine")
    before = contents(tmp_path)
    for target in (corpus, notes):
        result = command("prepare", "--corpus", str(corpus), "--out", str(target))
        error_of(result, "something that 'prepare' did not make", str(target), exit_code=2)
    assert contents(tmp_path) == before


def test_another_result_of_the_stage_is_replaced_only_if_that_is_asked_for(
    command, finished: Workspace, tmp_path: Path
) -> None:
    corpus = str(finished.artifact("annotate").path)
    line = ("prepare", "--corpus", corpus, "--out", "out")
    assert command(*line).exit_code == 0
    before = contents(tmp_path / "out")
    assert command(*line).output == "prepare: up to date\n"
    result = command(*line, "--min-characters", "2")
    what = "another result of 'prepare' (min_characters: "
    error_of(result, what, str(tmp_path / "out"), "--overwrite", exit_code=2)
    assert contents(tmp_path / "out") == before
    assert "min_characters: " in command(*line, "--min-characters", "2", "--dry-run").output
    assert command(*line, "--min-characters", "2", "--overwrite").exit_code == 0
    assert contents(tmp_path / "out")["manifest.json"] != before["manifest.json"]


def test_a_second_run_in_the_same_workspace(command, workspace: Workspace) -> None:
    with workspace.lock():
        before = contents(workspace.root)
        result = modelwright("run", cwd=workspace.root)
        assert result.returncode == 1
        assert f"another run (process {os.getpid()}) is at work here" in result.stderr
        assert "nothing was changed" in result.stderr
        assert contents(workspace.root) == before
        # What only reads is not kept waiting.
        assert modelwright("run", "--dry-run", cwd=workspace.root).returncode == 0
    assert command("run", "--until", "collect", cwd=workspace.root).exit_code == 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.mark.alone
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_is_gone_on_with(
    command, workspace: Workspace, finished: Workspace, how: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "modelwright", "run"],
        cwd=workspace.root,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(lambda: any(workspace.artifacts_folder.glob("tokenizer-*")))
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    if how == signal.SIGINT:
        assert process.returncode == 1
        assert "stopped; run the same command again to go on" in errors
    result = command("run", cwd=workspace.root)
    assert result.exit_code == 0, result.errors
    assert "collect    fresh" in result.output
    runs = command("show", "--runs", cwd=workspace.root).output
    assert runs.count(" interrupted") == 1
    assert [one.manifest.kind for one in workspace.artifacts()] == [
        one.manifest.kind for one in finished.artifacts()
    ]
    assert not list(workspace.artifacts_folder.glob("*.partial"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of so many KiB; called again, the same one with another size."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def resize(kib: int) -> Path:
        nonlocal mounted
        options = f"size={kib}k" + (",remount" if mounted else "")
        if subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", folder]).returncode:
            pytest.skip("this system does not allow to mount a file system")
        mounted = True
        return folder

    yield resize
    if mounted:
        subprocess.run([umount, "--lazy", folder], check=True)


@pytest.mark.parametrize("kib", [16, 64, 120, 180, 260, 400, 600, 800, 1000])
def test_a_full_disk(
    command, small_disk, kib: int, text: Path, examples: Path, workspace: Workspace
) -> None:
    assert command("run", cwd=workspace.root).exit_code == 0
    expected = [(one.id, one.manifest.digest) for one in workspace.artifacts()]
    small = make_workspace(small_disk(kib) / "w", text, examples)
    result = command("run", cwd=small.root)
    error = error_of(result)
    assert FULL in error or "No space left" in error
    assert "run" in error.partition("to do: ")[2]
    kept = small.artifacts()
    assert [one.changed_files() for one in kept] == [[]] * len(kept)

    small_disk(8192)
    result = command("run", cwd=small.root)
    assert result.exit_code == 0, result.errors
    assert result.output.count("fresh") == len(kept)
    assert [(one.id, one.manifest.digest) for one in small.artifacts()] == expected


def test_a_disk_that_fills_up_at_any_file(
    command, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no file system can be mounted: flushing fails at the n-th file."""
    flush = os.fsync
    for number in (0, 3, 6, 9):
        left = [number]

        def full(descriptor: int, left: list[int] = left) -> None:
            if left[0] == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            left[0] -= 1
            flush(descriptor)

        monkeypatch.setattr(files.os, "fsync", full)
        error_of(command("run", "--until", "shards", cwd=workspace.root), FULL, "where: ")
        monkeypatch.setattr(files.os, "fsync", flush)
    result = command("run", "--until", "shards", cwd=workspace.root)
    assert result.exit_code == 0
    for artifact in workspace.artifacts():
        assert artifact.changed_files() == []


def test_a_manifest_of_the_future_is_no_traceback(command, workspace: Workspace) -> None:
    assert command("run", "--until", "collect", cwd=workspace.root).exit_code == 0
    path = workspace.artifact("collect").path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "new_field": 1}))
    error_of(command("run", cwd=workspace.root), "the manifest is damaged", str(path))
