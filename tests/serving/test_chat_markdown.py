"""The chat page's Markdown: safe whatever a model says, and as others read it."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from running_server import NAME, Server, running
from webdriver import CHROMEDRIVER, CHROMIUM, ENTER, Browser, browser

pytestmark = pytest.mark.skipif(
    not (CHROMIUM.exists() and CHROMEDRIVER.exists()), reason="needs Chromium and chromedriver"
)

RENDER = """
const [texts, done] = arguments;
import('/assets/markdown.js').then(({ rendered, renderInto }) => {
  const allowed = new Set(('p h3 h4 h5 h6 hr blockquote figure figcaption span button pre code ul'
    + ' ol li div table thead tbody tr th td strong em del a').split(' '));
  const attributes = { a: ['href', 'rel', 'target'], ol: ['start'], pre: ['tabindex'],
    div: ['class', 'tabindex'], figure: ['class'], button: ['class', 'type'],
    th: ['class'], td: ['class'] };
  done(texts.map((text) => {
    const area = document.createElement('div');
    document.body.append(area);
    // As it is written: in pieces, which must come to the same as the whole.
    for (const share of [4, 2, 1]) renderInto(area, text.slice(0, text.length / share));
    const whole = document.createElement('div');
    whole.append(...rendered(text));
    const wrong = [...area.querySelectorAll('*')].filter((node) => {
      const name = node.localName;
      return !allowed.has(name) || node.namespaceURI !== 'http://www.w3.org/1999/xhtml'
        || [...node.attributes].some((one) => !(attributes[name] ?? []).includes(one.name))
        || (name === 'a' && !/^(https?|mailto):$/.test(node.protocol))
        || (name === 'a' && !node.rel.includes('noopener'));
    }).map((node) => node.outerHTML);
    const found = { wrong, isSame: area.innerHTML === whole.innerHTML, html: area.innerHTML,
      tags: [...area.querySelectorAll('*')].map((node) => node.localName),
      code: [...area.querySelectorAll('pre code')].map((node) => node.textContent),
      links: [...area.querySelectorAll('a')].map((node) => node.getAttribute('href')),
      text: area.textContent, pwned: window.pwned ?? null };
    area.remove();
    return found;
  }));
}).catch((error) => done(String(error)));
"""

HOSTILE = [
    '<img src=x onerror=pwned=1>', '<script>pwned=1</script>', '<svg/onload=pwned=1>',
    '[a](javascript:pwned=1)', '[a](JaVaScRiPt:pwned=1)', '[a](java\tscript:pwned=1)',
    '[a](\x01javascript:pwned=1)', '[a](data:text/html,<script>pwned=1</script>)',
    '[a](vbscript:x)', '[a](blob:http://x/y)', '[a](//evil.example)', '[a](/feedback)',
    '<javascript:pwned=1>', '<https://a.example/"onclick=pwned=1>',
    '![a](https://evil.example/x.png)', '[a](https://b.example "t" onclick=pwned=1)',
    '[![b](javascript:pwned=1)](https://c.example)', '[a](https://user:pass@d.example)', '`<b>`',
    '```html\n<script>pwned=1</script>\n```', '```" onclick=pwned=1\nx',
    '| <b> | [x](javascript:pwned=1) |\n|-|-|\n| <i> | `|` |',
    "> <iframe srcdoc='<script>pwned=1</script>'>", '- <details ontoggle=pwned=1 open>',
    '# <h1 onclick=pwned=1>', '&lt;b&gt; &#106;avascript:', '{{constructor}}', '**', '__', '~~',
    '*', '_', '`', '[', '](', ')', '\\', '\n', '\n\n', '  ', '\t', '|', '-', '1. ', '> ', '#',
    '***', 'http://', 'https://e.example/a_(b)', 'mailto:a@b.example', '世界', '\u202e', '\x00',
    '😀', '<', '>', '"',
]  # fmt: skip


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as window:
        window.open(server.address)
        window.wait(lambda: window.run("return document.querySelector('#model')?.value") == NAME)
        yield window


def render(window: Browser, *texts: str) -> list[dict]:
    found = window.call("POST", "/execute/async", script=RENDER, args=[list(texts)])
    assert isinstance(found, list), found
    return found


def check_safe(found: list[dict]) -> None:
    assert [one["wrong"] for one in found if one["wrong"]] == []
    assert [one["html"] for one in found if not one["isSame"]] == []
    assert {one["pwned"] for one in found} == {None}


def test_each_attack_alone(window: Browser) -> None:
    found = render(window, *HOSTILE)
    check_safe(found)
    links = [link for one in found for link in one["links"]]
    assert "https://evil.example/x.png" in links  # an image is a link, and is not loaded
    assert not any("script" in link.lower() or link.startswith(("/", "data")) for link in links)
    assert any("<script>pwned=1</script>" in one["text"] for one in found)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.lists(st.sampled_from(HOSTILE) | st.text(max_size=6), max_size=30).map("".join),
        min_size=20,
        max_size=60,
    )
)
def test_no_mixture_of_them_makes_more_than_text(window: Browser, texts: list[str]) -> None:
    check_safe(render(window, *(text.encode(errors="replace").decode() for text in texts)))


def test_long_texts_made_to_be_slow_are_read(window: Browser) -> None:
    """In time that grows with their length; with its square this would not end."""
    size = 60_000
    parts = (
        "*a ", "**a", "_a_b", "[", "[a](", "`", "``a`", "~~", "> ", "http://%", "http://h", "<",
        "|a", "#", " ", "- \n", "\n", "***a", "- a\n ", "1. a\n\n", "|a|b|\n|-|-|\n", "\\", "![",
        "a](b)",
    )  # fmt: skip
    check_safe(render(window, *((part * (size // len(part))) + "x" for part in parts)))
    # Links at the end of what looks like many beginnings; the head of a table that is no end.
    check_safe(render(window, "[" * size + "](https://a.example)", "#" + " " * size + "#x"))
    check_safe(render(window, "```" + " " * size + "`", "-" + " " * size + "|x\n-" + " " * size))


def test_a_hostile_answer_through_the_whole_page(window: Browser, says: Callable) -> None:
    text = "\n\n".join(one for one in HOSTILE if len(one) > 12 and "\0" not in one)[:900]
    with running(says(text)) as server:
        window.requested_addresses()
        window.open(server.address)
        window.wait(lambda: window.run("return document.querySelector('#model')?.value") == NAME)
        window.run(
            "const field = document.getElementById('max_tokens'); field.value = 1000;"
            "field.dispatchEvent(new Event('input'))"
        )
        window.type("#input", "Attack" + ENTER)
        window.wait(lambda: "tokens in" in window.text(".figures"))
        assert "onerror=pwned=1" in window.text(".model .text")
        assert window.run("return window.pwned ?? null") is None
        assert window.count("#log img, #log script, #log iframe, #log svg:not([aria-hidden])") == 0
        addresses = window.requested_addresses()
        own = (server.address, "data:", "chrome://", "chrome-untrusted://")
        assert [address for address in addresses if not address.startswith(own)] == []
        assert [entry for entry in window.log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize(
    ("text", "tags", "shown"),
    [
        ("a *b* **c** ***d*** ~~e~~ `f`", "p em strong strong em del code", "a b c d e f"),
        ("snake_case_name and 2 * 3 * 4", "p", "snake_case_name and 2 * 3 * 4"),
        ("a\\*b\\* \\`c\\`", "p", "a*b* `c`"),
        ("``a ` b``", "p code", "a ` b"),
        ("# One #\n### Two", "h3 h5", "OneTwo"),
        ("- a\n- b\n  - c\n\n1. d\n2. e", "ul li li ul li ol li li", "abcde"),
        ("- a\n\n  b\n- c", "ul li p p li", "abc"),
        ("> a\n> - b", "blockquote p ul li", "ab"),
        ("a\n***\nb", "p hr p", "ab"),
        ("|a|b|\n|-|:-:|\n|`c`|d\\|e|", "div table thead tr th th tbody tr td code td", "abcd|e"),
        ("a | b\nno table", "p", "a | b\nno table"),
        ("```py\nx\n", "figure figcaption span button pre code", "pyCopyx\n"),
        ("see https://a.example/b_(c), or <https://d.example>.", "p a a",
         "see https://a.example/b_(c), or https://d.example."),
        ('[x](https://a.example "title")', "p a", "x"),
        ("[x](relative)", "p span", "x (relative)"),
        ("1) a\n2) b", "ol li li", "ab"),
    ],
)  # fmt: skip
def test_what_the_marks_mean(window: Browser, text: str, tags: str, shown: str) -> None:
    (found,) = render(window, text)
    assert " ".join(found["tags"]) == tags
    assert found["text"] == shown


def test_a_real_book_is_read_as_markdown_it_reads_it(window: Browser, shared_data: Path) -> None:
    """Headings, code to the letter, items, tables, quotes and links."""
    with gzip.open(shared_data / "rust_book" / "chapters.jsonl.gz", "rt", encoding="utf-8") as file:
        pages = [json.loads(line)["text"] for line in file]
    for page, found in zip(pages, render(window, *pages), strict=True):
        expected, code, links = as_reference(page)
        counts = Counter(found["tags"])
        assert [one.rstrip("\n") for one in found["code"]] == code
        assert {tag: counts[tag] for tag in expected} == expected, page[:100]
        assert Counter(links) <= Counter(found["links"])  # ours has bare addresses, too


def as_reference(page: str) -> tuple[dict[str, int], list[str], list[str]]:
    """How often each of our tags comes in a page, its code and its links, as markdown-it has it."""
    tokens = (
        MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).parse(page)
    )
    counts = Counter(one.type for one in tokens)
    headings = Counter(one.tag for one in tokens if one.type == "heading_open")
    inside = [child for one in tokens for child in one.children or []]
    expected = {
        "figure": counts["fence"],
        "li": counts["list_item_open"],
        "table": counts["table_open"],
        "blockquote": counts["blockquote_open"],
        "h3": headings["h1"],
        "h4": headings["h2"],
        "strong": sum(one.type == "strong_open" for one in inside),
    }
    code = [one.content.rstrip("\n") for one in tokens if one.type == "fence"]
    links = [str(one.attrs["href"]) for one in inside if one.type == "link_open"]
    return expected, code, [link for link in links if link.startswith("http")]
