from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.extract.extracted import ExtractionError
from modelwright.data.extract.prescan import (
    MAX_ATTRIBUTES,
    MAX_CELLS,
    MAX_DEPTH,
    SPACES,
    check_markup,
)

DEEP = MAX_DEPTH + 1


@pytest.mark.parametrize(
    ("markup", "reason"),
    [
        ("<div>" * DEEP, "nested too deeply"),
        ("<DIV>" * DEEP, "nested too deeply"),
        ("<div></x>" * DEEP, "nested too deeply"),
        ("<div><!--</div>-->" * DEEP, "nested too deeply"),
        ("<div><!--></div>-->" * DEEP, None),  # a comment may end at once
        ("<div a='</div>'>" * DEEP, "nested too deeply"),
        ("<div a=</div>" * DEEP, "nested too deeply"),
        ("<div><script></div></script>" * DEEP, "nested too deeply"),
        ("<div></div>" * DEEP, None),
        ("<br><img><p>x<li>y" * DEEP, None),
        ("<script>" + "'<div>'" * DEEP + "</script>", None),
        ("<!--" + "<div>" * DEEP + "-->", None),
        ("<textarea>" + "<div>" * DEEP + "</textarea>", None),
        (f"<p{' a' * (MAX_ATTRIBUTES + 1)}>", "too many attributes"),
        (f"<script{' a' * (MAX_ATTRIBUTES + 1)}></script>", "too many attributes"),
        (f"<p{' a' * MAX_ATTRIBUTES}>", None),
        (f"<p class='{'a ' * 10 * MAX_ATTRIBUTES}'>", None),
        ("<td colspan=65535>", "huge table cell"),
        ("<TH ROWSPAN = '  1000000000'>", "huge table cell"),
        ("<td colspan=0003 rowspan=4>", None),
        ("<p>rowspan=1000000000", None),
        ("<td>" * (MAX_CELLS + 1), "too many table cells"),
        ("<td colspan=60000>" * 2, "too many table cells"),
        ("x" + " \n" * SPACES + "x", "white space"),
        ("x" + " " * (SPACES - 1) + "x", None),
        ("x" * 20_000_001, "too large"),
    ],
)
def test_what_keeps_a_parser_busy_is_refused(markup, reason):
    if reason is None:
        check_markup(markup)
    else:
        with pytest.raises(ExtractionError, match=reason):
            check_markup(markup)


@given(
    st.lists(
        st.sampled_from(
            ["<", ">", "/", "=", '"', "'", "!", "--", "-", " ", "a", "<div ", "</div>", "<script>"]
        ),
        max_size=60,
    )
)
def test_no_small_page_is_refused(parts):
    check_markup("".join(parts))


@pytest.mark.parametrize(
    "part",
    [
        "<",
        "<!--",
        "<!",
        "</",
        "<a",
        "<a ",
        '<a "',
        '<a b="',
        "<script ",
        "<script>",
        "<script></",
        "-",
        "<a b=",
        "= ",
        "<td colspan=",
        "<td colspan= ",
        "<div></q>",
    ],
)
def test_the_scan_is_linear(part):
    """Twenty times the text takes less than a hundred times the time."""

    def seconds(count: int) -> float:
        before = time.process_time()
        with suppress(ExtractionError):
            check_markup(f"<p>{part * count}")
        return time.process_time() - before

    assert seconds(200_000) < 100 * max(min(seconds(10_000) for _ in range(3)), 0.001)
