"""Embeddings and nearness of texts, by the openai client."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
import torch
from openai import OpenAI
from running_server import CONTEXT, NAME, Server

TEXTS = ["The quick", "世界", "fox", "The quick brown fox. " * 4]


@torch.inference_mode()
def wanted(server: Server, ids: list[int]) -> torch.Tensor:
    """One text alone, without padding."""
    mean = server.engine.model.hidden_states(torch.tensor([ids]))[0].mean(dim=0)
    return mean / mean.norm()


def test_they_are_mean_hidden_states_of_length_one(client: OpenAI, server: Server) -> None:
    tokenizer = server.engine.tokenizer
    answer = client.embeddings.create(model=NAME, input=TEXTS)  # in base64, as the client wants
    assert [one.index for one in answer.data] == [0, 1, 2, 3]
    ids = [[tokenizer.end_of_text, *tokenizer.encode(text)] for text in TEXTS]
    for one, tokens in zip(answer.data, ids, strict=True):
        torch.testing.assert_close(torch.tensor(one.embedding), wanted(server, tokens))
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(map(len, ids))


def test_all_forms_of_input(client: OpenAI, server: Server) -> None:
    ids = server.engine.tokenizer.encode("fox")
    alone = client.embeddings.create(model=NAME, input="fox", encoding_format="float").data
    assert len(alone) == 1
    same = client.embeddings.create(model=NAME, input=["fox"]).data[0].embedding
    assert same == pytest.approx(alone[0].embedding, abs=1e-6)
    by_ids = client.embeddings.create(model=NAME, input=ids).data[0].embedding
    assert by_ids == client.embeddings.create(model=NAME, input=[ids]).data[0].embedding
    torch.testing.assert_close(torch.tensor(by_ids), wanted(server, ids))


def test_more_texts_than_are_embedded_at_once(client: OpenAI) -> None:
    many = client.embeddings.create(model=NAME, input=TEXTS * 9).data
    assert len(many) == 36
    for index, one in enumerate(many):
        assert one.embedding == pytest.approx(many[index % 4].embedding, abs=1e-5)


def test_nearness(client: OpenAI, server: Server) -> None:
    vectors = [one.embedding for one in client.embeddings.create(model=NAME, input=TEXTS).data]

    def score(first: Any, second: Any) -> list[float]:
        body = {"model": NAME, "text_1": first, "text_2": second}
        answer = httpx2.post(server.address + "/score", json=body)
        assert answer.status_code == 200, answer.text
        return [one["score"] for one in answer.json()["data"]]

    def product(first: int, second: int) -> float:
        return sum(a * b for a, b in zip(vectors[first], vectors[second], strict=True))

    assert score(TEXTS[0], TEXTS[0]) == pytest.approx([1.0])
    assert score(TEXTS[0], TEXTS[1:]) == pytest.approx([product(0, n) for n in (1, 2, 3)], abs=1e-5)
    assert score(TEXTS[:2], TEXTS[2:]) == pytest.approx([product(0, 2), product(1, 3)], abs=1e-5)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("a" * 5 * CONTEXT, "context holds"),
        ([[]], "neither a text nor a list"),
        ([[100_000]], "which is unknown"),
        ([], "empty"),
    ],
)
def test_what_cannot_be_embedded_is_refused(client: OpenAI, value: Any, problem: str) -> None:
    with pytest.raises(openai.BadRequestError, match=problem):
        client.embeddings.create(model=NAME, input=value)


def test_dimensions_cannot_be_chosen(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model=NAME, input="a", dimensions=3)


def test_numbers_of_texts_must_fit(server: Server) -> None:
    body = {"model": NAME, "text_1": ["a", "b"], "text_2": ["a", "b", "c"]}
    answer = httpx2.post(server.address + "/score", json=body)
    assert (answer.status_code, "cannot be compared" in answer.text) == (400, True)
