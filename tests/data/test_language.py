from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.language import LANGUAGE_COLUMNS, UNDETERMINED, identify_languages

SENTENCES = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "he": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。",
    "ja": "すべての人間は、生まれながらにして自由であり、尊厳と権利とについて平等である。",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "jv": "Saben uwong kalairake kanthi mardika lan darbe martabat lan hak-hak kang padha.",
}


def languages(*texts: str) -> list[str]:
    return identify_languages(pl.Series(texts, dtype=pl.String))["language"].to_list()


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_named_by_its_modern_code(language: str) -> None:
    assert languages(SENTENCES[language]) == [language]


def test_traditional_characters_are_chinese_too() -> None:
    assert languages("人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心。") == ["zh"]


def test_the_columns_are_those_announced() -> None:
    frame = identify_languages(pl.Series(["a text", ""], dtype=pl.String))
    assert frame.columns == list(LANGUAGE_COLUMNS)
    assert frame.dtypes == [pl.String, pl.Float64]


@pytest.mark.parametrize(
    "text", ["", " \n", "12 345,6", "\x00\x01", "🙂 !!! --- …", "https://a.b/c"]
)
def test_without_letters_nothing_is_judged(text: str) -> None:
    frame = identify_languages(pl.Series([text], dtype=pl.String))
    assert frame.rows() == [(UNDETERMINED, 0.0)]


def test_a_script_of_unknown_languages_is_undetermined() -> None:
    assert languages("ꨀꨇꩉ ꨌꩌ ꨚꨯꨱꩃ") == [UNDETERMINED]  # Cham


@pytest.mark.parametrize("bad", ["\x01", "\x7f", "\x9f", "\ufdd0", "\U0001ffff", "\ufeff"])
def test_characters_that_the_detector_refuses_drop_nothing(bad: str) -> None:
    assert languages(SENTENCES["de"].replace(" ", bad + " ")) == ["de"]


def test_addresses_code_and_markup_do_not_count() -> None:
    code = "if (x == null) { return the_value[index]; } https://example.com/the/way/to/the/house "
    assert languages(f"<p class='the article of the day'>{code * 3}{SENTENCES['fr']}</p>") == ["fr"]


def test_a_long_text_is_judged_at_its_start_middle_and_end() -> None:
    german, english = SENTENCES["de"] + " ", SENTENCES["en"] + " "
    frame = identify_languages(pl.Series([english * 6 + german * 60, german * 90]))
    assert frame["language"].to_list() == ["de", "de"]
    mixed, pure = frame["language_score"].to_list()
    assert 0.5 < mixed < 0.8
    assert pure > 0.95


def test_short_text_of_a_language_that_only_the_second_model_knows() -> None:
    """Venetian, from the declaration: unknown to pycld2."""
    text = (
        "Tuti i esseri umani i nasse liberi e conpagni par dignità e diriti, i gà raxon e cosiensa."
    )
    assert languages(text) == ["vec"]


@given(st.lists(st.text(max_size=60), max_size=5))
def test_any_text_gets_a_code_and_a_score(texts: list[str]) -> None:
    texts = [text.encode("utf-8", errors="replace").decode() for text in texts]
    frame = identify_languages(pl.Series(texts, dtype=pl.String))
    assert len(frame) == len(texts)
    for code, score in frame.rows():
        assert re.fullmatch(r"[a-z]{2,3}", code)
        assert 0.0 <= score <= 1.0


def test_a_row_does_not_depend_on_the_others_or_on_threads() -> None:
    texts = pl.Series(
        [f"{text} {text[:20]}"[:cut] for text in SENTENCES.values() for cut in (15, 99)]
    )
    alone = pl.concat([identify_languages(texts[place : place + 1]) for place in range(len(texts))])
    assert identify_languages(texts).equals(alone)
    with ThreadPoolExecutor(4) as pool:
        for frame in pool.map(identify_languages, [texts] * 8):
            assert frame.equals(alone)


def test_on_the_declaration_of_human_rights(shared_data: Path) -> None:
    """Of the common languages nearly all pieces of 200 characters are named right."""
    common = {
        "eng": "en",
        "fra": "fr",
        "spa": "es",
        "rus": "ru",
        "tur": "tr",
        "vie": "vi",
        "swh": "sw",
    }
    texts = defaultdict[str, str](str)
    with gzip.open(shared_data / "udhr" / "lines.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["lang"] in common:
                texts[common[row["lang"]]] += row["text"] + " "
    assert len(texts) == len(common)
    for code, text in texts.items():
        pieces = [text[start : start + 200] for start in range(0, 4000, 200)]
        assert languages(*pieces).count(code) >= 19
