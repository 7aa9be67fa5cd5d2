from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.web.links import MAX_LINKS, scan_page
from modelwright.data.web.permissions import directives_of, may_follow, refusal
from modelwright.data.web.urls import parse_url

HERE = parse_url("http://example.org/folder/page")


def links(markup: str) -> list[str]:
    return [str(url) for url in scan_page(markup.encode(), HERE, "modelwright").links]


def test_links_come_once_and_in_order() -> None:
    markup = '<a href="b">b</a><A HREF=\'/c?x&amp;y\'>c</A><area href=d><a class=x href="b#e">b</a>'
    assert links(markup) == [
        "http://example.org/folder/b",
        "http://example.org/c?x&y",
        "http://example.org/folder/d",
    ]


def test_base_moves_relative_links() -> None:
    assert links('<base href="http://other.test/x/"><a href="y">') == ["http://other.test/x/y"]


@pytest.mark.parametrize(
    "markup",
    [
        '<!-- <a href="b"> -->',
        '<!-- <a href="b">',
        '<script>"<a href=b>"</script>',
        "<STYLE><a href=b></style>",
        '<a rel="external nofollow" href="b">',
        '<a href="mailto:a@b.test">',
        '<a href="javascript:void(0)">',
        '<abbr href="b">',
        "<a title='<a href=\"b\">'>",
        "<a",
    ],
)
def test_what_is_no_link(markup: str) -> None:
    assert links(markup) == []


def test_an_empty_comment_hides_nothing() -> None:
    assert links('<!--><a href="b">') == ["http://example.org/folder/b"]


def test_canonical_and_directives() -> None:
    page = scan_page(
        b'<link rel="canonical" href="/c"><link rel=canonical href=/d>'
        b'<meta name="Robots" content="NoIndex, nofollow"><meta name=modelwright content=noai>'
        b'<meta name=googlebot content=none><meta name="tdm-reservation" content="1">',
        HERE,
        "modelwright",
    )
    assert str(page.canonical) == "http://example.org/c"
    assert page.directives == {"noindex", "nofollow", "noai", "tdm-reservation"}


@given(st.text(alphabet="<a href='\"=!-/>mbscript x", max_size=200))
def test_any_text_can_be_scanned(text: str) -> None:
    scan_page(text.encode(), HERE, "modelwright")


@pytest.mark.parametrize(
    "piece", ["<a ", "<a href='", '<a "', "<!--", "<script", "<a href=x ", "<meta a=b ", "< a" * 9]
)
def test_a_hostile_page_is_scanned_in_linear_time(piece: str) -> None:
    started = time.process_time()
    page = scan_page((piece * (2_000_000 // len(piece))).encode(), HERE, "modelwright")
    assert len(page.links) <= MAX_LINKS
    assert time.process_time() - started < 10  # it takes less than 2


@pytest.mark.parametrize(
    ("headers", "reason", "follow"),
    [
        ([], "", True),
        ([("X-Robots-Tag", "noindex")], "page says noindex", True),
        ([("x-robots-tag", "none")], "page says noindex", False),
        ([("X-Robots-Tag", "nofollow")], "", False),
        ([("X-Robots-Tag", "googlebot: noindex, nofollow")], "", True),
        (
            [("X-Robots-Tag", "googlebot: noindex"), ("X-Robots-Tag", "noai")],
            "page says noai",
            True,
        ),
        ([("X-Robots-Tag", "modelwright: noai")], "page says noai", True),
        ([("X-Robots-Tag", "max-snippet:-1, noindex")], "page says noindex", True),
        ([("tdm-reservation", "1")], "page reserves text and data mining", True),
        ([("tdm-reservation", "0")], "", True),
    ],
)
def test_headers_say_what_may_be_done(
    headers: list[tuple[str, str]], reason: str, follow: bool
) -> None:
    directives = directives_of(headers, None)
    assert refusal(directives) == reason
    assert may_follow(directives) == follow
