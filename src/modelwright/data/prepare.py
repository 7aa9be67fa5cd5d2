"""The prepare stage: drop what cannot be used, split off validation text."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import Progress
from modelwright.data.corpus import (
    DROPPED,
    CorpusWriter,
    Document,
    DroppedDocument,
    read_documents,
    write_dropped,
)
from modelwright.data.drops import in_words
from modelwright.data.settings import PrepareSettings
from modelwright.data.split import hold_out

DUPLICATE = "duplicate"
FEW_DOCUMENTS = 5
"""With fewer documents than this, texts are cut instead of being held out whole."""

TAIL_SUFFIX = "-tail"
"""Added to the id of a document for the part of its text that is held out."""


@dataclass
class Review:
    """What was decided about the documents of a corpus.

    Attributes
    ----------
    keys : list of str or None
        For each document in order the hash of its text, or None if it is dropped.
    dropped : list of DroppedDocument
        Those that are dropped, and why.
    """

    keys: list[str | None] = field(default_factory=list)
    dropped: list[DroppedDocument] = field(default_factory=list)

    @property
    def kept(self) -> list[str]:
        """Hashes of the texts that are kept, in order."""
        return [key for key in self.keys if key is not None]

    @property
    def reasons(self) -> dict[str, int]:
        """How many were dropped, by reason."""
        return dict(sorted(Counter(document.reason for document in self.dropped).items()))


def prepare(job: Job[PrepareSettings]) -> Outcome:
    """Drop duplicates and unusable documents, and mark each document as train or validation.

    Raises
    ------
    InputError
        If nothing is left, or too little to hold anything out.
    """
    corpus = job.input("corpus")
    review = _review(corpus, job.settings, job.progress)
    if not review.kept:
        raise _nothing_left(corpus.path, review)
    sizes = {"train": 0, "validation": 0}
    numbers = {"train": 0, "validation": 0}
    with (
        CorpusWriter(job.folder) as writer,
        job.progress.task("write documents", len(review.kept), "documents") as task,
    ):
        for document in _split(corpus.path, review, job.settings):
            split = document.split or "train"
            sizes[split] += writer.write(document)
            numbers[split] += 1
            task.update(writer.documents)
    if not numbers["validation"]:
        raise InputError(
            "too little text to hold any out for validation",
            where=corpus.path,
            fix="collect more text",
        )
    write_dropped(job.folder / DROPPED, review.dropped)
    return Outcome(
        counts={
            "documents_in": len(review.keys),
            "documents_out": writer.documents,
            "documents_train": numbers["train"],
            "documents_validation": numbers["validation"],
            "characters": writer.characters,
            "bytes_train": sizes["train"],
            "bytes_validation": sizes["validation"],
        },
        dropped=review.reasons,
    )


def text_key(text: str) -> str:
    """Hash of a text in which all white space counts alike; equal for exact duplicates."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:32]


def cut_tail(text: str, fraction: float) -> tuple[str, str] | None:
    """Cut the last ``fraction`` off a text, at a line end or else a space that is near enough.

    Near enough is what changes the size of the tail by half at most.

    Returns
    -------
    tuple of (str, str) or None
        Both parts, neither of them blank; together they are the text. None if it is too short.
    """
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    if end - start < 2:
        return None
    target = start + max(1, min(end - start - 1, round((end - start) * (1 - fraction))))
    room = (end - target) // 2
    for mark in ("\n", " "):
        before = text.rfind(mark, max(start + 1, target - room), target) + 1
        after = text.find(mark, target, min(end, target + room)) + 1
        if before and (not after or target - before <= after - target):
            return text[:before], text[before:]
        if after:
            return text[:after], text[after:]
    return text[:target], text[target:]


def _review(corpus: Artifact, settings: PrepareSettings, progress: Progress) -> Review:
    review = Review()
    first_with: dict[str, str] = {}
    total = corpus.manifest.counts.get("documents")
    with progress.task("check documents", total, "documents") as task:
        for document in read_documents(corpus.path):
            key = text_key(document.text)
            reason = _fault(document, settings)
            if reason is None and key in first_with:
                reason = DUPLICATE
            if reason is None:
                first_with[key] = document.id
            else:
                original = first_with.get(key) if reason == DUPLICATE else None
                review.dropped.append(DroppedDocument(document.id, document.url, reason, original))
            review.keys.append(key if reason is None else None)
            task.update(len(review.keys), dropped=f"{len(review.dropped):,}")
    return review


def _fault(document: Document, settings: PrepareSettings) -> str | None:
    length = len(document.text.strip())
    if length < settings.min_characters:
        return f"shorter than {settings.min_characters:,} characters"
    if length > settings.max_characters:
        return f"longer than {settings.max_characters:,} characters"
    if document.replaced > settings.max_replacement_ratio * len(document.text):
        return f"more than {settings.max_replacement_ratio:.2%} unreadable characters"
    return None


def _split(folder: Path, review: Review, settings: PrepareSettings) -> Iterator[Document]:
    kept = review.kept
    held_out = hold_out(kept, settings.seed, settings.validation_fraction)
    cut = len(kept) == 1 or (len(kept) < FEW_DOCUMENTS and _is_forced(kept, settings))
    decisions = iter(held_out)
    for document, key in zip(read_documents(folder), review.keys, strict=True):
        if key is None:
            continue
        is_held_out = next(decisions)
        if cut:
            yield from _cut(document, settings.validation_fraction)
        else:
            yield replace(document, split="validation" if is_held_out else "train")


def _is_forced(keys: list[str], settings: PrepareSettings) -> bool:
    """Whether the hashes alone would leave one side empty."""
    alone = [hold_out([key], settings.seed, settings.validation_fraction)[0] for key in keys]
    return all(alone) or not any(alone)


def _cut(document: Document, fraction: float) -> Iterator[Document]:
    parts = cut_tail(document.text, fraction)
    if parts is None:
        yield replace(document, split="train")
        return
    head, tail = parts
    yield replace(document, text=head, split="train")
    yield replace(document, id=document.id + TAIL_SUFFIX, text=tail, split="validation")


def _nothing_left(folder: Path, review: Review) -> InputError:
    if not review.keys:
        return InputError(
            "there is no document in this corpus", where=folder, fix="collect some text first"
        )
    return InputError(
        f"nothing is left of {len(review.keys):,} documents: {in_words(review.reasons)}",
        where=folder,
        fix="collect more text, or change the limits under 'prepare' in the recipe",
    )
