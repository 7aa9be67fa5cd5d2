import pytest

from modelwright.core.progress import LiveProgress

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
