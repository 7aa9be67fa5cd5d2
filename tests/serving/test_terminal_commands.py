"""What can be done in the terminal chat besides asking."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running_server import NAME, Server

from modelwright.core.database import sqlite_url
from modelwright.core.errors import InputError, ModelwrightError
from modelwright.data.feedback.record import Correction, Thumb
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.sampling import SamplingParams
from modelwright.serving.terminal import commands, requests, writing
from modelwright.serving.terminal import session as terminal_session
from modelwright.serving.terminal.commands import COMMANDS, is_command, obey
from modelwright.serving.terminal.conversation import Conversation, load, save
from modelwright.serving.terminal.session import Session, open_model

GREEDY = SamplingParams(12, temperature=0.0)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[FeedbackTable]:
    table = FeedbackTable(sqlite_url(tmp_path / "store.db"), "here")
    yield table
    table.close()


@pytest.fixture
def session(model_folder: Path, other_folder: Path, table: FeedbackTable) -> Iterator[Session]:
    folders = {"other": other_folder, NAME: model_folder}

    def find(name: str) -> Path:
        if name not in folders:
            raise InputError("no such model", where=name)
        return folders[name]

    session = Session(open_model(model_folder), GREEDY, feedback=table, person="ana", find=find)
    yield session
    session.close()


def texts(session: Session) -> list[str]:
    return [turn.text for turn in session.conversation.path()]


def test_commands_are_told_from_what_is_said() -> None:
    assert is_command("/help")
    assert not any(map(is_command, ["/", "/ help", "//", "1/2", "/usr/bin\nis a path", "hi /help"]))


def test_versions_of_answers_and_questions(session: Session) -> None:
    session.ask("Who jumps?")
    first = texts(session)
    obey(session, "/set temperature=2 seed=5")
    obey(session, "/regenerate")
    assert texts(session)[0] == first[0]
    assert texts(session)[1] != first[1]
    assert "message 2: version 2 of 2" in obey(session, "/branch")
    assert "‹1/2›" in obey(session, "/branch 1")
    assert texts(session) == first
    session.ask("And then?")
    session.say("Who sleeps?", None)
    assert texts(session)[0] == "Who sleeps?"
    shown = obey(session, "/branch 1 1")
    assert texts(session)[:2] == first
    assert "4  " in shown
    for wrong in ("/branch 3", "/branch 9 1", "/branch x", "/branch 1 0"):
        with pytest.raises(InputError, match="there is no"):
            obey(session, wrong)


def test_editing_asks_anew_from_there(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("One?", "Two?"):
        session.ask(text)
    given = []

    def changed(prompt: str, text: str) -> str:
        given.append(text)
        return text.replace("?", "!")

    monkeypatch.setattr(commands, "read_line", changed)
    obey(session, "/edit")
    obey(session, "/edit 1")
    assert given == ["Two?", "One?"]
    assert texts(session)[0] == "One!"
    assert len(texts(session)) == 2
    assert {turn.text for turn in session.conversation.messages if turn.role == "user"} == {
        "One?", "Two?", "Two!", "One!",
    }  # fmt: skip
    with pytest.raises(InputError, match="answer"):
        obey(session, "/edit 2")


def test_settings_are_checked_and_used(session: Session) -> None:
    obey(session, '/set temperature=1.5 top_p=0.9 top_k=5 max_tokens=3 seed=7 stop=["END", "\\n"]')
    assert session.params == SamplingParams(
        3, temperature=1.5, top_p=0.9, top_k=5, seed=7, stop=("END", "\n")
    )
    session.ask("Who?")
    assert session.last_answer.end in ("stop", "length")
    obey(session, "/set stop=two words seed=none")
    assert (session.params.stop, session.params.seed) == (("two words",), None)
    assert 'stop=["two words"]' in obey(session, "/set")
    for wrong in (
        "temperature=-1", "temperature=warm", "top_k=1.5", "max_tokens=0", "colour=red", "seed",
        "temperature=NaN", "max_tokens=true", "stop=[1]", "structure=1",
    ):  # fmt: skip
        with pytest.raises(InputError):
            obey(session, f"/set {wrong}")


def test_the_system_prompt_and_another_model(session: Session) -> None:
    session.ask("Who jumps?")
    obey(session, "/system Be kind.")
    prompt, _ = session.prompt(session.conversation.path()[0])
    assert "Be kind." in session.model.tokenizer.decode(prompt)
    obey(session, "/system none")
    assert session.conversation.system == ""
    before = session.last_answer
    assert obey(session, "/model other") == "other"
    obey(session, "/regenerate")
    assert (before.model, session.last_answer.model) == (NAME, "other")
    with pytest.raises(InputError, match="no such model"):
        obey(session, "/model nothing")
    session.ask("It goes on?")
    assert session.model.name == "other"


def test_a_model_of_another_kind_begins_anew_and_says_so(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.ask("Who jumps?")
    monkeypatch.setattr(terminal_session, "is_chat_model", lambda folder: False)
    assert obey(session, "/model other").startswith("other (A new conversation")
    with pytest.raises(InputError):
        obey(session, "/regenerate")


def test_probabilities_are_the_models_own(
    session: Session, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.ask("Who jumps?")
    with pytest.raises(InputError, match="no probabilities"):
        obey(session, "/probabilities")
    plain = session.last_answer.text
    obey(session, "/probabilities on")
    monkeypatch.setattr(terminal_session, "has_colours", lambda: True)
    capsys.readouterr()
    obey(session, "/regenerate")
    assert "\x1b[48;5;" in capsys.readouterr().out
    answer = session.last_answer
    assert answer.text == plain
    assert answer.tokens is not None
    assert b"".join(bytes(data) for data, _, _ in answer.tokens).decode(errors="replace") == plain
    for _, value, others in answer.tokens:
        assert value == others[0][1]  # greedy
        assert [other for _, other in others] == sorted((one for _, one in others), reverse=True)
    table = obey(session, "/probabilities").splitlines()
    assert len(table) == 1 + len(answer.tokens)
    bars = obey(session, "/probabilities 1").splitlines()
    assert len(bars) == 6
    assert bars[0].startswith("→")
    assert "█" in "".join(bars)
    obey(session, "/probabilities off")
    obey(session, "/regenerate")
    assert session.last_answer.tokens is None


def test_feedback_is_kept_once(session: Session, table: FeedbackTable) -> None:
    with pytest.raises(InputError, match="no answer"):
        obey(session, "/good")
    session.conversation.system = "Be kind."
    session.ask("Who jumps?")
    obey(session, "/good right away")
    (one,) = table.read()
    assert isinstance(one, Thumb)
    assert (one.up, one.comment, one.person, one.source) == (True, "right away", "ana", "chat")
    assert [message.role for message in one.prompt] == ["system", "user"]
    assert (one.answer.text, one.answer.model) == (session.last_answer.text, NAME)
    obey(session, "/bad")
    assert [one.up for one in table.read()] == [False]
    obey(session, "/correct The fox jumps.")
    assert [one.better for one in table.read() if isinstance(one, Correction)] == ["The fox jumps."]
    assert session.last_answer.better == "The fox jumps."


def test_what_cannot_be_kept_is_said(model_folder: Path, table: FeedbackTable) -> None:
    session = Session(open_model(model_folder), GREEDY)
    try:
        session.ask("Who?")
        with pytest.raises(InputError, match="no workspace"):
            obey(session, "/good")
        session.last_answer.text = "\ud800"
        session._table = table
        with pytest.raises(InputError, match="surrogate"):
            obey(session, "/bad")
    finally:
        session.close()


@pytest.mark.parametrize("is_text", [False, True])
def test_copied_requests_say_the_same(
    server: Server, session: Session, monkeypatch: pytest.MonkeyPatch, is_text: bool
) -> None:
    monkeypatch.setattr(requests, "ADDRESS", server.address)
    obey(session, "/set min_p=0.05 max_tokens=6 stop=zzz")
    session.ask('It\'s "quoted" \\ $HOME `x` 世界')
    if is_text:
        prompt = session.model.tokenizer.decode(session.prompt(session.conversation.path()[0])[0])
        body = requests.body_of(prompt, requests.options_of(NAME, session.params))
        curl, python = requests.as_curl(body), requests.as_python(body)
    else:
        curl, python = obey(session, "/copy curl"), obey(session, "/copy as python")
    done = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=60)
    choice = json.loads(done.stdout)["choices"][0]
    said = choice["text"] if is_text else choice["message"]["content"]
    ran = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, timeout=60)
    assert ran.stdout == said + "\n", ran.stderr
    if not is_text:
        assert said == session.last_answer.text
        assert httpx2.get(server.address).status_code == 200
    with pytest.raises(InputError, match="copied"):
        obey(session, "/copy that")


def test_what_is_saved_is_loaded(session: Session, tmp_path: Path) -> None:
    obey(session, "/probabilities on")
    session.ask("Who jumps?")
    obey(session, "/regenerate")
    obey(session, "/branch 1")
    before = session.conversation
    path = tmp_path / "a talk 2"
    obey(session, f"/save {path}")
    obey(session, "/reset")
    assert "nothing was said" in obey(session, "/history")
    shown = obey(session, f"/load {path}")
    assert "‹1/2›" in shown
    assert session.conversation == before
    session.ask("And now?")
    for command, said in (
        ("/save", "a file is missing"),
        (f"/save {tmp_path}", "irectory"),
        (f"/load {tmp_path / 'nothing'}", "no such file"),
        (f"/load {path} 2", "there is no conversation"),
    ):
        with pytest.raises(ModelwrightError, match=said):
            obey(session, command)


def test_unknown_commands_name_a_near_one_and_all_are_listed(session: Session) -> None:
    with pytest.raises(InputError) as caught:
        obey(session, "/regenrate")
    assert caught.value.fix == "did you mean /regenerate?"
    shown = obey(session, "/help")
    assert all(f"/{name}" in shown for name in COMMANDS)
    for name in ("regenerate", "edit", "copy", "probabilities", "correct"):
        with pytest.raises(InputError):
            obey(session, f"/{name}")


def test_a_model_cannot_write_to_the_terminal_what_it_likes() -> None:
    token = ([0x1B, 0x5B, 0x32, 0x4A], -0.5, [([0x9B], -1.0), (list("\x9b2J".encode()), -2.0)])
    for shown in (writing.token_table([token]), writing.token_bars(token)):
        assert not any(ord(character) < 32 and character != "\n" for character in shown)
        assert "\x9b" not in shown


EXPORTED = {
    "form": "modelwright-conversations",
    "version": 1,
    "conversations": [
        {
            "id": "c1", "mode": "chat", "title": "T", "system": "", "pinned": True,
            "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
            "messages": [
                {"id": "a", "parent": None, "role": "user", "text": "Q"},
                {"id": "b", "parent": "a", "role": "assistant", "text": "A", "end": "stop",
                 "options": {"temperature": 0.3}, "tokens": [[[65], -0.1, [[[66], -3.0]]]]},
            ],
            "active": [["", "a"], ["a", "b"]],
        }
    ],
}  # fmt: skip


def test_what_only_the_page_knows_is_kept(tmp_path: Path) -> None:
    path, again = tmp_path / "page.json", tmp_path / "again.json"
    path.write_text(json.dumps(EXPORTED))
    (one,) = load(path)
    save(one, again)
    first, second = (json.loads(file.read_text())["conversations"][0] for file in (path, again))
    for message, other in zip(first["messages"], second["messages"], strict=True):
        assert {name: other[name] for name in message} == message
    assert second["pinned"] is True


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("form",), "other"),
        (("version",), 2),
        (("conversations",), []),
        (("conversations", 0, "messages", 0, "role"), "nobody"),
        (("conversations", 0, "messages", 1, "parent"), "nobody"),
        (("conversations", 0, "messages", 1, "id"), "a"),
        (("conversations", 0, "messages", 1, "tokens"), [[[256], 0, []]]),
        (("conversations", 0, "messages", 1, "text"), "\ud800"),
        (("conversations", 0, "messages", 0, "id"), "../x"),
    ],
)
def test_files_that_are_none_are_refused(
    tmp_path: Path, place: tuple[str | int, ...], value: object
) -> None:
    content = json.loads(json.dumps(EXPORTED))
    at = content
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    path = tmp_path / "file.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.where == str(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["form", "version", "conversations", "messages"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_bytes_are_a_conversation_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.json"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load(path)


@given(st.data())
def test_a_tree_of_messages_is_never_lost(data: st.DataObject) -> None:
    """Whatever is asked, asked again, and shown: the path ends where nothing follows."""
    conversation, made = Conversation(), []
    for number in range(data.draw(st.integers(1, 12))):
        parent = data.draw(st.sampled_from([None, *made]))
        made.append(conversation.add("user", str(number), parent))
        if data.draw(st.booleans()):
            conversation.show(data.draw(st.sampled_from(made)))
    path = conversation.path()
    assert conversation.before(path[-1]) == path
    assert conversation.children(path[-1].id) == []
    assert Conversation.model_validate(conversation.model_dump()).settled().path() == path
    assert [turn.text for turn in conversation.messages] == [str(n) for n in range(len(made))]
