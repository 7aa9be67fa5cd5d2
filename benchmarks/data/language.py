"""Language identification on the Universal Declaration of Human Rights.

python benchmarks/data/language.py [SHARED_DATA] [--per-language 20]

Prints, for pieces of 40, 200 and 1000 characters, the share that is named right and the pieces per
CPU-second: Modelwright's two steps, pycld2 alone (with and without its best effort), py3langid
alone. Accuracy is a mean over pieces; the rate is measured on languages that either library
claims to know, median of five. Languages are compared as macro languages where a model
knows only those (cmn is zh, zsm is ms, quy is qu); Bosnian, Croatian and Serbian, Malay and
Indonesian, Bokmål and Nynorsk are kept apart. The declaration may be among what the models were
trained on, so that all figures are on the bright side, for all three alike.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pycld2
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from modelwright.data.language import identify_languages

LENGTHS = (40, 200, 1000)
RUNS = 5
DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

# ISO 639-3 (or the declaration's own code) to the subtag that BCP 47 prefers, for every language
# of the declaration that has a two-letter code; members of a macro language to that.
PREFERRED = {
    three: two
    for two, threes in {
        "ab": "abk", "af": "afr", "ak": "aka", "am": "amh", "ar": "arb", "ay": "ayr",
        "az": "azj", "be": "bel", "bg": "bul", "bi": "bis", "bm": "bam", "bn": "ben",
        "bo": "bod", "br": "bre", "bs": "bos", "ca": "cat", "ch": "cha", "co": "cos",
        "cs": "ces", "cy": "cym", "da": "dan", "de": "deu", "dv": "div", "ee": "ewe",
        "el": "ell", "en": "eng", "eo": "epo", "es": "spa", "et": "est", "eu": "eus",
        "fa": "pes", "ff": "fuc", "fi": "fin", "fj": "fij", "fo": "fao", "fr": "fra",
        "fy": "fri", "ga": "gle", "gd": "gla", "gl": "glg", "gn": "gug", "gu": "guj",
        "ha": "hau", "he": "heb", "hi": "hin", "hmn": "hea hms hmn", "hr": "hrv",
        "ht": "hat", "hu": "hun", "hy": "hye", "ia": "ina", "id": "ind", "ig": "ibo",
        "ii": "iii", "io": "ido", "is": "isl", "it": "ita", "iu": "ike", "ja": "jpn",
        "jv": "jav", "ka": "kat", "kg": "kng", "kk": "kaz", "kl": "kal", "km": "khm",
        "kn": "kan", "ko": "kor", "ky": "kir", "la": "lat", "lb": "ltz", "lg": "lug",
        "ln": "lin", "lo": "lao", "lt": "lit", "lv": "lav", "mg": "plt", "mh": "mah",
        "mi": "mri", "mk": "mkd", "ml": "mal", "mn": "khk", "mr": "mar", "ms": "mly",
        "mt": "mlt", "my": "mya", "ne": "nep", "ng": "ndo", "nl": "nld", "nn": "nno",
        "no": "nob", "nr": "nbl", "nv": "nav", "ny": "nya", "oc": "lnc prv", "oj": "ojb",
        "os": "oss", "pa": "pan", "pl": "pol", "pt": "por", "rm": "roh", "rn": "run",
        "qu": "qud qug quy quz qva qvc qvh qvm qvn qwh qxa qxn qxu", "ro": "ron",
        "ru": "rus", "rw": "kin", "sa": "san", "sc": "src", "se": "sme", "sg": "sag",
        "sk": "slk", "sl": "slv", "sm": "smo", "sn": "sna", "so": "som", "sq": "als",
        "sr": "srp", "ss": "ssw", "st": "sot", "su": "sun", "sv": "swe", "sw": "swh",
        "ta": "tam", "tg": "tgk", "th": "tha", "ti": "tir", "tk": "tuk", "tl": "tgl",
        "tn": "tsn", "to": "ton", "tr": "tur", "ts": "tso", "tt": "tat", "ty": "tah",
        "ug": "uig", "uk": "ukr", "ur": "urd", "uz": "uzn", "ve": "ven", "vi": "vie",
        "wa": "wln", "wo": "wol", "xh": "xho", "yi": "ydd", "yo": "yor", "zh": "cmn",
        "zu": "zul",
    }.items()
    for three in threes.split()
}  # fmt: skip

# What the libraries call otherwise than BCP 47 prefers.
SYNONYMS = {"iw": "he", "jw": "jv", "zh-Hant": "zh", "gug": "gn", "kik": "ki", "bh": "bho"}

Judge = Callable[[list[str]], list[str]]


def pieces(data: Path, length: int, per_language: int) -> Iterator[tuple[str, str]]:
    """Language and text of up to ``per_language`` pieces, spread over each declaration."""
    lines = defaultdict(list)
    with gzip.open(data / "udhr" / "lines.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            lines[row["lang"]].append(row["text"])
    for code, texts in sorted(lines.items()):
        whole = " ".join(texts)
        starts = range(0, len(whole) - length + 1, length)
        every = max(1, len(starts) // per_language)
        language = code.split("_")[0]
        for start in starts[::every][:per_language]:
            yield PREFERRED.get(language, language), whole[start : start + length]


def ours(texts: list[str]) -> list[str]:
    """Modelwright: pycld2 first, py3langid where that is not sure."""
    return identify_languages(pl.Series(texts, dtype=pl.String))["language"].to_list()


def pycld2_alone(texts: list[str], *, best_effort: bool) -> list[str]:
    """The first language of pycld2."""
    answers = []
    for text in texts:
        try:
            details = pycld2.detect(text, isPlainText=True, bestEffort=best_effort)[2]
        except pycld2.error:  # a control character in the text
            answers.append("und")
        else:
            answers.append(SYNONYMS.get(details[0][1], details[0][1]))
    return answers


def py3langid_alone(identifier: LanguageIdentifier, texts: list[str]) -> list[str]:
    """The most probable language of py3langid."""
    return [SYNONYMS.get(code, code) for code, _ in map(identifier.classify, texts)]


def rate(judge: Judge, texts: list[str]) -> tuple[float, float, float]:
    """Texts per CPU-second: median, lowest, highest of :data:`RUNS`."""
    rates = []
    for _ in range(RUNS):
        start = time.process_time()
        judge(texts)
        rates.append(len(texts) / (time.process_time() - start))
    return statistics.median(rates), min(rates), max(rates)


def accuracy(languages: list[str], answers: list[str], among: set[str]) -> str:
    """The share of right answers among some languages."""
    marks = [a == b for a, b in zip(languages, answers, strict=True) if a in among]
    return f"{sum(marks) / len(marks):.3f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, nargs="?", default=DEFAULT_DATA)
    parser.add_argument("--per-language", type=int, default=20)
    arguments = parser.parse_args()

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    cld2_codes = dict(pycld2.LANGUAGES)
    first = {SYNONYMS.get(c, c) for c in (cld2_codes[n] for n in pycld2.DETECTED_LANGUAGES)}
    second = {SYNONYMS.get(code, code) for code in identifier.labels}
    judges: dict[str, Judge] = {
        "modelwright": ours,
        "pycld2": lambda texts: pycld2_alone(texts, best_effort=False),
        "pycld2 best effort": lambda texts: pycld2_alone(texts, best_effort=True),
        "py3langid": lambda texts: py3langid_alone(identifier, texts),
    }
    for length in LENGTHS:
        languages, texts = zip(*pieces(arguments.data, length, arguments.per_language), strict=True)
        present = set(languages)
        groups = {
            f"both know ({len(present & first & second)})": present & first & second,
            f"either knows ({len(present & (first | second))})": present & (first | second),
            f"all ({len(present)})": present,
        }
        known = [t for code, t in zip(languages, texts, strict=True) if code in first | second]
        print(f"\n{length} characters, {len(texts)} pieces; right among the languages that ...")
        print(f"{'':<20}" + "".join(f"{name:>20}" for name in groups) + "   pieces/CPU-s (range)")
        for name, judge in judges.items():
            answers = judge(list(texts))
            marks = [accuracy(list(languages), answers, among) for among in groups.values()]
            median, low, high = rate(judge, known)
            print(
                f"{name:<20}"
                + "".join(f"{mark:>20}" for mark in marks)
                + f"{median:>14,.0f} ({low:,.0f} to {high:,.0f})"
            )


if __name__ == "__main__":
    main()
