"""The figures of the data report, held against plain counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from surveyed import EMAIL, EVIL, KEY, QUESTION, documents, make_run

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.core.progress import SilentProgress
from modelwright.data.corpus import DROPPED, DroppedDocument, read_dropped, write_dropped
from modelwright.data.frames import FrameWriter, corpus_groups
from modelwright.data.personal_data.kinds import KINDS
from modelwright.data.preparation.reasons import OptOut, Reasons
from modelwright.data.settings import PrepareSettings
from modelwright.data.survey.clusters import difference
from modelwright.data.survey.criteria import criteria_of
from modelwright.data.survey.excerpts import MASK, in_context, masked, one_line, short
from modelwright.data.survey.figures import Survey
from modelwright.data.survey.histograms import Bins, log_bins, number_bins, unit_bins
from modelwright.data.survey.inputs import parent_of
from modelwright.data.survey.judged import ROWS, Judged
from modelwright.data.survey.survey import survey

Run = tuple[Artifact, Artifact]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def found(run: Run) -> Survey:
    return survey(*run, parent_of(run[0]), SilentProgress())


def frame_of(artifact: Artifact) -> pl.DataFrame:
    return pl.read_parquet(artifact.path / "documents-*.parquet")


def test_what_came_in_is_what_is_kept_and_what_was_dropped(run: Run, found: Survey) -> None:
    dropped = Counter(one.reason for one in read_dropped(run[1].path / DROPPED))
    assert {one.name: one.documents for one in found.reasons} == dropped
    assert found.whole.documents == len(documents())
    assert found.whole.documents == found.whole.kept_documents + dropped.total()
    assert found.whole.kept_documents == frame_of(run[1]).height
    assert found.whole.bytes == sum(len(one.text.encode()) for one in documents())
    assert {"near-duplicate", "overlaps an evaluation set"} <= dropped.keys()
    for groups in found.groups.values():
        assert sum(one.documents for one in groups.values()) == found.whole.documents
        assert sum(one.kept_bytes for one in groups.values()) == found.whole.kept_bytes
    assert found.lengths.counts.sum(axis=1).tolist() == [
        found.whole.kept_documents,
        dropped.total(),
    ]
    assert found.share_alike == {"CC-BY-SA-4.0"}
    assert (found.replaced, found.replaced_in) == (0, 0)
    assert found.collected is not None
    assert [(one.reason, one.number) for one in found.collected] == [("damaged PDF", 1)]


def test_every_criterion_counts_as_the_prepare_stage_compares(run: Run, found: Survey) -> None:
    frame = frame_of(run[0])
    ids = set(frame_of(run[1])["id"])
    for one in found.criteria:
        of = one.criterion
        assert of.threshold is not None
        scores = frame.select(of.score.cast(pl.Float64)).to_series()
        fails = scores < of.threshold if of.fails == "below" else scores > of.threshold
        assert one.fails == fails.sum()
        assert one.fails_kept == frame.filter(fails & frame["id"].is_in(list(ids))).height
        assert one.dropped <= one.fails
        assert not of.active or one.fails_kept == 0
        assert one.histogram.counts.sum(axis=1).tolist() == [len(scores) - one.fails, one.fails]
        for shown, side in ((one.near_passing, ~fails), (one.near_failing, fails)):
            away = (scores.filter(side) - of.threshold).abs().sort().head(3)
            assert [abs(each.score - of.threshold) for each in shown] == away.to_list()


def test_the_names_are_the_reasons_of_the_prepare_stage(run: Run) -> None:
    settings = PrepareSettings(rules=["web"], languages=["en"], min_quality=0.5)
    available = frozenset([*frame_of(run[0]).columns, "quality"])
    reasons = {name for name, _ in Reasons(settings, available, OptOut())._tests()}
    active = {one.name for one in criteria_of(settings, available) if one.active}
    assert reasons - active == {"on the opt-out list", "another language"}
    assert active <= reasons


def test_clusters_with_the_kept_document_first(found: Survey) -> None:
    sizes = [(one.smallest, one.clusters, one.documents) for one in found.size_classes]
    assert sizes == [(3, 1, 3)]
    (cluster,) = found.clusters
    kept, *others = cluster.members
    assert kept.reason is None
    assert kept.excerpt.url == "page/32"
    assert {one.reason for one in others} == {"near-duplicate"}
    assert all(one.difference for one in others)


def test_personal_data_is_counted_and_never_shown(run: Run, found: Survey) -> None:
    by_name = {one.name: one for one in found.personal}
    assert by_name.keys() == {kind.name for kind in KINDS}
    email, key = by_name["email"], by_name["aws_key"]
    assert (email.found, email.documents, email.redacted) == (1, 1, 1)
    assert key.found == 1
    assert [piece.text for piece in email.examples[0].pieces if piece.marked] == ["j" + MASK + "g"]
    everything = repr(found)
    assert EMAIL not in everything
    assert KEY not in everything


def test_overlaps_come_with_their_words(found: Survey) -> None:
    (one,) = found.overlapping
    assert one.words[0][0] == "questions.jsonl"
    assert one.words[0][1] == QUESTION
    assert one.shown.score == len(QUESTION.split()) - 12


def test_missing_evaluation_sets_leave_only_the_words_out(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (tmp_path / "questions.jsonl").unlink()
    (one,) = survey(*run, None, SilentProgress()).overlapping
    assert one.words == ()


def test_folders_that_do_not_belong_together_are_refused(run: Run, tmp_path: Path) -> None:
    annotated, prepared = make_run(tmp_path, made=documents()[:31])
    with pytest.raises(InputError, match="not prepared from"):
        survey(run[0], prepared, None, SilentProgress())
    with pytest.raises(InputError, match="not prepared from"):
        survey(annotated, run[1], None, SilentProgress())
    with pytest.raises(InputError, match="made by 'prepare'"):
        survey(prepared, prepared, None, SilentProgress())
    manifest = prepared.manifest.model_copy(update={"dropped": {"other": 1}})
    with pytest.raises(InputError, match="add up"):
        survey(annotated, Artifact(prepared.path, manifest), None, SilentProgress())
    judged = Judged(corpus_groups(annotated.path), run[1].path)
    with pytest.raises(InputError, match="not prepared from"):
        list(judged.frames({}))
    (prepared.path / DROPPED).unlink()
    with pytest.raises(InputError, match="no list of what was dropped"):
        survey(annotated, prepared, None, SilentProgress())


def test_both_files_are_read_side_by_side_in_pieces(tmp_path: Path) -> None:
    rows = 2 * ROWS + 77
    frame = pl.DataFrame({"id": [f"{n:08d}" for n in range(rows)], "text": ["x"] * rows})
    with FrameWriter(tmp_path, {"id": "text", "text": "text"}) as writer:
        writer.write(frame)
    gone = [n for n in range(rows) if n % 3 == 0 or n > 2 * ROWS]
    write_dropped(
        tmp_path / DROPPED, (DroppedDocument(f"{n:08d}", "", f"reason {n % 2}") for n in gone)
    )
    judged = pl.concat(Judged(corpus_groups(tmp_path), tmp_path).frames({}))
    assert judged["row"].to_list() == list(range(rows))
    assert judged.filter(pl.col("reason").is_not_null())["row"].to_list() == gone


@given(
    st.sampled_from(
        [log_bins(), unit_bins(10), number_bins(0.3, "above"), number_bins(3, "below")]
    ),
    st.floats(0, 1e12),
)
def test_every_value_is_in_the_bin_of_its_edges(bins: Bins, value: float) -> None:
    number = int(bins.index(np.array([value]))[0])
    slack = 1e-6 * max(1.0, bins.edge(number))
    assert bins.edge(number) <= value + slack
    assert number == bins.number - 1 or value < bins.edge(number + 1) + slack


@given(st.floats(0.001, 50), st.sampled_from(["above", "below"]))
def test_a_threshold_stands_on_an_edge(threshold: float, fails: str) -> None:
    bins = number_bins(threshold, fails)
    place = float(bins.place(np.array([threshold]))[0])
    assert abs(place - round(place)) < 1e-6
    assert place < bins.number


@given(st.text(max_size=60), st.integers(2, 40))
def test_snippets_are_short_and_printable(text: str, most: int) -> None:
    shown = short(text, most)
    assert len(shown) <= most
    assert shown == one_line(shown)
    assert all(ord(one) >= 32 for one in shown)


def test_masks_and_the_words_around_them() -> None:
    assert masked("12345") == MASK
    assert masked("secret-value") == "s" + MASK + "e"
    text = f"Ask {EMAIL} or {EMAIL.replace('j', 'k', 1)} for it."
    first, value, after = in_context(text, "email")
    assert (first.text, value.text) == ("…Ask ", "j" + MASK + "g")
    assert after.text == f" or {MASK} for it.…"
    assert in_context(text, "phone") == ()


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_a_difference_is_empty_only_for_equal_words(first: list[str], other: list[str]) -> None:
    pieces = difference(first, other)
    assert (pieces == ()) is (first == other)
    assert first == other or any(piece.marked for piece in pieces)


def test_hostile_characters_are_taken_out(found: Survey) -> None:
    shown = [shown.excerpt for one in found.criteria for shown in one.near_passing]
    assert EVIL in {one.name for one in shown} or EVIL in found.groups["source"]
    assert "\x00" not in repr(shown)
    assert one_line("a\x00\x1b\tb") == "a\ufffd\ufffd b"
