"""The page that compares two answers, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from running_compare import ANSWERS, MODELS, comparison_of, prompts, serving, table_in
from webdriver import CHROMEDRIVER, CHROMIUM, Browser, browser

from modelwright.data.feedback.record import Choice
from modelwright.data.feedback.table import FeedbackTable

pytestmark = pytest.mark.skipif(
    not (CHROMIUM.exists() and CHROMEDRIVER.exists()), reason="needs Chromium and chromedriver"
)

SEVERE = "SEVERE"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.fixture
def table(tmp_path: Path) -> Iterator[FeedbackTable]:
    table = table_in(tmp_path)
    yield table
    table.close()


def open_page(window: Browser, address: str) -> None:
    window.open(address)
    window.wait(lambda: window.text("#count"))


def press(window: Browser, key: str) -> None:
    """Press a key wherever the keyboard is now."""
    actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
    window.call("POST", "/actions", actions=[{"type": "key", "id": "keys", "actions": actions}])


def is_shown(window: Browser, selector: str) -> bool:
    return window.count(f"{selector}:not([hidden])") > 0


def verdicts(table: FeedbackTable) -> list[str]:
    """Who was chosen on which side, in the order of the prompts."""
    choices = [one for one in table.read() if isinstance(one, Choice)]
    by_prompt = sorted(choices, key=lambda one: one.prompt[0].content)
    return [
        "tie" if one.winner is None else "left" if one.winner == one.left else "right"
        for one in by_prompt
    ]


def test_the_whole_way_with_the_keyboard(window: Browser, table: FeedbackTable) -> None:
    with serving(comparison_of(table)) as address:
        window.requested_addresses()
        open_page(window, address)
        assert window.text("#count") == "1 of 4"
        assert window.text("#prompt") == "Question 0?"
        assert {window.text("#left"), window.text("#right")} == set(ANSWERS[0])
        press(window, "1")
        window.wait(lambda: window.text("#count") == "2 of 4")
        press(window, "3")
        window.wait(lambda: window.text("#count") == "4 of 4")  # the third needs no verdict
        press(window, "u")
        window.wait(lambda: window.text("#count") == "2 of 4")
        press(window, " ")
        window.wait(lambda: window.text("#count") == "4 of 4")
        assert not any(name in window.text("#pair h2") for name in MODELS)
        press(window, "2")
        window.wait(lambda: is_shown(window, "#result"))
        assert verdicts(table) == ["left", "right"]
        shown = window.text("#result")
        assert all(name in shown for name in MODELS)
        assert "of the 2 that were no tie (95 % interval" in shown
        assert "1 skipped." in shown
        assert "1 not asked about" in shown
        assert not is_shown(window, ".verdict")
        # The last choice can still be taken back.
        press(window, "u")
        window.wait(lambda: window.text("#count") == "4 of 4")
        assert verdicts(table) == ["left"]
        assert not is_shown(window, "#result")
        own = (address, "data:", "chrome://", "chrome-untrusted://")
        assert [one for one in window.requested_addresses() if not one.startswith(own)] == []
        assert [entry for entry in window.log("browser") if entry["level"] == SEVERE] == []


def test_buttons_do_the_same_and_the_space_bar_does_not_press_them_again(
    window: Browser, table: FeedbackTable
) -> None:
    with serving(comparison_of(table)) as address:
        open_page(window, address)
        window.click("#choose-right")
        window.wait(lambda: window.text("#count") == "2 of 4")
        press(window, " ")
        window.wait(lambda: window.text("#count") == "4 of 4")
        assert verdicts(table) == ["right"]
        window.click("#choose-tie")
        window.wait(lambda: is_shown(window, "#result"))
        window.click("#undo")
        window.wait(lambda: window.text("#count") == "4 of 4")
        window.run("document.querySelector('#choose-left').focus()")
        press(window, " ")  # on a button it means the button
        window.wait(lambda: is_shown(window, "#result"))
        assert verdicts(table) == ["right", "left"]


def test_what_models_say_is_text(window: Browser, table: FeedbackTable) -> None:
    nasty = "<b>bold</b> <img src=x onerror=a()>\n  two   spaces"
    with serving(comparison_of(table, lambda number: (nasty, ""))) as address:
        open_page(window, address)
        texts = {window.text("#left"), window.text("#right")}
        assert texts == {nasty, "(nothing)"}
        assert window.count("#answers b, #answers img") == 0


def test_it_waits_while_answers_are_written(window: Browser, table: FeedbackTable) -> None:
    written = [ANSWERS[0]]
    comparison = comparison_of(
        table,
        lambda number: written[number] if number < len(written) else None,
        asked=prompts(2),
    )
    with serving(comparison) as address:
        open_page(window, address)
        press(window, "1")
        window.wait(lambda: is_shown(window, "#waiting"))
        press(window, "1")
        assert len(table.read()) == 1
        written.append(ANSWERS[1])
        window.wait(lambda: window.text("#prompt") == "Question 1?")
        assert not is_shown(window, "#waiting")


def test_a_server_that_is_gone_and_a_second_window_are_said_in_words(
    window: Browser, table: FeedbackTable
) -> None:
    comparison = comparison_of(table)
    with serving(comparison) as address:
        open_page(window, address)
        comparison.judge(0, "left")  # in another window
        press(window, "2")
        window.wait(lambda: is_shown(window, "#error"))
        assert "not the one" in window.text("#error")
        window.click("#again")
        window.wait(lambda: window.text("#prompt") == "Question 1?")
        assert not is_shown(window, "#error")
        assert verdicts(table) == ["left"]
    press(window, "1")
    window.wait(lambda: is_shown(window, "#error"))
    assert "does not answer" in window.text("#error")
    window.log("browser")


def test_it_fits_a_telephone_by_day_and_by_night(tmp_path: Path, table: FeedbackTable) -> None:
    long = "A long answer with aVeryLongWordThatDoesNotFitIntoOneLineOfATelephone. " * 12
    comparison = comparison_of(table, lambda number: (long, "short"), asked=prompts(1))
    with browser(tmp_path / "profile") as window, serving(comparison) as address:
        telephone = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
        window.command("Emulation.setDeviceMetricsOverride", telephone)
        open_page(window, address)
        assert window.run("return document.documentElement.scrollWidth") == 360
        for scheme in ("light", "dark"):
            wanted = [{"name": "prefers-color-scheme", "value": scheme}]
            window.command("Emulation.setEmulatedMedia", {"features": wanted})
            colour = window.run(
                "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
            )
            assert (min(colour) > 200) is (scheme == "light")
        # The buttons stay in sight below answers that are longer than the screen.
        for name in ("choose-left", "choose-tie", "choose-right", "skip", "undo"):
            left, top, right, bottom = window.run(
                f"const box = document.querySelector('#{name}').getBoundingClientRect();"
                "return [box.left, box.top, box.right, box.bottom]"
            )
            assert 0 <= left < right <= 360
            assert 0 <= top < bottom <= 640
        window.click("#choose-left")
        window.wait(lambda: is_shown(window, "#result"))
        assert window.run("return document.documentElement.scrollWidth") == 360
        nameless = window.run(
            "return [...document.querySelectorAll('button')].filter((one) => !one.textContent)"
        )
        assert nameless == []
