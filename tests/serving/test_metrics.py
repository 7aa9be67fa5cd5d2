"""What Prometheus reads: names, buckets, and numbers that agree with what was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from prometheus_client.parser import text_string_to_metric_families
from running_server import NAME, Server, openai_client, running, wait_until

from modelwright.inference.engine import Engine
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.api.limits import Limits
from modelwright.serving.metrics import one_two_five

QUESTION = [{"role": "user", "content": "Who jumps?"}]
LABELS = {"model_name": NAME, "engine": "0"}


@pytest.fixture
def fresh(model_folder: Path) -> Iterator[Server]:
    with running(Engine.load(model_folder, max_sequences=2)) as server:
        yield server


def read(server: Server, **headers: str) -> dict[str, dict[str, float]]:
    """By name of the metric, values by the name of the sample with its own labels."""
    answer = httpx2.get(server.address + "/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(answer.text):
        if not family.name.startswith("vllm:"):
            continue
        for sample in family.samples:
            assert {name: sample.labels[name] for name in LABELS} == LABELS
            own = [value for name, value in sample.labels.items() if name not in LABELS]
            key = " ".join([sample.name.removeprefix(family.name).removeprefix("_"), *own]).strip()
            found.setdefault(family.name.removeprefix("vllm:"), {})[key] = sample.value
    return found


def test_counts_agree_with_what_was_asked(fresh: Server) -> None:
    client: OpenAI = openai_client(fresh)
    body: Any = {"model": NAME, "messages": QUESTION, "temperature": 0}
    usages = [
        client.chat.completions.create(**body, max_tokens=length).usage for length in (1, 4, 9)
    ]
    found = read(fresh)
    prompts, answers = zip(
        *((one.prompt_tokens, one.completion_tokens) for one in usages), strict=True
    )
    assert found["prompt_tokens"]["total"] == sum(prompts)
    assert found["generation_tokens"]["total"] == sum(answers) == 14
    assert found["request_success"]["total length"] == 3
    for name in ("time_to_first_token_seconds", "request_queue_time_seconds"):
        assert found[name]["count"] == 3
    for name in ("inter_token_latency_seconds", "time_per_output_token_seconds"):
        assert found[name]["count"] == 14 - 3
    assert found["request_prompt_tokens"]["sum"] == sum(prompts)
    assert found["request_generation_tokens"]["sum"] == 14
    whole = found["e2e_request_latency_seconds"]["sum"]
    parts = [f"request_{part}_time_seconds" for part in ("queue", "prefill", "decode")]
    assert sum(found[part]["sum"] for part in parts) == pytest.approx(whole, rel=1e-6)
    assert 0 < found["time_to_first_token_seconds"]["sum"] < whole
    assert found["num_requests_running"] == found["num_requests_waiting"] == {"": 0}
    assert found["kv_cache_usage_perc"] == {"": 0}


def test_the_queue_is_seen(scripted: Callable[..., Any]) -> None:
    engine, _ = scripted("x" * 60, seconds_per_step=0.02, max_sequences=1)
    limits = Limits(keep_alive=0.05)  # so that streams in the queue begin
    with running(engine, limits=limits) as server, openai_client(server) as client:
        streams = [
            client.completions.create(model=NAME, prompt="a", max_tokens=50, stream=True)
            for _ in range(3)
        ]
        wait_until(lambda: read(server)["num_requests_running"][""] == 1)
        found = read(server)
        assert found["num_requests_waiting"][""] == 2
        assert 0 < found["kv_cache_usage_perc"][""] < 1
        for stream in streams:
            stream.close()
        wait_until(lambda: read(server).get("request_success", {}).get("total abort") == 3)
        assert read(server)["request_generation_tokens"]["count"] == 3


def test_buckets_are_those_of_vllm(server: Server) -> None:
    openai_client(server).completions.create(model=NAME, prompt="a", max_tokens=2)
    found = read(server)
    bounds = [key.split()[1] for key in found["time_to_first_token_seconds"] if "bucket" in key]
    assert bounds[:3] == ["0.001", "0.005", "0.01"]
    assert bounds[-2:] == ["2560.0", "+Inf"]
    bounds = [key.split()[1] for key in found["request_prompt_tokens"] if "bucket" in key]
    assert bounds == ["1.0", "2.0", "5.0", "10.0", "20.0", "50.0", "100.0", "200.0", "+Inf"]


def test_what_requests_asked_for_and_how_they_were_answered(fresh: Server) -> None:
    with openai_client(fresh) as client:
        client.completions.create(model=NAME, prompt="a", max_tokens=4, n=3)
        client.completions.create(model=NAME, prompt="a", max_tokens=4)
    httpx2.post(fresh.address + "/v1/completions", json={"model": "x", "prompt": "a"})
    httpx2.get(fresh.address + "/any/path/at/all")

    def answers() -> dict[tuple[str, str, str], float]:
        text = httpx2.get(fresh.address + "/metrics").text
        return {
            (sample.labels["model_name"], sample.labels["route"], sample.labels["status"]): (
                sample.value
            )
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "modelwright:http_requests_total"
        }

    wanted = {
        (NAME, "/v1/completions", "200"): 2,
        ("", "/v1/completions", "404"): 1,
        ("", "", "404"): 1,  # no label for every path that somebody makes up
    }
    wait_until(lambda: answers().items() >= wanted.items())
    found = read(fresh)
    assert (found["request_params_n"]["count"], found["request_params_n"]["sum"]) == (2, 4)
    assert found["request_params_max_tokens"]["sum"] == 8


def test_what_the_engine_found_in_its_cache_is_counted(fresh: Server) -> None:
    prompt = list(range(1, 41))
    body = {"model": NAME, "prompt": prompt, "max_tokens": 1}
    for _ in range(2):
        assert httpx2.post(f"{fresh.address}/v1/completions", json=body).status_code == 200
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(httpx2.get(f"{fresh.address}/metrics").text)
        for sample in family.samples
    }
    assert found["vllm:prefix_cache_queries_total"] == 80
    assert found["vllm:prefix_cache_hits_total"] == 32  # whole blocks of 16
    assert found["vllm:num_preemptions_total"] == 0
    assert found["vllm:spec_decode_num_draft_tokens_total"] == 0


def test_one_two_five() -> None:
    assert one_two_five(100) == [1, 2, 5, 10, 20, 50, 100]
    assert one_two_five(1) == [1]
    assert one_two_five(49) == [1, 2, 5, 10, 20]


def test_a_key_for_graphs_reads_them_and_one_for_answers_does_not(
    model_folder: Path, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    graphs, answers = keys.create("graphs", ["metrics"]), keys.create("answers")
    with running(Engine.load(model_folder), keys=keys) as server:
        assert read(server, Authorization=f"Bearer {graphs}")["num_requests_running"] == {"": 0}
        url = server.address + "/metrics"
        assert httpx2.get(url).status_code == 401
        refused = httpx2.get(url, headers={"Authorization": f"Bearer {answers}"})
        assert refused.status_code == 403
