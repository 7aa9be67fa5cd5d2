"""The page of the data report."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from surveyed import EMAIL, EVIL, KEY, documents, make_run
from webdriver import CHROMEDRIVER, CHROMIUM, browser

from modelwright.core.progress import SilentProgress
from modelwright.data.settings import PrepareSettings
from modelwright.data.survey.figures import Survey
from modelwright.data.survey.histograms import Histogram, log_bins, number_bins
from modelwright.data.survey.inputs import parent_of
from modelwright.data.survey.survey import survey
from modelwright.data.survey.tally import Group
from modelwright.studio.data_charts import histogram
from modelwright.studio.data_report import render_data_report, write_data_report


class Tags(HTMLParser):
    """Collects the names of tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    annotated, prepared = make_run(tmp_path_factory.mktemp("run"))
    return survey(annotated, prepared, parent_of(annotated), SilentProgress())


def test_the_page_says_what_was_found_and_hides_what_is_private(found: Survey) -> None:
    html = render_data_report(found, EVIL)
    for private in (EMAIL, KEY, "<script", "<img", "\x00", "http://", "https://"):
        assert private not in html, private
    assert EVIL.replace("<", "&lt;").split("&lt;")[0] in html
    whole = found.whole
    dropped = whole.documents - whole.kept_documents
    assert f"{whole.documents} in = {whole.kept_documents} kept + {dropped} dropped" in html
    for reason in found.reasons:
        assert f"<b>{reason.name}</b>" in html
    assert "share-alike" in html
    assert "damaged PDF" in html
    assert "j•••g" in html
    assert html.count("<details") == html.count("</details>")
    page = Tags()
    page.feed(html)
    assert page.names.isdisjoint({"script", "img", "iframe", "link", "object", "form"})
    assert not any(name.startswith("on") or name == "src" for name in page.attributes)


def test_the_same_corpus_gives_the_same_bytes(found: Survey, tmp_path: Path) -> None:
    again = survey(*make_run(tmp_path), None, SilentProgress())
    again = dataclasses.replace(again, collected=found.collected, artifacts=found.artifacts)
    assert render_data_report(again, "a") == render_data_report(found, "a")


def test_nothing_dropped_and_nothing_found(tmp_path: Path) -> None:
    keep = PrepareSettings(personal_data="keep", secrets="keep")
    run = make_run(tmp_path, keep, documents()[:8], scores=["language"])
    html = render_data_report(survey(*run, None, SilentProgress()), "plain")
    assert "Nothing was dropped." in html
    assert "No two documents are alike." in html
    assert "It was not looked for." in html


def test_the_page_stays_small(found: Survey) -> None:
    groups = {"source": {f"&{'x' * 200}{number}": Group(1, 1) for number in range(5000)}}
    long = dataclasses.replace(
        found.criteria[0].near_passing[0].excerpt, name="&" * 90, url='"' * 90, snippet="&" * 240
    )
    shown = dataclasses.replace(found.criteria[0].near_passing[0], excerpt=long)
    criteria = [
        dataclasses.replace(one, near_passing=(shown,) * 3, near_failing=(shown,) * 3, fails=1)
        for one in found.criteria
    ]
    reasons = [dataclasses.replace(found.reasons[0], examples=(shown,) * 3)] * 60
    changed = dataclasses.replace(
        found, groups=groups, criteria=tuple(criteria), reasons=tuple(reasons)
    )
    html = render_data_report(changed, "large")
    assert "4,985 others" in html
    assert len(html.encode()) < 2_000_000


def test_a_histogram_draws_both_sides_and_the_line() -> None:
    counts = Histogram(number_bins(0.3, "above"))
    assert histogram(counts, "empty") == ""
    counts.counts[0, :13] = 7
    counts.counts[1, 12:20] = 3
    drawn = histogram(counts, "a <title>", 0.3)
    assert "a &lt;title&gt;" in drawn
    assert 'class="threshold"' in drawn
    assert "91 documents pass, 24 do not" in drawn
    assert drawn.count("M") == 13 + 8
    numbers = [float(one) for one in re.findall(r"[MHV](-?[\d.]+)", drawn)]
    assert min(numbers) >= 0
    assert max(numbers) <= 400
    lone = Histogram(log_bins())
    lone.counts[0, -1] = 1
    assert "≥" in histogram(lone, "one", 5)
    assert np.isfinite(lone.counts).all()


@pytest.mark.skipif(
    not (CHROMIUM.exists() and CHROMEDRIVER.exists()), reason="needs Chromium and chromedriver"
)
def test_in_a_browser(found: Survey, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_data_report(path, found, EVIL)
    with browser(tmp_path / "profile") as window:
        window.requested_addresses()
        telephone = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
        window.command("Emulation.setDeviceMetricsOverride", telephone)
        window.open(path.as_uri())
        window.run("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert window.text("h1") == f"{EVIL}: the data"
        assert window.run("return document.documentElement.scrollWidth") == 360
        assert window.count("script, img") == 0
        asked = {one for one in window.requested_addresses() if not one.startswith("chrome")}
        assert {one for one in asked if not one.startswith("data:")} == {path.as_uri()}
        assert window.log("browser") == []
        empty = window.run(
            "return [...document.querySelectorAll('svg[role=img]')]"
            ".filter((one) => !one.querySelector('title').textContent).length"
        )
        assert empty == 0
