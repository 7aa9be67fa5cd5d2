"""What no well-behaved client sends, and clients that leave."""

import json
import socket
from collections.abc import Callable

import httpx2
import pytest
from running_server import NAME, Server, running, wait_until

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
GOOD = {"model": NAME, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
GOOD_TEXT = {"model": NAME, "prompt": "Hi", "max_tokens": 3}


def post(
    server: Server, path: str, content: bytes | str, kind: str = "application/json"
) -> httpx2.Response:
    return httpx2.post(
        server.address + path, content=content, headers={"Content-Type": kind}, timeout=60
    )


def error_of(response: httpx2.Response, status: int) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    return body["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model": "tiny",}',
        b"\xff\xfe\x00",
        b'{"model": "\xe4"}',
        b"[" * 100_000,
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        json.dumps({**GOOD, "messages": []}).encode(),
        json.dumps({**GOOD, "messages": ["Hi"]}).encode(),
        json.dumps({**GOOD, "messages": [{"role": "robot", "content": "Hi"}]}).encode(),
        json.dumps({**GOOD, "messages": [{"role": "user", "content": None}]}).encode(),
        json.dumps({**GOOD, "messages": [{"role": "user"}]}).encode(),
        b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "\\udcff", "messages": [{"role": "user", "content": "a"}]}',
        b'{"model": "tiny", "\\udcff": 1, "messages": [{"role": "user", "content": "a"}]}',
        b'{"model": "tiny", "temperature": NaN, "messages": [{"role": "user", "content": "a"}]}',
    ],
)
def test_malformed_bodies_are_400(server: Server, body: bytes) -> None:
    assert error_of(post(server, CHAT, body), 400)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", "0.5"),
        ("temperature", True),
        ("top_p", 0),
        ("top_p", 1.5),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_completion_tokens", 4),
        ("n", 0),
        ("n", 9),
        ("seed", -1),
        ("seed", 2**63),
        ("stop", ""),
        ("stop", ["a", ""]),
        ("stop", ["a"] * 17),
        ("stop", [1]),
        ("stop", {"a": 1}),
        ("stream", "yes"),
        ("stream_options", {"include_usage": True}),
        ("logprobs", 1),
        ("top_logprobs", 2),
        ("top_logprobs", 21),
        ("top_k", -2),
        ("min_p", 1.1),
        ("repetition_penalty", 0),
        ("min_tokens", -1),
        ("min_tokens", 10_000),
        ("ignore_eos", 1),
        ("frequency_penalty", 2.1),
        ("presence_penalty", -2.1),
        ("logit_bias", {"a": 1}),
        ("logit_bias", {"-1": 1}),
        ("logit_bias", {"5": 101}),
        ("logit_bias", {"100000": 1}),
        ("response_format", {"type": "xml"}),
        ("response_format", {"type": "json_schema"}),
        ("response_format", {"type": "json_object", "schema": {}}),
        ("structured_outputs", {}),
        ("structured_outputs", {"regex": "a", "choice": ["b"]}),
        ("structured_outputs", {"choice": []}),
        ("structured_outputs", {"choice": [""]}),
        ("structured_outputs", {"structural_tag": "x"}),
        ("tools", [{"type": "function"}]),
        ("tool_choice", "required"),
        ("store", True),
        ("temprature", 0.5),
        ("best_of", 1),
    ],
)
def test_chat_fields_are_honoured_or_refused_by_name(
    server: Server, field: str, value: object
) -> None:
    error = error_of(post(server, CHAT, json.dumps({**GOOD, field: value})), 400)
    assert field in error["message"]
    assert error["param"].partition(".")[0] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", None),
        ("prompt", 7),
        ("prompt", []),
        ("prompt", [[]]),
        ("prompt", ["a", 1]),
        ("prompt", [[1, "a"]]),
        ("prompt", [True]),
        ("echo", 1),
        ("logprobs", True),
        ("logprobs", 21),
        ("suffix", "end"),
        ("best_of", 9),
        ("messages", []),
    ],
)
def test_completion_fields_are_honoured_or_refused_by_name(
    server: Server, field: str, value: object
) -> None:
    error = error_of(post(server, TEXT, json.dumps({**GOOD_TEXT, field: value})), 400)
    assert field in error["message"]
    assert error["param"] == field


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"n": 3, "best_of": 2}, "best_of must be at least n"),
        ({"best_of": 2, "stream": True}, "best_of cannot be streamed"),
        ({"max_tokens": 0}, "max_tokens: 0 is only allowed with echo"),
    ],
)
def test_completion_fields_that_do_not_go_together(
    server: Server, fields: dict[str, object], problem: str
) -> None:
    error = error_of(post(server, TEXT, json.dumps({**GOOD_TEXT, **fields})), 400)
    assert problem in error["message"]
    assert error["param"] == problem.partition(" ")[0].rstrip(":")


TOOL = {"type": "function", "function": {"name": "clock"}}


@pytest.mark.parametrize(
    ("fields", "param", "problem"),
    [
        ({"tools": [TOOL, TOOL]}, "tools", "two tools have one name"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice",
            "no tool is called 'x'",
        ),
        (
            {"tools": [TOOL], "min_tokens": 2, "structured_outputs": {"regex": "a"}},
            "tools",
            "tools do not go with structured_outputs and min_tokens: ",
        ),
        (
            {"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}},
            "structured_outputs",
            "not both",
        ),
        ({"structured_outputs": {"regex": "a"}, "min_tokens": 2}, "min_tokens", "a given form"),
        ({"structured_outputs": {"regex": "a"}, "ignore_eos": True}, "ignore_eos", "a given form"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "content is missing"),
        (
            {"messages": [{"role": "user", "content": "x", "tool_call_id": "1"}]},
            "messages.0.tool_call_id",
            "only that",
        ),
    ],
)
def test_chat_fields_that_do_not_go_together(
    server: Server, fields: dict[str, object], param: str, problem: str
) -> None:
    error = error_of(post(server, CHAT, json.dumps({**GOOD, **fields})), 400)
    assert error["param"] == param
    assert problem in error["message"]


def test_an_error_names_where_in_the_body(server: Server) -> None:
    body = {**GOOD, "messages": [*GOOD["messages"], {"role": "user", "content": [{"type": "x"}]}]}
    error = error_of(post(server, CHAT, json.dumps(body)), 400)
    assert error["param"] == "messages.1.content"
    assert "part 0" in error["message"]
    error = error_of(post(server, CHAT, json.dumps({**GOOD, "tolls": 1, "n": 99})), 400)
    assert "(and 1 more)" in error["message"]


@pytest.mark.parametrize("ids", [[-1], [1, 320], [2**80]])
def test_token_ids_that_do_not_exist_are_400(server: Server, ids: list[int]) -> None:
    error = error_of(post(server, TEXT, json.dumps({**GOOD_TEXT, "prompt": ids})), 400)
    assert str(ids[-1]) in error["message"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_other_content_types_are_415(server: Server, kind: str) -> None:
    error_of(post(server, CHAT, json.dumps(GOOD), kind), 415)


def test_json_with_a_charset_is_fine(server: Server) -> None:
    kind = "application/json; charset=utf-8"
    assert post(server, CHAT, json.dumps(GOOD), kind).status_code == 200


def test_a_body_above_10_mib_is_413_announced_or_not(server: Server) -> None:
    big = json.dumps({**GOOD_TEXT, "prompt": "x" * (10 * 2**20)}).encode()
    error_of(post(server, TEXT, big), 413)
    chunks = (big[start : start + 2**16] for start in range(0, len(big), 2**16))
    response = httpx2.post(
        server.address + TEXT, content=chunks, headers={"Content-Type": "application/json"}
    )
    error_of(response, 413)


def test_a_body_just_below_10_mib_is_read(server: Server) -> None:
    large = json.dumps({**GOOD_TEXT, "prompt": "x " * (5 * 2**20 - 100)}).encode()
    assert error_of(post(server, TEXT, large), 400)["code"] == "context_length_exceeded"


def test_other_addresses_and_methods_have_error_objects(server: Server) -> None:
    error_of(httpx2.get(server.address + "/v2/nothing"), 404)
    error_of(httpx2.get(server.address + CHAT), 405)
    error_of(httpx2.get(server.address + "/docs"), 404)


def test_bytes_that_are_no_http_do_no_harm(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")
    assert post(server, CHAT, json.dumps(GOOD)).status_code == 200


def test_health_and_openapi(server: Server) -> None:
    health = httpx2.get(server.address + "/health")
    assert health.json() == {"status": "ok", "model": NAME, "chat": True}
    paths = httpx2.get(server.address + "/openapi.json").json()["paths"]
    assert {CHAT, TEXT, "/v1/models", "/v1/models/{name}", "/health", "/"} <= paths.keys()


def test_openapi_tells_of_streams_and_of_all_statuses(server: Server) -> None:
    paths = httpx2.get(server.address + "/openapi.json").json()["paths"]
    for path in (CHAT, TEXT, "/v1/responses"):
        answers = paths[path]["post"]["responses"]["200"]["content"]
        assert answers.keys() == {"application/json", "text/event-stream"}, path
    assert "409" in paths["/feedback/{id}"]["delete"]["responses"]


def test_openapi_says_which_values_ask_for_nothing(server: Server) -> None:
    schemas = httpx2.get(server.address + "/openapi.json").json()["components"]["schemas"]
    said = {
        (body, name): field["enum"]
        for body in ("ChatCompletionRequest", "CompletionRequest", "ResponseRequest")
        for name, field in schemas[body]["properties"].items()
        if field.get("description") == "not supported by this server"
    }
    assert said["ChatCompletionRequest", "store"] == [False, None]
    assert said["ResponseRequest", "service_tier"] == ["auto", "default", None]
    assert said["ResponseRequest", "include"] == [[], None]
    for (body, name), allowed in said.items():
        if body == "CompletionRequest":
            for value in allowed:
                answer = post(server, TEXT, json.dumps({**GOOD_TEXT, name: value}))
                assert answer.status_code == 200, name
            assert post(server, TEXT, json.dumps({**GOOD_TEXT, name: "x"})).status_code == 400


def test_health_tells_of_a_base_model_and_of_a_stopped_engine(scripted: Callable) -> None:
    engine, _ = scripted("x")
    with running(engine, is_chat=False) as server:
        assert httpx2.get(server.address + "/health").json()["chat"] is False
        server.background.stop()
        wait_until(lambda: not server.background.is_running)
        health = httpx2.get(server.address + "/health")
        assert (health.status_code, health.json()["status"]) == (503, "stopped")


def test_a_stream_is_server_sent_events_to_the_letter(scripted: Callable) -> None:
    engine, _ = scripted("a\n\nb\u2028\u2029\x85 é")
    with running(engine) as server:
        response = post(server, TEXT, json.dumps({**GOOD_TEXT, "max_tokens": 50, "stream": True}))
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache"
    events = response.content.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    texts = []
    for event in events[:-2]:
        assert event.startswith("data: ")
        assert event.splitlines() == [event], "clients that cut here see half an event"
        chunk = json.loads(event.removeprefix("data: "))
        assert chunk["object"] == "text_completion"
        assert "usage" not in chunk
        texts.append(chunk["choices"][0]["text"])
    assert "".join(texts) == "a\n\nb\u2028\u2029\x85 é"


@pytest.mark.parametrize("path", [CHAT, TEXT])
@pytest.mark.parametrize("stream", [True, False])
def test_generation_stops_when_the_client_leaves(
    scripted: Callable, caplog: pytest.LogCaptureFixture, path: str, stream: bool
) -> None:
    engine, script = scripted("on and on " * 20, seconds_per_step=0.05)
    good = GOOD if path == CHAT else GOOD_TEXT
    body = json.dumps({**good, "max_tokens": 200, "n": 2, "stream": stream}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with running(engine) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            wait_until(lambda: any(sequence.generated for sequence in script.sequences))
            if stream:
                assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        wait_until(lambda: not engine.has_work)
    assert caplog.messages == []  # it is no error
    assert len(script.sequences) == 2
    for sequence in script.sequences:
        assert sequence.finish_reason == "abort"
        assert len(sequence.generated) < len(script.ids)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:{port}", "LOCALHOST:80", "127.0.0.1:{port}", "127.8.8.8", "[::1]:1"],
)
def test_names_of_this_machine_are_answered(server: Server, host: str) -> None:
    headers = {"Host": host.format(port=server.port)}
    assert httpx2.get(server.address + "/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.0.5:{port}",
        "[2001:db8::1]",
        "[::1",
        "0.0.0.0",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/health", "/v1/models"])
def test_other_names_are_refused_against_dns_rebinding(
    server: Server, host: str, path: str
) -> None:
    headers = {"Host": host.format(port=server.port)}
    if host == "[::1":
        assert httpx2.get(server.address + path, headers=headers).status_code in (200, 400, 403)
        return
    error_of(httpx2.get(server.address + path, headers=headers), 403)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_pages_of_other_origins_are_refused(server: Server, origin: str) -> None:
    headers = {"Origin": origin, "Content-Type": "application/json"}
    error_of(httpx2.post(server.address + CHAT, content=json.dumps(GOOD), headers=headers), 403)
    preflight = {**headers, "Access-Control-Request-Method": "POST"}
    response = httpx2.options(server.address + CHAT, headers=preflight)
    error_of(response, 403)
    assert not any(name.startswith("access-control") for name in response.headers)


def test_its_own_page_is_answered(server: Server) -> None:
    headers = {"Origin": server.address, "Content-Type": "application/json"}
    response = httpx2.post(server.address + CHAT, content=json.dumps(GOOD), headers=headers)
    assert response.status_code == 200
