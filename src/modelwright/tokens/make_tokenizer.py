"""The tokenizer stage: learn a vocabulary from the train split of a prepared corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modelwright.core.errors import InputError
from modelwright.core.job import Job, Outcome
from modelwright.core.settings import chosen
from modelwright.data.corpus import read_texts
from modelwright.tokens.settings import TokenizerSettings
from modelwright.tokens.train import train_tokenizer


def make_tokenizer(job: Job[TokenizerSettings]) -> Outcome:
    """Train on the train split of the corpus (input ``corpus``).

    Raises
    ------
    InputError
        If the corpus has no text to train on.
    """
    settings = job.settings
    size = chosen(settings, "vocabulary_size", settings.vocabulary_size)
    corpus = job.input("corpus")
    limit = int(settings.training_megabytes * 1e6)
    share = min(1.0, limit / max(1, corpus.manifest.counts.get("bytes_train", 1)))
    with job.progress.task("tokenizer", None, "bytes") as task:
        task.update(0, tokens=f"{size:,}")
        sample = Sample(read_texts(corpus.path, "train"), share)
        tokenizer = train_tokenizer(sample, size, job.folder, settings.pre_tokenizer)
    if sample.documents == 0:
        raise InputError("the corpus has no documents in its train split", where=corpus.path)
    return Outcome(
        counts={
            "vocabulary_size": tokenizer.vocabulary_size,
            "documents_seen": sample.documents,
            "bytes_seen": sample.bytes,
        },
    )


class Sample:
    """An even sample of texts: every text up to ``share`` of the running total of bytes."""

    def __init__(self, texts: Iterable[str], share: float):
        self.texts, self.share = texts, share
        self.documents = self.bytes = 0

    def __iter__(self) -> Iterator[str]:
        seen = 0
        for text in self.texts:
            size = len(text.encode())
            seen += size
            if self.bytes + size <= self.share * seen or self.share >= 1.0:
                self.documents += 1
                self.bytes += size
                yield text
