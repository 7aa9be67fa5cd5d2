"""Log-probabilities and what changes them, over the wire with the openai client."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import openai
import pytest
import torch
from openai import OpenAI
from running_server import NAME, Server, openai_client, running

from modelwright.inference.sampling import SamplingParams

TEXT = "The quick 世界"
QUESTION = [{"role": "user", "content": "Who jumps?"}]


def complete(client: OpenAI, **options: Any) -> Any:
    body = {"model": NAME, "prompt": TEXT, "max_tokens": 6, "temperature": 0, **options}
    return client.completions.create(**body)


def chat(client: OpenAI, **options: Any) -> Any:
    body = {"model": NAME, "messages": QUESTION, "max_tokens": 8, "temperature": 0, **options}
    return client.chat.completions.create(**body)


def prompt_ids(server: Server) -> list[int]:
    return server.engine.tokenizer.encode(TEXT)


def said(server: Server, prompt: list[int], length: int) -> list[int]:
    """What the model says on, by an engine of its own."""
    engine = type(server.engine)(server.engine.model, server.engine.tokenizer)
    return engine.generate([prompt], SamplingParams(length, temperature=0))[0].tokens


@torch.inference_mode()
def logs(server: Server, tokens: list[int]) -> torch.Tensor:
    """Of every next token, by one forward pass (T, V)."""
    logits = server.engine.model(torch.tensor([tokens]))[0]
    return logits[:, : server.engine.tokenizer.vocabulary_size].log_softmax(-1)


def texts(server: Server, ids: list[int]) -> list[str]:
    found = []
    for id in ids:
        data = server.engine.tokenizer.token_bytes(id)
        try:
            found.append(data.decode())
        except UnicodeDecodeError:
            found.append("bytes:" + "".join(f"\\x{byte:02x}" for byte in data))
    return found


def test_a_prompt_is_scored_as_evaluations_ask_for_it(client: OpenAI, server: Server) -> None:
    ids = prompt_ids(server)
    answer = complete(client, prompt=[ids], echo=True, logprobs=2, max_tokens=1)
    found, expected = answer.choices[0].logprobs, logs(server, ids)
    whole = [*ids, *said(server, ids, 1)]
    assert found.tokens == texts(server, whole)
    assert found.token_logprobs[0] is None
    assert found.top_logprobs[0] is None
    for place, token in enumerate(whole[1:]):
        value = found.token_logprobs[place + 1]
        assert value == pytest.approx(float(expected[place, token]), abs=1e-4)
        best = found.top_logprobs[place + 1]
        assert len(best) == 2
        assert max(best.values()) == pytest.approx(float(expected[place].max()), abs=1e-4)
    assert answer.choices[0].text.startswith(TEXT)
    assert answer.usage.prompt_tokens == len(ids)


def test_a_text_is_scored_behind_the_beginning_of_a_document(
    client: OpenAI, server: Server
) -> None:
    ids = prompt_ids(server)
    end = {str(server.engine.tokenizer.end_of_text): 100}  # what would follow does not matter
    answer = complete(client, echo=True, logprobs=0, max_tokens=0, logit_bias=end)
    choice, expected = answer.choices[0], logs(server, [server.engine.tokenizer.end_of_text, *ids])
    assert (choice.text, choice.finish_reason) == (TEXT, "length")
    assert choice.logprobs.tokens == texts(server, ids)
    assert choice.logprobs.top_logprobs == [{} for _ in ids]
    for place, (token, value) in enumerate(zip(ids, choice.logprobs.token_logprobs, strict=True)):
        assert value == pytest.approx(float(expected[place, token]), abs=1e-4)
    assert answer.usage.completion_tokens == 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens == len(ids) + 1


def test_a_prompt_that_fills_the_context_is_scored(client: OpenAI, server: Server) -> None:
    length = server.engine.context_length
    ids = (prompt_ids(server) * length)[:length]
    answer = complete(client, prompt=[ids], echo=True, logprobs=1, max_tokens=0)
    found, expected = answer.choices[0].logprobs, logs(server, ids)
    assert len(found.token_logprobs) == length
    for place, token in enumerate(ids[1:]):
        value = found.token_logprobs[place + 1]
        assert value == pytest.approx(float(expected[place, token]), abs=1e-4)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens == length
    for more in ({"prompt": [[*ids, 1]], "max_tokens": 0}, {"prompt": [ids], "max_tokens": 1}):
        with pytest.raises(openai.BadRequestError, match=f"context.*{length}") as caught:
            complete(client, echo=True, logprobs=1, **more)
        assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(("echo", "as_ids"), [(False, False), (True, False), (True, True)])
def test_offsets_are_places_in_the_text(
    client: OpenAI, server: Server, echo: bool, as_ids: bool
) -> None:
    options: dict[str, Any] = {"prompt": [prompt_ids(server)]} if as_ids else {}
    options |= {"logprobs": 1, "max_tokens": 30, "temperature": 2, "seed": 3}
    choice = complete(client, echo=echo, **options).choices[0]
    found = choice.logprobs
    assert found.text_offset == sorted(found.text_offset)
    whole = [place for place, token in enumerate(found.tokens) if not token.startswith("bytes:")]
    assert len(whole) > 5
    for place in whole:
        token, offset = found.tokens[place], found.text_offset[place]
        if "\ufffd" not in choice.text[: offset + len(token)]:
            assert choice.text[offset : offset + len(token)] == token or offset == len(choice.text)


@pytest.mark.parametrize("options", [{"logprobs": 3}, {"logprobs": 1, "echo": True, "n": 2}])
def test_streamed_logprobs_equal_those_that_are_not(
    client: OpenAI, options: dict[str, Any]
) -> None:
    asked = {"temperature": 1.2, "seed": 4, "max_tokens": 25, **options}
    choices = complete(client, **asked).choices
    streamed: dict[int, list[Any]] = {}
    for chunk in complete(client, stream=True, **asked):
        for choice in chunk.choices:
            streamed.setdefault(choice.index, []).append(choice)
    assert len(streamed) == len(choices)
    for whole in choices:
        parts = streamed[whole.index]
        assert "".join(part.text for part in parts) == whole.text
        for name in ("tokens", "top_logprobs", "token_logprobs", "text_offset"):
            pieces = [one for part in parts for one in getattr(part.logprobs, name)]
            assert pieces == getattr(whole.logprobs, name)


def test_chat_answers_have_theirs_too(client: OpenAI, server: Server) -> None:
    choice = chat(client, logprobs=True, top_logprobs=3).choices[0]
    prompt = server.engine.tokenizer.encode_chat(QUESTION, add_generation_prompt=True)
    answer = said(server, prompt, 8)
    content, expected = choice.logprobs.content, logs(server, prompt + answer)[len(prompt) - 1 :]
    assert [bytes(one.bytes) for one in content] == [
        server.engine.tokenizer.token_bytes(id) for id in answer
    ]
    for one, token, row in zip(content, answer, expected, strict=False):
        assert one.logprob == pytest.approx(float(row[token]), abs=1e-4)
        assert one.token == bytes(one.bytes).decode(errors="replace")
        assert [top.logprob for top in one.top_logprobs] == pytest.approx(
            row.topk(3).values.tolist(), abs=1e-4
        )
    plain = chat(client, logprobs=True).choices[0].logprobs.content
    assert [one.top_logprobs for one in plain] == [[] for _ in content]
    pieces = [
        one
        for chunk in chat(client, logprobs=True, top_logprobs=3, stream=True)
        for part in chunk.choices
        if part.logprobs
        for one in part.logprobs.content
    ]
    assert pieces == content
    assert chat(client).choices[0].logprobs is None


def test_the_token_that_ends_an_answer_is_not_shown(scripted: Callable[..., Any]) -> None:
    engine, _ = scripted("fox")
    with running(engine) as server, openai_client(server) as client:
        choice = chat(client, logprobs=True).choices[0]
    assert "".join(one.token for one in choice.logprobs.content) == choice.message.content == "fox"


def test_a_bias_decides(client: OpenAI, server: Server) -> None:
    token = server.engine.tokenizer.encode("x")[0]
    assert chat(client, logit_bias={str(token): 100}).choices[0].message.content == "x" * 8
    first = said(server, [server.engine.tokenizer.end_of_text, *prompt_ids(server)], 1)[0]
    without = complete(client, logit_bias={str(first): -100}, logprobs=0).choices[0]
    assert without.logprobs.tokens[0] not in texts(server, [first])


def test_penalties_forbid_repeating(client: OpenAI, server: Server) -> None:
    token = server.engine.tokenizer.encode("x")[0]
    bias = {str(token): 30}
    assert complete(client, logit_bias=bias, max_tokens=20).choices[0].text == "x" * 20
    for penalty in ({"presence_penalty": 2}, {"frequency_penalty": 2}):
        plain = logs(server, [server.engine.tokenizer.end_of_text, *prompt_ids(server)])[-1]
        lead = float(plain.max() - plain[token])
        bias = {str(token): math.ceil(lead) + 0.5}
        text = complete(client, logit_bias=bias, max_tokens=20, **penalty).choices[0].text
        assert text.startswith("x")
        assert text.count("x") < 20


def test_extensions_are_honoured(scripted: Callable[..., Any]) -> None:
    engine, script = scripted("fox")
    script.ids += [script.ids[0]] * 20
    with running(engine) as server, openai_client(server) as client:
        long = chat(client, extra_body={"ignore_eos": True}, max_tokens=9)
        least = chat(client, extra_body={"min_tokens": 8}, max_tokens=9)
    assert long.usage.completion_tokens == 9
    assert least.usage.completion_tokens >= 8
    assert {long.choices[0].finish_reason, least.choices[0].finish_reason} == {"length"}


def test_the_best_of_several_is_the_likeliest(client: OpenAI) -> None:
    options: dict[str, Any] = {"temperature": 1.5, "seed": 9, "logprobs": 0, "max_tokens": 12}
    every = complete(client, n=5, **options).choices

    def likelihood(choice: Any) -> float:
        values = choice.logprobs.token_logprobs
        return sum(values) / len(values)

    wanted = [one.text for one in sorted(every, key=likelihood, reverse=True)[:2]]
    best = complete(client, n=2, best_of=5, **options)
    assert [one.text for one in best.choices] == wanted
    assert [one.index for one in best.choices] == [0, 1]
    plain = complete(client, n=2, best_of=5, **{**options, "logprobs": None})
    assert [one.text for one in plain.choices] == wanted
    assert plain.choices[0].logprobs is None
