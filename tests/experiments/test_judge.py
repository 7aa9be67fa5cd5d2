from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from modelwright.cli.judge import command, in_words
from modelwright.core.errors import InputError
from modelwright.core.progress import SilentProgress
from modelwright.data.corpus import CorpusWriter, Split, new_document
from modelwright.experiments.judge import JudgeSettings, judge
from modelwright.experiments.paired import compare_pairs

TEXT = "The old lamp reads a letter by the sea, and nobody in the town knows who wrote it. "
TINY = JudgeSettings(
    tokens=5_000, seeds=3, width=64, layers=1, vocabulary=320, sequence_length=32, batch_rows=4
)


def sentences(seed: int) -> str:
    words = TEXT.split()
    start = random.Random(seed).randrange(len(words))
    return " ".join((words[start:] + words[:start]) * 5) + f" {seed}"


def noise(seed: int) -> str:
    return "".join(random.Random(seed).choices("qxzjkvwy#%&0123456789", k=900))


def write_corpus(folder: Path, texts: Iterable[str | tuple[str, Split]]) -> Path:
    """Write texts, or (text, split), as a corpus."""
    folder.mkdir()
    with CorpusWriter(folder) as writer:
        for number, text in enumerate(texts):
            text, split = text if isinstance(text, tuple) else (text, None)
            document = new_document(
                text, source="test", url=f"{number}", title="", licence="CC0-1.0"
            )
            writer.write(replace(document, split=split))
    return folder


@pytest.fixture
def corpus(tmp_path):
    return lambda name, texts: write_corpus(tmp_path / name, texts)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("corpora")
    dirty = (sentences(n) if n % 5 == 0 else noise(n) for n in range(100))
    return {
        "clean": write_corpus(base / "clean", (sentences(n) for n in range(30))),
        "dirty": write_corpus(base / "dirty", dirty),
        "heldout": write_corpus(base / "heldout", (sentences(n) for n in range(100, 110))),
    }


@pytest.fixture(scope="module")
def judgement(folders):
    """Noise as A, clean text as B."""
    return judge(folders["dirty"], folders["clean"], folders["heldout"], TINY, SilentProgress())


@pytest.fixture
def clean(folders):
    return folders["clean"]


@pytest.fixture
def dirty(folders):
    return folders["dirty"]


@pytest.fixture
def heldout(folders):
    return folders["heldout"]


def test_clean_text_wins_over_noise(judgement):
    assert judgement.comparison.difference < -0.1
    assert judgement.comparison.is_certain
    assert (judgement.first.documents, judgement.second.documents) == (100, 30)
    assert judgement.steps == 39
    assert judgement.tokens == 39 * 128
    assert judgement.second.epochs > judgement.first.epochs > 0


def test_the_verdict_names_the_better_one(judgement):
    assert "\nB is better by" in in_words(judgement, "dirty", "clean")
    swapped = replace(
        judgement,
        first=judgement.second,
        second=judgement.first,
        comparison=compare_pairs(judgement.second.bits_per_byte, judgement.first.bits_per_byte),
    )
    assert "\nA is better by" in in_words(swapped, "clean", "dirty")


def test_the_same_corpus_twice_differs_by_nothing_and_the_seeds_matter(clean, heldout, judgement):
    same = judge(clean, clean, heldout, replace(TINY, tokens=256), SilentProgress())
    assert same.first.bits_per_byte == same.second.bits_per_byte
    assert len(set(same.first.bits_per_byte)) == 3
    assert "no difference beyond the spread" in in_words(same, "a", "b")


def test_held_out_text_that_a_corpus_has_is_left_out(clean, dirty, corpus):
    texts = [sentences(0), f"  {sentences(3)}\n", *(sentences(n) for n in range(200, 203))]
    settings = replace(TINY, tokens=256, seeds=1)
    judgement = judge(clean, dirty, corpus("mixed", texts), settings, SilentProgress())
    assert (judgement.heldout_seen, judgement.heldout_documents) == (2, 3)
    with pytest.raises(InputError, match="no held-out text is left"):
        judge(clean, dirty, clean, settings, SilentProgress())


def test_only_the_right_split_counts(clean, corpus):
    settings = replace(TINY, tokens=256, seeds=1)
    prepared = corpus(
        "prepared",
        [(sentences(n), "train") for n in range(5)]
        + [(sentences(n), "validation") for n in range(50, 53)],
    )
    judgement = judge(clean, prepared, prepared, settings, SilentProgress())
    assert judgement.second.documents == 5
    assert judgement.heldout_documents == 3
    assert judgement.heldout_bytes == sum(len(sentences(n)) for n in range(50, 53))


def test_of_much_held_out_text_a_sample_is_measured(clean, corpus):
    heldout = corpus("heldout", [sentences(n) for n in range(100, 140)])
    settings = replace(TINY, tokens=256, seeds=1, heldout_bytes=5_000)
    judgement = judge(clean, clean, heldout, settings, SilentProgress())
    assert 3_000 < judgement.heldout_bytes <= 5_000
    one = corpus("one", [sentences(100) * 30])
    judgement = judge(clean, clean, one, settings, SilentProgress())
    assert judgement.heldout_bytes == 5_000


def test_too_little_text_is_an_error(clean, heldout, corpus):
    with pytest.raises(InputError, match="only"):
        judge(clean, corpus("short", ["a b"]), heldout, TINY, SilentProgress())
    with pytest.raises(InputError, match="no document to train on"):
        judge(clean, corpus("none", [("a", "validation")]), heldout, TINY, SilentProgress())


def test_the_command_prints_a_table_or_json(clean, dirty, heldout):
    flags = ["--tokens", "2048", "--width", "64", "--layers", "1", "--heldout", str(heldout)]
    result = CliRunner().invoke(command, [str(dirty), str(clean), *flags, "--seeds", "1", "--json"])
    figures = json.loads(result.stdout)
    assert figures["comparison"]["low"] is None
    assert figures["steps"] == 1
    result = CliRunner().invoke(command, [str(dirty), str(clean), *flags, "--seeds", "2"])
    assert result.exit_code == 0, result.output
    assert "seed 1" in result.stdout
    assert "95 % interval" in result.stdout
