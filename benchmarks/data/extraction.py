"""Extraction of main text: how right and how fast, ours beside bare trafilatura and resiliparse.

python benchmarks/data/extraction.py FOLDER [PAGES]

FOLDER holds ``html_articles``, ``html_readability`` and ``html_multilingual`` (pages.jsonl.gz).
With PAGES only the first of each are read. Two measures, each as its authors define it:

- full text marked by people: F1 of multisets of 4-token shingles, the mean of precision and recall
  over the pages (scrapinghub/article-extraction-benchmark);
- pieces that must and must not be there: precision, recall and F over all pieces (trafilatura's
  own evaluation).
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

import psutil
import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from modelwright.data.extract.extracted import Extracted, ExtractionError
from modelwright.data.extract.formats import Options
from modelwright.data.extract.page import extract_page
from modelwright.data.sandbox import Limits, Sandbox, Task

FULL_TEXT = ("html_articles", "html_readability")
SHINGLE = 4
HEADINGS = " " * 37 + "P      R      F  pages/CPU-s  median ms   p99 ms"
_TOKEN = re.compile(r"\w+", re.UNICODE)

Extractor = Callable[[bytes], str]


@dataclass(frozen=True)
class Page:
    """A page, and what is known of its text: all of it, or pieces."""

    raw: bytes
    full_text: str
    wanted: list[str]
    unwanted: list[str]


def main() -> int:
    """Measure and print."""
    folder = Path(sys.argv[1])
    most = int(sys.argv[2]) if len(sys.argv) > 2 else None
    for name in (*FULL_TEXT, "html_multilingual"):
        pages = list(read_pages(folder / name / "pages.jsonl.gz"))[:most]
        megabytes = sum(len(page.raw) for page in pages) / 1e6
        print(f"\n{name}: {len(pages)} pages, {megabytes:.1f} MB")
        print(HEADINGS)
        score = shingle_score if name in FULL_TEXT else piece_score
        for label, extract in extractors().items():
            extract(pages[0].raw)  # imports count for nobody
            texts, seconds = timed(extract, pages)
            show(label, score(pages, texts), seconds, sum(seconds))
        with Sandbox(1, Limits(memory_bytes=2 << 30)) as sandbox:
            for extractor in ("trafilatura", "resiliparse"):
                show_in_sandbox(sandbox, Options(extractor=extractor), pages, score)
    return 0


def extractors() -> dict[str, Extractor]:
    """What is compared, all in this process."""
    return {
        "trafilatura, bare": lambda raw: trafilatura.extract(raw, include_comments=False) or "",
        "trafilatura fast, bare": lambda raw: (
            trafilatura.extract(raw, include_comments=False, fast=True) or ""
        ),
        "trafilatura precision, bare": lambda raw: (
            trafilatura.extract(raw, include_comments=False, favor_precision=True) or ""
        ),
        "trafilatura fast precision, bare": lambda raw: (
            trafilatura.extract(raw, include_comments=False, fast=True, favor_precision=True) or ""
        ),
        "resiliparse main content, bare": bare_resiliparse,
        "ours, trafilatura": lambda raw: ours(raw, Options()),
        "ours, resiliparse": lambda raw: ours(raw, Options(extractor="resiliparse")),
    }


def bare_resiliparse(raw: bytes) -> str:
    """As its documentation shows it."""
    markup = bytes_to_str(raw, detect_encoding(raw) or "utf-8")
    return extract_plain_text(markup, main_content=True, alt_texts=False)


def ours(raw: bytes, options: Options) -> str:
    """Without the sandbox; a page that is refused gives nothing."""
    try:
        return extract_page(raw, options).text
    except ExtractionError:
        return ""


def timed(extract: Extractor, pages: list[Page]) -> tuple[list[str], list[float]]:
    """Texts, and processor seconds of each page."""
    texts, seconds = [], []
    for page in pages:
        before = time.process_time()
        texts.append(extract(page.raw))
        seconds.append(time.process_time() - before)
    return texts, seconds


def show_in_sandbox(
    sandbox: Sandbox, options: Options, pages: list[Page], score: Callable[..., Any]
) -> None:
    """Times here are by the clock; the rate counts the processor time of both processes."""
    sandbox.extract(Task("page", pages[0].raw, options))
    texts, seconds, before = [], [], cpu_seconds()
    for page in pages:
        start = time.perf_counter()
        result = sandbox.extract(Task("page", page.raw, options))
        seconds.append(time.perf_counter() - start)
        texts.append(result.text if isinstance(result, Extracted) else "")
    show(
        f"ours, {options.extractor}, sandbox", score(pages, texts), seconds, cpu_seconds() - before
    )


def cpu_seconds() -> float:
    """Of this process and its children that live."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (me, *me.children()))


def show(label: str, score: tuple[float, float, float], seconds: list[float], cpu: float) -> None:
    """One line of the table."""
    cuts = quantiles(seconds, n=100, method="inclusive")
    numbers = " ".join(f"{part:6.3f}" for part in score)
    rate = len(seconds) / cpu
    print(f"{label:32} {numbers} {rate:12.1f} {cuts[49] * 1e3:10.1f} {cuts[98] * 1e3:8.1f}")


def shingle_score(pages: list[Page], texts: list[str]) -> tuple[float, float, float]:
    """Mean precision and recall over the pages, and the F of these means."""
    precisions, recalls = [], []
    for page, text in zip(pages, texts, strict=True):
        found, wanted = shingles(text), shingles(page.full_text)
        common = (found & wanted).total()
        # Nothing found and nothing wanted is right; the benchmark leaves such pages out.
        if found:
            precisions.append(common / found.total())
        if wanted:
            recalls.append(common / wanted.total())
    precision, recall = mean(precisions), mean(recalls)
    return precision, recall, 2 * precision * recall / (precision + recall)


def shingles(text: str) -> Counter[tuple[str, ...]]:
    """Runs of four tokens; a shorter text is one run."""
    tokens = _TOKEN.findall(text)
    last = max(1, len(tokens) - SHINGLE + 1)
    return Counter(tuple(tokens[place : place + SHINGLE]) for place in range(last if tokens else 0))


def piece_score(pages: list[Page], texts: list[str]) -> tuple[float, float, float]:
    """Precision, recall and F over all pieces of all pages."""
    hits = misses = false_alarms = 0
    for page, text in zip(pages, texts, strict=True):
        hits += sum(piece in text for piece in page.wanted)
        misses += sum(piece not in text for piece in page.wanted)
        false_alarms += sum(piece in text for piece in page.unwanted)
    precision, recall = hits / (hits + false_alarms), hits / (hits + misses)
    return precision, recall, 2 * precision * recall / (precision + recall)


def read_pages(path: Path) -> Iterator[Page]:
    """Read the records of one collection."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            raw = row["html"].encode() if "html" in row else base64.b64decode(row["html_b64"])
            yield Page(
                raw,
                row.get("expected_text", ""),
                row.get("must_contain", []),
                row.get("must_not_contain", []),
            )


if __name__ == "__main__":
    sys.exit(main())
