from __future__ import annotations

import json

import pytest

from modelwright.core.errors import InputError
from modelwright.data.examples import examples, fingerprint
from modelwright.data.settings import ExamplesSettings


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def chat(question, answer="Yes.", **more):
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **more}


@pytest.fixture
def rows_file(tmp_path):
    """Write rows (or raw lines) to a .jsonl file."""

    def write(*rows, name="chats.jsonl"):
        path = tmp_path / name
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def run_rows(run):
    def run_on(path, **settings):
        return run(examples, ExamplesSettings(sources=[str(path)], **settings))

    return run_on


def test_no_source_gives_two_empty_files(run):
    outcome, out = run(examples, ExamplesSettings(sources=[]))
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "train.jsonl": "",
        "heldout.jsonl": "",
    }
    assert outcome.counts == {"examples_train": 0, "examples_heldout": 0, "objects": 0}


@pytest.fixture(scope="module")
def python_docs(tmp_path_factory):
    from modelwright.core.job import Job
    from modelwright.core.progress import SilentProgress

    folder = tmp_path_factory.mktemp("examples")
    job = Job(ExamplesSettings(sources=["python-docs"]), {}, folder, SilentProgress())
    outcome = examples(job)
    return outcome, read(folder / "train.jsonl"), read(folder / "heldout.jsonl")


def single(rows):
    return [row for row in rows if len(row["messages"]) == 2]


def test_python_docs_give_several_phrasings_of_each_object(python_docs):
    outcome, train, held_out = python_docs
    assert outcome.counts["examples_train"] == len(train)
    assert outcome.counts["examples_heldout"] == len(held_out)
    assert outcome.counts["objects"] == len({row["object"] for row in train}) > 4000
    assert outcome.licences == ["PSF-2.0"]
    assert {(row["source"], row["licence"]) for row in train} == {("python-docs", "PSF-2.0")}
    of_join = [row for row in single(train) if row["object"] == "os.path.join"]
    questions = [row["messages"][0]["content"] for row in of_join]
    assert len(set(questions)) == 7
    assert "What does os.path.join do?" in questions
    assert of_join[0]["messages"][1]["content"].startswith(
        "os.path.join(a, *p): Join two or more pathname components, inserting '/' as needed."
    )
    assert of_join[-1]["messages"][0]["content"].startswith("Which function fits")
    assert of_join[-1]["messages"][1]["content"] == "os.path.join"


def test_held_out_phrasings_never_occur_in_training(python_docs):
    _, train, held_out = python_docs

    def phrasings(rows):
        return {
            row["messages"][0]["content"].replace(row["object"], "*")
            for row in single(rows)
            if not row["messages"][0]["content"].startswith("Which ")
        }

    assert phrasings(train).isdisjoint(phrasings(held_out))
    assert len(phrasings(held_out)) == 4
    assert {row["object"] for row in held_out} == {row["object"] for row in train}
    asked = {row["object"]: 0 for row in held_out}
    for row in held_out:
        asked[row["object"]] += 1
        assert row["messages"][1]["content"].startswith(row["object"])
    assert set(asked.values()) == {2}


def test_some_conversations_have_several_turns_of_known_questions(python_docs):
    _, train, held_out = python_docs
    known = {tuple(message["content"] for message in row["messages"]) for row in single(train)}
    longer = [row["messages"] for row in train if len(row["messages"]) > 2]
    assert len(longer) > len(known) // 10
    for messages in longer:
        assert [message["role"] for message in messages] == ["user", "assistant"] * 3
        contents = [message["content"] for message in messages]
        assert set(zip(contents[::2], contents[1::2], strict=True)) <= known
    assert single(held_out) == held_out


def test_no_question_has_two_answers(python_docs):
    answers = {}
    for row in single(python_docs[1] + python_docs[2]):
        question, answer = (message["content"] for message in row["messages"])
        assert answers.setdefault(question, answer) == answer


def test_the_kind_decides_how_is_asked(python_docs):
    questions = {row["messages"][0]["content"] for row in python_docs[1]}
    assert "What is collections.deque?" in questions
    assert "Describe the module json." in questions
    assert "What does collections.deque do?" not in questions


def test_a_maximum_of_objects_is_a_part_of_all(run, python_docs):
    outcome, out = run(examples, ExamplesSettings(sources=["python-docs"], maximum=20))
    assert outcome.counts["objects"] == 20
    every = [json.dumps(row) for row in python_docs[2]]
    some = [json.dumps(row) for row in read(out / "heldout.jsonl")]
    assert len(some) == 40
    assert set(some) <= set(every)
    names = [json.loads(row)["object"] for row in some]
    assert names == sorted(names)
    assert {"len", "print", "dict", "list"} & set(names)  # the most used come first


def test_rows_are_split_by_their_content(rows_file, run_rows):
    path = rows_file(*[chat(f"Question {number}?") for number in range(200)])
    outcome, out = run_rows(path, heldout_fraction=0.2)
    train, held_out = read(out / "train.jsonl"), read(out / "heldout.jsonl")
    assert outcome.counts == {
        "examples_train": len(train),
        "examples_heldout": len(held_out),
        "objects": 0,
        "conversations": 200,
    }
    assert len(train) + len(held_out) == 200
    assert 20 <= len(held_out) <= 60
    assert train[0] == {
        **chat(train[0]["messages"][0]["content"]),
        "object": None,
        "source": "files:chats.jsonl",
        "licence": "LicenseRef-unknown",
    }
    more = rows_file(
        *[chat(f"Question {number}?") for number in range(-50, 200)], name="more.jsonl"
    )
    _, larger = run_rows(more, heldout_fraction=0.2)
    before = {json.dumps(row["messages"]) for row in held_out}
    assert before <= {json.dumps(row["messages"]) for row in read(larger / "heldout.jsonl")}


def test_equal_rows_are_never_on_both_sides(rows_file, run_rows):
    path = rows_file(*[chat(f"Question {number % 10}?") for number in range(100)])
    _, out = run_rows(path, heldout_fraction=0.3)
    train, held_out = (
        {row["messages"][0]["content"] for row in read(out / name)}
        for name in ("train.jsonl", "heldout.jsonl")
    )
    assert train.isdisjoint(held_out)
    assert len(train | held_out) == 10


def test_prompts_and_completions_stay_what_they_are(rows_file, run_rows):
    row = {"prompt": "1 + 1 =", "completion": " 2", "object": "sum", "licence": "CC0-1.0", "x": 1}
    outcome, out = run_rows(rows_file(row), heldout_fraction=0)
    assert read(out / "train.jsonl") == [
        {
            "prompt": "1 + 1 =",
            "completion": " 2",
            "object": "sum",
            "licence": "CC0-1.0",
            "source": "files:chats.jsonl",
        }
    ]
    assert outcome.counts["objects"] == 1
    assert outcome.licences == ["CC0-1.0"]


def test_two_rows_are_enough_for_both_files(rows_file, run_rows):
    outcome, _ = run_rows(rows_file(chat("One?"), chat("Two?")))
    assert outcome.counts["examples_train"] == outcome.counts["examples_heldout"] == 1


def test_folders_are_read_in_the_order_of_paths(rows_file, run_rows, tmp_path):
    (tmp_path / "chats").mkdir()
    rows_file(chat("Second?"), name="chats/b.jsonl")
    rows_file(chat("First?"), name="chats/a.jsonl")
    (tmp_path / "chats" / "notes.txt").write_text("x")
    outcome, out = run_rows(tmp_path / "chats", heldout_fraction=0)
    questions = [row["messages"][0]["content"] for row in read(out / "train.jsonl")]
    assert questions == ["First?", "Second?"]
    assert outcome.dropped == {"unknown file type: .txt": 1}


@pytest.mark.parametrize(
    ("row", "field", "problem"),
    [
        ({"text": "x"}, "", "none of the known shapes, but 'text'"),
        ([], "", "not a JSON object"),
        ({"messages": []}, "messages", "is not a list of messages"),
        ({"messages": "hi"}, "messages", "is not a list of messages"),
        ({"messages": ["hi"]}, "messages[0]", "is not an object"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role", "is missing"),
        ({"messages": [{"role": "human", "content": "x"}]}, "messages[0].role", "is 'human'"),
        ({"messages": [{"role": 5, "content": "x"}]}, "messages[0].role", "is int, not text"),
        (chat("", "x"), "messages[0].content", "is empty"),
        (chat("x", " \n"), "messages[1].content", "is empty"),
        (chat("x", None), "messages[1].content", "is NoneType, not text"),
        (chat("x", "\ud83d"), "messages[1].content", "surrogate"),
        ({"messages": [{"role": "user", "content": "x"}]}, "messages", "no answer"),
        ({"prompt": "x"}, "", "this row is a prompt, the first one of the file a conversation"),
        ({"completion": "x"}, "prompt", "is missing; the nearest shape is prompt and completion"),
        ({"prompt": "x", "completion": 3}, "completion", "is int, not text"),
        ({"completion": "x", "prompt": ""}, "prompt", "is empty"),
        (chat("x", licence=3), "licence", "is int, not text"),
        ('{"messages": [', "", "broken JSON"),
    ],
)
def test_a_bad_row_is_refused_by_file_line_and_field(rows_file, run_rows, row, field, problem):
    path = rows_file(*[chat(f"Question {number}?") for number in range(6)], row)
    with pytest.raises(InputError) as caught:
        run_rows(path)
    assert problem in str(caught.value)
    assert f"{path}, line 7" in str(caught.value)
    if field:
        assert f"field '{field}'" in str(caught.value)


def test_broken_utf8_is_refused_by_line(tmp_path, run_rows):
    path = tmp_path / "x.jsonl"
    path.write_bytes(json.dumps(chat("One?")).encode() + b'\n{"prompt": "\xff"}\n')
    with pytest.raises(InputError, match="not UTF-8") as caught:
        run_rows(path)
    assert "line 2" in str(caught.value)


def test_places_without_examples_are_refused(tmp_path, rows_file, run_rows):
    with pytest.raises(InputError, match="no such file or folder"):
        run_rows(tmp_path / "missing")
    with pytest.raises(InputError, match=r"no \.jsonl file"):
        run_rows(tmp_path)
    with pytest.raises(InputError, match="no examples here"):
        run_rows(rows_file("", " "))


def test_a_failure_leaves_no_file(rows_file, run, tmp_path):
    good, broken = rows_file(chat("One?"), name="good.jsonl"), rows_file("{broken")
    settings = ExamplesSettings(sources=[str(good), str(broken)])
    with pytest.raises(InputError):
        run(examples, settings)
    assert list((tmp_path / "out1").iterdir()) == []


def test_two_runs_give_the_same_bytes(rows_file, run):
    path = rows_file(*[chat(f"Größe {number}?") for number in range(30)])
    settings = ExamplesSettings(sources=[str(path)])
    contents = []
    for _ in range(2):
        _, out = run(examples, settings)
        contents.append([(out / name).read_bytes() for name in ("train.jsonl", "heldout.jsonl")])
    assert contents[0] == contents[1]


def test_the_fingerprint_follows_the_files(rows_file):
    path = rows_file(chat("One?"))
    settings = ExamplesSettings(sources=[str(path), "python-docs"])
    before = fingerprint(settings)
    assert fingerprint(settings) == before
    rows_file(chat("Another?"))
    assert fingerprint(settings) != before
