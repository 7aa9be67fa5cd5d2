"""Which of two corpora is the better teacher: small models trained alike on each.

Both get the same tokenizer, shape, first weights, number of steps and tokens a step; only the text
differs. The measure is bits per byte on held-out text that neither has seen. Seeds show how much
of a difference is chance of the training; that the held-out text itself is a sample, they do not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from modelwright.core.artifact import open_artifact
from modelwright.core.errors import InputError
from modelwright.core.files import sha256_bytes
from modelwright.core.job import Job
from modelwright.core.progress import Progress
from modelwright.data.corpus import read_documents
from modelwright.evaluation.bits_per_byte import bits_per_byte
from modelwright.experiments.paired import Comparison, compare_pairs
from modelwright.inference.engine import Engine
from modelwright.tokens.make_tokenizer import Sample
from modelwright.tokens.shards import ShardWriter, SplitTotals, write_index
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.tokens.train import train_tokenizer
from modelwright.training.pretrain import pretrain
from modelwright.training.settings import PretrainSettings

SAMPLE_BYTES_PER_TOKEN = 8
"""Of a large corpus an even sample is encoded, of so many bytes for each token of training: more
than any seed reads."""

TOKENIZER_BYTES = 4_000_000
"""What the tokenizer learns from, of each corpus."""

SHARD_TOKENS = 1 << 26
NEVER = 1e9


@dataclass(frozen=True)
class JudgeSettings:
    """How the models are trained.

    Attributes
    ----------
    tokens : int
        Tokens that each model sees.
    seeds : int
        Models a corpus, 1 to 10.
    width, layers : int
        Shape of the models.
    vocabulary : int
        Size of the tokenizer.
    sequence_length, batch_rows : int
        Tokens in a window and windows in a step.
    heldout_bytes : int
        Held-out text to measure on; an even sample where there is more.
    """

    tokens: int = 1_000_000
    seeds: int = 3
    width: int = 128
    layers: int = 3
    vocabulary: int = 2048
    sequence_length: int = 256
    batch_rows: int = 8
    heldout_bytes: int = 300_000

    @property
    def steps(self) -> int:
        """Optimizer steps of each model, at least one."""
        return max(1, self.tokens // (self.sequence_length * self.batch_rows))


@dataclass(frozen=True)
class Judged:
    """What one corpus was and did.

    Attributes
    ----------
    documents, bytes : int
        How much text it has to train on.
    epochs : float
        How often a model saw what was encoded of it.
    bits_per_byte : list of float
        On the held-out text, by seed.
    """

    documents: int
    bytes: int
    epochs: float
    bits_per_byte: list[float]


@dataclass(frozen=True)
class Judgement:
    """Both corpora and their difference (second minus first, in bits per byte).

    Attributes
    ----------
    steps, tokens : int
        What each model was trained on.
    heldout_documents, heldout_bytes : int
        What was measured on.
    heldout_seen : int
        Held-out documents left out because one of the corpora has them.
    """

    first: Judged
    second: Judged
    comparison: Comparison
    steps: int
    tokens: int
    heldout_documents: int
    heldout_bytes: int
    heldout_seen: int


@dataclass(frozen=True)
class _Corpus:
    """Text to train on, read again whenever it is needed."""

    folder: Path
    documents: int
    bytes: int
    keys: frozenset[str]

    def sample(self, size: int) -> Sample:
        """An even sample of about ``size`` bytes."""
        return Sample(_training_texts(self.folder), min(1.0, size / max(1, self.bytes)))


def judge(
    first: Path, second: Path, heldout: Path, settings: JudgeSettings, progress: Progress
) -> Judgement:
    """Train on two corpora and measure both on held-out text.

    Parameters
    ----------
    first, second : Path
        Corpora, prepared or not; documents of a validation split are not trained on.
    heldout : Path
        Corpus to measure on; if it has a validation split, that part. Documents that either corpus
        has word for word are left out.
    settings : JudgeSettings
        How the models are trained.
    progress : Progress
        Where to say how far it is.

    Raises
    ------
    InputError
        If a corpus has too little text, or no held-out text is left.
    """
    corpora = [_open(folder) for folder in (first, second)]
    texts, seen = _heldout_texts(heldout, corpora, settings.heldout_bytes)
    with tempfile.TemporaryDirectory(prefix="modelwright-judge-") as name:
        work = Path(name)
        tokenizer = _train_tokenizer(corpora, settings, _made(work / "tokenizer"))
        totals = [
            _write_shards(corpus, tokenizer, settings, _made(work / f"shards{number}"))
            for number, corpus in enumerate(corpora)
        ]
        results: list[list[float]] = [[], []]
        for seed in range(settings.seeds):
            for number, corpus in enumerate(corpora):
                model = _made(work / f"model{number}-{seed}")
                _train(work, number, model, settings, seed, progress)
                measured = bits_per_byte(Engine.load(model), texts)
                results[number].append(measured)
                progress.note(f"  seed {seed}, {corpus.folder.name}: {measured:.4f} bits per byte")
    tokens = settings.steps * settings.sequence_length * settings.batch_rows
    judged = [
        Judged(corpus.documents, corpus.bytes, tokens / total.tokens, bits)
        for corpus, total, bits in zip(corpora, totals, results, strict=True)
    ]
    return Judgement(
        first=judged[0],
        second=judged[1],
        comparison=compare_pairs(*results),
        steps=settings.steps,
        tokens=tokens,
        heldout_documents=len(texts),
        heldout_bytes=sum(len(text.encode()) for text in texts),
        heldout_seen=seen,
    )


def _training_texts(folder: Path) -> Iterator[str]:
    for document in read_documents(folder):
        if document.split != "validation":
            yield document.text


def _open(folder: Path) -> _Corpus:
    documents = size = 0
    keys = set()
    for text in _training_texts(folder):
        documents += 1
        size += len(text.encode())
        keys.add(_key(text))
    if not documents:
        raise InputError("there is no document to train on", where=folder)
    return _Corpus(folder, documents, size, frozenset(keys))


def _key(text: str) -> str:
    return sha256_bytes(" ".join(text.split()).encode())


def _heldout_texts(folder: Path, corpora: list[_Corpus], size: int) -> tuple[list[str], int]:
    """The texts to measure on, and how many were left out as seen."""
    documents = list(read_documents(folder))
    validation = [document for document in documents if document.split == "validation"]
    texts = [document.text for document in validation or documents]
    unseen = [text for text in texts if not any(_key(text) in one.keys for one in corpora)]
    total = sum(len(text.encode()) for text in unseen)
    if total == 0:
        raise InputError(
            "no held-out text is left that neither corpus has",
            where=folder,
            fix="give text that is in none of them with --heldout",
        )
    # A single document may be larger than all that is wanted: it is cut, the sample is not empty.
    share = min(1.0, size / total)
    sample = list(Sample(unseen, share)) or [unseen[0][:size]]
    return sample, len(texts) - len(unseen)


def _train_tokenizer(corpora: list[_Corpus], settings: JudgeSettings, folder: Path) -> Tokenizer:
    """One tokenizer for both, from as much text of each, so that it favours neither."""
    size = min(TOKENIZER_BYTES, *(corpus.bytes for corpus in corpora))
    texts = chain.from_iterable(corpus.sample(size) for corpus in corpora)
    return train_tokenizer(texts, settings.vocabulary, folder)


def _write_shards(
    corpus: _Corpus, tokenizer: Tokenizer, settings: JudgeSettings, folder: Path
) -> SplitTotals:
    texts = corpus.sample(SAMPLE_BYTES_PER_TOKEN * settings.tokens)
    nothing = SplitTotals(0, 0, 0)
    writer = ShardWriter(folder, "train", tokenizer, SHARD_TOKENS)
    totals = [nothing, *writer.write(texts)][-1]
    if totals.tokens <= settings.sequence_length:
        raise InputError(
            f"the corpus has only {totals.tokens:,} tokens",
            where=corpus.folder,
            fix=f"give more than {settings.sequence_length}",
        )
    write_index(folder, tokenizer, "", {"train": totals, "validation": nothing})
    return totals


def _train(
    work: Path, number: int, model: Path, settings: JudgeSettings, seed: int, progress: Progress
) -> None:
    pretrain(
        Job(
            PretrainSettings(
                budget=f"{settings.steps} steps",
                hidden_size=settings.width,
                layers=settings.layers,
                sequence_length=settings.sequence_length,
                batch_rows=settings.batch_rows,
                learning_rate=1e-2,
                matrix_learning_rate=2e-2,
                precision="float32",  # so few steps on so little text must not hang on rounding
                validation_count=0,
                checkpoint_seconds=NEVER,
                seed=seed,
            ),
            {
                "shards": open_artifact(work / f"shards{number}", "shards"),
                "tokenizer": open_artifact(work / "tokenizer", "tokenizer"),
            },
            model,
            progress,
        )
    )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
