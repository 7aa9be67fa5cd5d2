"""Tokens over HTTP: as the model is given them, and as evaluators ask for them."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI
from running_server import CONTEXT, NAME, Server

TEXT = "The quick 世界 👩‍👩‍👧‍👦"
MESSAGES = [{"role": "user", "content": "Who <|im_end|> jumps?"}]


def post(server: Server, path: str, **body: Any) -> Any:
    return httpx.post(server.address + path, json=body)


def tokens(server: Server, **body: Any) -> Any:
    response = post(server, "/tokenize", **body)
    assert response.status_code == 200, response.text
    found = response.json()
    assert found["count"] == len(found["tokens"])
    assert found["max_model_len"] == CONTEXT
    return found


def test_a_text_is_what_completions_continue(server: Server, client: OpenAI) -> None:
    found = tokens(server, prompt=TEXT)["tokens"]
    tokenizer = server.engine.tokenizer
    assert found == [tokenizer.end_of_text, *tokenizer.encode(TEXT)]
    answer = client.completions.create(model=NAME, prompt=TEXT, max_tokens=1)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(found)
    assert tokens(server, prompt=TEXT, add_special_tokens=False)["tokens"] == found[1:]


def test_a_conversation_is_what_the_model_answers(server: Server) -> None:
    tokenizer = server.engine.tokenizer
    for opens in (True, False):
        found = tokens(server, messages=MESSAGES, add_generation_prompt=opens)["tokens"]
        assert found == tokenizer.encode_chat(MESSAGES, add_generation_prompt=opens)
    assert tokens(server, messages=MESSAGES) == tokens(
        server, messages=MESSAGES, add_generation_prompt=True
    )


def test_names_of_control_tokens_are_parsed_where_that_is_wanted(server: Server) -> None:
    end = server.engine.tokenizer.decode_special([server.engine.tokenizer.end_of_text])
    body = {"prompt": end, "add_special_tokens": False}
    assert tokens(server, **body)["tokens"] == [server.engine.tokenizer.end_of_text]
    assert len(tokens(server, parse_special=False, **body)["tokens"]) > 1


def test_there_and_back(server: Server) -> None:
    found = tokens(server, prompt=TEXT, return_token_strs=True)
    assert len(found["token_strs"]) == found["count"]
    back = post(server, "/detokenize", tokens=found["tokens"]).json()
    assert back == {"prompt": found["token_strs"][0] + TEXT}


@pytest.mark.parametrize(
    ("path", "body", "problem"),
    [
        ("/tokenize", {}, "either prompt or messages"),
        ("/tokenize", {"prompt": "a", "messages": MESSAGES}, "either prompt or messages"),
        ("/tokenize", {"messages": MESSAGES, "parse_special": True}, "go with prompt"),
        ("/tokenize", {"prompt": "a", "add_generation_prompt": True}, "goes with messages"),
        ("/tokenize", {"prompt": "a", "chat_template": "x"}, "'chat_template' is unknown"),
        ("/detokenize", {"tokens": [100_000]}, "100000, which is unknown"),
        ("/detokenize", {"tokens": [-1]}, "-1, which is unknown"),
        ("/detokenize", {"tokens": "a"}, "'tokens'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    server: Server, path: str, body: dict[str, Any], problem: str
) -> None:
    response = post(server, path, **body)
    assert response.status_code == 400
    assert problem in response.json()["error"]["message"]


def test_another_model_is_not_here(server: Server) -> None:
    assert post(server, "/tokenize", model="other", prompt="a").status_code == 404


def test_what_evaluators_ask_of_a_tokenizer(server: Server) -> None:
    found = httpx.get(server.address + "/tokenizer_info").json()
    tokenizer = server.engine.tokenizer
    assert found["vocab_size"] == tokenizer.vocabulary_size
    assert found["chat_template"] == tokenizer.template
    assert tokenizer.encode_special(found["eos_token"]) == [tokenizer.end_of_text]


def test_every_answer_has_the_id_of_its_request(server: Server) -> None:
    url = server.address + "/v1/models"
    assert httpx.get(url, headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = {httpx.get(url).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    for wrong in ("a b", "x" * 129, "<script>"):
        assert httpx.get(url, headers={"X-Request-Id": wrong}).headers["x-request-id"] != wrong
    refused = httpx.get(url, headers={"Host": "evil.example", "X-Request-Id": "mine-2"})
    assert (refused.status_code, refused.headers["x-request-id"]) == (403, "mine-2")
