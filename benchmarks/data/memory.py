"""Annotate and prepare a corpus of ten times the memory that they are allowed.

python benchmarks/data/memory.py [--memory 64] [--times 10] [--scores NAME ...] [--workers N]

The documents are random words, every tenth of them an edited copy of another. Prints the peak of
resident memory of each stage with all its processes, above the same stage with a few documents.
Exit code 1 if annotate takes more than its limit and what writing a row group takes. Without
``--scores`` only near-duplicates are looked for, as every score of so much text takes long.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from modelwright.core.artifact import open_artifact
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import SilentProgress
from modelwright.data.corpus import CorpusWriter, new_document
from modelwright.data.settings import SCORES, AnnotateSettings, PrepareSettings

MIB = 2**20
WORDS = 300
WRITING = 64 * MIB
"""What a row group of 8 MiB takes while it is put together and written, whatever the limit is."""

SECONDS_BETWEEN_LOOKS = 0.02


@dataclass(frozen=True)
class Measured:
    """What a stage took: peak of resident memory in bytes, and seconds."""

    peak: int
    seconds: float


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--memory", type=int, default=64, help="limit in MiB")
    parser.add_argument("--times", type=float, default=10, help="size of the corpus in limits")
    parser.add_argument("--scores", nargs="*", default=[], choices=SCORES)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    annotation = AnnotateSettings(
        scores=arguments.scores, memory=f"{arguments.memory} MB", workers=arguments.workers
    )
    kept = "replace" if "personal-data" in arguments.scores else "keep"
    preparation = PrepareSettings(personal_data=kept, secrets=kept, workers=arguments.workers)
    limit = arguments.memory * MIB
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = folder / "small", folder / "large"
        write_corpus(small, MIB // 4)
        documents = write_corpus(large, int(limit * arguments.times))
        print(f"corpus: {documents:,} documents, {arguments.times * arguments.memory:,.0f} MiB")
        print(f"limit:  {arguments.memory} MiB", flush=True)
        above = compare("annotate", annotation, small, large)
        compare("prepare", preparation, small / "annotate", large / "annotate")
    return 0 if above <= limit + WRITING else 1


def compare(stage: str, settings: Any, small: Path, large: Path) -> int:
    """Run a stage on both corpora: by how much the peak of the large one is higher."""
    base = measure(stage, settings, small)
    full = measure(stage, settings, large)
    above = full.peak - base.peak
    print(
        f"{stage}: peak {full.peak / MIB:,.0f} MiB, of a few documents {base.peak / MIB:,.0f}: "
        f"{above / MIB:,.0f} MiB above, {full.seconds:.1f} s",
        flush=True,
    )
    return above


def measure(stage: str, settings: Any, corpus: Path) -> Measured:
    """Run a stage in a process of its own and look at its memory all the time."""
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=partial(run, stage, settings, corpus))
    process.start()
    peak = 0
    while process.exitcode is None:
        peak = max(peak, resident(process.pid))
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if process.exitcode:
        raise SystemExit(f"{stage} failed")
    return Measured(peak, time.monotonic() - began)


def resident(pid: int | None) -> int:
    """Bytes of resident memory of a process and all below it."""
    try:
        whole = psutil.Process(pid)
        family = [whole, *whole.children(recursive=True)]
        return sum(process.memory_info().rss for process in family)
    except psutil.NoSuchProcess:
        return 0


def run(stage: str, settings: Any, corpus: Path) -> None:
    """Make a folder inside the corpus with the stage's name."""
    from modelwright.data.annotate import annotate
    from modelwright.data.prepare import prepare

    out = corpus / stage
    out.mkdir()
    job = Job(settings, {"corpus": open_artifact(corpus, "corpus")}, out, SilentProgress())
    outcome: Outcome = annotate(job) if stage == "annotate" else prepare(job)
    assert outcome.counts["documents_in"] > 0


def write_corpus(folder: Path, size: int) -> int:
    """Write documents of so many bytes together, in row groups of the usual size: how many."""
    dice = np.random.default_rng(0)
    vocabulary = np.array([f"w{number:05x}" for number in range(50_000)], dtype=object)
    folder.mkdir()
    written = documents = 0
    words = vocabulary[:WORDS]
    with CorpusWriter(folder) as writer:
        while written < size:
            if documents % 10 == 9:
                words[dice.integers(WORDS)] = "edited"
            else:
                words = vocabulary[dice.integers(len(vocabulary), size=WORDS)]
            text = " ".join(words)
            url = f"{documents}"
            writer.write(new_document(text, source="s", url=url, title="", licence="MIT"))
            written += len(text)
            documents += 1
    return documents


if __name__ == "__main__":
    sys.exit(main())
