"""Training a quality classifier from good and bad examples, with scikit-learn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.core.errors import InputError, MissingExtraError
from modelwright.data.quality.classifier import QualityClassifier, save_quality, score_quality
from modelwright.data.quality.features import BUCKETS, features
from modelwright.data.quality.measure import Measures, measure

MIN_TEXTS = 20
HELD_OUT = 0.2
NAMED = 5
_NAME_CHARACTERS = 80

# Chosen among powers of ten on three small sets: page boilerplate, film reviews, sentences.
_ALPHA = 1e-5
_MIN_EPOCHS, _MAX_EPOCHS, _UPDATES = 20, 200, 20_000


@dataclass(frozen=True)
class QualityReport:
    """What a classifier was trained on, and how it does on texts that it never saw.

    Attributes
    ----------
    good, bad : int
        Different texts it was trained on.
    held_out_good, held_out_bad : int
        Different texts that ``measures`` were taken on.
    repeated : int
        Texts left out because the same side had them already.
    blank : int
        Texts left out because they are blank.
    on_both_sides : int
        Texts that are good and bad examples at once; left out on both sides.
    named : tuple of str
        How the first of these begin.
    measures : Measures
    """

    good: int
    bad: int
    held_out_good: int
    held_out_bad: int
    repeated: int
    blank: int
    on_both_sides: int
    named: tuple[str, ...]
    measures: Measures


@dataclass(frozen=True)
class _Side:
    """Different texts in the order of their hashes, and how many were left out."""

    texts: dict[str, str]
    repeated: int
    blank: int


def train_quality(
    good: Iterable[str], bad: Iterable[str], folder: Path, seed: int = 0
) -> QualityReport:
    """Train a classifier on four fifths of the texts, measure it on the rest, and save it.

    The files come out the same, byte by byte, in whatever order the texts are given.

    Parameters
    ----------
    good, bad : iterable of str
        Texts like those to keep and like those to drop; they are held in memory.
    folder : Path
        Where to write ``quality.safetensors`` and ``quality.json``.
    seed : int
        Of the choice of texts that are held out, and of the order of training.

    Raises
    ------
    InputError
        If fewer than :data:`MIN_TEXTS` different texts are good or bad.
    MissingExtraError
        If scikit-learn is not installed.
    """
    first, second = _side(good, seed), _side(bad, seed)
    both = first.texts.keys() & second.texts.keys()
    good_texts = [text for key, text in first.texts.items() if key not in both]
    bad_texts = [text for key, text in second.texts.items() if key not in both]
    _check("good", good_texts, len(both))
    _check("bad", bad_texts, len(both))

    good_held, bad_held = int(len(good_texts) * HELD_OUT), int(len(bad_texts) * HELD_OUT)
    classifier = _fit(good_texts[good_held:], bad_texts[bad_held:], seed)
    held_out = [
        score_quality(classifier, pl.Series(texts, dtype=pl.String)).to_numpy()
        for texts in (good_texts[:good_held], bad_texts[:bad_held])
    ]
    report = QualityReport(
        good=len(good_texts) - good_held,
        bad=len(bad_texts) - bad_held,
        held_out_good=good_held,
        held_out_bad=bad_held,
        repeated=first.repeated + second.repeated,
        blank=first.blank + second.blank,
        on_both_sides=len(both),
        named=tuple(first.texts[key][:_NAME_CHARACTERS] for key in sorted(both)[:NAMED]),
        measures=measure(*held_out),
    )
    save_quality(classifier, {"seed": seed, "report": asdict(report)}, folder)
    return report


def _side(texts: Iterable[str], seed: int) -> _Side:
    different, repeated, blank = dict[str, str](), 0, 0
    for text in texts:
        if not text.strip():
            blank += 1
            continue
        raw = f"{seed}\n{text.strip()}".encode("utf-8", errors="surrogatepass")
        key = hashlib.sha256(raw).hexdigest()
        repeated += key in different
        different[key] = text.strip()
    return _Side(dict(sorted(different.items())), repeated, blank)


def _check(kind: str, texts: list[str], on_both_sides: int) -> None:
    if len(texts) >= MIN_TEXTS:
        return
    shared = f" ({on_both_sides} more are good and bad at once)" if on_both_sides else ""
    raise InputError(
        f"a quality classifier needs {MIN_TEXTS} different {kind} texts, here are "
        f"{len(texts)}{shared}",
        fix="give more examples; a few hundred of each kind make it useful",
    )


def _fit(good: list[str], bad: list[str], seed: int) -> QualityClassifier:
    """Logistic regression by averaged stochastic gradient descent; both classes weigh the same."""
    try:
        from scipy.sparse import csr_matrix
        from sklearn.linear_model import SGDClassifier
    except ModuleNotFoundError as error:
        raise MissingExtraError("scikit-learn", "quality") from error
    parts = list(features(pl.Series([*good, *bad], dtype=pl.String)))
    found = np.concatenate([np.diff(part.offsets) for part in parts])
    rows = csr_matrix(
        (
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.buckets for part in parts]),
            np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(found)]),
        ),
        shape=(len(found), BUCKETS),
    )
    is_good = np.arange(len(found)) < len(good)
    model = SGDClassifier(
        loss="log_loss",
        alpha=_ALPHA,
        average=True,
        class_weight="balanced",
        max_iter=int(np.clip(_UPDATES // len(found), _MIN_EPOCHS, _MAX_EPOCHS)),
        random_state=seed,
        tol=None,
    ).fit(rows, is_good)
    return QualityClassifier(model.coef_[0].astype(np.float32), float(model.intercept_[0]))
