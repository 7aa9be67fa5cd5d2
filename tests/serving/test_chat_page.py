"""The chat page in a real browser."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from running_server import NAME, Server, running, wait_until
from webdriver import CHROMEDRIVER, CHROMIUM, ENTER, ESCAPE, RELEASE, SHIFT, Browser, browser

pytestmark = pytest.mark.skipif(
    not (CHROMIUM.exists() and CHROMEDRIVER.exists()), reason="needs Chromium and chromedriver"
)

ANSWER = (
    "Use `os.path.join`:\n```python\nx = 1 < 2\n```\nHallo 世界 <b>bold</b> <img src=x onerror=a()>"
)
MODEL, FIGURES, DOCUMENT = ".model .text", ".figures", ".document .text"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as window:
        yield window


def ask(window: Browser, text: str) -> None:
    window.type("#input", text + ENTER)


def test_a_question_is_answered_token_by_token(window: Browser, scripted: Callable) -> None:
    engine, script = scripted(ANSWER, seconds_per_step=0.02)
    with running(engine) as server:
        window.requested_addresses()
        window.open(server.address)
        window.wait(lambda: window.text("#model") == NAME)
        assert "Ask something" in window.text("#welcome")
        ask(window, "How do I <i>join</i> paths?")
        window.wait(lambda: "Use os" in window.text(MODEL))
        assert "Hallo" not in window.text(MODEL)
        assert window.count(".waiting") == 1
        window.wait(lambda: window.count(FIGURES) == 1)
        assert window.text(".user .text") == "How do I <i>join</i> paths?"
        shown = window.text(MODEL)
        assert "Hallo 世界 <b>bold</b> <img src=x onerror=a()>" in shown
        assert "`" not in shown
        assert window.text(".model :not(pre) > code") == "os.path.join"
        assert window.text(".model pre code") == "x = 1 < 2"
        assert window.count("#log b, #log i, #log img") == 0
        assert f"{len(script.ids)} tokens in" in window.text(FIGURES)
        assert "tokens/s" in window.text(FIGURES)
        assert window.count(".waiting") == 0
        # The next question carries the conversation.
        ask(window, "And then?")
        window.wait(lambda: window.count(FIGURES) == 2)
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
        outside = [address for address in addresses if not address.startswith(own)]
        assert outside == []
        assert [entry for entry in window.log("browser") if entry["level"] == "SEVERE"] == []


def test_the_browser_itself_forbids_other_addresses(window: Browser, server: Server) -> None:
    window.open(server.address)
    policy = httpx2.get(server.address).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    blocked = window.call(
        "POST",
        "/execute/async",
        script="document.addEventListener('securitypolicyviolation',"
        " (event) => arguments[0](event.effectiveDirective));"
        "fetch('http://127.0.0.1:9/').then(() => arguments[0]('sent'), () => null)",
        args=[],
    )
    assert blocked == "connect-src"
    window.log("browser")


@pytest.mark.parametrize("how", ["button", "escape", "new chat"])
def test_an_answer_can_be_stopped(window: Browser, scripted: Callable, how: str) -> None:
    engine, script = scripted("on and on " * 24, seconds_per_step=0.05)
    with running(engine) as server:
        window.open(server.address)
        window.wait(lambda: window.text("#model") == NAME)
        ask(window, "Go")
        window.wait(lambda: "on and" in window.text(MODEL))
        if how == "button":
            window.click("#stop")
        elif how == "escape":
            window.type("#input", ESCAPE)
        else:
            window.click("#new")
        wait_until(lambda: not engine.has_work)
        assert script.sequences[0].finish_reason == "abort"
        if how == "new chat":
            assert window.text("#log") == ""
            assert "Ask something" in window.text("#welcome")
        else:
            window.wait(lambda: "stopped by you" in window.text(FIGURES))
            assert "on and" in window.text(MODEL)
        # And the page goes on: a new chat knows nothing of the old one.
        ask(window, "Again")
        window.wait(lambda: len(script.sequences) == 2)
        text = engine.tokenizer.decode(script.sequences[1].prompt)
        assert ("Go" in text) is (how != "new chat")
        window.type("#input", ESCAPE)
        wait_until(lambda: not engine.has_work)


def test_shift_enter_starts_a_line_and_settings_are_sent(
    window: Browser, scripted: Callable
) -> None:
    engine, script = scripted("words " * 30)
    with running(engine) as server:
        window.open(server.address)
        window.wait(lambda: window.text("#model") == NAME)
        window.run(
            "const range = document.querySelector('#temperature'); range.value = 0;"
            "range.dispatchEvent(new Event('input'));"
            "document.querySelector('#max-tokens').value = 5"
        )
        ask(window, "   ")
        window.type("#input", "one" + SHIFT + ENTER + RELEASE + "two" + ENTER)
        window.wait(lambda: window.count(FIGURES) == 1)
        assert "5 tokens in" in window.text(FIGURES)
        assert "limit on its length" in window.text(FIGURES)
        assert window.text("#temperature-shown") == "0.0"
        assert window.text(".user .text") == "one\ntwo"
        assert [sequence.params.temperature for sequence in script.sequences] == [0.0]


def test_complete_mode_continues_a_text_and_goes_on(window: Browser, scripted: Callable) -> None:
    engine, script = scripted(" upon a <time>")
    with running(engine, is_chat=False) as server:
        window.open(server.address)
        # A base model starts in this mode.
        window.wait(lambda: window.text("#send") == "Continue")
        assert "/v1/completions" in str(
            window.run("return document.querySelector('#curl').textContent")
        )
        ask(window, "Once")
        window.wait(lambda: window.count(FIGURES) == 1)
        assert window.text(DOCUMENT) == "Once upon a <time>"
        assert window.text(".given") == "Once"
        window.click(".figures .link")
        window.wait(lambda: window.text(DOCUMENT) == "Once upon a <time> upon a <time>")
        prompts = [engine.tokenizer.decode(sequence.prompt) for sequence in script.sequences]
        assert prompts == ["Once", "Once upon a <time>"]
        window.click("fieldset label")
        assert window.text("#send") == "Send"
        assert window.text("#log") == ""


def test_errors_are_said_in_words_and_can_be_tried_again(
    window: Browser, scripted: Callable
) -> None:
    engine, _ = scripted("fine")
    with running(engine) as server:
        window.open(server.address)
        window.wait(lambda: window.text("#model") == NAME)
        window.run("document.querySelector('#input').value = 'x'.repeat(3000)")
        ask(window, "!")
        window.wait(lambda: window.count(".error") == 1)
        assert "context of 256" in window.text(".error")
        # A shorter question makes the page leave the long one out, and say so.
        ask(window, "Short?")
        window.wait(lambda: window.text(MODEL) == "fine" and window.count(FIGURES) == 1)
        assert "left out" in window.text(".note")
    ask(window, "Anybody?")
    window.wait(lambda: "does not answer" in window.text(".error"))
    window.click(".error:last-child .link")
    window.wait(lambda: "does not answer" in window.text(".error"))
    window.log("browser")


def test_the_page_shows_a_curl_command_that_works(window: Browser, server: Server) -> None:
    window.open(server.address)
    window.wait(lambda: window.text("#model") == NAME)
    curl = str(window.run("return document.querySelector('#curl').textContent"))
    address = curl.split()[1]
    body = curl[curl.index("-d '") + 4 : -1]
    response = httpx2.post(address, json=json.loads(body))
    assert response.json()["choices"][0]["message"]["role"] == "assistant"


def test_every_control_has_a_name_and_the_page_fits_a_telephone(
    tmp_path: Path, server: Server
) -> None:
    with browser(tmp_path) as window:
        telephone = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
        window.command("Emulation.setDeviceMetricsOverride", telephone)
        window.open(server.address)
        window.wait(lambda: window.text("#model") == NAME)
        nameless = window.run(
            "return [...document.querySelectorAll('button, input, textarea')].filter("
            "(node) => !(node.textContent || node.labels?.[0]?.textContent)"
            ").map((node) => node.outerHTML)"
        )
        assert nameless == []
        assert window.run("return document.documentElement.scrollWidth") == 360
        assert window.run("return document.activeElement.id") == "input"
