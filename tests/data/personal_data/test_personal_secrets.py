from __future__ import annotations

import base64
import json

import pytest

from modelwright.data.personal_data.credentials import entropy
from modelwright.data.personal_data.detect import find

# Random characters of the right alphabet; put together here so that no scanner takes them for real.
RANDOM = "q7Rt2LmZx9Wb4KcVn8Yd3Fg6Hj1Sp5TaUeQoBrXwNsMvPzDyLkJhGfCi0Z7u2E9x4A6bq7Rt2LmZx9Wb4KcV"
LETTERS = "".join(c for c in RANDOM * 2 if c.isalpha())
UPPER = "".join(c for c in RANDOM.upper() if c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
PEM = "\n".join([RANDOM[:64]] * 3 + ["abc123=="])

JWT = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": "1234567890", "name": "J"})
)

TOKENS = [
    ("aws_key", "AK" + "IA" + UPPER[:16]),
    ("github_token", "gh" + "p_" + RANDOM[:36]),
    ("github_token", "github" + "_pat_" + RANDOM[:22] + "_" + RANDOM[:59]),
    ("gitlab_token", "gl" + "pat-" + RANDOM[:20]),
    ("slack_token", "xo" + "xb-123456789012-" + RANDOM[:24]),
    ("slack_token", f"hooks.{'slack'}.com/services/T{UPPER[:8]}/B{UPPER[:8]}/{RANDOM[:24]}"),
    ("google_key", "AI" + "za" + RANDOM[:35]),
    ("stripe_key", "sk" + "_live_" + RANDOM[:24]),
    ("anthropic_key", "sk" + "-ant-api03-" + RANDOM[:86]),
    ("openai_key", "sk" + "-" + RANDOM[:48]),
    ("openai_key", "sk" + "-proj-" + RANDOM[:64]),
    ("hugging_face_token", "hf" + "_" + LETTERS[:34]),
    ("npm_token", "np" + "m_" + RANDOM[:36]),
    ("pypi_token", "py" + "pi-AgE" + RANDOM[:70]),
    ("jwt", JWT + "." + RANDOM[:43]),
]  # fmt: skip


def found(text: str) -> list[tuple[str, str]]:
    return [(match.kind, text[match.start : match.end]) for match in find(text)]


@pytest.mark.parametrize(("kind", "token"), TOKENS)
def test_tokens_are_known_by_their_shape(kind: str, token: str) -> None:
    assert found(f"key is {token} here") == [(kind, token)]
    assert found(f'password = "{token}"') == [(kind, token)]
    assert kind not in dict(found(f"x{token}x"))
    assert kind not in dict(found(token[:12]))


@pytest.mark.parametrize("name", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_a_private_key_goes_with_its_content(name: str) -> None:
    key = f"-----BEGIN {name}PRIVATE KEY-----\n{PEM}\n-----END {name}PRIVATE KEY-----"
    assert found(f"before\n{key}\nafter") == [("private_key", key)]
    escaped = key.replace("\n", "\\n")
    assert found(f'"key": "{escaped}"') == [("private_key", escaped)]


def test_headers_and_a_missing_end_of_a_private_key() -> None:
    start = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" + RANDOM[:64]
    assert found(start + "\nThe rest was lost.") == [("private_key", start)]


def test_a_private_key_without_content_is_none() -> None:
    assert found("-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----") == []
    assert found("starts with -----BEGIN PRIVATE KEY----- and the key") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('password = "kX9#mQ2vL8pz"', "kX9#mQ2vL8pz"),
        ("db_passwd: 'tr0ub4dor&3x'", "tr0ub4dor&3x"),
        ('{"api_key": "9f86d081884c7d65"}', "9f86d081884c7d65"),
        ("client.SECRET_KEY => 'a8f5f167f44f4964'", "a8f5f167f44f4964"),
        ("export AUTH_TOKEN=kX9mQ2vL8pzW4nR7\n", "kX9mQ2vL8pzW4nR7"),
    ],
)
def test_values_assigned_to_telling_names(text: str, value: str) -> None:
    assert found(text) == [("assigned_secret", value)]


@pytest.mark.parametrize(
    "text",
    [
        'password = "correct horse"', 'password = "changeme123"', 'token = "your-token-2here"',
        'secret = "aaaaaaaa1"', 'password: "${DB_PASS1}"', "password = get_password(user1)",
        'api_key = os.environ["KEY1"]', 'token_type = "bearer_v2x"', "TOKEN=abc",
        'PASSWORD = "password"', "the secret: 'tis gone", "KEY=/usr/share/keys/x",
        "tokens = 12345678", 'key = "value123"',
        "AK" + "IAIOSFODNN7EXAMPLE", "gh" + "p_" + "x" * 36, "sk-learn and task-force, risk-averse",
        "http://user:password@host/", "http://user:user@host/", "https://{user}:{pass}@x/",
        "a://b:c/@d",
        "eyJhbGciOiJIUzI1NiJ9 alone", "eyJ0ZXN0IjoxfQ.eyJ0ZXN0IjoxfQ." + RANDOM[:30],
    ],
)  # fmt: skip
def test_stand_ins_and_code_are_no_secrets(text: str) -> None:
    assert found(text) == []


def test_passwords_in_addresses_leave_the_rest_of_the_address() -> None:
    text = "postgresql://admin:kX9mQ2vL@db.site.org:5432/main"
    assert found(text) == [("url_password", "admin:kX9mQ2vL")]


def test_entropy_in_bits_a_character() -> None:
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2
    assert entropy("aabb") == 1
