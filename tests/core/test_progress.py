import pytest

from modelwright.core import progress as progress_module
from modelwright.core.progress import LineProgress, LiveProgress

NAME = "read notes[/x] :smile: [bold]"


def test_the_live_display_shows_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    progress = LiveProgress()
    progress.console.width = 200
    progress.note(NAME)
    with progress.task(NAME, 2, "files") as task:
        task.update(2, dropped="[/y]")
    shown = capsys.readouterr().err
    assert shown.count(NAME) >= 2
    assert "dropped [/y]" in shown


def test_the_last_line_is_printed_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    with LineProgress().task("read", 2, "files") as task:
        task.update(1)
        task.update(2)
    assert capsys.readouterr().err.count("read: 2 of 2 files") == 1
    with LineProgress().task("write", 2, "files") as task:
        monkeypatch.setattr(progress_module, "LINE_INTERVAL_SECONDS", 1e9)
        task.update(2)
    assert capsys.readouterr().err.count("write: 2 of 2 files") == 1
