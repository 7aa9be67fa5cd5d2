"""The shards stage: a prepared corpus and a tokenizer become token shards."""

from __future__ import annotations

from modelwright.core.errors import InputError
from modelwright.core.job import Job, Outcome
from modelwright.data.corpus import read_texts
from modelwright.tokens.settings import ShardsSettings
from modelwright.tokens.shards import SPLITS, ShardWriter, SplitTotals, write_index
from modelwright.tokens.tokenizer import Tokenizer


def make_shards(job: Job[ShardsSettings]) -> Outcome:
    """Encode the corpus (input ``corpus``) with the tokenizer (input ``tokenizer``).

    Raises
    ------
    InputError
        If the corpus has no text to train on.
    """
    corpus, tokenizer_artifact = job.input("corpus"), job.input("tokenizer")
    tokenizer = Tokenizer.load(tokenizer_artifact.path)
    totals = dict[str, SplitTotals]()
    expected = corpus.manifest.counts.get("documents_out")
    done = 0
    with job.progress.task("shards", expected, "documents") as task:
        for split in SPLITS:
            totals[split] = SplitTotals(0, 0, 0)
            writer = ShardWriter(job.folder, split, tokenizer, job.settings.shard_tokens)
            for running in writer.write(read_texts(corpus.path, split)):
                totals[split] = running
                task.update(done + running.documents, tokens=f"{running.tokens:,}")
            done += totals[split].documents
    if totals["train"].tokens == 0:
        raise InputError(
            "the corpus has no documents in its train split",
            where=corpus.path,
            fix="give a prepared corpus (column 'split' with 'train' and 'validation')",
        )
    write_index(job.folder, tokenizer, tokenizer_artifact.manifest.digest, totals)
    train = totals["train"]
    return Outcome(
        counts={f"tokens_{split}": total.tokens for split, total in totals.items()}
        | {f"documents_{split}": total.documents for split, total in totals.items()},
        metrics={"bytes_per_token": round(train.text_bytes / train.tokens, 4)},
    )
