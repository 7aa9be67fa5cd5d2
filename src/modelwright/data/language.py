"""In which language a text is written, without a download.

pycld2 (Compact Language Detector 2, quadgrams and scripts, in C++) judges every text. Where it
calls itself unreliable, py3langid (Lui and Baldwin 2012, "langid.py", a newer model) decides. The
first is some twenty times faster, the second better on short texts. Both models are in the wheels.
"""

from __future__ import annotations

from functools import cache

import polars as pl
import pycld2
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from modelwright.data.parquet import Columns

LANGUAGE_COLUMNS: Columns = {"language": "text", "language_score": "number"}
"""Columns of :func:`identify_languages`."""

UNDETERMINED = "und"
"""The language of a text in which there is nothing to judge (BCP 47)."""

WINDOW = 300
"""Characters of each of the three windows that are looked at."""

# A subtag of BCP 47 for what the models call otherwise; scripts and places are not told apart.
_RENAMED = {
    "bh": "bho",
    "gug": "gn",
    "iw": "he",
    "jw": "jv",
    "kik": "ki",
    "zh-Hant": "zh",
    "un": UNDETERMINED,  # unknown to pycld2
    "zxx": UNDETERMINED,  # no linguistic content
}
# Klingon, Pig Latin: a page that pycld2 takes for one of these is most often neither.
_NOT_BELIEVED = {UNDETERMINED, "tlh", "zzp"}

# "xx-Cham": pycld2 knows the script, and no language that is written in it.
_ONLY_A_SCRIPT = "xx-"

# Below this probability py3langid does not overrule pycld2 on a language that only pycld2 knows.
_SURE = 0.7

_DECIMALS = 4  # the last digits of sums in 32 bits may differ between processors

# Taken out of a text before it is judged. The places where code, addresses and markup are
# recognised are ASCII only, as many scripts put no space between them and words.
_TAGS = r"<[^<>\n]{1,200}>"
_CODE = r"[\x21-\x7e]*(?:://|www\.|[_{}=\\|@$^~`]|\w\(|::|->|\w/\w)[\x21-\x7e]*"
# Digits say nothing of a language; pycld2 refuses control characters and noncharacters.
_SILENT = r"[\p{Nd}\p{Cc}\p{Cn}\p{Co}\s]+"


def identify_languages(texts: pl.Series) -> pl.DataFrame:
    """Say in which language each text is written.

    Three windows of :data:`WINDOW` characters (start, middle, end; the whole of a shorter text)
    are judged, without markup, addresses, code, digits and control characters.

    Parameters
    ----------
    texts : polars.Series
        Strings of any length, no nulls.

    Returns
    -------
    polars.DataFrame
        One row a text. ``language``: a BCP 47 subtag, which is ISO 639-1 where that has a code,
        else 639-3; ``"no"`` is Bokmål, ``"zh"`` any written Chinese, ``"und"`` a text without
        letters or in a script whose languages pycld2 does not know. ``language_score``, from 0 to
        1: the share of the text that is in the language if pycld2 is sure, else the probability
        that py3langid gives it; 0 for ``"und"``.

    Notes
    -----
    187 languages are known. Another one gets the name of a relative, half the time with a
    score above 0.65; close relatives (Bosnian, Croatian, Serbian) cannot be told apart safely.
    """
    judged = [_judge(sample) for sample in _samples(texts)]
    schema = {"language": pl.String, "language_score": pl.Float64}
    return pl.DataFrame(judged, schema=schema, orient="row")


def _samples(texts: pl.Series) -> pl.Series:
    """The part of each text that is judged, cleaned; empty where it has no letter."""
    text, length = pl.col("text"), pl.col("text").str.len_chars()
    middle = text.str.slice((length - WINDOW) // 2, WINDOW)
    windows = pl.concat_str([text.str.head(WINDOW), middle, text.str.tail(WINDOW)], separator=" ")
    sample = pl.when(length <= 3 * WINDOW).then(text).otherwise(windows)
    for pattern in (_TAGS, _CODE, _SILENT):
        sample = sample.str.replace_all(pattern, " ")
    sample = sample.str.strip_chars(" ")
    return (
        pl.DataFrame({"text": texts})
        .lazy()
        .select(pl.when(sample.str.contains(r"\p{L}")).then(sample).otherwise(pl.lit("")))
        .collect()
        .to_series()
    )


def _judge(sample: str) -> tuple[str, float]:
    """The language of a cleaned sample and its score."""
    if not sample:
        return UNDETERMINED, 0.0
    reliable, language, share = _first_opinion(sample, best_effort=False)
    if language.startswith(_ONLY_A_SCRIPT):
        return UNDETERMINED, 0.0
    if reliable:
        return language, share
    second, probability = _second_opinion(sample)
    if probability < _SURE:
        _, language, share = _first_opinion(sample, best_effort=True)
        is_named = language not in _NOT_BELIEVED and not language.startswith(_ONLY_A_SCRIPT)
        if is_named and language not in _known_to_second():
            return language, share * (1.0 - probability)
    return (second, probability) if second != UNDETERMINED else (UNDETERMINED, 0.0)


def _first_opinion(sample: str, *, best_effort: bool) -> tuple[bool, str, float]:
    """Whether pycld2 is sure, the language it finds most of, and the share of that."""
    reliable, _, details = pycld2.detect(sample, isPlainText=True, bestEffort=best_effort)
    _, code, percent, _ = details[0]
    language = _RENAMED.get(code, code)
    return reliable and language not in _NOT_BELIEVED, language, percent / 100


def _second_opinion(sample: str) -> tuple[str, float]:
    """The most probable language by py3langid and its probability."""
    code, probability = _identifier().classify(sample)
    return _RENAMED.get(code, code), round(min(1.0, float(probability)), _DECIMALS)


@cache
def _identifier() -> LanguageIdentifier:
    """py3langid's model (a second to load), made when the first text needs it."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def _known_to_second() -> frozenset[str]:
    return frozenset(_RENAMED.get(code, code) for code in _identifier().labels)
