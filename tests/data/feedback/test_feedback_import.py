import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_feedback import FEEDBACK, all_kinds

from modelwright.core.errors import InputError
from modelwright.data.feedback.read import read_feedback
from modelwright.data.feedback.record import Answer, Choice, Correction, Message, Rating, Thumb

USER = [Message(role="user", content="Why?")]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "feedback.jsonl"


def test_pairs(file: Path) -> None:
    said = [{"role": "assistant", "content": "yes"}]
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    write(
        file,
        {"prompt": "Why?", "chosen": "yes", "rejected": "no"},
        {"prompt": prompt, "chosen": said, "rejected": "no", "chosen_model": "m", "person": "ana"},
    )
    first, second = read_feedback(file).feedback
    assert isinstance(first, Choice)
    assert (first.prompt, first.winner, first.left, first.source) == (USER, 0, None, "import")
    assert first.answers == [Answer(text="yes"), Answer(text="no")]
    assert [message.role for message in second.prompt] == ["system", "user"]
    assert second.answers == [Answer(text="yes", model="m"), Answer(text="no")]
    assert second.person == "ana"


def test_labels_ratings_and_corrections(file: Path) -> None:
    about = {"prompt": "Why?", "completion": "no", "model": "m", "comment": "hm"}
    write(
        file,
        {**about, "label": True},
        {**about, "rating": 4, "scale": [1, 5], "created": "2026-01-01T00:00:00Z"},
        {**about, "correction": "yes"},
    )
    thumb, rating, correction = read_feedback(file, "bo").feedback
    assert isinstance(thumb, Thumb)
    assert isinstance(rating, Rating)
    assert isinstance(correction, Correction)
    assert (thumb.up, thumb.person, thumb.comment) == (True, "bo", "hm")
    assert (rating.value, rating.low, rating.high) == (4, 1, 5)
    assert rating.created == "2026-01-01T00:00:00.000+00:00"
    assert correction.better == "yes"
    assert {one.answer for one in (thumb, rating, correction)} == {Answer(text="no", model="m")}


def test_a_person_is_only_filled_in_where_none_is_named(file: Path) -> None:
    row = {"prompt": "Why?", "completion": "no", "label": True}
    write(file, {**row, "person": "ana"}, {**row, "person": ""}, row)
    assert [one.person for one in read_feedback(file, "bo").feedback] == ["ana", "bo", "bo"]


def test_fields_that_mean_nothing_are_counted(file: Path) -> None:
    row = {"prompt": "Why?", "completion": "no", "label": True}
    write(file, {**row, "id": 1}, {**row, "id": 2, "margin": 1.5}, row)
    assert read_feedback(file).unused == {"id": 2, "margin": 1}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FEEDBACK, min_size=1, max_size=4))
def test_an_export_is_read_as_it_was(file: Path, made: list) -> None:
    write(file, *(one.model_dump() for one in made))
    assert read_feedback(file).feedback == made


GOOD = {"prompt": "Why?", "chosen": "yes", "rejected": "no"}
LABEL = {"prompt": "Why?", "completion": "no", "label": True}


@pytest.mark.parametrize(
    ("row", "where", "what"),
    [
        ([1], "line 2", "not a JSON object"),
        ({}, "line 2", "only nothing"),
        ({"messages": []}, "line 2", "an example to learn from, but no feedback"),
        ({"prompt": "x", "chozen": "y"}, "line 2", "no feedback: only 'prompt', 'chozen'"),
        ({**GOOD, "label": True}, "line 2", "more than one kind of feedback"),
        ({"prompt": "x", "chosen": "y"}, "field 'rejected'", "is missing"),
        ({"chosen": "x", "rejected": "y"}, "field 'prompt'", "is missing"),
        ({**GOOD, "chosen": ""}, "field 'chosen'", "is empty"),
        ({**GOOD, "chosen": 5}, "field 'chosen'", "string"),
        ({**GOOD, "chosen": [{"role": "user", "content": "x"}]}, "field 'chosen'", "assistant"),
        ({**GOOD, "prompt": None}, "field 'prompt'", "list"),
        ({**GOOD, "prompt": [{"role": "user"}]}, "field 'prompt[0].content'", "is missing"),
        ({**GOOD, "prompt": " "}, "field 'prompt[0].content'", "is empty"),
        ({**LABEL, "label": 1}, "field 'label'", "boolean"),
        ({**LABEL, "completion": None}, "field 'completion'", "string"),
        ({"prompt": "x", "completion": "y", "rating": 3}, "field 'scale'", "is missing"),
        (
            {"prompt": "x", "completion": "y", "rating": 9, "scale": [1, 5]},
            "line 2",
            "9 is not between 1 and 5",
        ),
        (
            {"prompt": "x", "completion": "y", "rating": 10**400, "scale": [1, 5]},
            "line 2",
            "",
        ),
        ({"kind": "applause", "prompt": "x"}, "line 2", "applause"),
        ({"kind": ["thumb"], "prompt": "x"}, "line 2", ""),
        ({**all_kinds()[3].model_dump(), "winner": 2}, "field 'winner'", "less than or equal to 1"),
        ({**all_kinds()[0].model_dump(), "mood": 2}, "field 'mood'", "not permitted"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(
    file: Path, row: object, where: str, what: str
) -> None:
    write(file, GOOD, row, GOOD)
    with pytest.raises(InputError) as caught:
        read_feedback(file)
    assert what in caught.value.what
    assert caught.value.where.startswith(f"{file}, line 2")
    assert caught.value.where.endswith(where)
    assert "one JSON object to a line" in caught.value.fix


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "no rows here"),
        (b"\n\n", "no rows here"),
        (b'{"prompt": "x"', "broken JSON"),
        (b"[" * 100_000, "broken JSON"),
        (b'{"prompt": "\xff"}', "not UTF-8"),
        (b"\x1f\x8b\x08\x00\xff", "not UTF-8"),
    ],
)
def test_a_file_that_is_none(file: Path, content: bytes, what: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match=what):
        read_feedback(file)
    with pytest.raises(InputError, match="no such file"):
        read_feedback(file.parent / "missing.jsonl")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = (
    "kind", "prompt", "chosen", "rejected", "completion", "label", "rating", "scale",
    "correction", "messages", "person", "created", "comment", "answers", "winner", "role",
)  # fmt: skip


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(["thumb", "choice"])))
def test_any_row_is_read_or_refused(file: Path, row: dict) -> None:
    write(file, row)
    refusal = None
    try:
        assert len(read_feedback(file).feedback) == 1
    except InputError as error:
        refusal = error
    assert refusal is None or (str(file) in str(refusal.where) and refusal.fix)


def test_real_votes(file: Path, shared_data: Path) -> None:
    """Each row of PandaLM's test set as one choice of each of three people."""
    path = shared_data / "pandalm" / "pairs.jsonl.gz"
    rows = []
    for line in gzip.decompress(path.read_bytes()).splitlines():
        row = json.loads(line)
        answers = [row["response_1"], row["response_2"]]
        if not all(isinstance(answer, str) for answer in answers):
            continue
        prompt = "\n".join(filter(None, (row["instruction"], row["input"])))
        for person, vote in enumerate(row["votes"]):
            rows.append(
                {
                    "kind": "choice",
                    "prompt": prompt,
                    "answers": [{"text": answer} for answer in answers],
                    "winner": None if vote == 0 else vote - 1,
                    "person": str(person),
                }
            )
    write(file, *rows)
    assert len(read_feedback(file).feedback) == len(rows) == 3 * 835
