"""Checks of the API with the unmodified ``openai`` client.

python benchmarks/serving/conformance.py [--base-url URL [--model NAME] [--key KEY]]

Serves a small model of random weights and runs every check against it; with ``--base-url`` also
against another server, as ``transformers serve``. Prints a table of what passed. A check passes if
the server does what is asked for; a field that is ignored or refused fails. They run one after
the other, so that a server which hangs or breaks off fails those behind, too. Exit code 1 if one of
ours fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import openai
from openai import AsyncOpenAI, OpenAI
from random_server import NAME, make_model, serving

SECONDS = 40

Check = Callable[["Api"], None]

SCHEMA = {
    "type": "object",
    "properties": {"legs": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["legs"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "function": {"name": "count", "parameters": SCHEMA}}
QUESTION: Any = [{"role": "user", "content": "Who jumps?"}]


class Api:
    """One server through the client."""

    def __init__(self, base_url: str, model: str, key: str):
        self.model = model
        self.client = OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=SECONDS)
        self.asynchronous = AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, timeout=SECONDS
        )

    def chat(self, **options: Any) -> Any:
        """An answer to a question, of at most 8 tokens if nothing else is said."""
        body = {"model": self.model, "messages": QUESTION, "max_tokens": 8, **options}
        return self.client.chat.completions.create(**body)

    def text(self, **options: Any) -> Any:
        """A completion of at most 8 tokens if nothing else is said."""
        body = {"model": self.model, "prompt": "The", "max_tokens": 8, **options}
        return self.client.completions.create(**body)


def answer(api: Api) -> None:
    made = api.chat()
    assert made.object == "chat.completion"
    assert made.choices[0].message.role == "assistant"
    assert made.choices[0].finish_reason in ("stop", "length")


def usage_adds_up(api: Api) -> None:
    usage = api.chat().usage
    assert usage.prompt_tokens > 0
    assert usage.prompt_tokens + usage.completion_tokens == usage.total_tokens


def max_tokens(api: Api) -> None:
    assert api.chat(max_tokens=3).usage.completion_tokens <= 3


def max_completion_tokens(api: Api) -> None:
    body: Any = {"model": api.model, "messages": QUESTION, "max_completion_tokens": 3}
    assert api.client.chat.completions.create(**body).usage.completion_tokens <= 3


def greedy_repeats(api: Api) -> None:
    first, second = (api.chat(temperature=0).choices[0].message.content for _ in range(2))
    assert first == second


def seed_repeats(api: Api) -> None:
    texts = [api.chat(seed=seed, temperature=1).choices[0].message.content for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def several_choices(api: Api) -> None:
    made = api.chat(n=3, temperature=1)
    assert [choice.index for choice in made.choices] == [0, 1, 2]


def stop_ends_before_it(api: Api) -> None:
    whole = api.chat(temperature=0, max_tokens=20).choices[0].message.content
    middle = whole[len(whole) // 2 :][:2]
    made = api.chat(temperature=0, max_tokens=20, stop=[middle]).choices[0]
    assert made.message.content == whole[: whole.index(middle)]
    assert made.finish_reason == "stop"


def logprobs(api: Api) -> None:
    made = api.chat(logprobs=True).choices[0].logprobs.content
    assert made
    assert all(one.logprob <= 0 for one in made)


def top_logprobs(api: Api) -> None:
    made = api.chat(logprobs=True, top_logprobs=4, temperature=0).choices[0].logprobs.content
    for one in made:
        assert len(one.top_logprobs) == 4
        assert one.logprob == max(other.logprob for other in one.top_logprobs)


def logit_bias(api: Api) -> None:
    made = api.chat(logit_bias={"50": 100}, temperature=0, logprobs=True).choices[0]
    assert len({one.token for one in made.logprobs.content}) == 1


def frequency_penalty(api: Api) -> None:
    bias = {"50": 20, "51": 19.5}
    plain = api.chat(logit_bias=bias, temperature=0, logprobs=True).choices[0]
    other = api.chat(logit_bias=bias, temperature=0, logprobs=True, frequency_penalty=2).choices[0]
    assert plain.logprobs.content != other.logprobs.content


def presence_penalty(api: Api) -> None:
    bias = {"50": 20, "51": 19.5}
    plain = api.chat(logit_bias=bias, temperature=0, logprobs=True).choices[0]
    other = api.chat(logit_bias=bias, temperature=0, logprobs=True, presence_penalty=2).choices[0]
    assert plain.logprobs.content != other.logprobs.content


def stream_is_the_answer(api: Api) -> None:
    whole = api.chat(temperature=0).choices[0].message.content
    chunks = list(api.chat(temperature=0, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


def stream_with_usage(api: Api) -> None:
    chunks = list(api.chat(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def stream_without_usage(api: Api) -> None:
    assert all(getattr(chunk, "usage", None) is None for chunk in api.chat(stream=True))


def stream_of_several_choices(api: Api) -> None:
    chunks = list(api.chat(stream=True, n=2, temperature=1))
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}


def stream_with_logprobs(api: Api) -> None:
    chunks = list(api.chat(stream=True, logprobs=True))
    assert any(c.choices[0].logprobs and c.choices[0].logprobs.content for c in chunks if c.choices)


def json_object(api: Api) -> None:
    made = api.chat(response_format={"type": "json_object"}, max_tokens=400, seed=2).choices[0]
    if made.finish_reason == "stop":
        assert isinstance(json.loads(made.message.content), dict)
    else:
        assert made.message.content.lstrip().startswith("{")


def json_schema(api: Api) -> None:
    schema = {"name": "legs", "schema": SCHEMA, "strict": True}
    made = api.chat(response_format={"type": "json_schema", "json_schema": schema}, max_tokens=40)
    assert set(json.loads(made.choices[0].message.content)) == {"legs"}


def schema_that_cannot_be_enforced(api: Api) -> None:
    schema = {"name": "a", "schema": {"not": {"type": "string"}}}
    _refused(api, response_format={"type": "json_schema", "json_schema": schema})


def required_tool(api: Api) -> None:
    made = api.chat(tools=[TOOL], tool_choice="required", max_tokens=120).choices[0]
    (call, *_) = made.message.tool_calls
    assert call.function.name == "count"
    assert set(json.loads(call.function.arguments)) == {"legs"}


def named_tool(api: Api) -> None:
    choice = {"type": "function", "function": {"name": "count"}}
    made = api.chat(tools=[TOOL], tool_choice=choice, max_tokens=120).choices[0]
    assert made.message.tool_calls[0].function.name == "count"


def no_tool(api: Api) -> None:
    assert not api.chat(tools=[TOOL], tool_choice="none").choices[0].message.tool_calls


def streamed_tool(api: Api) -> None:
    chunks = list(api.chat(tools=[TOOL], tool_choice="required", max_tokens=120, stream=True))
    calls = [call for c in chunks if c.choices for call in c.choices[0].delta.tool_calls or []]
    json.loads("".join(call.function.arguments or "" for call in calls))
    assert calls[0].function.name == "count"


def content_in_parts(api: Api) -> None:
    parts: Any = [{"role": "user", "content": [{"type": "text", "text": "Who jumps?"}]}]
    one = api.chat(messages=parts, temperature=0).choices[0].message.content
    assert one == api.chat(temperature=0).choices[0].message.content


def developer_role(api: Api) -> None:
    assert api.chat(messages=[{"role": "developer", "content": "Be brief."}, *QUESTION]).choices


def completion(api: Api) -> None:
    made = api.text()
    assert made.object == "text_completion"
    assert made.usage.completion_tokens <= 8


def completions_of_several_prompts(api: Api) -> None:
    made = api.text(prompt=["The", "A"], n=2)
    assert [choice.index for choice in made.choices] == [0, 1, 2, 3]


def completion_of_ids(api: Api) -> None:
    assert api.text(prompt=[60, 61, 62]).usage.prompt_tokens == 3


def echo_with_logprobs(api: Api) -> None:
    made = api.text(prompt="The fox", echo=True, logprobs=1, max_tokens=1).choices[0]
    assert made.text.startswith("The fox")
    assert len(made.logprobs.token_logprobs) > 2


def streamed_completion(api: Api) -> None:
    whole = api.text(temperature=0).choices[0].text
    chunks = api.text(temperature=0, stream=True)
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole


def embeddings(api: Api) -> None:
    made = api.client.embeddings.create(model=api.model, input=["fox", "dog"])
    assert [one.index for one in made.data] == [0, 1]
    assert abs(sum(x * x for x in made.data[0].embedding) - 1) < 1e-3


def response(api: Api) -> None:
    made = api.client.responses.create(model=api.model, input="Who?", max_output_tokens=16)
    assert made.object == "response"
    assert made.usage is not None


def streamed_response(api: Api) -> None:
    events = list(
        api.client.responses.create(
            model=api.model, input="Who?", max_output_tokens=16, stream=True
        )
    )
    assert events[0].type == "response.created"
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert [event.sequence_number for event in events] == list(range(len(events)))


def models_are_listed(api: Api) -> None:
    assert api.model in [card.id for card in api.client.models.list().data]


def one_model(api: Api) -> None:
    assert api.client.models.retrieve(api.model).id == api.model


def unknown_model_is_404(api: Api) -> None:
    _raises(openai.NotFoundError, api.chat, model="no-such-model")


def wrong_value_is_400(api: Api) -> None:
    _refused(api, temperature=9)


def wrong_type_is_400(api: Api) -> None:
    _refused(api, max_tokens="many")


def unknown_field_is_400(api: Api) -> None:
    _refused(api, extra_body={"temprature": 1})


def no_messages_is_400(api: Api) -> None:
    _refused(api, messages=[])


def long_prompt_is_400(api: Api) -> None:
    _refused(api, messages=[{"role": "user", "content": "word " * 200_000}])


def request_id(api: Api) -> None:
    raw = api.client.chat.completions.with_raw_response.create(
        model=api.model, messages=QUESTION, max_tokens=2
    )
    assert raw.headers.get("x-request-id")


def many_at_once(api: Api) -> None:
    async def ask(number: int) -> str:
        made = await api.asynchronous.chat.completions.create(
            model=api.model, messages=QUESTION, max_tokens=8, temperature=0, seed=number
        )
        return made.choices[0].message.content or ""

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(ask(number) for number in range(8)))

    assert len(set(asyncio.run(all_of_them()))) == 1


def _refused(api: Api, **options: Any) -> None:
    _raises(openai.BadRequestError, api.chat, **options)


def _raises(kind: type[Exception], call: Callable[..., Any], **options: Any) -> None:
    try:
        call(**options)
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


CHECKS: list[Check] = [
    answer, usage_adds_up, max_tokens, max_completion_tokens, greedy_repeats, seed_repeats,
    several_choices, stop_ends_before_it, logprobs, top_logprobs, logit_bias, frequency_penalty,
    presence_penalty, stream_is_the_answer, stream_with_usage, stream_without_usage,
    stream_of_several_choices, stream_with_logprobs, json_object, json_schema,
    schema_that_cannot_be_enforced, required_tool, named_tool, no_tool, streamed_tool,
    content_in_parts, developer_role, completion, completions_of_several_prompts, completion_of_ids,
    echo_with_logprobs, streamed_completion, embeddings, response, streamed_response,
    models_are_listed, one_model, unknown_model_is_404, wrong_value_is_400, wrong_type_is_400,
    unknown_field_is_400, no_messages_is_400, long_prompt_is_400, request_id, many_at_once,
]  # fmt: skip


def run(api: Api) -> dict[str, str]:
    """What came of each check: nothing if it passed, else why not."""
    found = dict[str, str]()
    for check in CHECKS:
        try:
            check(api)
        except Exception as error:  # noqa: BLE001 - whatever it is, the check has failed
            found[check.__name__] = f"{type(error).__name__}: {error}".splitlines()[0][:90].replace(
                "|", "/"
            )
        else:
            found[check.__name__] = ""
        print(f"{check.__name__}: {found[check.__name__] or 'passes'}", file=sys.stderr)
    return found


def main() -> int:
    """Run all, print the table; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", help="of another server, as http://127.0.0.1:8001/v1")
    parser.add_argument("--model", default=NAME, help="its name there")
    parser.add_argument("--key", default="none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder))
        with serving(model) as server:
            columns = {"ours": run(Api(f"{server.address}/v1", NAME, "none"))}
        if given.base_url:
            columns[given.base_url] = run(Api(given.base_url, given.model, given.key))
    print(f"openai {version('openai')}\n\n| check | {' | '.join(columns)} |")
    print("| --- |" + " --- |" * len(columns))
    for check in CHECKS:
        cells = [one[check.__name__] or "passes" for one in columns.values()]
        print(f"| {check.__name__.replace('_', ' ')} | {' | '.join(cells)} |")
    for name, one in columns.items():
        print(f"\n{name}: {list(one.values()).count('')} of {len(CHECKS)} pass")
    return int(any(columns["ours"].values()))


if __name__ == "__main__":
    sys.exit(main())
