"""The chat page in a real browser: a real server, a real engine, often with scripted words."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from running_server import NAME, Server, running, wait_until
from webdriver import CHROMEDRIVER, CHROMIUM, ENTER, ESCAPE, RELEASE, SHIFT, Browser, browser

from modelwright.core.database import sqlite_url
from modelwright.data.feedback.record import Choice, Correction, Thumb
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.engine import Engine
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.terminal.conversation import load, save

pytestmark = pytest.mark.skipif(
    not (CHROMIUM.exists() and CHROMEDRIVER.exists()), reason="needs Chromium and chromedriver"
)

ANSWER = (
    "Use `os.path.join`:\n```python\nx = 1 < 2\n```\nHallo 世界 <b>bold</b> <img src=x onerror=a()>"
)
MODEL, FIGURES, DOCUMENT = ".model .text", ".figures", ".document .text"
UP = "\ue013"
NAMELESS = (
    "return [...document.querySelectorAll('button, input, textarea, select, dialog, nav, aside')]"
    ".filter((node) => !(node.textContent.trim() || node.labels?.[0]?.textContent.trim()"
    " || node.getAttribute('aria-label') || node.getAttribute('aria-labelledby')))"
    ".map((node) => node.outerHTML)"
)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.fixture
def table(tmp_path: Path) -> Iterator[FeedbackTable]:
    table = FeedbackTable(sqlite_url(tmp_path / "store.db"), "here")
    yield table
    table.close()


def start(window: Browser, address: str) -> None:
    window.open(address)
    window.wait(lambda: window.run("return document.querySelector('#model')?.value") == NAME)


def ask(window: Browser, text: str) -> None:
    window.type("#input", text + ENTER)


def settled(window: Browser) -> None:
    """Wait until nothing is being written."""
    window.wait(lambda: window.run("return !document.querySelector('#send').hidden"))


def press(window: Browser, *keys: str) -> None:
    """Press keys together, wherever the keyboard is now."""
    actions = [{"type": "keyDown", "value": key} for key in keys]
    actions += [{"type": "keyUp", "value": key} for key in reversed(keys)]
    window.call("POST", "/actions", actions=[{"type": "key", "id": "keys", "actions": actions}])


def act(window: Browser, label: str) -> None:
    """Press the last button that says this of itself."""
    window.run(
        "[...document.querySelectorAll('button')].filter((one) => !one.disabled &&"
        "(one.getAttribute('aria-label') ?? one.textContent) === arguments[0]).at(-1).click()",
        label,
    )


def focused(window: Browser) -> str:
    return str(window.run("return document.activeElement.id"))


def severe(window: Browser) -> list[dict]:
    return [entry for entry in window.log("browser") if entry["level"] == "SEVERE"]


def prompts(engine: Engine, script: object) -> list[str]:
    return [engine.tokenizer.decode(one.prompt) for one in script.sequences]


def test_a_question_is_answered_token_by_token(window: Browser, scripted: Callable) -> None:
    engine, script = scripted(ANSWER, seconds_per_step=0.02)
    script.hold_at = len(engine.tokenizer.encode(ANSWER[: ANSWER.index("Hallo")]))
    with running(engine) as server:
        window.requested_addresses()
        start(window, server.address)
        assert "Ask something" in window.text("#welcome")
        ask(window, "How do I <i>join</i> paths?")
        window.wait(lambda: "Use os" in window.text(MODEL))
        assert "Hallo" not in window.text(MODEL)
        assert window.count(".waiting") == 1
        script.released.set()
        settled(window)
        assert window.text(".user .text") == "How do I <i>join</i> paths?"
        shown = window.text(MODEL)
        assert "Hallo 世界 <b>bold</b> <img src=x onerror=a()>" in shown
        assert "`" not in shown
        assert window.text(".model :not(pre) > code") == "os.path.join"
        assert window.text(".model pre code") == "x = 1 < 2"
        assert window.count("#log b, #log i, #log img") == 0
        assert f"{len(script.ids)} tokens in" in window.text(FIGURES)
        assert "tokens/s" in window.text(FIGURES)
        assert f"of {engine.context_length} tokens" in window.text("#context-text")
        assert window.count(".waiting") == 0
        # The next question carries the conversation.
        ask(window, "And then?")
        window.wait(lambda: window.count(FIGURES) == 2)
        settled(window)
        expected = engine.tokenizer.encode_chat(
            [
                {"role": "user", "content": "How do I <i>join</i> paths?"},
                {"role": "assistant", "content": ANSWER},
                {"role": "user", "content": "And then?"},
            ],
            add_generation_prompt=True,
        )
        assert script.sequences[-1].prompt == expected
        addresses = window.requested_addresses()
        assert f"{server.address}/v1/chat/completions" in addresses
        # Before the page was opened, the browser showed one of its own (chrome://).
        own = (server.address, "data:", "chrome://", "chrome-untrusted://")
        assert [address for address in addresses if not address.startswith(own)] == []
        assert severe(window) == []


def test_the_browser_itself_forbids_other_addresses_scripts_and_markup(
    window: Browser, server: Server
) -> None:
    window.open(server.address)
    policy = httpx2.get(server.address).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for script, expected in (
        ("fetch('http://127.0.0.1:9/').then(() => done('sent'), () => null)", "connect-src"),
        ("const style = document.createElement('style'); style.textContent = 'b {}';"
         "document.body.append(style)",
         "style-src-elem"),
        ("document.body.setAttribute('style', 'top: 0')", "style-src-attr"),
        ("try { document.body.setAttribute('onclick', '1'); document.body.click() } catch { }",
         "require-trusted-types-for"),
        ("try { document.body.innerHTML = '<b>' } catch { }", "require-trusted-types-for"),
    ):  # fmt: skip
        blocked = window.call(
            "POST",
            "/execute/async",
            script="const done = arguments[0];"
            "document.addEventListener('securitypolicyviolation',"
            f" (event) => done(event.effectiveDirective), {{ once: true }}); {script}",
            args=[],
        )
        assert blocked == expected
    window.log("browser")


@pytest.mark.parametrize("how", ["button", "escape", "new chat"])
def test_an_answer_can_be_stopped(window: Browser, scripted: Callable, how: str) -> None:
    engine, script = scripted("on and on " * 24, seconds_per_step=0.05)
    with running(engine) as server:
        start(window, server.address)
        ask(window, "Go")
        window.wait(lambda: "on and" in window.text(MODEL))
        if how == "button":
            window.click("#stop")
        elif how == "escape":
            window.type("#input", ESCAPE)
        else:  # it goes on in the background, and the list says so
            window.click("#new")
            assert window.text("#log") == ""
            assert "Ask something" in window.text("#welcome")
            assert window.count("#history .writing") == 1
            act(window, "Delete “Go”")
            assert window.run(NAMES) == []
        wait_until(lambda: not engine.has_work)
        assert script.sequences[0].finish_reason == "abort"
        if how != "new chat":
            window.wait(lambda: "stopped by you" in window.text(FIGURES))
            assert "on and" in window.text(MODEL)
        else:
            assert window.run(NAMES) == []  # the end of its answer does not bring it back
        # And the page goes on: a new chat knows nothing of the old one.
        ask(window, "Again")
        wait_until(lambda: len(script.sequences) == 2)
        assert ("Go" in prompts(engine, script)[1]) is (how != "new chat")
        window.type("#input", ESCAPE)
        wait_until(lambda: not engine.has_work)


def test_asking_again_and_editing_make_branches_that_survive(
    window: Browser, scripted: Callable
) -> None:
    engine, script = scripted("fine")
    with running(engine) as server:
        start(window, server.address)
        for text in ("First?", "Second?"):
            ask(window, text)
            settled(window)
        act(window, "Answer again")
        settled(window)
        assert "2/2" in window.text(".model .versions")
        assert prompts(engine, script)[-1] == prompts(engine, script)[-2]
        act(window, "The version before")
        assert "1/2" in window.text(".model .versions")
        # The arrow edits the last message; what was said before it stays.
        window.click("#input")
        press(window, UP)
        assert window.run("return document.activeElement.value") == "Second?"
        window.run("document.activeElement.value = 'Other?'")
        press(window, ENTER)
        settled(window)
        assert window.text(".user .text") == "Other?"
        assert "2/2" in window.text(".user .versions")
        expected = engine.tokenizer.encode_chat(
            [
                {"role": "user", "content": "First?"},
                {"role": "assistant", "content": "fine"},
                {"role": "user", "content": "Other?"},
            ],
            add_generation_prompt=True,
        )
        assert script.sequences[-1].prompt == expected
        window.call("POST", "/refresh")
        window.wait(lambda: window.count(".message") == 4)
        assert window.text(".user .text") == "Other?"
        window.run("document.querySelectorAll('.user .versions button')[0].click()")
        window.wait(lambda: window.text(".user .text") == "Second?")
        assert "1/2" in window.text(".model .versions")
        assert window.run("return document.querySelectorAll('#history .open').length") == 1
        assert severe(window) == []


def test_conversations_are_found_renamed_deleted_and_exported(
    window: Browser, scripted: Callable, tmp_path: Path
) -> None:
    engine, _ = scripted("fine")
    with running(engine) as server:
        start(window, server.address)
        for text in ("About cats", "About dogs"):
            ask(window, text)
            settled(window)
            window.click("#new")
        assert window.run(NAMES) == ["About dogs", "About cats"]
        press(window, "\ue009", "k")
        assert focused(window) == "search"
        press(window, "c")
        press(window, "a")
        window.wait(lambda: window.run(NAMES) == ["About cats"])
        act(window, "Rename “About cats”")
        window.run("document.activeElement.value = 'Felines <b>'")
        press(window, ENTER)
        window.wait(lambda: window.run(NAMES) == ["Felines <b>"])
        exported = window.call(
            "POST",
            "/execute/async",
            script="const done = arguments[0]; import('/assets/history.js').then(({ History }) =>"
            "done(new History(() => null).exported()))",
            args=[],
        )
        file = json.loads(str(exported))
        assert [one["title"] for one in file["conversations"]] == ["", "Felines <b>"]
        window.run("document.querySelector('#search').value = ''")
        act(window, "Delete “Felines <b>”")
        window.wait(lambda: window.run(NAMES) == ["About dogs"])
        act(window, "Undo")
        window.wait(lambda: window.run(NAMES) == ["About dogs", "Felines <b>"])
        # A file is taken in beside what is there; one that is damaged is refused in words.
        # The terminal chat reads what is exported here, and the other way round.
        path = tmp_path / "talk.json"
        path.write_text(str(exported))
        assert [one.title for one in load(path)] == ["", "Felines <b>"]
        save(load(path)[0], path)
        for text, said in (
            (exported, "2 conversations imported"),
            (path.read_text(), "1 conversation imported"),
            ("{", "no JSON"),
            (json.dumps({"form": "other"}), "no conversations"),
            (str(exported).replace('"role": "assistant"', '"role": "nobody"'), "damaged"),
            (str(exported).replace('"parent": null', '"parent": "x"'), "damaged"),
        ):
            window.run(
                "const files = new DataTransfer();"
                "files.items.add(new File([arguments[0]], 'a.json'));"
                "const input = document.querySelector('#import-file'); input.files = files.files;"
                "input.dispatchEvent(new Event('change'))",
                text,
            )
            window.wait(lambda said=said: said in window.text("#toast"))
        assert len(window.run(NAMES)) == 5
        assert severe(window) == []


NAMES = "return [...document.querySelectorAll('#history .open')].map((one) => one.textContent)"


def test_settings_and_the_system_prompt_are_sent(window: Browser, scripted: Callable) -> None:
    engine, script = scripted("words " * 30)
    with running(engine) as server:
        start(window, server.address)
        window.click("#open-panel")
        for name, value in (
            ("temperature", 0), ("top_p", 0.9), ("top_k", 7), ("min_p", 0.1),
            ("presence_penalty", 0.5), ("frequency_penalty", -0.5), ("repetition_penalty", 1.1),
            ("max_tokens", 5), ("seed", 11), ("stop-texts", "END\n\\n\\n"), ("system", "Be kind."),
        ):  # fmt: skip
            window.run(
                "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
                "field.dispatchEvent(new Event('input', { bubbles: true }))",
                name,
                value,
            )
        window.click("#close-panel")
        ask(window, "   ")
        window.type("#input", "one" + SHIFT + ENTER + RELEASE + "two" + ENTER)
        settled(window)
        assert "5 tokens in" in window.text(FIGURES)
        assert "limit on its length" in window.text(FIGURES)
        assert window.text(".user .text") == "one\ntwo"
        (sequence,) = script.sequences
        params = sequence.params
        assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0, 0.9, 7, 0.1)
        assert (params.presence_penalty, params.frequency_penalty) == (0.5, -0.5)
        assert (params.repetition_penalty, params.max_tokens, params.seed) == (1.1, 5, 11)
        assert params.stop == ("END", "\n\n")
        assert "Be kind." in engine.tokenizer.decode(sequence.prompt)
        # They are still there in a new window.
        start(window, server.address)
        assert window.run("return document.getElementById('top_k').value") == "7"


def test_two_answers_side_by_side_and_which_is_better(
    window: Browser, scripted: Callable, table: FeedbackTable
) -> None:
    engine, script = scripted("fine")
    with running(engine, feedback=table) as server:
        start(window, server.address)
        window.click("#beside")
        window.click("#open-panel")
        window.click("#sides label:last-child")
        window.run(
            "const field = document.getElementById('temperature'); field.value = 2;"
            "field.dispatchEvent(new Event('input'))"
        )
        window.click("#close-panel")
        ask(window, "Which?")
        settled(window)
        assert window.count(".columns .model") == 2
        assert {one.params.temperature for one in script.sequences} == {0.3, 2.0}
        act(window, "B")
        wait_until(lambda: len(table.read()) == 1)
        (choice,) = table.read()
        assert isinstance(choice, Choice)
        assert (choice.winner, choice.left, choice.source) == (1, 0, "chat")
        assert [answer.model for answer in choice.answers] == [NAME, NAME]
        assert all(answer.request_id.startswith("req-") for answer in choice.answers)
        window.wait(lambda: window.count(".columns .model:last-child.active") == 1)
        act(window, "Tie")
        wait_until(lambda: [one.winner for one in table.read()] == [None])
        # The conversation goes on from the one that was chosen, with both again.
        ask(window, "And now?")
        settled(window)
        assert window.count(".pair") == 2
        assert severe(window) == []


def test_feedback_is_stored_with_the_conversation_and_can_be_taken_back(
    window: Browser, scripted: Callable, table: FeedbackTable
) -> None:
    engine, _ = scripted("fine")
    with running(engine, feedback=table) as server:
        start(window, server.address)
        for text in ("First?", "Second?"):
            ask(window, text)
            settled(window)
        act(window, "A bad answer")
        wait_until(lambda: len(table.read()) == 1)
        (thumb,) = table.read()
        assert isinstance(thumb, Thumb)
        assert (thumb.up, thumb.source, thumb.answer.text, thumb.answer.model) == (
            False, "chat", "fine", NAME,
        )  # fmt: skip
        assert [one.content for one in thumb.prompt] == ["First?", "fine", "Second?"]
        assert thumb.answer.request_id.startswith("req-")
        window.wait(lambda: window.count("[aria-label='A bad answer'][aria-pressed=true]") == 1)
        act(window, "A good answer")
        wait_until(lambda: [one.up for one in table.read()] == [True])
        window.wait(lambda: window.count("[aria-label='A good answer'][aria-pressed=true]") == 1)
        act(window, "A good answer")
        wait_until(lambda: table.read() == [])
        window.wait(lambda: window.count("[aria-pressed=true]") == 0)
        act(window, "Write what it should have said")
        fields = ".correction textarea, .correction input"
        window.run(
            f"document.querySelectorAll('{fields}').forEach((field, index) => {{"
            " field.value = arguments[0][index] })",
            ["Better.", "It was short.", "ana"],
        )
        act(window, "Keep")
        wait_until(lambda: len(table.read()) == 1)
        (correction,) = table.read()
        assert isinstance(correction, Correction)
        assert (correction.better, correction.comment, correction.person) == (
            "Better.", "It was short.", "ana",
        )  # fmt: skip
        window.wait(lambda: window.text(".better .text") == "Better.")
        assert severe(window) == []


def test_without_a_table_nothing_is_asked_for(window: Browser, server: Server) -> None:
    start(window, server.address)
    ask(window, "Who?")
    settled(window)
    assert window.count("[aria-label='A good answer']") == 0
    window.run("localStorage.clear()")


def test_probabilities_are_those_of_the_api_and_can_be_walked_through(
    window: Browser, server: Server
) -> None:
    start(window, server.address)
    window.click("#probabilities")
    window.run(
        "for (const [name, value] of [['temperature', 0], ['max_tokens', 24]]) {"
        " const field = document.getElementById(name); field.value = value;"
        " field.dispatchEvent(new Event('input')) }"
    )
    ask(window, "Who jumps?")
    settled(window)
    tokens = window.run(
        "return [...document.querySelectorAll('.token')].flatMap((one) => one.tokens)"
    )
    answer = httpx2.post(
        f"{server.address}/v1/chat/completions",
        json={
            "model": NAME,
            "messages": [{"role": "user", "content": "Who jumps?"}],
            "temperature": 0,
            "max_tokens": 24,
            "logprobs": True,
            "top_logprobs": 5,
        },
        timeout=60,
    ).json()["choices"][0]
    content = answer["logprobs"]["content"]
    assert [token[0] for token in tokens] == [one["bytes"] for one in content]
    assert [token[1] for token in tokens] == pytest.approx(
        [one["logprob"] for one in content], abs=1e-3
    )
    shown = window.run("return document.querySelector('.model .text').textContent")
    assert shown == answer["message"]["content"]
    heats = window.run(
        "return [...document.querySelectorAll('.token')]"
        ".map((one) => parseInt(one.style.getPropertyValue('--heat')))"
    )
    assert len(set(heats)) > 1
    assert all(0 <= heat <= 100 for heat in heats)
    # By keyboard: the first has the focus, an arrow goes on; what is shown are five and the rest.
    window.run("document.querySelector('.token').focus()")
    assert 5 <= window.count("#tip .row") <= 7
    first = window.text("#tip")
    press(window, "\ue014")
    assert window.run("return document.activeElement.previousElementSibling.className") == "token"
    assert window.text("#tip") != first
    assert window.count("#tip .row.said") == 1
    # By tap and by pointer.
    window.run("document.activeElement.blur()")
    assert window.count("#tip[hidden]") == 1
    window.run("document.querySelectorAll('.token')[2].click()")
    assert window.count("#tip[hidden]") == 0
    window.click("#probabilities")
    assert window.count(".token") == 0
    assert severe(window) == []
    window.run("localStorage.clear()")


def test_complete_mode_continues_a_text_and_goes_on(window: Browser, scripted: Callable) -> None:
    engine, script = scripted(" upon a <time>")
    with running(engine, is_chat=False) as server:
        start(window, server.address)
        # A base model starts in this mode.
        window.wait(lambda: "Begin a text" in window.text("#welcome"))
        ask(window, "Once")
        settled(window)
        assert window.text(DOCUMENT) == "Once upon a <time>"
        assert window.text(".given") == "Once"
        act(window, "Go on from here")
        window.wait(lambda: window.text(DOCUMENT) == "Once upon a <time> upon a <time>")
        settled(window)
        act(window, "Answer again")
        settled(window)
        assert "2/2" in window.text(".versions")
        whole = ["Once", "Once upon a <time>", "Once upon a <time>"]
        assert prompts(engine, script) == whole
        window.click("#probabilities")
        ask(window, " And")
        settled(window)
        assert window.text(".document .token:last-child") == ">"
        window.click("#probabilities")
        window.click("#modes label")
        assert window.text("#log") == ""
        assert "Ask something" in window.text("#welcome")
        assert severe(window) == []


def test_errors_are_said_in_words_and_can_be_tried_again(
    window: Browser, scripted: Callable
) -> None:
    engine, script = scripted("fine")
    with running(engine) as server:
        start(window, server.address)
        window.run("document.querySelector('#input').value = 'x'.repeat(3000)")
        ask(window, "!")
        window.wait(lambda: window.count(".error") == 1)
        assert "context of 256" in window.text(".error")
        assert "Shorten your message" in window.text(".error")
        # A shorter question makes the page leave the long one out, and say so.
        ask(window, "Short?")
        window.wait(lambda: window.text(MODEL) == "fine")
        settled(window)
        assert "left out" in window.text(".note")
        assert "xxx" not in prompts(engine, script)[-1]
    ask(window, "Anybody?")
    window.wait(lambda: "does not answer" in window.text(".error"))
    window.wait(lambda: "tries again" in window.text("#banner"))
    window.log("browser")


def test_the_page_finds_a_server_that_comes_back(
    window: Browser, scripted: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = scripted("fine")
    with running(engine) as server:
        start(window, server.address)
        port = server.port
    ask(window, "Anybody?")
    window.wait(lambda: window.count("#banner[hidden]") == 0)
    engine, _ = scripted("back")
    monkeypatch.setattr("running_server.listen", at(port))
    with running(engine):
        window.wait(lambda: window.count("#banner[hidden]") == 1)
        act(window, "Try again")
        window.wait(lambda: window.text(MODEL) == "back")
        assert window.count(".error") == 0
    window.log("browser")


def at(port: int) -> Callable:
    from modelwright.serving.server import listen

    return lambda host, _: listen(host, port)


def test_a_key_is_asked_for_and_kept_for_the_tab(
    window: Browser, scripted: Callable, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    secret = keys.create("me")
    engine, _ = scripted("fine")
    with running(engine, keys=keys) as server:
        window.open(server.address)
        window.wait(lambda: window.count("#key-dialog[open]") == 1)
        window.type("#key-input", "mw-wrong" + ENTER)
        window.wait(lambda: "not valid" in window.text("#key-title"))
        window.wait(lambda: window.run("return document.querySelector('#key-input').value") == "")
        window.type("#key-input", secret + ENTER)
        window.wait(lambda: window.run("return document.querySelector('#model').value") == NAME)
        ask(window, "Who?")
        window.wait(lambda: window.text(MODEL) == "fine")
        settled(window)
        act(window, "The request as curl or Python")
        assert "Bearer $MODELWRIGHT_KEY" in window.text("#request-code")
        stored = window.run(
            "return [JSON.stringify(localStorage), document.documentElement.outerHTML,"
            " JSON.stringify(sessionStorage)].map((text) => text.includes(arguments[0]))",
            secret,
        )
        assert stored == [False, False, True]
        window.run("document.querySelector('#request-dialog').close()")
        keys.revoke("me")
        ask(window, "Still?")
        window.wait(lambda: window.count("#key-dialog[open]") == 1)
    window.run("sessionStorage.clear(); document.querySelector('#key-dialog').close()")
    window.log("browser")


def test_the_shown_requests_work_and_say_the_same(window: Browser, server: Server) -> None:
    start(window, server.address)
    window.run(
        "for (const [name, value] of [['temperature', 0], ['top_k', 5], ['max_tokens', 8]]) {"
        " const field = document.getElementById(name); field.value = value;"
        " field.dispatchEvent(new Event('input')) }"
        "document.querySelector('#input').value = 'It\\'s \"quoted\" \\\\ $HOME `x` 世界'"
    )
    ask(window, "!")
    settled(window)
    said = window.run("return document.querySelector('.model .text').innerText")
    act(window, "The request as curl or Python")
    curl = str(window.run("return document.querySelector('#request-code').textContent"))
    done = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=60)
    content = json.loads(done.stdout)["choices"][0]["message"]["content"]
    window.click("input[value=python] ")
    python = str(window.run("return document.querySelector('#request-code').textContent"))
    assert "extra_body" in python
    ran = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, content + "\n"), ran.stderr
    assert "".join(str(said).split()) == "".join(content.split())
    window.run("document.querySelector('#request-dialog').close(); localStorage.clear()")


def test_keys_open_and_close_what_they_say(window: Browser, server: Server) -> None:
    start(window, server.address)
    assert focused(window) == "input"
    press(window, "?")
    assert window.count("#help-dialog[open]") == 1
    press(window, ESCAPE)
    assert window.count("dialog[open]") == 0
    window.type("#input", "why?")
    assert window.count("dialog[open]") == 0
    assert window.run("return document.querySelector('#input').value") == "why?"
    press(window, "\ue009", "k")
    assert focused(window) == "search"
    press(window, ESCAPE)
    assert focused(window) == "input"
    window.run("localStorage.clear()")


CONTRASTS = """
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const colour = (text) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255);
};
const over = ([r, g, b, a], under) => [r, g, b].map((part, at) => part * a + under[at] * (1 - a));
const behind = (node) => {
  const layers = [];
  for (let at = node; at; at = at.parentElement) {
    layers.unshift(colour(getComputedStyle(at).backgroundColor));
  }
  return layers.reduce((under, layer) => over(layer, under), [1, 1, 1]);
};
// Relative luminance and contrast as WCAG 2.2 defines them.
const linear = (part) => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
const light = (rgb) => rgb.map(linear)
  .reduce((sum, part, at) => sum + part * [.2126, .7152, .0722][at], 0);
let seen = 0;
const found = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const text = texts.currentNode.textContent.trim(), node = texts.currentNode.parentElement;
  if (!text || !node.checkVisibility({ visibilityProperty: true })) continue;
  if (node.closest(':disabled, option')) continue;
  seen += 1;
  const under = behind(node);
  const both = [light(under), light(over(colour(getComputedStyle(node).color), under))];
  const [dark, bright] = both.sort((a, b) => a - b);
  const ratio = (bright + .05) / (dark + .05);
  if (ratio < 4.5) found.push([node.tagName, node.className, text, ratio]);
}
return [seen, found];
"""


def is_bright(window: Browser) -> bool:
    colour = str(window.run("return getComputedStyle(document.body).backgroundColor"))
    return min(map(int, colour[4:-1].split(","))) > 200


def test_it_fits_a_telephone_by_day_and_by_night(
    tmp_path: Path, scripted: Callable, table: FeedbackTable
) -> None:
    engine, _ = scripted("`aVeryLong" + "Word" * 12 + "`\n\n| a | b | c |\n|-|-|-|\n| 1 | 2 | 3 |")
    with browser(tmp_path / "profile") as window, running(engine, feedback=table) as server:
        telephone = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
        window.command("Emulation.setDeviceMetricsOverride", telephone)
        start(window, server.address)
        assert window.run(NAMELESS) == []
        assert focused(window) == "input"
        width = "return document.documentElement.scrollWidth"
        assert window.run(width) == 360
        ask(window, "What?")
        settled(window)
        window.click("#beside")
        ask(window, "And with two of them, side by side?")
        settled(window)
        assert window.run(width) == 360
        assert window.run("const one = document.querySelector('#scroll');"
                          "return one.scrollWidth - one.clientWidth") == 0  # fmt: skip
        for opening, closing in (
            ("#open-sidebar", "#close-sidebar"),
            ("#open-panel", "#close-panel"),
        ):
            window.click(opening)
            assert window.run(NAMELESS) == []
            for scheme in ("light", "dark"):
                wanted = [{"name": "prefers-color-scheme", "value": scheme}]
                window.command("Emulation.setEmulatedMedia", {"features": wanted})
                assert is_bright(window) is (scheme == "light")
                seen, poor = window.run(CONTRASTS)
                assert seen > 20
                assert poor == []
            assert window.run(width) == 360
            window.wait(lambda closing=closing: window.run(
                f"return document.querySelector('{closing}').getBoundingClientRect().left >= 0"
            ))  # fmt: skip
            window.click(closing)
        # A switch is stronger than the system, and is remembered.
        window.run("document.querySelector('#theme').click()")
        assert window.run("return document.documentElement.dataset.theme") == "light"
        window.call("POST", "/refresh")
        assert is_bright(window)
        # Who wants no motion gets none.
        wanted = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        window.command("Emulation.setEmulatedMedia", {"features": wanted})
        moving = "return getComputedStyle(document.querySelector('#sidebar')).transitionDuration"
        assert window.run(moving) == "0s"
