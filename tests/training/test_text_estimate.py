import random
from dataclasses import replace
from pathlib import Path

import pytest

from modelwright.core.artifact import Artifact, Manifest
from modelwright.data.corpus import CorpusWriter, new_document
from modelwright.tokens.train import train_tokenizer
from modelwright.training.text_estimate import SAMPLE_BYTES, estimate_text


def corpus_of(folder: Path, texts: list[str]) -> Artifact:
    """A corpus of texts to train on, and what its manifest counts."""
    folder.mkdir()
    with CorpusWriter(folder) as writer:
        for place, text in enumerate(texts):
            document = new_document(
                text, source="test", url=f"{place}", title="", licence="CC0-1.0"
            )
            writer.write(replace(document, split="train"))
    counts = {
        "bytes_train": sum(len(text.encode()) for text in texts),
        "documents_train": len(texts),
    }
    manifest = Manifest(
        kind="corpus", id="corpus", stage="prepare", created="", code_version="", digest="",
        counts=counts,
    )  # fmt: skip
    return Artifact(folder, manifest)


@pytest.mark.parametrize(("vocabulary", "documents"), [(512, 40), (2048, 40), (2048, 300)])
def test_tokens_are_foreseen(tmp_path: Path, vocabulary: int, documents: int) -> None:
    numbers = random.Random(0)
    words = ["".join(numbers.choices("abcdefghijé", k=numbers.randint(2, 9))) for _ in range(900)]
    texts = [" ".join(numbers.choices(words, k=400)) for _ in range(documents)]
    assert (len("".join(texts)) > SAMPLE_BYTES) == (documents == 300)
    corpus = corpus_of(tmp_path / "corpus", texts)
    tokenizer = train_tokenizer(texts, vocabulary, tmp_path)
    tokens = sum(len(tokenizer.encode(text)) + 1 for text in texts)
    assert estimate_text(corpus, tokenizer).tokens == pytest.approx(tokens, rel=0.01)
    assert estimate_text(corpus, vocabulary).tokens == pytest.approx(tokens, rel=0.03)


def test_a_text_of_nothing_has_one_token(tmp_path: Path) -> None:
    text = estimate_text(corpus_of(tmp_path / "corpus", []), 512)
    assert (text.tokens, text.difficulty) == (1.0, 1.0)
