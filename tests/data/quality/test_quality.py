from __future__ import annotations

import builtins
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError, MissingExtraError
from modelwright.data.quality.classifier import load_quality, score_quality
from modelwright.data.quality.features import BUCKETS, MAX_CHARACTERS, features
from modelwright.data.quality.measure import measure
from modelwright.data.quality.training import MIN_TEXTS, QualityReport, train_quality

PROSE = "the old man walked slowly along the river and thought about his youth, which was long gone"
MENU = "home | login | cart (0) | share | tweet | cookies | next > | 12 comments | subscribe now !"


def made(pattern: str, count: int, seed: int) -> list[str]:
    """Texts of the pattern's words in random order."""
    chance = random.Random(seed)
    words = pattern.split()
    return [" ".join(chance.choices(words, k=30)) + f" {number}." for number in range(count)]


GOOD, BAD = made(PROSE, 60, 1), made(MENU, 40, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, QualityReport]:
    folder = tmp_path_factory.mktemp("quality")
    return folder, train_quality(GOOD, BAD, folder)


def as_rows(texts: list[str]) -> list[dict[int, float]]:
    rows = list[dict[int, float]]()
    for part in features(pl.Series(texts, dtype=pl.String)):
        for start, end in zip(part.offsets[:-1], part.offsets[1:], strict=True):
            buckets, values = part.buckets[start:end], part.values[start:end]
            rows.append(dict(zip(buckets.tolist(), values.tolist(), strict=True)))
    return rows


# --- features


@given(st.lists(st.text(max_size=40), max_size=6))
def test_features_of_a_text_depend_on_it_alone_and_have_length_one(texts: list[str]) -> None:
    texts = [text.encode("utf-8", errors="replace").decode() for text in texts]
    together = as_rows(texts)
    assert together == [as_rows([text])[0] for text in texts]
    for row in together:
        assert all(0 <= bucket < BUCKETS for bucket in row)
        assert not row or sum(value**2 for value in row.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The HOUSE", "the house"),
        ("in 1984", "in 2001"),
        ("a  b\tc", "a b c"),
        ("ÉTÉ", "été"),
        ("word,word", "word , word"),
        ("良心", " 良 心 "),
        ("so—so", "so — so"),
    ],
)
def test_texts_with_the_same_tokens(one: str, other: str) -> None:
    assert as_rows([one]) == as_rows([other]) != [{}]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a b", "ab"),
        ("a b", "b a"),
        ("a, b", "a. b"),
        ("a b", "a\nb"),
        ("12", "123"),
        ("été", "ete"),
    ],
)
def test_texts_with_other_tokens(one: str, other: str) -> None:
    assert as_rows([one]) != as_rows([other])


def test_counts_enter_as_logarithms() -> None:
    (row,) = as_rows(["a a a b"])  # tokens a 3, b 1; pairs aa 2, ab 1
    expected = np.log1p([3, 1, 2, 1])
    assert sorted(row.values()) == pytest.approx(sorted(expected / np.linalg.norm(expected)))


def test_a_token_longer_than_the_table_of_places() -> None:
    assert as_rows(["x" * 70 + "y"]) != as_rows(["x" * 69 + "yx"])


def test_only_the_beginning_of_a_very_long_text_counts() -> None:
    text = "word " * (MAX_CHARACTERS // 5)
    assert as_rows([text + "more"]) == as_rows([text])


def test_features_are_the_same_in_every_version() -> None:
    """They are stored in classifiers; if this changes, raise FEATURES_VERSION."""
    (row,) = as_rows(["It's 5 o'clock:\n¿Qué hora es? 5 o'clock."])
    assert sum(row) == 2949895
    assert len(row) == 29


# --- training and scores


def test_good_texts_score_higher(trained: tuple[Path, QualityReport]) -> None:
    classifier = load_quality(trained[0])
    fresh = pl.Series([*made(PROSE, 5, 8), *made(MENU, 5, 9), "", " \n\t"])
    scores = score_quality(classifier, fresh)
    assert scores.dtype == pl.Float64
    assert scores.name == "quality"
    assert scores[:5].min() > 0.9  # type: ignore[operator]
    assert scores[5:10].max() < 0.1  # type: ignore[operator]
    assert scores[10:].to_list() == [0.0, scores[11]]
    assert score_quality(classifier, pl.Series([], dtype=pl.String)).len() == 0


def test_a_score_does_not_depend_on_its_neighbours(trained: tuple[Path, QualityReport]) -> None:
    classifier = load_quality(trained[0])
    texts = pl.Series(["", *GOOD, "", *BAD])
    alone = [score_quality(classifier, texts[place : place + 1])[0] for place in range(len(texts))]
    assert score_quality(classifier, texts).to_list() == alone


def test_the_report_counts_and_measures(trained: tuple[Path, QualityReport]) -> None:
    _, report = trained
    assert (report.good, report.bad) == (48, 32)
    assert (report.held_out_good, report.held_out_bad) == (12, 8)
    assert report.measures.auc == 1.0
    assert report.measures.thresholds[2].good_kept == 1.0
    assert report.measures.thresholds[2].precision == 1.0
    assert sum(one.documents for one in report.measures.bins) == 20


def test_the_files_do_not_depend_on_order_or_process(tmp_path: Path) -> None:
    train_quality(GOOD, BAD, tmp_path / "one")
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "from test_quality import BAD, GOOD;"
        "from modelwright.data.quality.training import train_quality;"
        "train_quality(GOOD[::-1], BAD[::-1], Path(sys.argv[2]))"
    )
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", program, here, str(tmp_path / "two")], check=True)
    for name in ("quality.safetensors", "quality.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    train_quality(GOOD, BAD, tmp_path / "three", seed=1)
    weights = [(tmp_path / name / "quality.safetensors").read_bytes() for name in ("one", "three")]
    assert weights[0] != weights[1]


def test_repeated_blank_and_contradictory_texts_are_left_out_and_named(tmp_path: Path) -> None:
    both = ["good and bad at once", "another one"]
    report = train_quality([*GOOD, *GOOD[:3], " ", *both], [*BAD, *both, ""], tmp_path)
    assert (report.good + report.held_out_good, report.bad + report.held_out_bad) == (60, 40)
    assert (report.repeated, report.blank, report.on_both_sides) == (3, 2, 2)
    assert sorted(report.named) == sorted(both)
    saved = json.loads((tmp_path / "quality.json").read_bytes())
    assert saved["report"]["on_both_sides"] == 2


@pytest.mark.parametrize(
    ("good", "bad", "kind"),
    [
        ([], BAD, "good"),
        (GOOD, [], "bad"),
        (GOOD, BAD[: MIN_TEXTS - 1], "bad"),
        (["the same"] * 100, BAD, "good"),
        (GOOD, GOOD, "good"),
    ],
)
def test_too_few_texts_are_refused(
    tmp_path: Path, good: list[str], bad: list[str], kind: str
) -> None:
    with pytest.raises(InputError, match=f"20 different {kind} texts"):
        train_quality(good, bad, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unequal_numbers_do_not_shift_the_scores(tmp_path: Path) -> None:
    """Scores are for equal shares of good and bad, however many examples there were."""
    train_quality(made(PROSE, 400, 1), BAD, tmp_path)
    empty_handed = score_quality(load_quality(tmp_path), pl.Series(["zzz qqq xxx"]))
    assert empty_handed[0] == pytest.approx(0.5, abs=0.15)


def test_without_scikit_learn_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_sklearn(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("sklearn"):
            raise ModuleNotFoundError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(MissingExtraError, match=r"modelwright\[quality\]"):
        train_quality(GOOD, BAD, tmp_path)


def test_scoring_needs_no_scikit_learn(trained: tuple[Path, QualityReport]) -> None:
    program = (
        "import sys; from pathlib import Path; import polars as pl;"
        "from modelwright.data.quality.classifier import load_quality, score_quality;"
        "score_quality(load_quality(Path(sys.argv[1])), pl.Series(['a']));"
        "assert not {'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(trained[0])], check=True)


@pytest.mark.parametrize("damage", ["absent", "no weights", "broken", "cut", "older", "shape"])
def test_a_folder_that_is_no_classifier(
    tmp_path: Path, trained: tuple[Path, QualityReport], damage: str
) -> None:
    for name in ("quality.json", "quality.safetensors"):
        (tmp_path / name).write_bytes((trained[0] / name).read_bytes())
    description, weights = tmp_path / "quality.json", tmp_path / "quality.safetensors"
    match damage:
        case "absent":
            description.unlink()
        case "no weights":
            weights.unlink()
        case "broken":
            description.write_text("{")
        case "cut":
            weights.write_bytes(weights.read_bytes()[:1000])
        case "older":
            description.write_text(description.read_text().replace('_version": 1', '_version": 0'))
        case "shape":
            from safetensors.numpy import save_file

            save_file({"weights": np.zeros(3, np.float32), "intercept": np.zeros(1)}, weights)
    with pytest.raises(InputError, match="quality classifier") as caught:
        load_quality(tmp_path)
    assert caught.value.where


# --- measures


@given(
    st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), min_size=1, max_size=8),
    st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), min_size=1, max_size=8),
)
def test_area_under_the_curve_is_the_share_of_pairs_in_order(
    good: list[float], bad: list[float]
) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in good for b in bad]
    measures = measure(np.array(good), np.array(bad))
    assert measures.auc == pytest.approx(sum(pairs) / len(pairs))
    assert 0.0 <= measures.calibration_error <= 1.0
    assert sum(one.documents for one in measures.bins) == len(good) + len(bad)


def test_measures_of_known_scores() -> None:
    good, bad = np.array([0.9, 0.9, 0.9, 0.1]), np.array([0.1, 0.9])
    measures = measure(good, bad)
    half = measures.thresholds[2]
    assert (half.threshold, half.good_kept, half.bad_kept) == (0.5, 0.75, 0.5)
    assert half.precision == pytest.approx(0.6)
    assert measures.thresholds[4].good_kept == 0.75
    low, high = measures.bins
    assert (low.documents, high.documents) == (2, 4)
    assert low.good == pytest.approx(1 / 3)  # an eighth of good against a quarter of bad
    assert measures.calibration_error == pytest.approx(0.375 * (1 / 3 - 0.1) + 0.625 * (0.9 - 0.6))
