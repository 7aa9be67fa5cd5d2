"""The page's server over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from running_compare import ANSWERS, MODELS, comparison_of, prompts, serving, table_in
from running_server import wait_until

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.sampling import SamplingParams
from modelwright.serving.comparing.generated_answers import GeneratedAnswers


@pytest.fixture
def table(tmp_path: Path) -> Iterator[FeedbackTable]:
    table = table_in(tmp_path)
    yield table
    table.close()


@pytest.fixture
def address(table: FeedbackTable) -> Iterator[str]:
    with serving(comparison_of(table)) as address:
        yield address


def judge(address: str, number: object, verdict: object) -> httpx2.Response:
    return httpx2.post(f"{address}/judge", json={"number": number, "verdict": verdict})


def test_names_are_told_at_the_end_only(address: str) -> None:
    answers = [httpx2.get(address), httpx2.get(f"{address}/state")]
    for number in (0, 1):
        answers.append(judge(address, number, "left"))
    assert not any(name in answer.text for answer in answers[:1] for name in MODELS)
    for answer in answers[1:]:
        # The answers in this test name their models, to know them by; nothing else may.
        shown = answer.json()
        for side in ("left", "right"):
            assert shown["pair"].pop(side)
        assert not any(name in str(shown) for name in MODELS)
    last = judge(address, 3, "right").json()
    assert last["pair"] is None
    assert (last["done"], last["total"]) == (4, 4)
    duel = last["result"]["duel"]
    assert (duel["first"], duel["second"]) == MODELS
    assert duel["wins"] + duel["losses"] == duel["rate"]["total"] == 3
    assert last["result"]["left"]["count"] == 2


def test_a_pair_is_shown_whole(address: str) -> None:
    state = httpx2.get(f"{address}/state").json()
    assert state["pair"]["prompt"] == [{"role": "user", "content": "Question 0?"}]
    assert {state["pair"]["left"], state["pair"]["right"]} == set(ANSWERS[0])
    assert (state["done"], state["can_undo"], state["result"]) == (0, False, None)


def test_undo(address: str, table: FeedbackTable) -> None:
    judge(address, 0, "tie")
    assert len(table.read()) == 1
    state = httpx2.post(f"{address}/undo", json={"done": 1}).json()
    assert (state["done"], state["can_undo"], table.read()) == (0, False, [])
    # A second press that was under way takes back nothing more.
    judge(address, 0, "tie")
    judge(address, 1, "tie")
    assert httpx2.post(f"{address}/undo", json={"done": 1}).json()["done"] == 3


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"number": 1, "verdict": "left"}, 409, "not the one"),
        ({"number": 0, "verdict": "up"}, 400, "verdict"),
        ({"number": "0", "verdict": "left"}, 400, "number"),
        ({"number": -1, "verdict": "left"}, 400, "number"),
        ({"verdict": "left"}, 400, "number"),
        ({"number": 0, "verdict": "left", "person": "x"}, 400, "person"),
        ([], 400, "body"),
        ({"number": 0, "verdict": "x" * 5000}, 413, "larger"),
    ],
)
def test_what_is_not_a_verdict_is_refused(
    address: str, table: FeedbackTable, body: object, status: int, said: str
) -> None:
    answer = httpx2.post(f"{address}/judge", json=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert table.read() == []


def test_other_pages_and_other_names_are_kept_out(address: str, table: FeedbackTable) -> None:
    body = '{"number": 0, "verdict": "left"}'
    json_type = {"Content-Type": "application/json"}
    for headers, status in (
        ({**json_type, "Host": "evil.example"}, 403),
        ({**json_type, "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({**json_type, "Origin": address}, 200),
    ):
        answer = httpx2.post(f"{address}/judge", content=body, headers=headers)
        assert answer.status_code == status
    assert len(table.read()) == 1
    assert httpx2.get(f"{address}/state", headers={"Host": "evil.example"}).status_code == 403


def test_the_page_may_ask_nobody_else(address: str) -> None:
    answer = httpx2.get(address)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert httpx2.get(f"{address}/docs").status_code == 404


def test_two_models_write_ahead(
    model_folder: Path, other_folder: Path, table: FeedbackTable
) -> None:
    asked = prompts(3)
    params = SamplingParams(12, temperature=1.0)
    with GeneratedAnswers((model_folder, other_folder), asked, params, seed=5) as answers:
        wait_until(lambda: answers.answers_of(2) is not None)
        texts = [answers.answers_of(number) for number in range(3)]
        comparison = comparison_of(table, answers.answers_of, asked=asked)
        with serving(comparison) as address:
            shown = httpx2.get(f"{address}/state").json()["pair"]
            assert {shown["left"], shown["right"]} == set(texts[0])
    with GeneratedAnswers((model_folder, other_folder), asked, params, seed=5) as again:
        wait_until(lambda: again.answers_of(2) is not None)
        assert [again.answers_of(number) for number in range(3)] == texts
    with GeneratedAnswers((model_folder, other_folder), asked, params, seed=6) as changed:
        wait_until(lambda: changed.answers_of(2) is not None)
        # Prompt 0 is drawn with seed 6 as prompt 1 was before; the prompts differ.
        assert [changed.answers_of(number) for number in range(3)] != texts
    assert len({text for pair in texts for text in pair}) > 3


def test_models_that_were_stopped_write_no_more(model_folder: Path, other_folder: Path) -> None:
    params = SamplingParams(200, temperature=1.0)
    asked = prompts(50)
    with GeneratedAnswers((model_folder, other_folder), asked, params, seed=0) as answers:
        answers.stop()
        wait_until(lambda: not answers._thread.is_alive())
        with pytest.raises(ModelwrightError, match="stopped writing"):
            answers.answers_of(49)


def test_a_prompt_that_does_not_fit_is_named_before_anything_is_written(
    model_folder: Path, other_folder: Path
) -> None:
    asked = prompts(2)
    asked[1][0] = asked[1][0].model_copy(update={"content": "x " * 3000})
    with pytest.raises(InputError, match=r"prompt 2 cannot be answered: .*context of 256"):
        GeneratedAnswers((model_folder, other_folder), asked, SamplingParams(8), seed=0)
