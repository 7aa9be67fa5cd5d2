"""Answers by 100 JSON schemas from a model of random weights: valid, or refused with 400.

python benchmarks/serving/schemas.py

The schemas are in ``schemas.jsonl``: made for this, of the kinds that applications send, some with
what cannot be enforced. Quotes and closing brackets are made likelier, as random weights hardly
ever end a text. Exit code 1 if an answer does not fit its schema, or is cut off.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
from openai import BadRequestError, OpenAI
from random_server import NAME, make_model, serving

CONTEXT = 2048
FILE = Path(__file__).with_name("schemas.jsonl")


def main() -> int:
    """Ask for each, print what came; returns the exit code."""
    schemas = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    found = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder), context=CONTEXT)
        with serving(model, "--log", "off") as server:
            client = OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)
            bias = _towards_the_end(server.address)
            for number, schema in enumerate(schemas, 1):
                outcome = ask(client, schema, bias, number)
                found[outcome.partition(":")[0]] += 1
                if not outcome.startswith("valid"):
                    print(f"{number}: {outcome}")
    print(f"{len(schemas)} schemas: {dict(found)}")
    return int(set(found) - {"valid", "refused"} != set())


def ask(client: OpenAI, schema: Any, bias: dict[str, int], seed: int) -> str:
    """What came of a schema."""
    try:
        made = client.chat.completions.create(
            model=NAME,
            messages=[{"role": "user", "content": "go"}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "made", "schema": schema},
            },
            logit_bias=bias,
            seed=seed,
            temperature=1,
        ).choices[0]
    except BadRequestError as error:
        return f"refused: {error.body['message'] if isinstance(error.body, dict) else error}"
    if made.finish_reason != "stop":
        return f"cut off: {made.finish_reason}"
    try:
        jsonschema.validate(json.loads(made.message.content or ""), schema)
    except (ValueError, jsonschema.ValidationError) as error:
        return f"wrong: {str(error).splitlines()[0]}: {made.message.content!r}"
    return "valid"


def _towards_the_end(address: str) -> dict[str, int]:
    """A bias for what closes strings, lists and objects."""
    found = {}
    for text in ('"', "}", "]"):
        body = {"prompt": text, "add_special_tokens": False}
        (id,) = httpx2.post(f"{address}/tokenize", json=body).json()["tokens"]
        found[str(id)] = 6
    return found


if __name__ == "__main__":
    sys.exit(main())
