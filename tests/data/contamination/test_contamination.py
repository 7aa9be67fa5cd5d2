from __future__ import annotations

import gzip
import json
import pickle
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError, UsageError
from modelwright.data.contamination.evaluation_sets import evaluation_texts, set_names
from modelwright.data.contamination.ngrams import (
    EvaluationNgrams,
    build_evaluation_ngrams,
    run_hashes,
)
from modelwright.data.contamination.score import (
    CONTAMINATION_COLUMNS,
    Overlap,
    explain_contamination,
    score_contamination,
)
from modelwright.data.duplicates.words import word_hashes

QUESTION = (
    "A farmer has 17 sheep and all but nine of them run away through the broken fence; "
    "how many sheep are left on the farm?"
)  # 25 words
SHORT = "Which planet has the most moons in total?"  # 8 words
OTHER = (
    "The seed of a dicot has two fleshy leaves inside, which feed the young plant "
    "until it is green."
)  # 19 words
CLEAN = (
    "On the way home she bought bread, two candles and a newspaper that nobody in the house "
    "would ever read, and then she walked along the canal until the lamps were lit."
)


def write_set(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def ngrams(tmp_path: Path) -> EvaluationNgrams:
    first = write_set(
        tmp_path / "sums.jsonl",
        {"question": QUESTION, "answer": "nine"},
        {"question": SHORT, "choices": ["Saturn", "Jupiter"]},
    )
    second = write_set(tmp_path / "plants.jsonl", {"query": {"text": OTHER}}, {"query": QUESTION})
    return build_evaluation_ngrams([first, second])


def score(ngrams: EvaluationNgrams, *texts: str) -> list[tuple[int, float, str]]:
    return score_contamination(ngrams, pl.Series(texts, dtype=pl.String)).rows()


# --- scores


def test_clean_texts_have_none(ngrams: EvaluationNgrams) -> None:
    texts = [CLEAN, "", "   ", "word", " ".join(QUESTION.split()[:12]), QUESTION[::-1]]
    assert score(ngrams, *texts) == [(0, 0.0, "")] * len(texts)


@pytest.mark.parametrize(
    "planted",
    [
        QUESTION,
        QUESTION.upper(),
        QUESTION.replace("17", "23"),
        QUESTION.replace(" ", "\n  "),
        QUESTION.replace(";", " --").replace("?", "!"),
        QUESTION.replace("farmer", "fármer"),
        f"«{QUESTION}»",
    ],
)
def test_a_planted_question_is_found(ngrams: EvaluationNgrams, planted: str) -> None:
    ((count, share, name),) = score(ngrams, f"{CLEAN} {planted} {CLEAN}")
    words = len(f"{CLEAN} {QUESTION} {CLEAN}".split())
    assert count == 25 - 13 + 1
    assert share == pytest.approx(count / (words - 13 + 1))
    assert name == "sums.jsonl"


def test_an_item_that_fills_the_text(ngrams: EvaluationNgrams) -> None:
    assert score(ngrams, QUESTION, SHORT) == [(13, 1.0, "sums.jsonl"), (1, 1.0, "sums.jsonl")]


def test_a_part_of_thirteen_words_is_found_and_one_of_twelve_is_not(
    ngrams: EvaluationNgrams,
) -> None:
    words = QUESTION.split()
    thirteen, twelve = " ".join(words[5:18]), " ".join(words[5:17])
    assert [row[0] for row in score(ngrams, f"{CLEAN} {thirteen} x", f"{CLEAN} {twelve} x")] == [
        1,
        0,
    ]


def test_a_short_item_is_looked_for_as_a_whole(ngrams: EvaluationNgrams) -> None:
    part = "planet has the most moons in total"
    assert [row[0] for row in score(ngrams, f"{CLEAN} {SHORT} {CLEAN}", f"{CLEAN} {part} x")] == [
        1,
        0,
    ]


def test_the_set_with_most_hits_is_named_and_the_first_of_equal_ones(
    ngrams: EvaluationNgrams,
) -> None:
    head = " ".join(OTHER.split()[:13])
    rows = score(ngrams, f"{OTHER} {SHORT}", f"{head} / {SHORT}", QUESTION)
    assert [row[2] for row in rows] == ["plants.jsonl", "sums.jsonl", "sums.jsonl"]


def test_words_of_two_texts_never_join(ngrams: EvaluationNgrams) -> None:
    words = QUESTION.split()
    rows = score(ngrams, " ".join(words[:12]), " ".join(words[12:24]), "")
    assert [row[0] for row in rows] == [0, 0, 0]


def test_the_columns_are_those_announced(ngrams: EvaluationNgrams) -> None:
    for texts in ([], [QUESTION]):
        frame = score_contamination(ngrams, pl.Series(texts, dtype=pl.String))
        assert frame.columns == list(CONTAMINATION_COLUMNS)
        assert frame.dtypes == [pl.Int64, pl.Float64, pl.String]


def test_a_row_does_not_depend_on_the_others(ngrams: EvaluationNgrams) -> None:
    texts = ["", QUESTION, CLEAN, f"{SHORT} {OTHER}", "é" * 99, SHORT] * 3
    assert score(ngrams, *texts) == [score(ngrams, text)[0] for text in texts]


WORDS = ["ape", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "kite", "lynx"]


@given(
    st.lists(st.sampled_from(WORDS), min_size=8, max_size=30),
    st.integers(0, 9),
    st.lists(st.sampled_from(WORDS), max_size=40),
    st.lists(st.sampled_from(WORDS), max_size=40),
)
def test_counts_are_those_of_a_plain_search(
    item: list[str], start: int, before: list[str], behind: list[str]
) -> None:
    """Against runs compared as tuples of words."""
    document = before + item[start:] + behind
    size = min(9, len(item))
    runs = [tuple(item[place : place + size]) for place in range(len(item) - size + 1)]
    telling = {run for run in runs if len(set(run)) >= 5}
    expected = [
        place
        for place in range(len(document) - size + 1)
        if tuple(document[place : place + size]) in telling
    ]
    with TemporaryDirectory() as folder:
        path = write_set(Path(folder) / "a.jsonl", " ".join(item))
        if not telling:
            with pytest.raises(InputError):
                build_evaluation_ngrams([path], 9)
            return
        ngrams = build_evaluation_ngrams([path], 9)
    assert ngrams.sets[0].ngrams == len(telling)
    assert ngrams.sets[0].repetitive == sum(run not in telling for run in runs)
    assert score(ngrams, " ".join(document))[0][0] == len(expected)


def test_runs_of_different_lengths_have_different_hashes() -> None:
    words, starts = np.zeros(9, dtype=np.uint64), np.zeros(1, dtype=np.int64)
    assert run_hashes(words, starts, 8)[0] != run_hashes(words, starts, 9)[0]


# --- explanations


def test_the_explanation_shows_the_words_of_the_document(ngrams: EvaluationNgrams) -> None:
    shouted = QUESTION.upper()
    text = f"{CLEAN}\n\n{shouted}\n{CLEAN} “{SHORT}” {CLEAN}"
    assert explain_contamination(ngrams, text) == [
        Overlap(shouted, "sums.jsonl"),
        Overlap(f"“{SHORT}”", "sums.jsonl"),
    ]
    assert explain_contamination(ngrams, CLEAN) == []
    assert explain_contamination(ngrams, "") == []


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_words_are_the_same_in_pieces(text: str) -> None:
    """The explanation hashes what stands between white space one by one."""
    whole, _ = word_hashes(pl.Series([text], dtype=pl.String))
    pieces, _ = word_hashes(pl.Series(text.split(), dtype=pl.String))
    assert whole.tolist() == pieces.tolist()


# --- building


def test_what_was_taken_is_counted(ngrams: EvaluationNgrams) -> None:
    sums, plants = ngrams.sets
    assert (sums.name, sums.texts, sums.ngrams, sums.too_short) == ("sums.jsonl", 5, 14, 3)
    assert (plants.texts, plants.ngrams, plants.too_short, plants.repetitive) == (2, 20, 0, 0)
    assert ngrams.lengths == (8, 13)
    assert len(ngrams.hashes) == 14 + 7  # the question is in both


def test_rows_of_numbers_and_refrains_are_not_looked_for(tmp_path: Path) -> None:
    path = write_set(
        tmp_path / "a.jsonl", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", "la " * 20, QUESTION
    )
    ngrams = build_evaluation_ngrams([path])
    assert ngrams.sets[0].repetitive == 3 + 8
    assert score(ngrams, "21 22 23 24 25 26 27 28 29 30 31 32 33", "la " * 30) == [(0, 0.0, "")] * 2


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rows = [QUESTION, SHORT, OTHER, CLEAN]
    built = [
        build_evaluation_ngrams([write_set(tmp_path / name / "a.jsonl", *order)], 12)
        for name, order in (("x", rows), ("y", rows[::-1]))
    ]
    assert built[0].hashes.tolist() == built[1].hashes.tolist()
    assert built[0].sets == built[1].sets


def test_saved_and_loaded_and_sent(tmp_path: Path, ngrams: EvaluationNgrams) -> None:
    ngrams.save(tmp_path / "ngrams")
    texts = [QUESTION, CLEAN, f"{OTHER} {SHORT}"]
    for other in (EvaluationNgrams.load(tmp_path / "ngrams"), pickle.loads(pickle.dumps(ngrams))):
        assert other.sets == ngrams.sets
        assert score(other, *texts) == score(ngrams, *texts)


@pytest.mark.parametrize("damage", ["absent", "broken", "cut", "older"])
def test_damaged_files_are_named(tmp_path: Path, ngrams: EvaluationNgrams, damage: str) -> None:
    ngrams.save(tmp_path)
    described = tmp_path / "ngrams.json"
    match damage:
        case "absent":
            described.unlink()
        case "broken":
            described.write_text("[")
        case "cut":
            (tmp_path / "hashes.npy").write_bytes(b"")
        case "older":
            described.write_text(described.read_text().replace("ngrams-1", "ngrams-0"))
    with pytest.raises(InputError, match="n-grams"):
        EvaluationNgrams.load(tmp_path)


def test_too_short_ngrams_and_no_sets_are_refused(tmp_path: Path) -> None:
    path = write_set(tmp_path / "a.jsonl", QUESTION)
    with pytest.raises(UsageError, match="everywhere"):
        build_evaluation_ngrams([path], 7)
    with pytest.raises(UsageError, match="no evaluation set"):
        build_evaluation_ngrams([])


def test_a_set_in_which_nothing_is_long_enough_is_refused(tmp_path: Path) -> None:
    path = write_set(tmp_path / "a.jsonl", {"q": "too short", "a": 7}, {})
    with pytest.raises(InputError, match="of 1 texts none has 8 words"):
        build_evaluation_ngrams([path])


# --- files


def test_every_kind_of_file_is_read(tmp_path: Path) -> None:
    write_set(tmp_path / "a.jsonl", {"q": "one", "n": 1, "deep": [{"x": ["two", None]}]}, "three")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('"four"\n\n"five \\ud800"\n')
    (tmp_path / "c.json").write_text('{"examples": [{"input": "six"}]}')
    (tmp_path / "d.txt").write_text("seven\r\nseven")
    pl.DataFrame({"q": ["eight"], "n": [1], "choices": [["nine", "ten"]]}).write_parquet(
        tmp_path / "e.parquet"
    )
    (tmp_path / "README.md").write_text("not a part of it")
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "f.TXT").write_text("eleven")
    assert list(evaluation_texts(tmp_path)) == [
        *("one", "two", "three", "four", "five ?", "six", "seven\nseven", "eight", "nine", "ten"),
        "eleven",
    ]
    assert list(evaluation_texts(tmp_path / "d.txt")) == ["seven\nseven"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'"fine"\n{"q": \n'),
        ("a.json", b"["),
        ("a.json", b"[" * 100_000),
        ("a.parquet", b"PAR1 not really"),
        ("a.jsonl.gz", b"not gzip"),
        ("a.jsonl.gz", gzip.compress(b'"a"\n' * 1000, mtime=0)[:-9]),
        ("a.md", b"no type that is read"),
    ],
)
def test_what_cannot_be_read_to_its_end_is_an_error(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(evaluation_texts(tmp_path / name))
    assert name in str(caught.value.where)


def test_an_absent_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such evaluation set"):
        list(evaluation_texts(tmp_path / "nothing"))


def test_names_are_as_short_as_keeps_them_apart(tmp_path: Path) -> None:
    assert set_names([tmp_path / "gsm8k", tmp_path / "arc.jsonl"]) == ["gsm8k", "arc.jsonl"]
    tests = [tmp_path / "gsm8k" / "test.jsonl", tmp_path / "mmlu" / "test.jsonl"]
    assert set_names(tests) == ["gsm8k/test.jsonl", "mmlu/test.jsonl"]
    with pytest.raises(UsageError, match="listed twice"):
        set_names([tmp_path, tmp_path])


# --- real sets


def test_real_questions_are_found_in_real_text_and_not_elsewhere(shared_data: Path) -> None:
    path = shared_data / "gsm8k" / "test.jsonl.gz"
    ngrams = build_evaluation_ngrams([path])
    with gzip.open(path, "rt", encoding="utf-8") as file:
        questions = [json.loads(line)["question"] for line in file][:200]
    with gzip.open(shared_data / "python_peps" / "peps.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"][:5000] for line, _ in zip(file, range(60), strict=False)]
    assert not any(row[0] for row in score(ngrams, *texts))
    chance = random.Random(0)
    planted = []
    for question in questions:
        around = chance.choice(texts).split(" ")
        place = chance.randrange(len(around))
        planted.append(" ".join([*around[:place], question.lower(), *around[place:]]))
    hits = [row[0] for row in score(ngrams, *planted)]
    long_enough = [len(question.split()) >= 13 for question in questions]
    assert all(hit for hit, is_long in zip(hits, long_enough, strict=True) if is_long)
    assert sum(long_enough) > 150
