"""All scores of a batch of documents: what the columns of an annotated corpus hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from modelwright.data.annotation.identity import CONTENT
from modelwright.data.contamination import (
    CONTAMINATION_COLUMNS,
    EvaluationNgrams,
    score_contamination,
)
from modelwright.data.duplicates.signature import BANDS, band_hashes
from modelwright.data.language import LANGUAGE_COLUMNS, identify_languages
from modelwright.data.parquet import Columns, ColumnType
from modelwright.data.personal_data.detect import count_personal_data
from modelwright.data.personal_data.kinds import COLUMNS as PERSONAL_COLUMNS
from modelwright.data.quality import QualityClassifier, load_quality, score_quality
from modelwright.data.rules.score import score_rules
from modelwright.data.rules.table import RULE_COLUMNS, LineEdits, WordProfile
from modelwright.data.settings import AnnotateSettings

BAND_BYTES = "bands"
QUALITY = "quality"
CHARACTERS = "characters"
BYTES = "bytes"


@dataclass(frozen=True)
class Scorer:
    """Works out scores; small and without state, so that it can be sent to other processes.

    Attributes
    ----------
    scores : tuple of str
        Which groups of scores.
    words, edits
        For the rules.
    quality_model : str or None
        Folder of the classifier.
    ngrams : str or None
        Folder of the n-grams of the evaluation sets.
    """

    scores: tuple[str, ...]
    words: WordProfile
    edits: LineEdits
    quality_model: str | None = None
    ngrams: str | None = None

    @classmethod
    def of(cls, settings: AnnotateSettings, ngrams: Path | None) -> Scorer:
        """The scorer that the settings ask for."""
        return cls(
            scores=tuple(settings.scores),
            words=settings.words,
            edits=settings.edits,
            quality_model=settings.quality_model,
            ngrams=str(ngrams) if ngrams else None,
        )

    @property
    def columns(self) -> Columns:
        """Names and types of what it gives, beside the text and the content hash."""
        columns: dict[str, ColumnType] = {CHARACTERS: "integer", BYTES: "integer"}
        if "rules" in self.scores:
            columns |= RULE_COLUMNS
        if "language" in self.scores:
            columns |= LANGUAGE_COLUMNS
        if "personal-data" in self.scores:
            columns |= dict.fromkeys(PERSONAL_COLUMNS.values(), "integer")
        if self.quality_model:
            columns[QUALITY] = "number"
        if self.ngrams:
            columns |= CONTAMINATION_COLUMNS
        return columns

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with a column for every score; ``text`` is as the line edits leave it.

        Parameters
        ----------
        frame : polars.DataFrame
            Columns ``text`` and ``content``. A row's scores depend on that row alone.
        """
        texts = frame["text"]
        found = list[pl.DataFrame]()
        if "rules" in self.scores:
            rules = score_rules(texts, self.words, self.edits)
            texts = rules.texts
            found.append(rules.scores)
        if "language" in self.scores:
            found.append(identify_languages(texts))
        if "personal-data" in self.scores:
            found.append(count_personal_data(texts))
        if self.quality_model:
            quality = score_quality(_classifier(self.quality_model), texts)
            found.append(quality.alias(QUALITY).to_frame())
        if self.ngrams:
            found.append(score_contamination(_ngrams(self.ngrams), texts))
        found.append(_bands(texts, frame[CONTENT]).to_frame())
        edited = frame.with_columns(
            texts.alias("text"),
            texts.str.strip_chars().str.len_chars().alias(CHARACTERS),
            texts.str.len_bytes().alias(BYTES),
        )
        return pl.concat([edited, *found], how="horizontal")


def unpack_bands(packed: pl.Series) -> np.ndarray:
    """The band hashes in a column of bytes, as (documents, bands) of uint64."""
    whole = b"".join(packed.to_list())
    return np.frombuffer(whole, "<u8").reshape(len(packed), BANDS)


def _bands(texts: pl.Series, content: pl.Series) -> pl.Series:
    """Band hashes as bytes; a text without words is like its exact duplicates alone."""
    bands, has_words = band_hashes(texts)
    for row in np.flatnonzero(~has_words):
        bands[row] = int(content[int(row)][:16], 16)
    rows = np.ascontiguousarray(bands, "<u8")
    return pl.Series(BAND_BYTES, [row.tobytes() for row in rows], pl.Binary)


@lru_cache(maxsize=1)
def _classifier(folder: str) -> QualityClassifier:
    """Read once in each process."""
    return load_quality(Path(folder))


@lru_cache(maxsize=1)
def _ngrams(folder: str) -> EvaluationNgrams:
    """Read once in each process."""
    return EvaluationNgrams.load(Path(folder))
