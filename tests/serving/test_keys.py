"""Keys, scopes and limits: in the file, and over HTTP on every route."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from running_server import NAME, Server, running

from modelwright.core.errors import InputError, UsageError
from modelwright.inference.engine import Engine
from modelwright.serving.access.authentication import OPEN
from modelwright.serving.access.keys import Key, KeyFile
from modelwright.serving.access.rate_limits import Account, Bucket

BODY = {"model": NAME, "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 5}


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def locked(model_folder: Path, keys: KeyFile) -> Iterator[Server]:
    with running(Engine.load(model_folder, max_sequences=2), keys=keys) as server:
        yield server


def client(server: Server, secret: str) -> OpenAI:
    return OpenAI(base_url=f"{server.address}/v1", api_key=secret, max_retries=0)


def get(server: Server, path: str, secret: str | None = None, **headers: str) -> httpx2.Response:
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret}"
    return httpx2.get(server.address + path, headers=headers)


def test_a_key_is_found_by_its_secret_which_is_kept_nowhere(keys: KeyFile) -> None:
    first, second = keys.create("a"), keys.create("b", ["metrics"])
    assert first != second
    assert first not in keys.path.read_text()
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    found = keys.find(second)
    assert found is not None
    assert (found.name, found.scopes) == ("b", ["metrics"])
    for wrong in ("", "mw-", first[:-1], first.upper()):
        assert keys.find(wrong) is None


def test_names_are_used_once_and_revoked_by_name(keys: KeyFile) -> None:
    secret = keys.create("a")
    with pytest.raises(UsageError, match="a key named 'a'"):
        keys.create("a")
    with pytest.raises(UsageError, match="known: a"):
        keys.revoke("b")
    keys.revoke("a")
    assert keys.find(secret) is None
    assert keys.keys() == []


def test_what_another_process_changes_is_seen(keys: KeyFile) -> None:
    other = KeyFile(keys.path)
    assert other.keys() == []
    secret = keys.create("a")
    assert other.find(secret) is not None
    keys.revoke("a")
    assert other.find(secret) is None


def test_a_key_ends(keys: KeyFile) -> None:
    over = keys.create("over", expires=datetime.now(UTC) - timedelta(seconds=1))
    valid = keys.create("valid", expires=datetime.now(UTC) + timedelta(hours=1))
    assert keys.find(over) is None
    assert keys.find(valid) is not None


@pytest.mark.parametrize("text", ["{", "7", "{}", '[{"name": "a"}]', "[1]"])
def test_a_damaged_file_is_named(keys: KeyFile, text: str) -> None:
    keys.path.write_text(text)
    with pytest.raises(InputError, match="cannot be read") as caught:
        keys.find("x")
    assert caught.value.where == str(keys.path)


def routes(server: Server) -> list[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = server_openapi(server)["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods]


def server_openapi(server: Server) -> dict[str, Any]:
    from modelwright.serving.api.served_model import ServedModel
    from modelwright.serving.api.served_models import ServedModels
    from modelwright.serving.app import create_app

    models = ServedModels([ServedModel(server.background, NAME)])
    found: dict[str, Any] = create_app(models).openapi()
    return found


def test_no_route_but_health_and_the_page_answers_without_a_key(locked: Server) -> None:
    found = [
        *routes(locked),
        ("get", "/openapi.json"),
        ("get", "/nothing"),
        ("options", "/v1/models"),
    ]
    assert len(found) > 8
    for method, path in found:
        for headers in (
            {},
            {"Authorization": "Bearer mw-wrong"},
            {"Authorization": "Basic !"},
            {b"Authorization": "Basic é".encode()},
        ):
            answer = httpx2.request(
                method, locked.address + path.replace("{name}", NAME), headers=headers
            )
            assert answer.status_code == (200 if path in OPEN else 401), (method, path)
            if path not in OPEN:
                assert answer.json()["error"]["code"] == "invalid_api_key"
                assert answer.headers["www-authenticate"] == "Bearer"


def test_the_openai_client_with_a_key(locked: Server, keys: KeyFile) -> None:
    secret = keys.create("me")
    assert client(locked, secret).chat.completions.create(**BODY).usage.completion_tokens == 5
    with pytest.raises(openai.AuthenticationError):
        client(locked, "mw-wrong").models.list()
    keys.revoke("me")
    with pytest.raises(openai.AuthenticationError):
        client(locked, secret).models.list()


def test_browsers_ask_for_the_key_as_a_password(locked: Server, keys: KeyFile) -> None:
    asked = get(locked, "/v1/models", Accept="text/html")
    assert asked.headers["www-authenticate"].startswith("Basic ")
    secret = keys.create("me")
    pair = base64.b64encode(f"anybody:{secret}".encode()).decode()
    assert get(locked, "/v1/models", Authorization=f"Basic {pair}").status_code == 200


def test_a_key_is_good_for_its_scopes(locked: Server, keys: KeyFile) -> None:
    answer = get(locked, "/v1/models", keys.create("graphs", ["metrics"]))
    assert answer.status_code == 403
    assert "needs the scope 'inference'" in answer.json()["error"]["message"]


def test_keys_that_cannot_be_read_let_nobody_in(locked: Server, keys: KeyFile) -> None:
    secret = keys.create("me")
    keys.path.write_text("{")
    answer = get(locked, "/v1/models", secret)
    assert answer.status_code == 503
    assert "cannot be read" in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"]
    assert get(locked, "/health").status_code == 200


def test_a_proxy_may_call_it_by_any_name(locked: Server, keys: KeyFile) -> None:
    secret = keys.create("me")
    host = "models.example.org"
    assert get(locked, "/v1/models", secret, Host=host).status_code == 200
    own = get(locked, "/v1/models", secret, Host=host, Origin=f"https://{host}")
    assert own.status_code == 200
    foreign = get(locked, "/v1/models", secret, Host=host, Origin="https://evil.example")
    assert foreign.status_code == 403


def test_requests_are_limited_and_counted(locked: Server, keys: KeyFile) -> None:
    secret = keys.create("few", requests_per_minute=2)
    seen = []
    for _ in range(2):
        answer = client(locked, secret).chat.completions.with_raw_response.create(**BODY)
        seen.append(answer.headers["x-ratelimit-remaining-requests"])
        assert answer.headers["x-ratelimit-limit-requests"] == "2"
    assert seen == ["1", "0"]
    with pytest.raises(openai.RateLimitError, match="reached its limit") as caught:
        client(locked, secret).chat.completions.create(**BODY)
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 30
    # Looking costs nothing, and other keys have limits of their own.
    assert get(locked, "/v1/models", secret).status_code == 200
    client(locked, keys.create("other")).chat.completions.create(**BODY)


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_limited_as_they_are_used(locked: Server, keys: KeyFile, stream: bool) -> None:
    secret = keys.create("few", tokens_per_minute=20)
    answer = client(locked, secret).chat.completions.create(**BODY, stream=stream)
    if stream:
        assert len(list(answer)) > 2
    with pytest.raises(openai.RateLimitError) as caught:
        client(locked, secret).chat.completions.create(**BODY)
    headers = caught.value.response.headers
    assert headers["x-ratelimit-limit-tokens"] == "20"
    assert headers["x-ratelimit-remaining-tokens"] == "0"


def test_requests_at_the_same_time_do_not_pass_the_limit_together(
    locked: Server, keys: KeyFile
) -> None:
    secret = keys.create("few", tokens_per_minute=100)
    body = {**BODY, "max_tokens": 60}

    def ask(_: int) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        url = f"{locked.address}/v1/chat/completions"
        return httpx2.post(url, json=body, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(12) as threads:
        codes = list(threads.map(ask, range(12)))
    assert codes.count(200) <= 4  # those that were given back tokens by others that ended
    assert set(codes) == {200, 429}


def test_what_is_refused_costs_no_work(locked: Server, keys: KeyFile) -> None:
    secret = keys.create("few", tokens_per_minute=100)
    headers = {"Authorization": f"Bearer {secret}"}
    texts = [[1] * 50] * 40 + [[100_000]]
    answer = httpx2.post(
        f"{locked.address}/v1/embeddings", json={"model": NAME, "input": texts}, headers=headers
    )
    assert answer.status_code == 400
    assert answer.headers["x-ratelimit-remaining-tokens"] == "100"
    good = {"model": NAME, "input": texts[:4]}
    answer = httpx2.post(f"{locked.address}/v1/embeddings", json=good, headers=headers)
    assert answer.headers["x-ratelimit-remaining-tokens"] == "0"


@given(
    st.integers(1, 100),
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 200)), min_size=1, max_size=20),
)
def test_a_bucket_never_gives_more_than_it_holds_and_what_came_in(
    per_minute: int, events: list[tuple[float, float]]
) -> None:
    at = 0.0
    bucket = Bucket(per_minute, lambda: at)
    taken = 0.0
    for wait, amount in events:
        at += wait
        if bucket.seconds_until(amount) == 0:
            bucket.take(amount)
            taken += amount
        assert bucket.level <= per_minute
        assert taken <= per_minute + at * per_minute / 60 + 1e-6
    wanted = per_minute / 2
    at += bucket.seconds_until(wanted)
    assert bucket.level >= wanted - 1e-6


def test_a_debt_of_tokens_is_waited_for() -> None:
    at = 0.0
    key = Key(name="a", sha256="0" * 64, created="", scopes=["inference"], tokens_per_minute=60)
    account = Account.of(key, lambda: at)
    assert account.seconds_to_wait() == 0
    account.take_tokens(90)
    assert account.seconds_to_wait() == pytest.approx(31)
    at = 31.0
    assert account.seconds_to_wait() == pytest.approx(0, abs=1e-9)
    assert account.headers()["x-ratelimit-remaining-tokens"] in ("0", "1")


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from modelwright.cli.main import main

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["modelwright", "keys", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, errors = capsys.readouterr()
        return code, out, errors

    monkeypatch.chdir(tmp_path)
    code, _, errors = run("list")
    assert (code, "--file keys.json" in errors) == (2, True)
    file = ("--file", str(tmp_path / "k.json"))
    assert "no keys yet" in run("list", *file)[1]
    limits = ("--requests-per-minute", "5", "--days", "3", "--scope", "metrics")
    code, secret, _ = run("create", "me", *limits, *file)
    assert code == 0
    key = KeyFile(tmp_path / "k.json").find(secret.strip())
    assert key is not None
    assert (key.requests_per_minute, key.scopes) == (5, ["metrics"])
    shown = run("list", *file)[1]
    assert "me" in shown
    assert secret.strip() not in shown
    assert "sha256" not in json.loads(run("list", "--json", *file)[1])[0]
    assert run("create", "me", *file)[0] == 2
    assert run("revoke", "me", *file)[1] == "the key 'me' is revoked\n"
    assert run("revoke", "me", *file)[0] == 2
    for wrong in (("create", ""), ("create", "x" * 101), ("create", "y", "--days", "4000000")):
        code, _, errors = run(*wrong, *file)
        assert (code, "Traceback" in errors) == (2, False)
