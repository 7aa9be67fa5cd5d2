from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from modelwright.core.errors import InputError
from modelwright.training.rewards.isolated import IsolatedReward
from modelwright.training.rewards.regex import regex
from modelwright.training.rewards.reward import RewardError, Sample
from modelwright.training.rewards.settings import (
    ExactMatchReward,
    PythonReward,
    RegexReward,
)

SAMPLES = [Sample(f"question {n}", f"answer {n}", {"id": n, "answer": str(n)}) for n in range(3)]
SLEEP = ["sleep", "86399"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="the system has no timers")

FUNCTIONS = '''
import os
import subprocess
import sys
import time

import neighbour

CALLS = []


def good(samples):
    """Also says what it was given."""
    print("printed on standard output")
    os.write(1, b"and on its descriptor")
    CALLS.append(len(samples))
    assert sys.stdin.read() == ""
    return [float(s.row["answer"]) + neighbour.ONE if s.is_finished else None for s in samples]


def calls(samples):
    CALLS.append(len(samples))
    return [sum(CALLS)] * len(samples)


def numpy_values(samples):
    import numpy

    return numpy.arange(len(samples), dtype=numpy.float32)


def raises(samples):
    return [judge(sample) for sample in samples]


def judge(sample):
    if sample.row["id"] == 1:
        raise KeyError("a key")
    return 1.0


def several(samples):
    """Saves starting a process for each of those that follow."""
    return globals()[samples[0].row["do"]](samples)


def raises_at_once(samples):
    raise ValueError


def leaves(samples):
    sys.exit("enough")


def ends(samples):
    print("the last words", flush=True)
    os._exit(7)


def hangs_with_another(samples):
    subprocess.Popen(["sleep", "86399"])
    time.sleep(60)


def sleeps(samples):
    for sample in samples:
        if sample.row["id"] == 2:
            time.sleep(60)
    return [0.0] * len(samples)


def spins(samples):
    while True:
        try:
            while True:
                pass
        except Exception:
            pass


def hangs(samples):
    """Catches everything, as nothing should."""
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


def too_few(samples):
    return [1.0]


def one_number(samples):
    return 1.0


def text(samples):
    return "abc"


def mapping(samples):
    return {0: 1.0, 1: 1.0, 2: 1.0}


def bad_values(samples):
    return [float("nan"), "1.0", -float("inf")]


def more_bad_values(samples):
    return [[1.0], 10**400, object()]
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("functions")
    (found / "mine.py").write_text(FUNCTIONS, encoding="utf-8")
    (found / "neighbour.py").write_text("ONE = 1", encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def several(folder: Path) -> Iterator[IsolatedReward]:
    """One process for the functions that do not end it: the samples' rows say which."""
    reward = IsolatedReward(PythonReward(function="mine.py:several"), folder)
    yield reward
    reward.close()


def doing(name: str) -> list[Sample]:
    return [replace(sample, row={**sample.row, "do": name}) for sample in SAMPLES]


@pytest.fixture
def opened(folder: Path):
    """Open a function of the file above; closed at the end."""
    found = []

    def open_it(name: str, seconds: float = 60) -> IsolatedReward:
        found.append(
            IsolatedReward(PythonReward(function=f"mine.py:{name}", seconds=seconds), folder)
        )
        return found[-1]

    yield open_it
    for one in found:
        one.close()


def workers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "modelwright.training.rewards.worker" in process.cmdline()
    ]


def test_values_come_back_and_what_is_printed_does_not_matter(opened):
    samples = [*SAMPLES, Sample([{"role": "user", "content": "x"}], "", is_finished=False)]
    assert opened("good")(samples) == [1.0, 2.0, 3.0, None]


def test_the_process_is_kept_and_ended(opened):
    others = set(workers())
    reward = opened("calls")
    (worker,) = set(workers()) - others
    assert [reward(SAMPLES), reward(SAMPLES[:1])] == [[3.0] * 3, [4.0]]
    assert reward([]) == []
    assert worker in workers()
    reward.close()
    assert set(workers()) == others


def test_numbers_of_other_libraries_are_numbers(several):
    assert several(doing("numpy_values")) == [0.0, 1.0, 2.0]


def error_of(reward, samples=SAMPLES) -> RewardError:
    with pytest.raises(RewardError) as caught:
        reward(samples)
    assert caught.value.fix
    return caught.value


def test_a_function_that_raises_is_named_with_its_line_and_sample(opened, folder):
    reward = opened("raises")
    error = error_of(reward)
    assert error.what == "the reward raised KeyError: 'a key'"
    line = FUNCTIONS.split("\n").index('        raise KeyError("a key")') + 1
    assert error.where == (
        f"{folder / 'mine.py'}, line {line}, in judge; "
        "sample 2 of 3: id 1, prompt 'question 1', answer 'answer 1'"
    )
    assert reward(SAMPLES[:1]) == [1.0]  # in the same process


def test_where_the_sample_is_not_known_their_number_is_said(several):
    where = str(error_of(several, doing("raises_at_once")).where)
    assert where.endswith("in raises_at_once; one of 3 samples")
    assert "SystemExit: enough" in error_of(several, doing("leaves")).what


@posix
@pytest.mark.parametrize(
    ("name", "place"),
    [("sleeps", "in sleeps; sample 3 of 3: id 2"), ("spins", "in spins; one of 3 samples")],
)
def test_a_function_that_hangs_is_stopped_and_its_process_ended(opened, name, place):
    others = set(workers())
    reward = opened(name, seconds=0.3)
    (before,) = set(workers()) - others
    error = error_of(reward)
    assert error.what == "the reward took longer than 0.3 seconds and was stopped"
    assert place in str(error.where)
    assert reward(SAMPLES[:1]) == [0.0] if name == "sleeps" else error_of(reward)
    assert before not in workers()


def test_a_function_that_cannot_be_stopped_is_ended_with_its_process(opened):
    others = workers()
    started = time.monotonic()
    error = error_of(opened("hangs", seconds=0.2))
    assert "longer than 0.2 seconds, and its process was ended" in error.what
    assert "function hangs; 3 samples, sample 1 of 3: id 0" in str(error.where)
    assert time.monotonic() - started < 20
    assert workers() == others


@posix
def test_what_a_function_has_started_is_ended_with_it(opened):
    def sleepers() -> list[psutil.Process]:
        return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == SLEEP]

    assert sleepers() == []
    error_of(opened("hangs_with_another", seconds=0.3))
    _, alive = psutil.wait_procs(sleepers(), timeout=10)
    assert alive == []


def test_a_function_that_ends_its_process(opened):
    reward = opened("ends")
    for _ in range(2):
        error = error_of(reward)
        assert "ended (exit code 7); it printed last: the last words" in error.what


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("too_few", "1 values for 3 samples"),
        ("one_number", "1.0 instead of 3 values"),
        ("text", "'abc' instead of 3 values"),
        ("mapping", "instead of 3 values"),
    ],
)
def test_a_wrong_number_of_values(several, folder, name, given):
    error = error_of(several, doing(name))
    assert given in error.what
    assert f"{folder / 'mine.py'}, function several" in str(error.where)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("bad_values", ["nan", "'1.0'", "-inf"]),
        ("more_bad_values", ["[1.0]", "1000", "object"]),
    ],
)
def test_values_that_are_no_finite_numbers_are_errors_of_their_samples(several, name, shown):
    values = several(doing(name))
    assert all(isinstance(value, RewardError) for value in values)
    for number, value in enumerate(values):
        assert shown[number] in value.what
        assert f"function several, sample {number + 1} of 3: id {number}, prompt" in value.where


@pytest.mark.parametrize(
    ("content", "function", "problem", "where"),
    [
        (None, "f", "is not there", "user.py"),
        ("g = 1", "f", "no function 'f'", "user.py"),
        ("f = 1", "f", "no function 'f'", "user.py"),
        ("x = 1\nraise OSError('no')", "f", "raised OSError: no", "user.py, line 2"),
        ("def f(samples:\n    pass", "f", "raised SyntaxError", "user.py, line 1"),
        ("import no_such_module", "f", "raised ModuleNotFoundError", "user.py, line 1"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_an_error_when_it_is_opened(
    tmp_path, content, function, problem, where
):
    others = workers()
    if content is not None:
        (tmp_path / "user.py").write_text(content, encoding="utf-8")
    with pytest.raises((InputError, RewardError)) as caught:
        IsolatedReward(PythonReward(function=f"user.py:{function}"), tmp_path)
    assert problem in caught.value.what
    assert where in str(caught.value.where)
    assert workers() == others


@posix
def test_a_regular_expression_that_hangs_costs_the_sample_it_hangs_at(tmp_path, monkeypatch):
    monkeypatch.setattr("modelwright.training.rewards.isolated.PATTERN_SECONDS", 0.3)
    samples = [Sample("", "aaab"), Sample("", "a" * 40 + "c"), Sample("", "xb")]
    reward = IsolatedReward(RegexReward(pattern="(a+)+b"), tmp_path)
    values = reward(samples)
    reward.close()
    assert [values[0], values[2]] == [1.0, 0.0]
    assert isinstance(values[1], RewardError)
    assert "took longer than 0.3 seconds" in values[1].what
    assert "aaaa" in str(values[1].where)


@pytest.mark.parametrize(("whole", "expected"), [(False, [1.0, 1.0, 0.0]), (True, [1.0, 0.0, 0.0])])
def test_regex(whole, expected):
    reward = regex(RegexReward(pattern="(?i)yes", whole=whole))
    samples = [Sample("", text) for text in ("YES", "yes!", "")]
    assert reward(samples) == expected


def test_errors_of_rows_pass_through(tmp_path):
    reward = IsolatedReward(ExactMatchReward(pattern=r"\d"), tmp_path)
    values = reward([Sample("", "x2", {"answer": "2"}), Sample("", "x2")])
    reward.close()
    assert values[0] == 1.0
    assert isinstance(values[1], RewardError)
    assert "'answer' is missing" in values[1].what
