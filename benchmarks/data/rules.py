"""Rules of quality next to datatrove's filters: speed, and whether the same documents are kept.

python benchmarks/data/rules.py SHARED [DOCUMENTS [DOCUMENTS_OF_DATATROVE]]

Both do what FineWeb's recipe asks for: Gopher repetition, Gopher quality, C4 without its rule on
terminal punctuation, FineWeb. Each runs alone in a process of its own, five times; times are
CPU-seconds (user and system) of the work, without start-up, imports and a first document.
datatrove is measured twice: with every filter on every document, as scores are worked out here, and
stopping at the first filter that drops a document, as its pipelines do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

RUNS = 5
BATCH = 256
FAMILIES = ("gopher-repetition", "gopher-quality", "c4", "fineweb")
SHOWN = 12


def main() -> int:
    """Measure and print; returns the exit code: 1 if less than 99 % of the decisions agree."""
    from corpora import labelled_corpus
    from environments import datatrove

    shared = Path(sys.argv[1])
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    theirs_number = int(sys.argv[3]) if len(sys.argv) > 3 else number
    documents = labelled_corpus(shared, number)
    texts = [text for _, text in documents]
    theirs_texts = texts[:theirs_number]
    ours = measured(Path(sys.executable), "ours", texts)
    speed = len(texts) / median(ours["seconds"])
    size = sum(map(len, texts)) / len(texts)
    print(
        f"modelwright {ours['version']}: {speed:,.0f} documents/CPU-s ({spread(ours['seconds'])})"
    )
    print(f"  {len(texts):,} documents of {size:,.0f} characters on average")
    python = datatrove()
    for mode, name in (("all", "every filter"), ("first", "up to the first that drops")):
        theirs = measured(python, mode, theirs_texts)
        rate = len(theirs_texts) / median(theirs["seconds"])
        print(
            f"datatrove {theirs['version']}, {name}: {rate:,.1f} documents/CPU-s"
            f" ({spread(theirs['seconds'])}), {len(theirs_texts):,} documents;"
            f" ratio {speed / rate:.1f}"
        )
        if mode == "all":
            verdicts = theirs["verdicts"]
    return compare(documents[:theirs_number], ours["verdicts"], verdicts)


def spread(seconds: list[float]) -> str:
    """Fastest and slowest of the runs."""
    return f"{len(seconds)} runs of {min(seconds):.2f} to {max(seconds):.2f} s"


def measured(python: Path, mode: str, texts: list[str]) -> dict[str, Any]:
    """Run this script in other processes; the verdicts are those of the last one."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        documents, result = Path(folder) / "texts.json", Path(folder) / "result.json"
        documents.write_text(json.dumps(texts), encoding="utf-8")
        for _ in range(RUNS):
            command = [str(python), __file__, "--worker", mode, str(documents), str(result)]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            seconds.append(found["seconds"])
    return {**found, "seconds": seconds}


def compare(
    documents: list[tuple[str, str]], ours: list[list[str]], theirs: list[list[str]]
) -> int:
    """Print how far the decisions agree; FineWeb's only where C4 let datatrove edit the lines."""
    pairs = list(zip(documents, ours, theirs, strict=False))
    for place, family in enumerate(FAMILIES):
        seen = [pair for pair in pairs if family != "fineweb" or not pair[2][2]]
        equal = sum(bool(mine[place]) == bool(other[place]) for _, mine, other in seen)
        dropped = sum(bool(other[place]) for _, _, other in seen)
        print(f"{family}: {equal / len(seen):.2%} of {len(seen):,} agree; it drops {dropped:,}")
    table = Counter((not any(mine), not any(other)) for _, mine, other in pairs)
    for keep in (True, False):
        word = "kept" if keep else "dropped"
        both = f"{table[keep, True]:,} kept, {table[keep, False]:,} dropped"
        print(f"{word} by us: {both} by datatrove")
    agreement = (table[True, True] + table[False, False]) / len(pairs)
    print(f"agreement: {agreement:.2%} of {len(pairs):,} documents")
    for folder in sorted({folder for (folder, _), _, _ in pairs}):
        here = [(mine, other) for (name, _), mine, other in pairs if name == folder]
        equal = sum(any(mine) == any(other) for mine, other in here)
        kept = sum(not any(other) for _, other in here)
        print(f"  {folder}: {equal / len(here):.2%} of {len(here):,}; datatrove keeps {kept:,}")
    different = [pair for pair in pairs if any(pair[1]) != any(pair[2])]
    for (folder, text), mine, other in different[:SHOWN]:
        print(f"  {folder}: {text[:40]!r}: {first(mine)} here, {first(other)} there")
    return int(agreement < 0.99)


def first(reasons: list[str]) -> str:
    """The first reason to drop a document."""
    return next(filter(None, reasons), "kept")


def worker(mode: str, documents: Path, result: Path) -> None:
    """Judge the documents of a file in this process."""
    texts = json.loads(documents.read_text(encoding="utf-8"))
    found = judge_ours(texts) if mode == "ours" else judge_theirs(texts, mode == "first")
    result.write_text(json.dumps(found), encoding="utf-8")


def judge_ours(texts: list[str]) -> dict[str, Any]:
    """The first failing rule of each family, "" for none."""
    import os

    os.environ["POLARS_MAX_THREADS"] = "1"
    import polars as pl

    from modelwright import __version__
    from modelwright.data.rules.score import score_rules
    from modelwright.data.rules.table import RULES

    def tests(family: str) -> list[pl.Expr]:
        return [
            pl.when(
                pl.col(rule.column) < rule.threshold
                if rule.fails == "below"
                else pl.col(rule.column) > rule.threshold
            ).then(pl.lit(rule.name))
            for rule in RULES
            if rule.family == family
        ]

    reasons = [pl.coalesce(*tests(family), pl.lit("")).alias(family) for family in FAMILIES]
    score_rules(pl.Series(["A first document."]), "fineweb-compat", "c4")
    begin = time.process_time()
    verdicts: list[tuple[str, ...]] = []
    for start in range(0, len(texts), BATCH):
        batch = pl.Series(texts[start : start + BATCH], dtype=pl.String)
        scores = score_rules(batch, "fineweb-compat", "c4").scores
        verdicts += scores.select(reasons).rows()
    return {
        "seconds": time.process_time() - begin,
        "verdicts": verdicts,
        "version": f"{__version__} (polars {pl.__version__})",
    }


def judge_theirs(texts: list[str], stop: bool) -> dict[str, Any]:
    """The same by datatrove; with ``stop``, no filter runs behind one that drops."""
    from importlib.metadata import version

    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    filters = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]

    def judge(text: str, number: int) -> list[str]:
        document, reasons = Document(text=text, id=str(number)), []
        for one in filters:
            verdict = one.filter(document)
            reasons.append("" if verdict is True else verdict[1])
            if stop and reasons[-1]:
                break
        return reasons

    judge("A first document.", -1)
    begin = time.process_time()
    verdicts = [judge(text, number) for number, text in enumerate(texts)]
    return {
        "seconds": time.process_time() - begin,
        "verdicts": verdicts,
        "version": f"{version('datatrove')} (spaCy {version('spacy')})",
    }


if __name__ == "__main__":
    if sys.argv[1] == "--worker":
        worker(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        sys.exit(main())
