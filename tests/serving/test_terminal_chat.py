import io
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelwright.core.errors import InputError
from modelwright.inference.engine import Engine
from modelwright.inference.prompt_checks import ContextLengthError
from modelwright.serving.terminal import session as terminal_session
from modelwright.serving.terminal.session import Session, open_model
from modelwright.serving.terminal.writing import printable
from modelwright.serving.terminal_chat import ChatOptions, chat

QUESTIONS = "Who jumps?\n\n  \nनमस्ते 世界\n"
GREEDY = ChatOptions(temperature=0.0, max_tokens=12)


def expected_answers(folder: Path) -> list[str]:
    engine = Engine.load(folder)
    prompts = [
        engine.tokenizer.encode_chat([{"role": "user", "content": text}], True)
        for text in ("Who jumps?", "नमस्ते 世界")
    ]
    return [completion.text for completion in engine.generate(prompts, GREEDY.params)]


def test_each_line_of_a_pipe_is_answered(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(QUESTIONS))
    chat(model_folder, GREEDY)
    answers = expected_answers(model_folder)
    assert capsys.readouterr().out == "".join(printable(text) + "\n" for text in answers)


def test_a_line_that_does_not_fit_is_named(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n" + "x" * 2000 + "\n"))
    with pytest.raises(InputError, match=r"2\d\d\d tokens") as caught:
        chat(model_folder, GREEDY)
    assert caught.value.where == "standard input, line 2"


def test_a_pipe_through_the_command_and_bytes_that_are_no_text(model_folder: Path) -> None:
    command = [sys.executable, "-m", "modelwright", "chat", str(model_folder), "--max-tokens", "5"]
    done = subprocess.run(
        [*command, "--seed", "1"], input=b"one\n\xff\xfe\n", capture_output=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) >= 2


@pytest.mark.alone
def test_a_terminal_conversation(model_folder: Path) -> None:
    """A real pseudo-terminal: a question, several lines, reset, a dropped line, the end."""
    main, side = pty.openpty()
    command = [sys.executable, "-m", "modelwright", "chat", str(model_folder)]
    environment = {**os.environ, "TERM": "dumb"}
    options = ["--max-tokens", "8", "--temperature", "0"]
    process = subprocess.Popen(
        [*command, *options], stdin=side, stdout=side, stderr=side, env=environment
    )
    os.close(side)
    seen, place = b"", 0

    def read_until(mark: bytes) -> None:
        """Read on behind the mark that was read last."""
        nonlocal seen, place
        deadline = time.monotonic() + 60
        while (found := seen.find(mark, place)) < 0:
            is_there, _, _ = select.select([main], [], [], deadline - time.monotonic())
            assert is_there, seen
            seen += os.read(main, 10_000)
        place = found + len(mark)

    def say(text: bytes, until: bytes = b"\n> ") -> None:
        os.write(main, text + b"\r")
        read_until(until)

    read_until(b"\n> ")
    say(b"Who jumps?")
    say(b'"""first line', until=b"\n. ")
    say(b'second line"""')
    say(b"/probabilities on")
    say(b"/regenerate")
    say(b"/probabilities", until=b"could have been")
    read_until(b"\n> ")
    say(b"/edit", until=b"edit> ")
    say(b"Who?")
    say(b"/nothing", until=b"there is no command")
    read_until(b"\n> ")
    say(b"/reset", until=b"(A new conversation.)")
    read_until(b"\n> ")
    os.write(main, b"half a line")
    read_until(b"half a line")
    time.sleep(1)  # Python misses a signal that comes while readline handles a key
    process.send_signal(signal.SIGINT)
    read_until(b"\n> ")
    os.write(main, b"\x04")
    assert process.wait(timeout=60) == 0
    os.close(main)
    assert b"Traceback" not in seen
    assert expected_answers(model_folder)[0][:4].encode() in seen.replace(b"\r", b"")


def test_old_turns_make_room_and_a_question_that_never_fits_is_refused(
    model_folder: Path,
) -> None:
    params = ChatOptions(temperature=0.0, max_tokens=50).params
    session = Session(open_model(model_folder), params, system="Be kind.")
    try:
        engine = session.model.engine
        shortened, parent = [], None
        for number in range(12):
            question = session.conversation.add("user", f"question {number}", parent)
            prompt, left_out = session.prompt(question)
            shortened.append(left_out)
            assert len(prompt) <= engine.context_length - 50
            text = engine.tokenizer.decode(prompt)
            assert "Be kind." in text
            assert f"question {number}" in text
            parent = session.conversation.add("assistant", f"answer {number}", question)
        assert not any(shortened[:3])
        assert shortened[-1] > 0
        assert shortened[-1] % 2 == 0
        assert "question 0" not in text
        before = session.conversation.path()
        with pytest.raises(ContextLengthError):
            session.ask("x" * 3000)
        assert session.conversation.path() == before
        session.ask("and now?")
        assert session.last_answer.text
    finally:
        session.close()


def test_a_base_model_continues_text_and_takes_no_system_message(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(terminal_session, "is_chat_model", lambda folder: False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("The quick\n"))
    chat(model_folder, GREEDY)
    engine = Engine.load(model_folder)
    prompt = [engine.tokenizer.end_of_text, *engine.tokenizer.encode("The quick")]
    expected = engine.generate([prompt], GREEDY.params)[0].text
    assert capsys.readouterr().out == printable(expected) + "\n"
    with pytest.raises(InputError, match="system message"):
        chat(model_folder, ChatOptions(system="Obey"))


def test_terminal_controls_are_not_printed() -> None:
    assert printable("a\x1b[2Jb\rc\x07\x9bd\n\te é 世") == "a[2Jbcd\n\te é 世"


def test_ctrl_c_stops_an_answer_and_keeps_what_was_said(
    scripted: Callable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    engine, script = scripted("on and on " * 20, seconds_per_step=0.02)
    monkeypatch.setattr(terminal_session, "load_engine", lambda folder: engine)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    typed = iter(["Go", EOFError()])

    def read(prompt: str) -> str:
        item = next(typed)
        if isinstance(item, Exception):
            raise item
        return item

    shown: list[str] = []

    def interrupt_after_three(text: str) -> str:
        shown.append(text)
        if len(shown) == 3:
            raise KeyboardInterrupt
        return text

    monkeypatch.setattr(terminal_session, "printable", interrupt_after_three)
    monkeypatch.setattr("builtins.input", read)
    chat(Path("model"), GREEDY)
    assert "…" in capsys.readouterr().out
    assert len(shown) == 3
    assert len(script.sequences[0].generated) < GREEDY.max_tokens
