"""Does cleaning help? The same models on raw and on prepared text, bits per byte on clean text.

python benchmarks/data/cleaning.py [TOKENS] [SEEDS]

Raw is public-domain prose (novels, speeches) with planted junk: pages that are menus, keyword spam,
broken characters, boilerplate lines inside good pages, exact and near copies. It goes through
collect, annotate and prepare with FineWeb's rules, and ``modelwright data judge`` compares before
and after. The held-out text is of other books and speakers, and holds no junk.
"""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TOKENS, SEEDS = 500_000, 3
PIECE = 3000
"""Characters of a document, about; cut between paragraphs."""

CLEAN_PIECES = 900
HELDOUT_PIECES = 120

MENU = ("Home", "About us", "Contact", "Log in", "Sign up", "Products", "Careers", "FAQ", "Shop")
BOILERPLATE = (
    "Please enable JavaScript in your browser to see this page",
    "By using this site you agree to our use of cookies and to our privacy policy",
    "Share this on your favourite network",
    "Subscribe to our newsletter and never miss an article again",
)
SPAM = ("cheap", "buy", "online", "discount", "pills", "casino", "bonus", "loan", "deal", "offer")
BROKEN = "Ã©â€œ™Â¤�¶§±¿ÐÑ0x7f9#%&@~^|\\<>{}[]"


@dataclass(frozen=True)
class Planted:
    """A document and what kind it is."""

    kind: str
    text: str


def main() -> None:
    """Build both corpora, prepare one, judge, and print."""
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else TOKENS
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else SEEDS
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        documents = planted(list(pieces(("novels-00", "novels-01"), 0, CLEAN_PIECES)))
        heldout = list(pieces(("novels-04",), 1, HELDOUT_PIECES))
        write(work / "raw.jsonl", documents)
        write(work / "clean.jsonl", [Planted("clean", text) for text in heldout])
        print_mixture(documents)
        for corpus in ("raw", "clean"):
            modelwright("collect", "--sources", work / f"{corpus}.jsonl", "--out", work / corpus)
        scored, prepared = work / "scored", work / "prepared"
        modelwright("annotate", "--corpus", work / "raw", "--edits", "c4", "--out", scored)
        flags = ("--rules", "web", "--languages", "en")
        modelwright("prepare", "--corpus", scored, *flags, "--out", prepared)
        print_kept(prepared)
        judged = ("data", "judge", work / "raw", prepared, "--heldout", work / "clean")
        print(modelwright(*judged, "--tokens", tokens, "--seeds", seeds))
    print(f"{time.monotonic() - started:.0f} s in all")


def pieces(novels: tuple[str, ...], parity: int, number: int) -> Iterator[str]:
    """Pieces of chapters and speeches; speeches are parted by their place in the file."""
    chance = random.Random(parity)
    texts = [row["text"] for name in novels for row in rows("english_novels", name)]
    speeches = [row["text"] for row in rows("us_speeches", "speeches")]
    # A third of the speeches is held out, by speaker's order in time: no speech is in both.
    texts += [text for place, text in enumerate(speeches) if (place % 3 == 0) == bool(parity)]
    cut = [piece for text in texts for piece in cut_pieces(text)]
    yield from chance.sample(cut, min(number, len(cut)))


def rows(folder: str, name: str) -> Iterator[dict[str, str]]:
    """The rows of a shared file."""
    with gzip.open(SHARED_DATA / folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def cut_pieces(text: str) -> Iterator[str]:
    """Runs of whole paragraphs of about ``PIECE`` characters."""
    piece: list[str] = []
    for paragraph in text.split("\n\n"):
        piece.append(paragraph)
        if sum(map(len, piece)) >= PIECE:
            yield "\n\n".join(piece)
            piece = []


def planted(clean: list[str]) -> list[Planted]:
    """Clean pieces and junk, about as many bytes of each, in mixed order."""
    chance = random.Random(7)
    documents = [Planted("clean", text) for text in clean]
    for place in range(0, len(documents), 3):
        documents[place] = Planted("with boilerplate", with_boilerplate(clean[place], chance))
    many = len(clean)
    documents += [Planted("menu", menu(chance)) for _ in range(many // 3)]
    documents += [Planted("spam", spam(chance)) for _ in range(many // 3)]
    documents += [Planted("broken characters", broken(chance)) for _ in range(many // 8)]
    for text in chance.sample(clean, many // 20):
        documents += [Planted("exact copy", text)] * chance.randint(1, 6)
        documents += [Planted("near copy", near(text, chance)) for _ in range(2)]
    chance.shuffle(documents)
    return documents


def with_boilerplate(text: str, chance: random.Random) -> str:
    """A good page between the lines that sites put around it."""
    lines = chance.sample(BOILERPLATE, 4)
    return "\n\n".join((*lines[:2], text, *lines[2:]))


def menu(chance: random.Random) -> str:
    """A page that is nothing but navigation."""
    return "\n".join(chance.choice(MENU) for _ in range(chance.randint(150, 300)))


def spam(chance: random.Random) -> str:
    """Keywords without sentences."""
    return " ".join(chance.choice(SPAM) for _ in range(chance.randint(300, 600)))


def broken(chance: random.Random) -> str:
    """Text in a lost encoding."""
    return "".join(chance.choices(BROKEN + " e", k=chance.randint(1500, 3000)))


def near(text: str, chance: random.Random) -> str:
    """The text with one word in 50 replaced."""
    words = text.split(" ")
    for place in chance.sample(range(len(words)), len(words) // 50):
        words[place] = chance.choice(SPAM)
    return " ".join(words)


def write(path: Path, documents: list[Planted]) -> None:
    """One JSON row a document."""
    with path.open("w", encoding="utf-8") as file:
        for number, document in enumerate(documents):
            row = {"id": f"{document.kind}-{number}", "text": document.text}
            file.write(json.dumps(row | {"licence": "CC0-1.0"}) + "\n")


def print_mixture(documents: list[Planted]) -> None:
    """What raw is made of."""
    total = sum(len(document.text.encode()) for document in documents)
    print("| raw | documents | share of bytes |\n| --- | --- | --- |")
    for kind in sorted({document.kind for document in documents}):
        texts = [document.text for document in documents if document.kind == kind]
        size = sum(len(text.encode()) for text in texts)
        print(f"| {kind} | {len(texts):,} | {size / total:.1%} |")


def print_kept(folder: Path) -> None:
    """How many documents of each kind prepare kept."""
    from modelwright.data.corpus import read_documents

    kinds = [
        document.url.rpartition("#")[2].rpartition("-")[0] for document in read_documents(folder)
    ]
    kept = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in sorted(set(kinds)))
    print(f"\nprepared keeps: {kept}\n", flush=True)


def modelwright(*arguments: object) -> str:
    """Run a command and return what it printed."""
    command = [sys.executable, "-m", "modelwright", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
