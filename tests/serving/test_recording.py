"""Requests and answers in the workspace's database, from a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import yaml
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from running_server import NAME, running, wait_until
from test_server import serve_command

from modelwright.cli.serve import command
from modelwright.core.database import sqlite_url
from modelwright.core.errors import UsageError
from modelwright.core.workspace import RECIPE, Workspace
from modelwright.data.feedback.record import Answer, Message, Thumb
from modelwright.data.feedback.table import FeedbackTable
from modelwright.monitoring.request_log import RequestTable
from modelwright.monitoring.request_recorder import RequestRecorder, is_sampled

QUESTION = [{"role": "user", "content": "I am jo.doe@mail-host.org"}]
CHAT = {"model": NAME, "messages": QUESTION, "n": 2, "max_tokens": 50}


def test_what_is_answered_is_kept_without_personal_data(scripted: Callable, tmp_path: Path) -> None:
    engine, _ = scripted("Hello jo.doe@mail-host.org")
    url = sqlite_url(tmp_path / "store.db")
    with (
        RequestRecorder(RequestTable(url, "here"), 1.0) as recorder,
        running(engine, recorder=recorder) as server,
    ):
        for path, body in (
            ("/v1/chat/completions", CHAT),
            ("/v1/completions", {"model": NAME, "prompt": "a", "max_tokens": 2, "stream": True}),
            ("/v1/embeddings", {"model": NAME, "input": "a"}),  # nothing is said
            ("/v1/completions", {"model": "x", "prompt": "a"}),  # nobody answers
        ):
            answer = httpx2.post(server.address + path, json=body)
            if body is CHAT:
                id, usage = answer.headers["x-request-id"], answer.json()["usage"]
        wait_until(lambda: recorder.written == 2)
        text = httpx2.get(server.address + "/metrics").text
        counts = {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith("modelwright:request_log")
        }
        assert counts == {
            "modelwright:request_log_written_total": 2,
            "modelwright:request_log_dropped_total": 0,
        }
    table = RequestTable(url, "here")
    (kept,) = table.find(id)
    assert len(table.read()) == 2
    table.close()
    assert kept.prompt == [{"role": "user", "content": "I am <EMAIL>"}]
    assert kept.answers == ["Hello <EMAIL>"] * 2
    assert (kept.model, kept.route) == (NAME, "/v1/chat/completions")
    assert kept.prompt_tokens == usage["prompt_tokens"]
    assert kept.generated_tokens == usage["completion_tokens"]
    thumb = Thumb(
        prompt=[Message(role="user", content="?")], answer=Answer(text="!", request_id=id), up=True
    )
    feedback = FeedbackTable(url, "here")
    feedback.add([thumb])
    assert [one.answer.request_id for one in feedback.read()] == [id]
    feedback.close()


def test_the_share_is_chosen_by_the_ids(scripted: Callable, tmp_path: Path) -> None:
    engine, _ = scripted("a")
    url = sqlite_url(tmp_path / "store.db")
    ids = [f"req-{number}" for number in range(20)]
    with (
        RequestRecorder(RequestTable(url, "here"), 0.5) as recorder,
        running(engine, recorder=recorder) as server,
    ):
        for id in ids:
            headers = {"X-Request-Id": id}
            httpx2.post(server.address + "/v1/chat/completions", json=CHAT, headers=headers)
    table = RequestTable(url, "here")
    kept = {one.id for one in table.read()}
    table.close()
    assert kept == {id for id in ids if is_sampled(id, 0.5)}
    assert 0 < len(kept) < 20


def test_the_command_writes_into_the_workspace(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text(yaml.safe_dump({"name": "mine"}))
    flags = ("--log-requests", "1", "--port", "0", "--log", "off")
    with serve_command(str(model_folder), *flags, cwd=tmp_path) as (process, line):
        address = line.split()[3]
        httpx2.post(f"{address}/v1/chat/completions", json=CHAT | {"max_tokens": 3})
        process.terminate()
        assert process.wait(60) == 0
    workspace = Workspace(tmp_path)
    table = RequestTable(workspace.store_url(), workspace.identity())
    (kept,) = table.read()
    table.close()
    assert json.dumps(kept.prompt) == json.dumps([{"role": "user", "content": "I am <EMAIL>"}])


def test_without_a_workspace_it_is_refused(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no workspace here"):
        command.main([str(model_folder), "--log-requests", "1"], standalone_mode=False)


@pytest.mark.parametrize("share", ["-0.1", "1.5", "all"])
def test_shares_are_from_0_to_1(model_folder: Path, share: str) -> None:
    result = CliRunner().invoke(command, [str(model_folder), "--log-requests", share])
    assert result.exit_code == 2
