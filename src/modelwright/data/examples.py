"""The examples stage: what to fine-tune and align on, and what is held out of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from modelwright.core.examples import FORMS, HELD_OUT, PLURALS, TRAIN, Form, Row, form_of
from modelwright.core.files import atomic_open, sha256_bytes, sha256_json
from modelwright.core.job import Job, Outcome
from modelwright.core.progress import Progress
from modelwright.data.drops import Drops
from modelwright.data.example_files import fingerprint_rows
from modelwright.data.example_rows import read_rows
from modelwright.data.questions import (
    Turn,
    held_out_questions,
    training_conversations,
    training_questions,
)
from modelwright.data.settings import ExamplesSettings
from modelwright.data.sources.python_docs import LICENCE, PythonDocsReader
from modelwright.data.sources.settings import (
    PYTHON_DOCS,
    ExampleSource,
    FeedbackExamples,
    JsonlExamples,
    PythonDocsSource,
)
from modelwright.data.split import hold_out

Example = tuple[bool, Row]
"""Whether it is held out, and the row."""


def examples(job: Job[ExamplesSettings]) -> Outcome:
    """Write ``train.jsonl`` and ``heldout.jsonl``; both stay empty if there is no source.

    Raises
    ------
    InputError
        If a source is not there, or a row of it is not as it should be.
    """
    drops = Drops(job.progress.note)
    counts = {False: 0, True: 0}
    forms = Counter[Form | None]()
    objects: set[str] = set()
    licences: set[str] = set()
    with ExitStack() as stack:
        files: dict[bool, IO[Any]] = {
            is_held_out: stack.enter_context(atomic_open(job.folder / name, "w"))
            for is_held_out, name in ((False, TRAIN), (True, HELD_OUT))
        }
        for is_held_out, row in _all_examples(job.settings, job.progress, drops):
            files[is_held_out].write(json.dumps(row, ensure_ascii=False) + "\n")
            counts[is_held_out] += 1
            forms[form_of(row)] += 1
            licences.add(row["licence"])
            if row["object"] is not None:
                objects.add(row["object"])
    return Outcome(
        counts={
            "examples_train": counts[False],
            "examples_heldout": counts[True],
            "objects": len(objects),
            **{PLURALS[form]: forms[form] for form in FORMS if forms[form]},
        },
        dropped=drops.counts,
        licences=sorted(licences),
    )


def fingerprint(settings: ExamplesSettings) -> str:
    """Hash of what the sources hold, without reading them.

    Raises
    ------
    InputError
        If a file or folder is not there.
    """
    return sha256_json([_fingerprint(source) for source in settings.sources])


def _fingerprint(source: ExampleSource) -> object:
    match source:
        case JsonlExamples():
            return fingerprint_rows(Path(source.path))
        case FeedbackExamples():
            from modelwright.data.feedback.source import fingerprint_feedback  # loads sqlalchemy

            return fingerprint_feedback(source)
        case PythonDocsSource():
            return PythonDocsReader().fingerprint()


def _all_examples(
    settings: ExamplesSettings, progress: Progress, drops: Drops
) -> Iterator[Example]:
    for source in settings.sources:
        match source:
            case JsonlExamples():
                yield from _from_rows(source, settings, progress, drops)
            case FeedbackExamples():
                yield from _from_feedback(source, settings, drops)
            case PythonDocsSource():
                yield from _from_python_docs(settings, progress, drops)


def _from_rows(
    source: JsonlExamples, settings: ExamplesSettings, progress: Progress, drops: Drops
) -> Iterator[Example]:
    with progress.task("check examples", None, "rows") as task:
        keys, unused = list[str](), set[str]()
        for _, row in read_rows(source, settings.bad_rows, drops, unused):
            keys.append(_content_key(row))
            task.update(len(keys))
    if unused:
        progress.note(f"  fields that are not used: {', '.join(sorted(unused))}")
    held_out = hold_out(keys, settings.seed, settings.heldout_fraction)
    # Read once more rather than kept: the rows may be larger than the memory.
    with progress.task("write examples", len(keys), "rows") as task:
        rows = read_rows(source, settings.bad_rows, Drops(lambda text: None), set())
        for number, (is_held_out, (_, row)) in enumerate(zip(held_out, rows, strict=True), 1):
            yield is_held_out, row
            task.update(number)


def _from_feedback(
    source: FeedbackExamples, settings: ExamplesSettings, drops: Drops
) -> Iterator[Example]:
    from modelwright.data.feedback.source import read_feedback_rows  # loads sqlalchemy

    rows = read_feedback_rows(source, settings.bad_rows, drops)
    keys = [_content_key(row) for row in rows]
    yield from zip(hold_out(keys, settings.seed, settings.heldout_fraction), rows, strict=True)


def _from_python_docs(
    settings: ExamplesSettings, progress: Progress, drops: Drops
) -> Iterator[Example]:
    with progress.task("read the Python documentation", None, "objects") as task:
        reader = PythonDocsReader()
        if settings.maximum is None:
            entries = reader.entries(drops)
        else:
            entries = reader.most_used_entries(settings.maximum, drops)
        task.update(len(entries))
    asked = list(training_questions(entries))
    for turn in asked:
        yield False, _conversation([turn])
    for turns in training_conversations(asked, settings.seed):
        yield False, _conversation(turns)
    for turn in held_out_questions(entries):
        yield True, _conversation([turn])


def _conversation(turns: Sequence[Turn]) -> Row:
    """A row; its object is what the last question is about."""
    return {
        "messages": [
            {"role": role, "content": content}
            for _, question, reply in turns
            for role, content in (("user", question), ("assistant", reply))
        ],
        "object": turns[-1][0].name,
        "source": PYTHON_DOCS,
        "licence": LICENCE,
    }


def _content_key(row: Row) -> str:
    """What decides whether a row is held out: answers to one prompt are never on both sides."""
    match form_of(row):
        case "conversation":
            content = row["messages"]
        case "completion":
            content = [row["prompt"], row["completion"]]
        case _:
            content = row["prompt"]
    return sha256_bytes(json.dumps(content, ensure_ascii=False).encode())
