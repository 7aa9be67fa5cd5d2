from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import InputError, UsageError
from modelwright.data.corpus import DROPPED, new_document, read_documents, read_dropped, read_texts
from modelwright.data.prepare import cut_tail, prepare
from modelwright.data.settings import PrepareSettings

LOOSE = PrepareSettings(min_characters=1)


def many(count, word="text"):
    return [f"{word} number {number} of a corpus" for number in range(count)]


def test_duplicates_up_to_white_space_are_dropped_and_the_first_wins(run, make_corpus):
    corpus = make_corpus("one text", *many(8), "one  text\n", "One text")
    outcome, out = run(prepare, LOOSE, corpus=corpus)
    first, *_, twin, _ = read_documents(corpus.path)
    assert outcome.dropped == {"duplicate": 1}
    (dropped,) = read_dropped(out / DROPPED)
    assert (dropped.id, dropped.url, dropped.reason, dropped.duplicate_of) == (
        twin.id,
        twin.url,
        "duplicate",
        first.id,
    )
    assert sorted(read_texts(out)) == sorted(["one text", *many(8), "One text"])


def test_a_duplicate_of_something_dropped_is_judged_by_itself(run, make_corpus):
    corpus = make_corpus("short", "short", *many(9))
    outcome, _ = run(prepare, PrepareSettings(min_characters=10), corpus=corpus)
    assert outcome.dropped == {"shorter than 10 characters": 2}


def test_length_and_encoding_are_checked(run, make_corpus):
    broken = new_document("\ufffdbcd" * 5, source="s", url="u", title="", licence="MIT", replaced=5)
    corpus = make_corpus("  short \n ", "x" * 41, broken, *many(9))
    settings = PrepareSettings(min_characters=6, max_characters=40, max_replacement_ratio=0.2)
    outcome, _ = run(prepare, settings, corpus=corpus)
    assert outcome.dropped == {
        "longer than 40 characters": 1,
        "more than 20.00% unreadable characters": 1,
        "shorter than 6 characters": 1,
    }
    assert outcome.counts["documents_in"] == 12
    assert outcome.counts["documents_out"] == 9


def test_a_share_of_unreadable_characters_at_the_limit_is_kept(run, make_corpus):
    at_limit = new_document("\ufffdbcd" * 5, source="s", url="u", title="", licence="", replaced=5)
    corpus = make_corpus(at_limit, replace(at_limit, id="2", text="\ufffdbc" * 5), *many(9))
    settings = PrepareSettings(min_characters=1, max_replacement_ratio=0.25)
    outcome, _ = run(prepare, settings, corpus=corpus)
    assert outcome.dropped == {"more than 25.00% unreadable characters": 1}


def test_the_counts_are_what_the_corpus_holds(run, make_corpus):
    outcome, out = run(prepare, LOOSE, corpus=make_corpus(*many(300, "größe")))
    train, validation = list(read_texts(out, "train")), list(read_texts(out, "validation"))
    assert outcome.counts == {
        "documents_in": 300,
        "documents_out": 300,
        "documents_train": len(train),
        "documents_validation": len(validation),
        "characters": sum(map(len, train + validation)),
        "bytes_train": sum(len(text.encode()) for text in train),
        "bytes_validation": sum(len(text.encode()) for text in validation),
    }
    assert 3 <= len(validation) <= 30


def test_a_document_keeps_its_split_when_others_come(run, make_corpus):
    _, small = run(prepare, LOOSE, corpus=make_corpus(*many(100)))
    _, large = run(prepare, LOOSE, corpus=make_corpus(*many(50, "other"), *many(200)))
    splits = {document.text: document.split for document in read_documents(large)}
    before = {document.text: document.split for document in read_documents(small)}
    assert "validation" in before.values()
    assert {text: splits[text] for text in before} == before


def test_another_seed_holds_out_others(run, make_corpus):
    corpus = make_corpus(*many(100))
    first = set(read_texts(run(prepare, LOOSE, corpus=corpus)[1], "validation"))
    other = PrepareSettings(min_characters=1, seed=1)
    assert set(read_texts(run(prepare, other, corpus=corpus)[1], "validation")) != first


@pytest.mark.parametrize("fraction", [0.0001, 0.9999])
def test_neither_side_is_ever_empty(run, make_corpus, fraction):
    settings = PrepareSettings(min_characters=1, validation_fraction=fraction)
    outcome, _ = run(prepare, settings, corpus=make_corpus(*many(6)))
    sizes = outcome.counts["documents_train"], outcome.counts["documents_validation"]
    assert sorted(sizes) == [1, 5]


def test_one_document_is_cut_at_a_line_end(run, make_corpus):
    text = "".join(f"line {number} of the only text\n" for number in range(100))
    corpus = make_corpus(text)
    outcome, out = run(prepare, PrepareSettings(), corpus=corpus)
    head, tail = read_documents(out)
    (original,) = read_documents(corpus.path)
    assert head.text + tail.text == text
    assert head.text.endswith("\n")
    assert len(tail.text) / len(text) == pytest.approx(0.05, abs=0.02)
    assert (head.split, head.id) == ("train", original.id)
    assert (tail.split, tail.id) == ("validation", f"{original.id}-tail")
    assert (tail.url, tail.sha256) == (original.url, original.sha256)
    assert outcome.counts["documents_in"] == 1
    assert outcome.counts["documents_out"] == 2


def test_few_documents_are_cut_rather_than_held_out_whole(run, make_corpus):
    settings = PrepareSettings(min_characters=1, validation_fraction=0.001)
    _, out = run(prepare, settings, corpus=make_corpus(*many(4)))
    splits = [document.split for document in read_documents(out)]
    assert splits == ["train", "validation"] * 4


def test_one_character_cannot_be_held_out(run, make_corpus):
    with pytest.raises(InputError, match="too little text"):
        run(prepare, LOOSE, corpus=make_corpus("x"))


@settings(deadline=None)
@given(text=st.text(), fraction=st.floats(0.001, 0.999))
def test_a_cut_text_is_whole_and_neither_part_is_blank(text, fraction):
    parts = cut_tail(text, fraction)
    if parts is None:
        assert len(text.strip()) < 2
    else:
        assert "".join(parts) == text
        assert all(part.strip() for part in parts)


@pytest.mark.parametrize(
    ("text", "tail"),
    [
        ("aaaa\nbbbb\ncccc\ndd", "dd"),
        ("aaaa\nbbbbbbbbbb c\ndd", "c\ndd"),
        ("one two three four", "four"),
        ("abcdefghijkl", "jkl"),
        ("a\nbbbbbbbbbb", "bbb"),
    ],
)
def test_the_cut_is_at_the_nearest_line_end_or_space(text, tail):
    assert cut_tail(text, 0.25)[1] == tail


def test_nothing_left_says_why(run, make_corpus):
    corpus = make_corpus("a", "b", "x" * 50)
    with pytest.raises(InputError, match="nothing is left of 3 documents: 2 x shorter") as caught:
        run(prepare, PrepareSettings(max_characters=40), corpus=corpus)
    assert "1 x longer than 40" in str(caught.value)


def test_an_empty_corpus_is_refused(run, make_corpus):
    with pytest.raises(InputError, match="no document"):
        run(prepare, LOOSE, corpus=make_corpus())


def test_the_corpus_must_be_given(run):
    with pytest.raises(UsageError, match="needs a corpus"):
        run(prepare, LOOSE)


def test_two_runs_give_the_same_bytes(run, make_corpus):
    corpus = make_corpus(*many(50), *many(10))
    contents = []
    for _ in range(2):
        _, out = run(prepare, LOOSE, corpus=corpus)
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"documents-00000.parquet", DROPPED}
