"""Personal data by type on made-up sentences, false alarms on clean text, and speed.

python benchmarks/data/personal_data.py SHARED_DATA [--scrubadub PYTHON] [--megabytes N]

Truth is ``fake_pii``: a match counts as exact if both ends agree, as overlap if they share a
character. Types that have no shape (names of persons and places, titles, ages ...) are not
attempted and are listed with a recall of 0. The rules were written with these sentences at hand:
the false alarms on the other texts, which nobody tuned for, say as much as the recall does.
PYTHON is an interpreter that has ``scrubadub``. Times are CPU-seconds, medians of 5.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

REPEATS = 5
CLEAN = ("python_peps", "english_novels")
SCRUBADUB_BYTES = 1_000_000  # enough for its speed; more would take minutes

# type in fake_pii: kind here, name in scrubadub
TYPES = {
    "PHONE_NUMBER": ("phone", "phone"),
    "EMAIL_ADDRESS": ("email", "email"),
    "CREDIT_CARD": ("credit_card", "credit_card"),
    "IBAN_CODE": ("iban", ""),
    "US_SSN": ("us_ssn", "social_security_number"),
    "IP_ADDRESS": ("ip_address", ""),
    "US_DRIVER_LICENSE": ("driver_licence", "drivers_licence"),
    "STREET_ADDRESS": ("street_address", "address"),
    "DATE_TIME": ("date_of_birth", "date_of_birth"),
}

Found = list[tuple[str, int, int]]


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shared", type=Path, nargs="?")
    parser.add_argument("--scrubadub", metavar="PYTHON")
    parser.add_argument("--megabytes", type=float, default=10, help="of each clean corpus")
    parser.add_argument("--child", action="store_true", help="read texts, run scrubadub on them")
    arguments = parser.parse_args()
    if arguments.child:
        json.dump(with_scrubadub(json.load(sys.stdin)), sys.stdout)
        return 0
    rows = records(arguments.shared / "fake_pii")
    texts = [row["text"] for row in rows]
    clean = {
        name: shortened([row["text"] for row in records(arguments.shared / name)], megabytes)
        for name in CLEAN
        for megabytes in [arguments.megabytes]
    }
    print_types("modelwright", rows, ours(texts), 0)
    print_false_alarms("modelwright", {name: ours(part) for name, part in clean.items()}, clean)
    print_speed(clean | {"fake_pii": texts})
    if arguments.scrubadub:
        few = {name: shortened(part, SCRUBADUB_BYTES / 1e6) for name, part in clean.items()}
        theirs = {name: child(arguments.scrubadub, part) for name, part in few.items()}
        print_types("scrubadub", rows, child(arguments.scrubadub, texts)["found"], 1)
        print_false_alarms("scrubadub", {name: theirs[name]["found"] for name in few}, few)
        for name, part in few.items():
            print(f"scrubadub on {name}: {size(part) / 1e6 / theirs[name]['seconds']:.1f} MB/CPU-s")
    return 0


def records(folder: Path) -> list[dict]:
    """All lines of all files of a shared data set."""
    rows = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows += [json.loads(line) for line in file]
    return rows


def shortened(texts: list[str], megabytes: float) -> list[str]:
    """Evenly chosen texts of about that size together."""
    return texts[:: max(1, round(size(texts) / (megabytes * 1e6)))]


def size(texts: list[str]) -> int:
    """Bytes in UTF-8."""
    return sum(len(text.encode()) for text in texts)


def ours(texts: list[str]) -> list[Found]:
    """What we find in each text."""
    from modelwright.data.personal_data.detect import find

    return [[(match.kind, match.start, match.end) for match in find(text)] for text in texts]


def print_types(tool: str, rows: list[dict], found: list[Found], column: int) -> None:
    """Precision, recall and F1 by type. Dates: only those of birth are looked for."""
    print(f"\n{tool} on fake_pii, by overlap and (exact)\n")
    print("| type | spans | precision | recall | F1 |")
    print("| --- | ---: | --- | --- | --- |")
    spans = Counter(span["type"] for row in rows for span in row["spans"])
    for type_, count in spans.most_common():
        name = TYPES.get(type_, ("", ""))[column]
        if not name:
            print(f"| {type_} | {count} | not attempted | 0 | 0 |")
            continue
        overlap = scores(rows, found, type_, name, lambda a, b: a[0] < b[1] and b[0] < a[1])
        exact = scores(rows, found, type_, name, lambda a, b: a == b)
        cells = " | ".join(f"{o:.3f} ({e:.3f})" for o, e in zip(overlap, exact, strict=True))
        print(f"| {type_} | {count} | {cells} |")


def scores(
    rows: list[dict],
    found: list[Found],
    type_: str,
    name: str,
    same: Callable[[tuple[int, int], tuple[int, int]], bool],
) -> tuple[float, float, float]:
    """Precision, recall, F1 of one kind against one type."""
    hits = wanted = right = claimed = 0
    for row, matches in zip(rows, found, strict=True):
        truth = [(span["start"], span["end"]) for span in row["spans"] if span["type"] == type_]
        claims = [(start, end) for kind, start, end in matches if kind == name]
        wanted, claimed = wanted + len(truth), claimed + len(claims)
        hits += sum(any(same(span, claim) for claim in claims) for span in truth)
        right += sum(any(same(span, claim) for span in truth) for claim in claims)
    precision, recall = right / max(1, claimed), hits / max(1, wanted)
    return precision, recall, 2 * precision * recall / max(1e-12, precision + recall)


def print_false_alarms(tool: str, found: dict[str, list[Found]], clean: dict) -> None:
    """Matches in a million characters of text that holds next to no personal data."""
    for name, matches in found.items():
        characters = sum(map(len, clean[name])) / 1e6
        kinds = Counter(kind for each in matches for kind, _, _ in each)
        rates = ", ".join(f"{kind} {count / characters:.2f}" for kind, count in kinds.most_common())
        print(f"\n{tool} on {name}, {characters:.1f} M characters: matches a million: {rates or 0}")


def print_speed(corpora: dict[str, list[str]]) -> None:
    """Counting and redacting, megabytes a CPU-second."""
    import polars as pl

    from modelwright.data.personal_data.detect import count_personal_data
    from modelwright.data.personal_data.redact import redact

    print("\n| text | MB | count | find and redact every text, MB/CPU-s |")
    print("| --- | ---: | ---: | ---: |")
    for name, texts in corpora.items():
        series = pl.Series(texts)
        count_personal_data(series[:10])
        megabytes = size(texts) / 1e6
        counting = seconds(lambda series=series: count_personal_data(series))
        redacting = seconds(lambda texts=texts: [redact(text) for text in texts])
        print(
            f"| {name} | {megabytes:.1f} | {megabytes / counting:.1f} "
            f"| {megabytes / redacting:.1f} |"
        )


def seconds(work: Callable[[], object]) -> float:
    """Median CPU time of all threads."""
    taken = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def child(python: str, texts: list[str]) -> dict:
    """Run this file with scrubadub's interpreter."""
    done = subprocess.run(
        [python, __file__, "--child"],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def with_scrubadub(texts: list[str]) -> dict:
    """Its default detectors and those for cards, addresses and the like that need no model."""
    import scrubadub

    scrubber = scrubadub.Scrubber(locale="en_US")
    for detector in ("date_of_birth",):
        scrubber.add_detector(detector)
    list(scrubber.iter_filth("warm up 555-1234"))
    taken = []
    for _ in range(REPEATS):
        started = time.process_time()
        found = [
            [(filth.type, filth.beg, filth.end) for filth in scrubber.iter_filth(text)]
            for text in texts
        ]
        taken.append(time.process_time() - started)
    return {"found": found, "seconds": statistics.median(taken)}


if __name__ == "__main__":
    sys.exit(main())
