"""Adding one per cent of documents, next to making all anew: the index, and the whole stage.

python benchmarks/data/incremental.py SHARED_DATA [--documents N]

Prints CPU-seconds (all threads) of both: of the index of near-duplicates with signatures and
clusters, and of the annotate stage with all scores. Exit code 1 if any byte differs.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from planted_duplicates import plant

from modelwright.core.artifact import Artifact, open_artifact
from modelwright.core.job import Job
from modelwright.core.progress import SilentProgress
from modelwright.data.annotate import annotate, fingerprint
from modelwright.data.corpus import CorpusWriter, new_document
from modelwright.data.duplicates.band_index import Batch, build_index, update_index
from modelwright.data.duplicates.clusters import Clusters, find_clusters
from modelwright.data.duplicates.signature import band_hashes
from modelwright.data.settings import AnnotateSettings

T = TypeVar("T")

MEMORY = 64 << 20
REPEATS = 3


def main() -> int:
    """Compare and print; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shared", type=Path)
    parser.add_argument("--documents", type=int, default=30_000)
    arguments = parser.parse_args()
    texts = pl.Series(plant(arguments.shared, arguments.documents).texts.values())
    same_index, same_stage = compare_indexes(texts), compare_stages(texts)
    return 0 if same_index and same_stage else 1


def compare_indexes(texts: pl.Series) -> bool:
    """Add to an index of bands, and make it anew: whether both are equal."""
    keys = np.random.default_rng(0).permutation(len(texts)).astype(np.uint64)
    old = len(texts) * 99 // 100
    nothing = np.empty(0, dtype=np.uint64)

    with tempfile.TemporaryDirectory() as name:
        before, added, anew = (Path(name) / part for part in ("before", "added", "anew"))
        build_index(batches(keys[:old], texts[:old]), before, MEMORY)

        def add() -> Clusters:
            update_index(before, nothing, batches(keys[old:], texts[old:]), added, MEMORY)
            return find_clusters(added, MEMORY)

        def rebuild() -> Clusters:
            build_index(batches(keys, texts), anew, MEMORY)
            return find_clusters(anew, MEMORY)

        adding, found = timed(add, REPEATS)
        rebuilding, expected = timed(rebuild, REPEATS)
        same = contents(added) == contents(anew)
    same_clusters = np.array_equal(found.keys, expected.keys)
    same_clusters &= np.array_equal(found.roots, expected.roots)
    print(f"{old:,} documents and {len(texts) - old:,} more")
    report("index", adding, rebuilding, same and same_clusters)
    return same and same_clusters


def compare_stages(texts: pl.Series) -> bool:
    """Annotate a corpus that grew with and without its earlier scores: whether both are equal."""
    old = len(texts) * 99 // 100
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = annotated(write_corpus(texts[:old], folder / "small"), folder / "before")
        corpus = write_corpus(texts, folder / "large")
        adding, _ = timed(lambda: annotated(corpus, folder / "added", before))
        rebuilding, _ = timed(lambda: annotated(corpus, folder / "anew"))
        same = contents(folder / "added") == contents(folder / "anew")
    report("whole stage", adding, rebuilding, same)
    return same


def annotated(corpus: Path, out: Path, previous: Artifact | None = None) -> Artifact:
    """Run the annotate stage in this process, as the runner would."""
    out.mkdir()
    settings = AnnotateSettings(workers=1)
    inputs = {"corpus": open_artifact(corpus, "corpus")}
    annotate(Job(settings, inputs, out, SilentProgress(), previous=previous))
    shutil.rmtree(out / "scratch")
    made = open_artifact(out, "corpus")
    parts = {"settings": settings.decisive(), "outside": fingerprint(settings)}
    return Artifact(out, made.manifest.model_copy(update={"key_parts": parts}))


def write_corpus(texts: pl.Series, folder: Path) -> Path:
    folder.mkdir()
    with CorpusWriter(folder) as writer:
        for number, text in enumerate(texts):
            writer.write(new_document(text, source="s", url=f"{number}", title="", licence="MIT"))
    return folder


def report(what: str, adding: float, rebuilding: float, same: bool) -> None:
    print(f"{what}: adding {adding:.2f} CPU-seconds; making it anew {rebuilding:.2f}")
    print(f"{what}: {rebuilding / adding:.1f} times; same bytes: {same}", flush=True)


def batches(keys: np.ndarray, texts: pl.Series) -> Iterator[Batch]:
    for start in range(0, len(keys), 1000):
        yield keys[start : start + 1000], *band_hashes(texts[start : start + 1000])


def timed(work: Callable[[], T], repeats: int = 1) -> tuple[float, T]:
    """Median CPU-seconds, and what came out."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        result = work()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds), result


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


if __name__ == "__main__":
    sys.exit(main())
