"""One server with several models, by names and aliases."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import openai
import pytest
import torch
from openai import OpenAI
from prometheus_client.parser import text_string_to_metric_families
from running_server import CONTEXT, NAME, Server, openai_client, running
from test_server import serve_command

from modelwright.core.errors import UsageError
from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.models.adapters.attach import adapter_parameters, add_adapter
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.adapters.peft_folder import load_adapter, save_adapter
from modelwright.models.pretrained import load_model
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.served_models import ServedModels
from modelwright.serving.opening import ServeOptions, open_models

QUESTION = [{"role": "user", "content": "Who jumps?"}]
ALIASES = {"gpt-4o": "other", "org/small": NAME}


@pytest.fixture(scope="module")
def several(model_folder: Path, other_folder: Path) -> Iterator[Server]:
    engines = {"other": Engine.load(other_folder)}
    with running(Engine.load(model_folder), more=engines, aliases=ALIASES) as server:
        yield server


@pytest.fixture
def ask(several: Server) -> Iterator[OpenAI]:
    with openai_client(several) as client:
        yield client


def said(folder: Path) -> str:
    engine = Engine.load(folder)
    prompt = engine.tokenizer.encode_chat(QUESTION, add_generation_prompt=True)
    return engine.generate([prompt], SamplingParams(max_tokens=12, temperature=0.0))[0].text


def test_the_name_picks_the_model(ask: OpenAI, model_folder: Path, other_folder: Path) -> None:
    wanted = {NAME: said(model_folder), "other": said(other_folder)}
    assert wanted[NAME] != wanted["other"]
    for name, model in {**{one: one for one in wanted}, **ALIASES}.items():
        answer = ask.chat.completions.create(
            model=name, messages=QUESTION, max_tokens=12, temperature=0
        )
        assert answer.choices[0].message.content == wanted[model]
        assert answer.model == model


def test_all_names_are_listed(ask: OpenAI) -> None:
    cards = {card.id: card.model_dump() for card in ask.models.list().data}
    assert list(cards) == [NAME, "other", *ALIASES]
    assert {name: card["root"] for name, card in cards.items()} == {
        NAME: NAME,
        "other": "other",
        **ALIASES,
    }
    for card in cards.values():
        assert card["max_model_len"] == CONTEXT
        assert card["parent"] is None
        assert card["chat"] is True
        assert 0 <= time.time() - card["created"] < 3600
    assert ask.models.retrieve("org/small").root == NAME


def test_other_names_are_404_and_told_what_is_there(ask: OpenAI, several: Server) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask.chat.completions.create(model="gpt-5", messages=QUESTION)
    error = caught.value
    assert (error.code, error.param) == ("model_not_found", "model")
    for name in (NAME, "other", *ALIASES):
        assert f"'{name}'" in error.message
    for call in (ask.completions.create, ask.embeddings.create):
        field = "prompt" if call == ask.completions.create else "input"
        with pytest.raises(openai.NotFoundError):
            call(model="gpt-5", **{field: "a"})
    for path, body in (
        ("/tokenize", {"prompt": "a"}),
        ("/detokenize", {"tokens": [1]}),
        ("/score", {"text_1": "a", "text_2": "b"}),
        ("/v1/responses", {"input": "a"}),
    ):
        answer = httpx2.post(several.address + path, json={"model": "gpt-5", **body})
        assert answer.status_code == 404, path
    assert httpx2.get(several.address + "/tokenizer_info?model=gpt-5").status_code == 404


def test_other_routes_pick_it_too(several: Server, ask: OpenAI) -> None:
    vectors = [
        ask.embeddings.create(model=name, input="fox").data[0].embedding
        for name in (NAME, "other", "gpt-4o")
    ]
    assert vectors[1] == vectors[2] != vectors[0]
    for path, body in (("/tokenize", {"prompt": "a"}), ("/detokenize", {"tokens": [1]})):
        for model in ({}, {"model": "gpt-4o"}):
            answer = httpx2.post(several.address + path, json={**model, **body})
            assert answer.status_code == 200, answer.text
    assert httpx2.get(several.address + "/tokenizer_info?model=other").status_code == 200


def test_each_model_has_its_own_figures(several: Server, ask: OpenAI) -> None:
    def generated() -> dict[str, float]:
        text = httpx2.get(several.address + "/metrics").text
        return {
            sample.labels["model_name"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "vllm:generation_tokens_total"
        }

    before = generated()
    ask.completions.create(
        model="gpt-4o", prompt="a", max_tokens=7, extra_body={"ignore_eos": True}
    )
    after = generated()
    assert after["other"] - before.get("other", 0) == 7
    assert after.get(NAME, 0) == before.get(NAME, 0)
    assert set(after) <= {NAME, "other"}


def test_names_are_used_once_and_aliases_stand_for_something(several: Server) -> None:
    one = ServedModel(several.background, "a")
    with pytest.raises(UsageError, match="two models are to be called 'a'"):
        ServedModels([one, one])
    with pytest.raises(UsageError, match="two models are to be called 'a'"):
        ServedModels([one], {"a": "a"})
    with pytest.raises(UsageError, match="'b' stands for 'c', which is not served"):
        ServedModels([one], {"b": "c"})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (ServeOptions(aliases={"b": "c"}), "'b' stands for 'c', which is not served"),
        (ServeOptions(adapters={"a": Path("none")}), "two models are to be called 'a'"),
        (ServeOptions(adapters={"b": Path("none")}, aliases={"b": "a"}), "be called 'b'"),
    ],
)
def test_names_are_checked_before_models_are_opened(options: ServeOptions, problem: str) -> None:
    with ExitStack() as stack, pytest.raises(UsageError, match=problem):
        open_models({"a": Path("none")}, options, stack)


@pytest.fixture(scope="module")
def adapter(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that says something else than its base."""
    folder = tmp_path_factory.mktemp("adapter")
    model = load_model(model_folder)
    add_adapter(model, AdapterConfig(rank=4, alpha=8))
    generator = torch.Generator().manual_seed(2)
    for parameter in adapter_parameters(model).values():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    save_adapter(model, folder)
    return folder


@pytest.mark.parametrize(("conversations", "is_chat"), [(0, False), (3, True)])
def test_an_adapter_answers_if_it_or_its_base_was_taught_to(
    model_folder: Path, adapter: Path, tmp_path: Path, conversations: int, is_chat: bool
) -> None:
    base, taught = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(model_folder, base)
    shutil.copytree(adapter, taught)
    common = {"id": "m", "created": "", "code_version": "", "digest": ""}
    (base / "manifest.json").write_text(
        json.dumps({**common, "kind": "model", "stage": "pretrain", "counts": {}})
    )
    counts = {"conversations": conversations}
    (taught / "manifest.json").write_text(
        json.dumps({**common, "kind": "adapter", "stage": "finetune", "counts": counts})
    )
    adapters = {"taught": taught, "unknown": adapter}
    with ExitStack() as stack:
        models = open_models({"base": base}, ServeOptions(adapters=adapters), stack)
        found = {name: models.find(name).is_chat for name in ("base", *adapters)}
    assert found == {"base": False, "taught": is_chat, "unknown": True}


@pytest.mark.parametrize("weights", ["model", "auto"])
def test_adapters_are_models_of_their_own(model_folder: Path, adapter: Path, weights: str) -> None:
    model = load_model(model_folder)
    load_adapter(model, adapter)
    engine = Engine(model, Engine.load(model_folder).tokenizer)  # with the adapter on
    prompt = engine.tokenizer.encode_chat(QUESTION, add_generation_prompt=True)
    params = SamplingParams(max_tokens=12, temperature=0.0)
    wanted = {
        "base": said(model_folder),
        "poems": engine.generate([prompt], params)[0].text,
    }
    assert wanted["base"] != wanted["poems"]
    flags = ("--name", "base", "--adapter", f"poems={adapter}", "--alias", "verse=poems")
    guesses = ("--draft", str(model_folder), "--speculate", "3")
    given = (str(model_folder), *flags, "--weights", weights, *guesses, "--port", "0")
    with serve_command(*given) as (_, line):
        assert line.startswith("base, poems answer at http://")
        address = line.split()[4]
        cards = httpx2.get(f"{address}/v1/models").json()["data"]
        assert [(card["id"], card["root"], card["parent"]) for card in cards] == [
            ("base", "base", None),
            ("poems", "poems", "base"),
            ("verse", "poems", "base"),
        ]
        with OpenAI(base_url=f"{address}/v1", api_key="none") as client:
            for name in ("base", "poems", "verse", "base"):
                answer = client.chat.completions.create(
                    model=name, messages=QUESTION, max_tokens=12, temperature=0
                )
                meant = "base" if name == "base" else "poems"
                assert answer.choices[0].message.content == wanted[meant], name
            vectors = {
                name: client.embeddings.create(model=name, input="fox").data[0].embedding
                for name in ("base", "poems", "verse")
            }
        assert vectors["base"] != vectors["poems"] == vectors["verse"]
        metrics = httpx2.get(f"{address}/metrics").text
        guessed, accepted = (
            float(
                re.findall(rf"^vllm:spec_decode_num_{name}_tokens_total.* (\S+)$", metrics, re.M)[0]
            )
            for name in ("draft", "accepted")
        )
        assert 0 < accepted <= guessed


def test_the_command_line(model_folder: Path, other_folder: Path) -> None:
    models = ("--model", f"one={model_folder}", "--model", f"two={other_folder}")
    more = ("--alias", "gpt-4o=two", "--cache-format", "int8")
    with serve_command(*models, *more, "--port", "0") as (_, line):
        assert line.startswith("one, two answer at http://")
        address = line.split()[4]
        cards = httpx2.get(f"{address}/v1/models").json()["data"]
        assert [card["id"] for card in cards] == ["one", "two", "gpt-4o"]
        assert httpx2.get(f"{address}/health").json()["model"] == "one"
        body = {"model": "two", "prompt": "The", "max_tokens": 5, "ignore_eos": True}
        answer = httpx2.post(f"{address}/v1/completions", json=body, timeout=60).json()
        assert answer["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
def test_without_a_name_all_are_told(several: Server, path: str) -> None:
    response = httpx2.post(several.address + path, json={})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["code"]) == ("model", "missing_required_parameter")
    names = " or ".join(f"'{name}'" for name in (NAME, "other", *ALIASES))
    assert f"'model' is missing; use {names}" in error["message"]
