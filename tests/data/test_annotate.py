from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from modelwright.core.artifact import Artifact, Manifest, open_artifact
from modelwright.core.errors import InputError
from modelwright.core.job import Job
from modelwright.core.progress import SilentProgress
from modelwright.data import annotate as annotate_module
from modelwright.data.annotate import annotate, fingerprint
from modelwright.data.annotation.identity import content_hash, document_key
from modelwright.data.annotation.parts import PartMaker, plan_parts, split_by_bytes
from modelwright.data.corpus import CorpusWriter, Document, new_document, read_documents
from modelwright.data.parquet import RowGroup
from modelwright.data.settings import AnnotateSettings

WORDS = "storm river stone lamp quiet forest window letter silver horse garden answer".split()  # noqa: SIM905
ALONE = AnnotateSettings(workers=1)


def text_of(number: int) -> str:
    """A text of its own for each number, with an e-mail address in some."""
    chosen = random.Random(number).choices(WORDS, k=60)
    address = f" someone{number}@mail.org" if number % 7 == 0 else ""
    return " ".join(chosen) + address


def documents(numbers: Sequence[int]) -> list[Document]:
    return [
        new_document(text_of(n), source="test", url=f"page/{n}", title=f"T{n}", licence="MIT")
        for n in numbers
    ]


def write_corpus(folder: Path, made: Sequence[Document], group_bytes: int = 4000) -> Artifact:
    folder.mkdir()
    with CorpusWriter(folder, group_bytes=group_bytes) as writer:
        for document in made:
            writer.write(document)
    return open_artifact(folder, "corpus")


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., Path]:
    number = 0

    def run(
        corpus: Artifact,
        settings: AnnotateSettings = ALONE,
        previous: Artifact | None = None,
    ) -> Path:
        nonlocal number
        number += 1
        folder = tmp_path / f"annotated{number}"
        folder.mkdir()
        job = Job(settings, {"corpus": corpus}, folder, SilentProgress(), previous=previous)
        outcome = annotate(job)
        assert outcome.counts["documents_in"] == outcome.counts["documents_out"] + sum(
            outcome.dropped.values()
        )
        return folder

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "scratch" not in path.parts
    }


def as_previous(folder: Path, settings: AnnotateSettings = ALONE) -> Artifact:
    """The result of the stage as the runner would hand it to the next run."""
    parts = {"settings": settings.decisive(), "outside": fingerprint(settings)}
    manifest = Manifest(
        kind="corpus", id="a", stage="annotate", created="", code_version="", digest="d",
        key_parts=parts,
    )  # fmt: skip
    return Artifact(folder, manifest)


def test_every_document_is_there_with_its_scores(tmp_path, score):
    made = documents(range(40))
    out = score(write_corpus(tmp_path / "c", made))
    frame = pl.read_parquet(out / "*.parquet")
    assert sorted(frame["id"]) == sorted(document.id for document in made)
    assert frame["id"].is_sorted()
    row = frame.row(by_predicate=pl.col("url") == "page/7", named=True)
    assert row["text"] == text_of(7)
    assert row["personal_email"] == 1
    assert row["language"] == "en"
    assert row["words"] == 61
    assert row["characters"] == len(text_of(7))
    assert row["content"] == content_hash(text_of(7))
    assert row["cluster"] is None


def test_the_order_of_the_input_the_workers_and_the_memory_do_not_show(tmp_path, score):
    made = documents(range(300))
    first = contents(score(write_corpus(tmp_path / "a", made)))
    shuffled = random.Random(5).sample(made, len(made))
    other = write_corpus(tmp_path / "b", shuffled, group_bytes=9000)
    assert contents(score(other, AnnotateSettings(workers=2, memory="64 MB"))) == first


def test_little_memory_means_several_buckets_and_the_same_bytes(tmp_path, score, monkeypatch):
    corpus = write_corpus(tmp_path / "a", documents(range(300)))
    first = contents(score(corpus))
    monkeypatch.setattr(annotate_module, "SORTED_COPIES", 2**15)
    assert annotate_module._bits(100_000, 2**31) >= 1
    assert contents(score(corpus)) == first


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (range(200), range(202)),
        (range(200), range(10, 200)),
        (range(100), range(50, 150)),
        (range(50), range(100, 150)),
    ],
    ids=["added", "removed", "both", "all others"],
)
def test_scores_of_known_documents_are_copied_and_equal_a_rebuild(tmp_path, score, before, now):
    old = score(write_corpus(tmp_path / "old", [*documents(before), *documents_like(before)]))
    corpus = write_corpus(tmp_path / "new", [*documents(now), *documents_like(now)])
    assert contents(score(corpus, previous=as_previous(old))) == contents(score(corpus))


def documents_like(numbers: Sequence[int]) -> list[Document]:
    """Near-duplicates of some of the documents of these numbers."""
    return [
        new_document(f"{text_of(n)} {n}", source="copy", url=f"copy/{n}", title="", licence="MIT")
        for n in numbers
        if n % 5 == 0
    ]


def test_known_documents_are_not_scored_again(tmp_path, score, monkeypatch):
    old = score(write_corpus(tmp_path / "old", documents(range(60))))
    scored = []
    monkeypatch.setattr(
        "modelwright.data.annotation.scores.score_rules",
        lambda texts, *rest: scored.extend(texts) or original(texts, *rest),
    )
    from modelwright.data.rules.score import score_rules as original

    score(write_corpus(tmp_path / "new", documents(range(62))), previous=as_previous(old))
    assert sorted(scored) == sorted(map(text_of, (60, 61)))


def test_a_changed_text_under_the_same_id_is_scored_anew(tmp_path, score):
    made = documents(range(30))
    old = score(write_corpus(tmp_path / "old", made))
    changed = [replace(made[0], text="something else entirely was written here"), *made[1:]]
    corpus = write_corpus(tmp_path / "new", changed)
    assert contents(score(corpus, previous=as_previous(old))) == contents(score(corpus))


def test_another_title_of_a_known_document_is_taken_over(tmp_path, score):
    made = documents(range(30))
    old = score(write_corpus(tmp_path / "old", made))
    corpus = write_corpus(tmp_path / "new", [replace(one, title="new") for one in made])
    out = score(corpus, previous=as_previous(old))
    assert {document.title for document in read_documents(out)} == {"new"}
    assert contents(out) == contents(score(corpus))


def test_other_settings_copy_nothing(tmp_path, score):
    corpus = write_corpus(tmp_path / "c", documents(range(30)))
    fewer = AnnotateSettings(workers=1, scores=["language"])
    old = score(corpus, fewer)
    out = score(corpus, previous=as_previous(old, fewer))
    assert contents(out) == contents(score(corpus))


def test_parts_of_a_killed_run_are_used(tmp_path, monkeypatch):
    corpus = write_corpus(tmp_path / "c", documents(range(200)))
    (tmp_path / "out").mkdir()
    job = Job(ALONE, {"corpus": corpus}, tmp_path / "out", SilentProgress())
    made = []
    make = PartMaker.__call__

    def killed_at_the_third(self, task):
        if not task.target.exists():
            made.append(task.target.name)
            if len(made) == 3:
                raise KeyboardInterrupt
        return make(self, task)

    monkeypatch.setattr(PartMaker, "__call__", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        annotate(job)
    annotate(job)
    assert len(made) == len(set(made)) + 1  # only the one that was cut off is made twice
    monkeypatch.undo()
    (tmp_path / "again").mkdir()
    annotate(replace(job, folder=tmp_path / "again"))
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


def test_a_document_that_is_listed_twice_is_there_once(tmp_path, score):
    made = documents(range(10))
    out = score(write_corpus(tmp_path / "c", [*made, *made[:3]]))
    assert len(list(read_documents(out))) == 10


def test_one_id_for_two_texts_is_refused(tmp_path, score):
    first, second = documents(range(2))
    corpus = write_corpus(tmp_path / "c", [first, replace(second, id=first.id)])
    with pytest.raises(InputError, match="two different documents have the id"):
        score(corpus)


def test_near_duplicates_have_one_cluster_named_after_the_smallest(tmp_path, score):
    made = [*documents(range(20)), *documents_like(range(20))]
    out = score(write_corpus(tmp_path / "c", made))
    frame = pl.read_parquet(out / "*.parquet").filter(pl.col("cluster").is_not_null())
    assert len(frame) == 8
    for (cluster,), members in frame.group_by("cluster"):
        assert cluster == min(members["id"])
        assert len({url.split("/")[1] for url in members["url"]}) == 1


def test_texts_without_words_are_like_their_equals_only(tmp_path, score):
    marks = [
        new_document(text, source="s", url=str(number), title="", licence="MIT")
        for number, text in enumerate(["!!!", "!!!", "???", "..."])
    ]
    out = score(write_corpus(tmp_path / "c", [*marks, *documents(range(5))]))
    clusters = {one["url"]: one["cluster"] for one in pl.read_parquet(out / "*.parquet").to_dicts()}
    assert clusters["0"] == clusters["1"] is not None
    assert clusters["2"] is clusters["3"] is None


def test_a_corpus_of_another_tool_is_scored(tmp_path, score):
    folder = tmp_path / "foreign"
    folder.mkdir()
    pl.DataFrame({"text": [text_of(1), text_of(2)], "n": [1.5, 2.5]}).write_parquet(
        folder / "x.parquet"
    )
    out = score(open_artifact(folder, "corpus"))
    assert sorted(document.text for document in read_documents(out)) == sorted(map(text_of, (1, 2)))


def test_an_empty_corpus_is_refused(tmp_path, score):
    with pytest.raises(InputError, match="no document"):
        score(write_corpus(tmp_path / "c", []))


def test_ids_that_are_no_numbers_have_keys_of_their_own():
    assert document_key("00000000000000ff") == 255
    assert document_key("00000000000000FF") != 255
    assert len({document_key(f"doc-{n}") for n in range(1000)}) == 1000


def test_plans_cover_every_row_group_once(tmp_path):
    for count in (1, 63, 200, 5000):
        groups = [RowGroup(tmp_path, number, 1, 1) for number in range(count)]
        tasks = plan_parts(groups, tmp_path)
        assert [group for task in tasks for group in task.groups] == groups


def test_frames_are_cut_by_the_bytes_of_their_texts():
    frame = pl.DataFrame({"text": ["aaaa", "bb", "cc", "d" * 50, "e"]})
    pieces = [piece["text"].to_list() for piece in split_by_bytes(frame, 6)]
    assert pieces == [["aaaa", "bb"], ["cc"], ["d" * 50], ["e"]]
