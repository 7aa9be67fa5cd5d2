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
    """Texts of which no two are near-duplicates: all their words differ, and not in digits only."""
    return [
        " ".join(
            f"{word}{''.join('abcdefghij'[int(d)] for d in str(number))}{end}" for end in "klmn"
        )
        for number in range(count)
    ]


def test_of_duplicates_the_longest_stays(run_prepare, make_corpus):
    text = "one text that is there three times"
    corpus = make_corpus(text, *many(8), "one  text that is there three  times\n", text.title())
    outcome, out = run_prepare(LOOSE, corpus=corpus)
    first, *_, longest, other = read_documents(corpus.path)
    assert outcome.dropped == {"duplicate": 1, "near-duplicate": 1}
    dropped = {
        one.id: (one.url, one.reason, one.duplicate_of) for one in read_dropped(out / DROPPED)
    }
    assert dropped == {
        first.id: (first.url, "duplicate", longest.id),
        other.id: (other.url, "near-duplicate", longest.id),
    }
    assert sorted(read_texts(out)) == sorted([longest.text, *many(8)])


def test_near_duplicates_stay_if_they_are_wanted(run_prepare, make_corpus):
    corpus = make_corpus("one text", *many(8), "one text\n", "One text")
    settings = PrepareSettings(min_characters=1, near_duplicates="keep")
    outcome, out = run_prepare(settings, corpus=corpus)
    assert outcome.dropped == {"duplicate": 1}
    assert "One text" in set(read_texts(out))


def test_near_duplicates_are_on_one_side_of_the_split(run_prepare, make_corpus):
    bodies = many(40)
    copies = [f"{text}{end}" for text in bodies for end in ("", "!", "?")]
    settings = PrepareSettings(min_characters=1, near_duplicates="keep", validation_fraction=0.3)
    _, out = run_prepare(settings, corpus=make_corpus(*copies))
    sides = dict[str, set[str]]()
    for document in read_documents(out):
        sides.setdefault(document.text.rstrip("!?"), set()).add(document.split)
    assert len(sides) == 40
    assert all(len(one) == 1 for one in sides.values())
    assert set.union(*sides.values()) == {"train", "validation"}


def test_a_duplicate_of_something_dropped_is_judged_by_itself(run_prepare, make_corpus):
    corpus = make_corpus("short", "short", *many(9))
    outcome, _ = run_prepare(PrepareSettings(min_characters=10), corpus=corpus)
    assert outcome.dropped == {"shorter than 10 characters": 2}


def test_length_and_encoding_are_checked(run_prepare, make_corpus):
    broken = new_document("\ufffdbcd" * 5, source="s", url="u", title="", licence="MIT", replaced=5)
    corpus = make_corpus("  short \n ", "x" * 41, broken, *many(9))
    settings = PrepareSettings(min_characters=6, max_characters=40, max_replacement_ratio=0.2)
    outcome, _ = run_prepare(settings, corpus=corpus)
    assert outcome.dropped == {
        "longer than 40 characters": 1,
        "more than 20.00% unreadable characters": 1,
        "shorter than 6 characters": 1,
    }
    assert outcome.counts["documents_in"] == 12
    assert outcome.counts["documents_out"] == 9


def test_a_share_of_unreadable_characters_at_the_limit_is_kept(run_prepare, make_corpus):
    at_limit = new_document("\ufffdbcd" * 5, source="s", url="u", title="", licence="", replaced=5)
    corpus = make_corpus(at_limit, replace(at_limit, id="2", text="\ufffdbc" * 5), *many(9))
    settings = PrepareSettings(min_characters=1, max_replacement_ratio=0.25)
    outcome, _ = run_prepare(settings, corpus=corpus)
    assert outcome.dropped == {"more than 25.00% unreadable characters": 1}


def test_the_counts_are_what_the_corpus_holds(run_prepare, make_corpus):
    outcome, out = run_prepare(LOOSE, corpus=make_corpus(*many(300, "größe")))
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


def test_a_document_keeps_its_split_when_others_come(run_prepare, make_corpus):
    _, small = run_prepare(LOOSE, corpus=make_corpus(*many(100)))
    _, large = run_prepare(LOOSE, corpus=make_corpus(*many(50, "other"), *many(200)))
    splits = {document.text: document.split for document in read_documents(large)}
    before = {document.text: document.split for document in read_documents(small)}
    assert "validation" in before.values()
    assert {text: splits[text] for text in before} == before


def test_another_seed_holds_out_others(run_prepare, make_corpus):
    corpus = make_corpus(*many(100))
    first = set(read_texts(run_prepare(LOOSE, corpus=corpus)[1], "validation"))
    other = PrepareSettings(min_characters=1, seed=1)
    assert set(read_texts(run_prepare(other, corpus=corpus)[1], "validation")) != first


@pytest.mark.parametrize("fraction", [0.0001, 0.9999])
def test_neither_side_is_ever_empty(run_prepare, make_corpus, fraction):
    settings = PrepareSettings(min_characters=1, validation_fraction=fraction)
    outcome, _ = run_prepare(settings, corpus=make_corpus(*many(6)))
    sizes = outcome.counts["documents_train"], outcome.counts["documents_validation"]
    assert sorted(sizes) == [1, 5]


def test_one_document_is_cut_at_a_line_end(run_prepare, make_corpus):
    text = "".join(f"line {number} of the only text\n" for number in range(100))
    corpus = make_corpus(text)
    outcome, out = run_prepare(PrepareSettings(), corpus=corpus)
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


def test_few_documents_are_cut_rather_than_held_out_whole(run_prepare, make_corpus):
    settings = PrepareSettings(min_characters=1, validation_fraction=0.001)
    _, out = run_prepare(settings, corpus=make_corpus(*many(4)))
    splits = [document.split for document in read_documents(out)]
    assert splits == ["train", "validation"] * 4


def test_one_character_cannot_be_held_out(run_prepare, make_corpus):
    with pytest.raises(InputError, match="too little text"):
        run_prepare(LOOSE, corpus=make_corpus("x"))


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


def test_nothing_left_says_why(run_prepare, make_corpus):
    corpus = make_corpus("a", "b", "x" * 50)
    with pytest.raises(InputError, match="nothing is left of 3 documents: 2 x shorter") as caught:
        run_prepare(PrepareSettings(max_characters=40), corpus=corpus)
    assert "1 x longer than 40" in str(caught.value)


def test_an_empty_corpus_is_refused(run_prepare, make_corpus):
    with pytest.raises(InputError, match="no document"):
        run_prepare(LOOSE, corpus=make_corpus())


def test_the_corpus_must_be_given(run):
    with pytest.raises(UsageError, match="needs a corpus"):
        run(prepare, LOOSE)


def test_two_runs_give_the_same_bytes(run_prepare, make_corpus):
    corpus = make_corpus(*many(50), *many(10))
    contents = []
    for _ in range(2):
        _, out = run_prepare(LOOSE, corpus=corpus)
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"documents-00000.parquet", DROPPED}


def test_what_is_on_the_opt_out_list_is_left_out(run_prepare, make_corpus, tmp_path):
    urls = [
        "https://a.example.com/x",
        "https://example.com.org/x",
        "http://b.example.com/p?q",
        "z/1",
    ]
    made = [
        new_document(text, source="s", url=url, title="", licence="MIT")
        for text, url in zip(
            many(12), [*urls, *(f"https://other/{n}" for n in range(8))], strict=True
        )
    ]
    path = tmp_path / "opt-out.txt"
    path.write_text(f"# asked for\n*://*.example.com/*\nother/*\nz/?\n\n{made[5].id}\n")
    settings = PrepareSettings(min_characters=1, opt_out=str(path))
    outcome, out = run_prepare(settings, corpus=make_corpus(*made))
    assert outcome.dropped == {"on the opt-out list": 4}
    left = {document.url for document in read_documents(out)}
    assert {urls[0], urls[2], urls[3], made[5].url}.isdisjoint(left)
    assert urls[1] in left
