from __future__ import annotations

import gzip
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.web.sitemaps import Listing, SitemapError, read_listing

SITEMAP = """<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<url><loc> http://a.test/1 </loc><lastmod>2026</lastmod></url><url><loc>http://a.test/2?x&amp;y</loc>
<image:image xmlns:image="http://i"><image:loc>http://a.test/i.png</image:loc></image:image></url>
</urlset>"""
PAGES = ("http://a.test/1", "http://a.test/2?x&y")


@pytest.mark.parametrize(
    "raw",
    [
        SITEMAP.encode(),
        gzip.compress(SITEMAP.encode(), mtime=0),
        SITEMAP.encode("utf-16"),
        b"\xef\xbb\xbfhttp://a.test/1\r\n\r\nhttp://a.test/2?x&y\n",
        b"<rss><channel><link>http://a.test/</link><item><link>http://a.test/1</link></item>"
        b"<item><link>http://a.test/2?x&amp;y</link></item></channel></rss>",
        b"<feed xmlns='http://www.w3.org/2005/Atom'><link href='http://a.test/'/>"
        b"<entry><link href='http://a.test/1'/><link rel='edit' href='http://a.test/e'/></entry>"
        b"<entry><link rel='alternate' href='http://a.test/2?x&amp;y'/></entry></feed>",
    ],
    ids=["xml", "gzip", "utf-16", "text", "rss", "atom"],
)
def test_pages_of_sitemaps_and_feeds(raw: bytes) -> None:
    assert read_listing(raw) == Listing(pages=PAGES)


def test_an_index_names_sitemaps() -> None:
    raw = b"<sitemapindex><sitemap><loc>http://a.test/s.xml</loc></sitemap></sitemapindex>"
    assert read_listing(raw) == Listing(sitemaps=("http://a.test/s.xml",))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"<!DOCTYPE x [<!ENTITY a 'ha'>]><urlset>&a;</urlset>", "entities"),
        (b"<!DOCTYPE x [<!ENTITY % a SYSTEM 'file:///etc/passwd'>%a;]><urlset/>", "entities"),
        (b"<urlset>&undeclared;</urlset>", "broken"),
        (b"<urlset><url>", "broken"),
        (b"", "broken"),
        (b"<a>" * 100_000, "broken"),
        (b"<html><body><p>not a sitemap", "broken"),
        (gzip.compress(b"<urlset>" + b" " * 60_000_000, 1, mtime=0), "expands|larger"),
        (gzip.compress(b"<urlset></urlset>", mtime=0)[:-4], "damaged"),
    ],
    ids=str,
)
def test_what_is_not_read(raw: bytes, reason: str) -> None:
    with pytest.raises(SitemapError, match=reason):
        read_listing(raw)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_listing_or_a_reason(raw: bytes) -> None:
    with suppress(SitemapError):
        read_listing(raw)
