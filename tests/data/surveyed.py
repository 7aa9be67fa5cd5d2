"""A small corpus that was annotated and prepared, with something for every part of a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelwright.core.artifact import Artifact, Manifest, Parent, read_manifest, write_manifest
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import SilentProgress
from modelwright.data.annotate import annotate
from modelwright.data.corpus import (
    DROPPED,
    CorpusWriter,
    Document,
    DroppedDocument,
    new_document,
    write_dropped,
)
from modelwright.data.prepare import prepare
from modelwright.data.settings import AnnotateSettings, PrepareSettings

EVIL = "<script>alert('x')</script>\"'&<img src=x onerror=a()>"
EMAIL = "jemima.puddleduck@farm.org"
KEY = "AKIAIOSFODNN7EXAMPLQ"
QUESTION = (
    "which of the seven wooden boats in the harbour of the old town was the first to sail "
    "around the whole island and back in a single day"
)
WORDS = """the of and to that have with be river stone window garden letter winter music bread
market silver question island captain morning forest teacher paper engine shadow summer kitchen"""


def prose(seed: int, words: int = 120) -> str:
    """Sentences that no other seed has."""
    state, text, known = seed * 7919 + 1, list[str](), WORDS.split()
    for number in range(words):
        state = (state * 1103515245 + 12345) % 2**31
        word = known[(state >> 16) % len(known)]
        text.append(f"{word}." if number % 9 == 8 else word)
    return " ".join(text)


def documents() -> list[Document]:
    """Forty documents: prose, a short one, twins, near-twins, private data, hostile markup."""
    texts = [prose(seed) for seed in range(30)]
    texts += [prose(100, 300)] * 2 + [prose(100, 300) + " end of it"]
    texts += ["short", f"{prose(50)} write to {EMAIL} now {prose(51)}", f"{KEY} {prose(52)}"]
    texts += [f"{EVIL}\x00\x1b\u202e {prose(53)}", f"{prose(54)} {QUESTION} {prose(55)}"]
    texts += ["no " * 200, f"{prose(56)} \ufffd"]
    made = [
        new_document(text, source="a", url=f"page/{number}", title="", licence="CC-BY-SA-4.0")
        for number, text in enumerate(texts)
    ]
    return [*made, new_document(prose(60), source=EVIL, url=EVIL, title=EVIL, licence=EVIL)]


def make_run(
    folder: Path,
    settings: PrepareSettings | None = None,
    made: list[Document] | None = None,
    **annotation: Any,
) -> tuple[Artifact, Artifact]:
    """Annotate and prepare documents as the runner would: ``(annotated, prepared)``."""
    settings = settings or PrepareSettings(rules=["gopher-quality", "gopher-repetition"])
    questions = folder / "questions.jsonl"
    questions.parent.mkdir(parents=True, exist_ok=True)
    questions.write_text(json.dumps({"question": QUESTION}) + "\n", encoding="utf-8")
    scoring = AnnotateSettings(workers=1, evaluation_sets=[str(questions)], **annotation)
    collected = folder / "collect-1"
    collected.mkdir()
    with CorpusWriter(collected) as writer:
        for document in made or documents():
            writer.write(document)
    write_dropped(
        collected / DROPPED, [DroppedDocument("", f"mail/{EMAIL}/scan.pdf", "damaged PDF")]
    )
    corpus = _finish(collected, "collect", None, Outcome({}, {"damaged PDF": 1}), {})
    annotated = _stage(annotate, scoring, corpus, folder / "annotate-1")
    return annotated, _stage(prepare, settings, annotated, folder / "prepare-1")


def _stage(stage: Any, settings: Any, corpus: Artifact, folder: Path) -> Artifact:
    folder.mkdir()
    outcome = stage(Job(settings, {"corpus": corpus}, folder, SilentProgress()))
    return _finish(folder, stage.__name__, corpus, outcome, settings.model_dump(mode="json"))


def _finish(
    folder: Path, stage: str, parent: Artifact | None, outcome: Outcome, settings: dict[str, Any]
) -> Artifact:
    parents = []
    if parent:
        digest = parent.manifest.digest
        parents = [Parent(role="corpus", kind="corpus", id=parent.id, digest=digest)]
    manifest = Manifest(
        kind="corpus", id=folder.name, stage=stage, created="", code_version="", digest=str(folder),
        parents=parents, settings=settings, counts=outcome.counts, dropped=outcome.dropped,
    )  # fmt: skip
    write_manifest(folder, manifest)
    return Artifact(folder, read_manifest(folder))
