from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl

from modelwright.data.rules.score import score_rules

DIGEST = """
import hashlib, polars as pl
from modelwright.data.rules.score import score_rules
line = "of the (same) line.\\nAnother, don't you know? "
texts = pl.Series([f"word{i} {line}" * (i % 7) for i in range(300)])
found = score_rules(texts, "fineweb-compat", "c4")
rows = repr(found.scores.rows()) + repr(found.texts.to_list())
print(hashlib.sha256(rows.encode()).hexdigest())
"""


def test_novels_pass_with_whitespace_words_and_some_fail_with_punctuation_as_words(
    shared_data: Path,
) -> None:
    with gzip.open(shared_data / "english_novels" / "novels-00.jsonl.gz", "rt") as file:
        texts = pl.Series([json.loads(next(file))["text"] for _ in range(40)])
    lowest = {
        profile: score_rules(texts, profile, "none").scores["alphabetic_word_fraction"].min()
        for profile in ("whitespace", "fineweb-compat")
    }
    assert lowest["whitespace"] > 0.95
    assert lowest["fineweb-compat"] < 0.85


def test_threads_and_hash_seeds_change_nothing() -> None:
    digests = set()
    for threads, seed in (("1", "0"), ("3", "7")):
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", DIGEST]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        digests.add(run.stdout)
    assert len(digests) == 1
