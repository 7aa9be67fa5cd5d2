"""Near-duplicates end to end, next to datatrove: speed, recall, precision, same bytes, memory.

python benchmarks/data/duplicates.py SHARED_DATA [--datatrove] [--documents N]
                                     [--peer-documents N] [--repeats N]
python benchmarks/data/duplicates.py --memory

Both sides read one file of JSON lines and write one without duplicates, each in a process of its
own; the CPU time (user and system, all threads and children) is taken after the imports. datatrove
has an environment of its own (``environments.py``) and runs on fewer documents. Exit code 1 if the
bytes of any two of our runs differ, or more memory is used than allowed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from environments import datatrove
from planted_duplicates import BINS, Planted, by_bin, nearest_jaccard, plant, write_jsonl

ROWS, BANDS = 8, 14
MEMORY = 64 << 20
SYNTHETIC_DOCUMENTS = 3_000_000
SYNTHETIC_MEMORY = 64 << 20


def main() -> int:
    """Run the parts that were asked for; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shared", type=Path, nargs="?")
    parser.add_argument("--datatrove", action="store_true")
    parser.add_argument("--documents", type=int, default=30_000)
    parser.add_argument("--peer-documents", type=int, default=3_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", choices=["ours", "theirs", "synthetic"])
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        child = {"ours": run_ours, "theirs": run_theirs, "synthetic": run_synthetic}
        print(json.dumps(child[arguments.child](arguments.folder)))
        return 0
    if arguments.memory:
        return int(not compare_memory())
    planted = plant(arguments.shared, arguments.documents)
    return int(not compare_bytes(planted)) | compare_with_datatrove(planted, arguments)


def compare_with_datatrove(planted: Planted, arguments: argparse.Namespace) -> int:
    """Print speed, recall and precision of both; ours on all documents and on datatrove's."""
    fewer = planted.first(arguments.peer_documents)
    runs = [("ours", sys.executable, planted), ("ours", sys.executable, fewer)]
    if arguments.datatrove:
        runs.append(("theirs", str(datatrove()), fewer))
    head = [f"{low:.1f}-{min(high, 1):.1f}" for low, high in pairwise(BINS)]
    print("\n| what | documents | MB | documents per CPU-second | MB per CPU-second | dropped |")
    speeds, tables = [], []
    for side, python, documents in runs:
        seconds, kept = measure(side, python, documents, arguments.repeats)
        megabytes = sum(len(text.encode()) for text in documents.texts.values()) / 1e6
        speeds.append(len(documents.texts) / seconds)
        dropped = documents.texts.keys() - kept
        print(
            f"| {side} | {len(documents.texts):,} | {megabytes:.1f} | {speeds[-1]:,.0f} "
            f"| {megabytes / seconds:.2f} | {len(dropped):,} |"
        )
        name = f"{side}, {len(documents.texts):,} documents"
        found = [(value, not {one, other} <= kept) for one, other, value in documents.pairs]
        tables.append([f"recall: {name}", *by_bin(found)])
        nearest = nearest_jaccard(documents.texts, dropped)
        wrong = sum(value < BINS[0] for value in nearest.values())
        spread = [
            f"{sum(low <= value < high for value in nearest.values()) / len(nearest):.3f}"
            for low, high in pairwise(BINS)
        ]
        tables.append([f"share of dropped: {name}; below {BINS[0]}: {wrong}", *spread])
    middles = [(low + min(high, 1)) / 2 for low, high in pairwise(BINS)]
    formula = [f"{1 - (1 - middle**ROWS) ** BANDS:.3f}" for middle in middles]
    print("\nBy exact Jaccard similarity, of planted pairs and of dropped ones with their nearest:")
    for row in (["", *head], ["formula at the middle", *formula], *tables):
        print(f"| {' | '.join(row)} |")
    if arguments.datatrove:
        print(f"\nratio of documents per CPU-second, same documents: {speeds[1] / speeds[2]:.1f}")
    return 0


def compare_bytes(planted: Planted) -> bool:
    """Are index and kept documents the same for 1, 2 and 4 threads and two other orders?"""
    names = list(planted.texts)
    digests = {}
    for threads, step in [("1", 1), ("2", 1), ("4", 1), ("2", -1), ("2", 7)]:
        order = names[::step] if step < 0 else [n for s in range(step) for n in names[s::step]]
        documents = Planted({name: planted.texts[name] for name in order}, planted.pairs)
        with tempfile.TemporaryDirectory() as folder:
            write_jsonl(documents.texts, Path(folder) / "documents.jsonl")
            start("ours", sys.executable, Path(folder), POLARS_MAX_THREADS=threads)
            digests[threads, step] = digest(Path(folder))
    same = len(set(digests.values())) == 1
    print(f"index and kept documents for {len(digests)} threads and orders: same bytes = {same}")
    return same


def digest(folder: Path) -> str:
    """SHA-256 over the index and the kept documents in the order of their ids."""
    result = hashlib.sha256()
    for path in sorted((folder / "index").iterdir()):
        result.update(path.name.encode() + path.read_bytes())
    for line in sorted((folder / "kept.jsonl").read_bytes().splitlines()):
        result.update(line)
    return result.hexdigest()


def measure(side: str, python: str, documents: Planted, repeats: int) -> tuple[float, set[str]]:
    """Median of the CPU-seconds, and the ids that were kept."""
    seconds = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            write_jsonl(documents.texts, Path(folder) / "documents.jsonl")
            seconds.append(start(side, python, Path(folder), POLARS_MAX_THREADS="1")["seconds"])
            lines = (Path(folder) / "kept.jsonl").read_text("utf-8").splitlines()
    return statistics.median(seconds), {json.loads(line)["id"] for line in lines}


def start(side: str, python: str, folder: Path, **environment: str) -> dict:
    """Run one side in a process of its own, with one thread for its linear algebra."""
    command = [python, __file__, "--child", side, "--folder", str(folder)]
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-4000:])
    return json.loads(done.stdout.splitlines()[-1])


def cpu_seconds() -> float:
    """User and system time of this process and the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run_ours(folder: Path) -> dict:
    """Signatures, index, clusters, and the documents without duplicates."""
    import numpy as np
    import polars as pl

    from modelwright.data.duplicates.band_index import build_index
    from modelwright.data.duplicates.clusters import find_clusters
    from modelwright.data.duplicates.signature import band_hashes

    before = cpu_seconds()
    documents = pl.read_ndjson(
        folder / "documents.jsonl", schema={"id": pl.String, "text": pl.String}
    )
    digests = (hashlib.sha256(name.encode()).digest()[:8] for name in documents["id"])
    keys = np.frombuffer(b"".join(digests), dtype="<u8")
    batches = (
        (keys[start : start + 1000], *band_hashes(documents["text"][start : start + 1000]))
        for start in range(0, len(keys), 1000)
    )
    build_index(batches, folder / "index", MEMORY)
    clusters = find_clusters(folder / "index", MEMORY)
    dropped = clusters.keys[clusters.keys != clusters.roots]
    documents.filter(~np.isin(keys, dropped)).write_ndjson(folder / "kept.jsonl")
    return {"seconds": cpu_seconds() - before}


def run_theirs(folder: Path) -> dict:
    """datatrove's four stages with their defaults: 5-grams, 14 buckets of 8 hashes."""
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    def read(_data, _rank=0, _world_size=1):
        with open(folder / "documents.jsonl", encoding="utf-8") as file:
            for row in map(json.loads, file):
                yield Document(text=row["text"], id=row["id"])

    def write(data, _rank=0, _world_size=1):
        kept = ({"id": document.id, "text": document.text} for document in data)
        with open(folder / "kept.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in kept)
        return ()

    load_word_tokenizer("eng").word_tokenize("Loading it is not counted.")
    before = cpu_seconds()
    signatures, buckets, removed = (str(folder / name) for name in ("sig", "buckets", "removed"))
    stages = [
        ([read, MinhashDedupSignature(signatures)], 1),
        ([MinhashDedupBuckets(signatures, buckets)], BANDS),
        ([MinhashDedupCluster(buckets, removed)], 1),
        ([read, MinhashDedupFilter(removed), write], 1),
    ]
    for number, (pipeline, tasks) in enumerate(stages):
        logs = str(folder / f"logs{number}")
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=logs).run()
    return {"seconds": cpu_seconds() - before}


def compare_memory() -> bool:
    """Sort many times the allowed memory; does the process stay within it?"""
    size = SYNTHETIC_DOCUMENTS * BANDS * 16
    times = size / SYNTHETIC_MEMORY
    print(
        f"{size / 1e6:,.0f} MB of records, {SYNTHETIC_MEMORY / 1e6:.0f} MB allowed ({times:.0f} x)"
    )
    with tempfile.TemporaryDirectory() as folder:
        result = start("synthetic", sys.executable, Path(folder))
    print("\n".join(f"{name}: {value}" for name, value in result.items()))
    return result["growth of the peak while the index is built (MB)"] <= SYNTHETIC_MEMORY / 1e6


def run_synthetic(folder: Path) -> dict:
    """Build the index of random records of which one in a thousand is shared."""
    import numpy as np

    from modelwright.data.duplicates.band_index import build_index
    from modelwright.data.duplicates.clusters import find_clusters

    def batches(size: int = 5000):
        dice = np.random.default_rng(0)
        for first in range(0, SYNTHETIC_DOCUMENTS, size):
            bands = dice.integers(0, 1 << 64, (size, BANDS), dtype=np.uint64)
            shared = dice.random((size, BANDS)) < 1e-3
            bands[shared] = dice.integers(0, 1000, int(shared.sum()))
            yield np.arange(first, first + size, dtype=np.uint64), bands, np.ones(size, np.bool_)

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kB on Linux

    sum(len(keys) for keys, _, _ in batches())  # what the documents themselves take
    at_start, began = peak(), time.process_time()
    build_index(batches(), folder, SYNTHETIC_MEMORY)
    built, build_seconds = peak(), time.process_time() - began
    clusters = find_clusters(folder, SYNTHETIC_MEMORY)
    return {
        "peak before (MB)": round(at_start),
        "growth of the peak while the index is built (MB)": round(built - at_start, 1),
        "growth of the peak with the clusters (MB)": round(peak() - at_start, 1),
        "CPU-seconds to build": round(build_seconds, 1),
        "CPU-seconds in all": round(time.process_time() - began, 1),
        "documents in clusters": len(clusters.keys),
    }


if __name__ == "__main__":
    sys.exit(main())
