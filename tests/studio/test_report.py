from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.studio.report import SHOWN_TEXT, render_report, write_report
from modelwright.tokens.train import train_tokenizer

Make = Callable[..., Artifact]
VOID = {"meta", "link", "br", "hr", "img", "input"}
EVIL = "<script>alert('x')</script>\"'&<b>"


class Page(HTMLParser):
    """Collects text, tags and addresses of a page, and checks that tags close."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in {"td", "dd", "dt"}:
            self.text += " "
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and "script" not in self.open:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_a_whole_run(tmp_path: Path, run: list[Artifact]) -> None:
    path = write_report(tmp_path, run, "python-helper")
    assert path == tmp_path / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    for said in (
        "A language model with 3.15 million parameters. It read 4.59 million tokens in "
        "3 min 3 s: its 7,716 documents, 2.2 times. It learnt to answer in 42 s, from 27.0 % of "
        "20,113 examples. "
        "All stages together took 4 min 36 s on 2 cores.",
        "needs 1.40 bits for each byte: 18.2 % fewer than xz -9",
        "for plain text it now needs 1.48",
        "this model, after fine-tuning 1.482",
        "before fine-tuning 1.401",
        "83.5 %",
        "6 of 200 held-out questions",
        "os.path.join joins path number 0 and inserts",
        "exact duplicate 3,402",
        "longer than the context 12",
        "tokenizer.vocabulary_size 4,096",
        "This machine did 61 GFLOP/s",
        "256 6 27,771",
        "bytes of text in a token, on average 3.527",
        "PSF-2.0 collect, examples",
        "modelwright chat",
    ):
        assert said in page.text
    assert page.count("svg") == 12
    assert page.count("details") == len(run) + 2  # and the machine, and the dial's timing


def test_nothing_is_fetched_and_only_the_own_script_may_run(run: list[Artifact]) -> None:
    html = render_report(run, "m")
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed"}
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in html
    assert "@import" not in html
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src 'none';")


def test_the_policy_names_the_hash_of_the_script(run: list[Artifact]) -> None:
    html = render_report(run, "m")
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html


def test_every_packaged_file_is_in_the_wheel() -> None:
    root = Path(__file__).resolve().parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["modelwright"]
    package = root / "src" / "modelwright"
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    studio = {path for path in (package / "studio").iterdir() if path.suffix != ".py"}
    assert {path for path in studio if path.is_file()} <= packaged


def test_tables_have_headers_and_charts_have_titles(run: list[Artifact]) -> None:
    page = Page(render_report(run, "m"))
    assert page.count("thead") == page.count("table") > 10
    for tag, attributes in page.tags:
        if tag == "th" and "aria-hidden" not in attributes:
            assert attributes["scope"] in ("col", "row")
        if tag == "svg":
            assert attributes["role"] == "img"
    assert page.count("title") == page.count("svg") + 1


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**9 - 1))
def test_any_subset_of_artifacts_will_do(run: list[Artifact], chosen: int) -> None:
    artifacts = [item for index, item in enumerate(run) if chosen >> index & 1]
    page = Page(render_report(artifacts, "m"))
    assert ("modelwright chat" in page.text) == any(item.kind == "model" for item in artifacts)
    anchors = {value["href"] for tag, value in page.tags if tag == "a"}
    ids = {f"#{value['id']}" for _, value in page.tags if "id" in value}
    assert anchors <= ids


def test_same_artifacts_same_bytes(tmp_path: Path, run: list[Artifact]) -> None:
    first = write_report(tmp_path, run, "m").read_bytes()
    assert first == write_report(tmp_path, run, "m").read_bytes()
    assert list(tmp_path.glob("*.partial")) == []


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_title_comes_out_as_it_went_in(title: str) -> None:
    page = Page(render_report([], title))
    assert " ".join(title.split()) in page.text


def test_markup_in_any_text_is_shown_and_not_obeyed(tmp_path: Path, make: Make) -> None:
    row = {
        "doc": {
            "messages": [{"role": "user", "content": EVIL}, {"role": "assistant", "content": EVIL}]
        },
        "target": EVIL,
        "models": {name: {"resp": EVIL, "chrf": 1.0} for name in ("base", "final")},
    }
    shape = {"hidden_size": EVIL, "layers": EVIL, "tokens_per_second": 1.0}
    dial = {"choice": {EVIL: EVIL}, "reasons": [EVIL], "expected": {EVIL: 1}, "timing": [shape]}
    log = {"step": 1, "tokens": 1, "seconds": 1.0, "loss": 1.0}
    texts = {
        "counts": {EVIL: 1},
        "dropped": {EVIL: 1},
        "licences": [EVIL],
        "settings": {EVIL: EVIL},
    }
    artifacts = [
        make("collect", "corpus", **texts),
        make("dial", "dial", files={"dial.json": json.dumps(dial)}),
        make("pretrain", "model", files={"log/training.jsonl": json.dumps(log)}, **texts),
        make(
            "evaluate",
            "evaluation",
            files={"samples_heldout_questions.jsonl": json.dumps(row)},
            metrics={"chrf": 1.0},
        ),
    ]
    html = render_report(artifacts, EVIL)
    page = Page(html)
    assert page.count("script") == 1
    assert page.count("b") == 0
    assert page.text.count("<script>alert('x')</script>\"'&<b>") >= 15


def test_a_model_that_loses_to_xz_is_told_so(make: Make) -> None:
    metrics = {"bits_per_byte": 2.2, "xz_primed_bits_per_byte": 2.0}
    page = Page(render_report([make("evaluate", "evaluation", metrics=metrics)], "m"))
    assert "needs 2.20 bits for each byte: 10.0 % more than xz -9" in page.text


def test_the_tokenizer_shows_a_text_in_tokens(tmp_path: Path, make: Make) -> None:
    tokenizer = train_tokenizer(["the quick brown fox " * 50], 320, tmp_path)
    files = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    html = render_report([make("tokenizer", "tokenizer", files=files)], "m")
    pieces = re.findall(r'<span title="token (\d+)">', html)
    assert [int(id) for id in pieces] == tokenizer.encode(SHOWN_TEXT)
    assert SHOWN_TEXT.split("×")[0] in Page(html).text


def test_a_broken_log_line_is_named(make: Make) -> None:
    model = make("pretrain", "model", files={"log/training.jsonl": '{"step": 1}\n{"step"\n'})
    with pytest.raises(InputError) as error:
        render_report([model], "m")
    assert str(error.value.where).endswith("log/training.jsonl, line 2")


def test_a_damaged_dial_is_named(make: Make) -> None:
    with pytest.raises(InputError, match="damaged"):
        render_report([make("dial", "dial", files={"dial.json": '{"choice": [1]}'})], "m")


def test_a_report_that_cannot_be_made_leaves_the_old_one(tmp_path: Path, make: Make) -> None:
    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    model = make("pretrain", "model", files={"log/training.jsonl": "[]\n"})
    with pytest.raises(InputError):
        write_report(tmp_path, [model], "m")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "old"
