"""A real browser, driven through the plain WebDriver protocol."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

CHROMIUM, CHROMEDRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ENTER, SHIFT, ESCAPE, RELEASE = "\ue007", "\ue008", "\ue00c", "\ue000"
_QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class Browser:
    """One window of headless Chromium."""

    def __init__(self, session: str):
        self.session = session

    def call(self, method: str, path: str, **body: object) -> object:
        response = httpx2.request(
            method, self.session + path, json=body if method == "POST" else None, timeout=120
        )
        value = response.json()["value"]
        assert response.status_code == 200, value
        return value

    def command(self, name: str, parameters: dict) -> object:
        """A command of Chromium's own protocol."""
        return self.call("POST", "/goog/cdp/execute", cmd=name, params=parameters)

    def open(self, address: str) -> None:
        self.call("POST", "/url", url=address)

    def run(self, script: str, *arguments: object) -> object:
        return self.call("POST", "/execute/sync", script=script, args=list(arguments))

    def text(self, selector: str) -> str:
        """Visible text of the last element that fits, or nothing."""
        found = self.run(
            "const all = document.querySelectorAll(arguments[0]);"
            "return all.length ? all[all.length - 1].innerText : ''",
            selector,
        )
        return str(found)

    def count(self, selector: str) -> int:
        return int(self.run("return document.querySelectorAll(arguments[0]).length", selector))

    def click(self, selector: str) -> None:
        self.call("POST", f"/element/{self._find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        self.call("POST", f"/element/{self._find(selector)}/value", text=text)

    def wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.text("body")
            time.sleep(0.02)

    def log(self, kind: str) -> list[dict]:
        """New entries of the "browser" or "performance" log."""
        return list(self.call("POST", "/se/log", type=kind))

    def requested_addresses(self) -> list[str]:
        """Every address asked for since the last call, data: addresses included."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def _find(self, selector: str) -> str:
        found = self.call("POST", "/element", using="css selector", value=selector)
        return str(found[ELEMENT])


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile in ``folder``; it is gone afterwards."""
    command = [str(CHROMEDRIVER), "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        try:
            address = _driver_address(driver)
            flags = [*_QUIET, f"--user-data-dir={folder}", "--window-size=1100,800"]
            wanted = {
                "goog:chromeOptions": {"binary": str(CHROMIUM), "args": flags},
                "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
            }
            response = httpx2.post(
                f"{address}/session",
                json={"capabilities": {"alwaysMatch": wanted}},
                timeout=120,
            ).json()["value"]
            session = Browser(f"{address}/session/{response['sessionId']}")
            try:
                yield session
            finally:
                session.call("DELETE", "")
        finally:
            driver.terminate()


def _driver_address(driver: subprocess.Popen) -> str:
    for line in driver.stdout:
        found = re.search(r"started successfully on port (\d+)", line)
        if found:
            return f"http://127.0.0.1:{found[1]}"
    raise AssertionError("chromedriver did not start")
