from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.web.urls import MAX_LENGTH, UrlError, is_trap, parse_url


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("HTTP://Example.ORG", "http://example.org/"),
        ("https://example.org:443/a#b", "https://example.org/a"),
        ("http://example.org:443/", "http://example.org:443/"),
        ("http://example.org/a/../b/./c/..", "http://example.org/b/"),
        ("http://example.org/../../a", "http://example.org/a"),
        ("http://example.org/%7Euser/%e4%c3", "http://example.org/~user/%E4%C3"),
        ("http://example.org/grün?q=ü ä", "http://example.org/gr%C3%BCn?q=%C3%BC%20%C3%A4"),
        ("http://example.org/100%", "http://example.org/100%25"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://example.org./", "http://example.org/"),
        ("  http://exa\tmple.org/\n", "http://example.org/"),
        ("http://example.org/a?b=/../c", "http://example.org/a?b=/../c"),
        ("http://[2001:DB8::0:1]/", "http://[2001:db8::1]/"),
        ("http:\\\\example.org\\a?b\\c", "http://example.org/a?b%5Cc"),
    ],
)
def test_normal_form(text: str, normal: str) -> None:
    assert str(parse_url(text)) == normal


@pytest.mark.parametrize(
    ("href", "absolute"),
    [
        ("b", "http://example.org/x/b"),
        ("/b", "http://example.org/b"),
        ("?q", "http://example.org/x/a?q"),
        ("//other.test/c", "http://other.test/c"),
        ("..", "http://example.org/"),
        ("", "http://example.org/x/a"),
    ],
)
def test_relative_addresses(href: str, absolute: str) -> None:
    assert str(parse_url(href, parse_url("http://example.org/x/a"))) == absolute


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ftp://example.org/", "not http"),
        ("javascript:alert(1)", "not http"),
        ("example.org", "not http"),
        ("http://a:b@example.org/", "credentials"),
        ("http://a@example.org/", "credentials"),
        ("http://example.org:0/", "port"),
        ("http://example.org:65536/", "port"),
        ("http://example.org:99999999999/", "port"),
        ("http:///a", "host"),
        ("http://exa mple.org/", "host"),
        ("http://example..org/", "host"),
        ("http://[::1", "broken address"),
        ("http://[::1]x/", "broken"),
        ("http://[fe80::1%25eth0]/", "broken"),
        ("http://127.1/", "unusual spelling"),
        ("http://0x7f.1/", "unusual spelling"),
        ("http://1.2.3.4.5/", "unusual spelling"),
        ("http://x/" + "a" * MAX_LENGTH, "too long"),
    ],
)
def test_what_is_not_fetched(text: str, reason: str) -> None:
    with pytest.raises(UrlError, match=reason):
        parse_url(text)


@given(st.text(max_size=80), st.sampled_from(["", "http://a.test/", "http://", "//b.test/x/"]))
def test_the_normal_form_of_anything_is_its_own_normal_form(text: str, start: str) -> None:
    try:
        url = parse_url(start + text, parse_url("http://base.test/a/b?c"))
    except UrlError:
        return
    assert str(url).isascii()
    assert not any(character in str(url) for character in " \r\n\t#\\")
    assert parse_url(str(url)) == url


@pytest.mark.parametrize(
    "path",
    ["/a/a/a/", "/a/b/a/b/a/b", "/x/a/b/c/a/b/c/a/b/c/y", "/" + "/".join(map(str, range(21)))],
)
def test_paths_that_grow_without_end_are_traps(path: str) -> None:
    assert is_trap(parse_url(f"http://example.org{path}"))


@pytest.mark.parametrize("path", ["/", "/a/a/b", "/2024/01/01/a", "/a/b/a/b", "/a?x=/a/a/a/a"])
def test_usual_paths_are_none(path: str) -> None:
    assert not is_trap(parse_url(f"http://example.org{path}"))
