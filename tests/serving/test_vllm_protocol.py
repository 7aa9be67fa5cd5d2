"""What vLLM is asked and how its answers are read; its process, as far as that needs no vLLM."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from test_server import serve_command

from modelwright.cli.serve import command
from modelwright.core.errors import UsageError
from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.structured import Structure, Structures
from modelwright.serving.hand_over.vllm_process import VllmOptions, VllmProcess, find_python
from modelwright.serving.hand_over.vllm_protocol import (
    UnreadableAnswerError,
    body_of,
    error_message,
    piece_of,
    structured_outputs,
)
from modelwright.tokens.tokenizer import Tokenizer

ENDS = (7, 8)

EVENT = {
    "choices": [
        {
            "index": 0,
            "text": "H",
            "logprobs": {
                "text_offset": [0],
                "token_logprobs": [-3.5],
                "tokens": ["token_id:39"],
                "top_logprobs": [{"token_id:39": -3.5, "token_id:196": -1.5, "token_id:2": -2.5}],
            },
            "finish_reason": "length",
            "token_ids": [39],
        }
    ]
}
"""In the shape of vLLM 0.32's events."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
pieces = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(
            st.dictionaries(
                st.sampled_from(["token_ids", "logprobs", "finish_reason", "prompt_logprobs"]),
                json_values,
            )
            | json_values
        )
    },
)


def test_a_request_says_everything_itself() -> None:
    params = SamplingParams(
        max_tokens=50, temperature=0.5, top_k=3, top_p=0.9, min_p=0.1, presence_penalty=1.0,
        frequency_penalty=-1.0, repetition_penalty=1.2, logit_bias={4: 2.0}, min_tokens=40,
        stop=("a", "b"), seed=3, alternatives=2,
    )  # fmt: skip
    assert body_of([1, 2], params, 30, ENDS) == {
        "model": "model", "prompt": [1, 2], "max_tokens": 30, "min_tokens": 30,
        "temperature": 0.5, "top_k": 3, "top_p": 0.9, "min_p": 0.1, "presence_penalty": 1.0,
        "frequency_penalty": -1.0, "repetition_penalty": 1.2, "logit_bias": {"4": 2.0},
        "stop": ["a", "b"], "stop_token_ids": [7, 8], "ignore_eos": False, "seed": 3,
        "stream": True, "return_token_ids": True, "logprobs": 2,
        "return_tokens_as_token_ids": True,
    }  # fmt: skip


def test_what_is_not_asked_for_is_off() -> None:
    body = body_of([1], SamplingParams(max_tokens=5, ignores_end=True), 9, ENDS)
    assert (body["top_k"], body["stop_token_ids"], body["ignore_eos"]) == (-1, [], True)
    assert not body.keys() & {"seed", "logit_bias", "logprobs", "structured_outputs"}


def test_tokens_that_the_tokenizer_does_not_know_are_never_drawn() -> None:
    params = SamplingParams(max_tokens=5, logit_bias={4: 2.0})
    body = body_of([1], params, 9, ENDS, range(10, 12))
    assert body["logit_bias"] == {"4": 2.0, "10": -100.0, "11": -100.0}


def test_the_figures_of_a_prompt_come_with_a_whole_answer() -> None:
    params = SamplingParams(max_tokens=1, alternatives=0, prompt_alternatives=1)
    assert body_of([5, 6], params, 9, ENDS)["stream"] is False
    choice = EVENT["choices"][0] | {
        "prompt_token_ids": [5, 6],
        "prompt_logprobs": [
            None,
            {"6": {"logprob": -7.0, "rank": 9}, "1": {"logprob": -2.0, "rank": 1}},
        ],
    }
    piece = piece_of({"choices": [choice]}, params)
    assert piece is not None
    assert piece.prompt_alternatives == [TokenLogProbability(6, -7.0, ((1, -2.0),))]
    assert piece.alternatives == [TokenLogProbability(39, -3.5, ())]


def test_the_likeliest_tokens_fall() -> None:
    piece = piece_of(EVENT, SamplingParams(max_tokens=1, alternatives=2))
    assert piece is not None
    assert (piece.tokens, piece.finish_reason) == ([39], "length")
    assert piece.alternatives == [TokenLogProbability(39, -3.5, ((196, -1.5), (2, -2.5)))]


@example({"choices": [{"token_ids": [None], "logprobs": None, "finish_reason": None}]}, None)
@given(json_values | pieces, st.none() | st.integers(0, 3))
def test_whatever_is_no_answer_is_said_to_be_none(content: object, wanted: int | None) -> None:
    params = SamplingParams(max_tokens=1, alternatives=wanted, prompt_alternatives=wanted)
    try:
        piece = piece_of(content, params)
    except UnreadableAnswerError:
        return
    assert piece is None or all(type(token) is int for token in piece.tokens)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_every_error_has_one_line(body: bytes) -> None:
    assert len(error_message(body).splitlines()) <= 1


@pytest.mark.parametrize(
    ("structure", "right", "wrong"),
    [
        (Structure.of("json_schema", {"type": "array", "items": {"type": "null"}}),
         "[null, null]", "[null,null]"),
        (Structure.of("choice", ["quick", 'a"b']), 'a"b', "slow"),
        (Structure.of("regex", "[a-c]+d"), "abcd", "abc!"),
        (Structure.of("grammar", 'start: "x" | "y"'), "y", "z"),
    ],
)  # fmt: skip
def test_forms_keep_their_meaning(
    model_folder: Path, structure: Structure, right: str, wrong: str
) -> None:
    tokenizer = Tokenizer.load(model_folder)
    ((form, text),) = structured_outputs(structure).items()
    assert form in ("regex", "grammar")

    def takes(asked: Structure, said: str) -> bool:
        matcher = Structures(tokenizer).matcher(asked)
        for token in [*tokenizer.encode(said), tokenizer.message_end]:
            if not (matcher.is_complete or matcher.allowed()[token]):
                return False
            matcher.consume(token)
        return True

    sent = Structure("regex" if form == "regex" else "grammar", text)
    for asked in (structure, sent):
        assert takes(asked, right)
        assert not takes(asked, wrong)


def test_an_environment_is_found_by_its_python_its_folder_or_its_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "env" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (folder / "vllm").write_text("#!/bin/sh\n")
    (folder / "vllm").chmod(0o755)
    for given_path in (folder / "python", folder / "vllm", tmp_path / "env"):
        assert find_python(given_path) == folder / "python"
    monkeypatch.setenv("PATH", str(folder))
    assert find_python(None) == folder / "python"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="not on the PATH"):
        find_python(None)
    with pytest.raises(UsageError, match="no Python"):
        find_python(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["--port 3", "--api_key=x", "--host", "--served-model-name x"])
def test_options_that_are_ours_are_not_passed_on(text: str, tmp_path: Path) -> None:
    options = VllmOptions(Path(sys.executable), text, tmp_path / "log")
    with pytest.raises(UsageError, match="set by this server"):
        VllmProcess(tmp_path, 4, options)


def test_a_process_that_ends_is_told_of_with_what_it_said(
    model_folder: Path, tmp_path: Path
) -> None:
    # The Python of the tests is a real one without vLLM.
    flags = ("--engine", "vllm", "--vllm", sys.executable, "--port", "0")
    log = tmp_path / "vllm.log"
    with serve_command(str(model_folder), *flags, "--vllm-log", str(log)) as (process, line):
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, line) == (1, "")
    assert "vLLM ended before it answered" in errors
    assert "No module named" in errors
    assert str(log) in errors
    assert "Traceback" not in errors
    assert "No module named" in log.read_text()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--engine", "vllm", "--speculate", "2"], "--speculate does not go with --engine vllm"),
        (["--engine", "vllm", "--model", "a=b"], "--model does not go"),
        (["--vllm-args", "x"], "--vllm-args does not go with --engine modelwright"),
    ],
)
def test_options_of_the_other_engine_are_refused(flags: list[str], said: str) -> None:
    result = CliRunner().invoke(command, ["somewhere", *flags])
    assert isinstance(result.exception, UsageError)
    assert said in result.exception.what
