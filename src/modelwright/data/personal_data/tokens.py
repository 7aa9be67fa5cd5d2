"""Keys and tokens that their issuers made to be recognised, by the issuers' published shapes."""

from __future__ import annotations

import base64
import binascii
import json
import re

from modelwright.data.personal_data.matching import Detector, shape_spans

_START = r"(?<![A-Za-z0-9_])"
_END = r"(?![A-Za-z0-9_])"
_END_DASHED = r"(?![A-Za-z0-9_-])"

_SEPARATOR = r"(?:\\[rn]|[\s\"'+,;])"
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    # lines of base 64 or headers; each can be read in one way only
    rf"(?:{_SEPARATOR}{{1,12}}+(?:[A-Za-z-]{{1,20}}: [^\n]{{0,80}}+|[A-Za-z0-9+/=]{{24,}}+))++"
    rf"(?:(?:{_SEPARATOR}{{1,12}}+[A-Za-z0-9+/=]{{1,76}}+)?{_SEPARATOR}{{1,12}}+"
    r"-----END [A-Z0-9 ]{1,40}-----)?"
)

# kind: (shape, what the gate looks for)
_SHAPES = {
    "aws_key": (r"(?:AKIA|ASIA)[A-Z2-7]{16}" + _END, r"A[KS]IA[A-Z2-7]{16}"),
    "github_token": (
        r"(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})" + _END,
        r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_",
    ),
    "gitlab_token": (
        r"gl(?:pat|dt|ptt|rt|soat|ft)-[A-Za-z0-9_-]{20,64}(?:\.[a-z0-9.]{2,20})?" + _END_DASHED,
        r"gl(?:pat|dt|ptt|rt|soat|ft)-[A-Za-z0-9_-]{20}",
    ),
    "slack_token": (
        r"(?:xox[abeoprs]-(?=[A-Za-z-]{0,40}[0-9])[A-Za-z0-9-]{20,250}"
        r"|hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,28})"
        + _END_DASHED,
        r"xox[abeoprs]-|hooks\.slack\.com/services/T",
    ),
    "google_key": (
        r"(?:AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28})" + _END_DASHED,
        r"AIza[A-Za-z0-9_-]{35}|GOCSPX-",
    ),
    "stripe_key": (
        r"(?:[rs]k_(?:live|test)_[A-Za-z0-9]{16,247}|whsec_[A-Za-z0-9+/]{32,64})" + _END,
        r"[rs]k_(?:live|test)_|whsec_",
    ),
    "anthropic_key": (
        r"sk-ant-[a-z0-9]{3,12}-[A-Za-z0-9_-]{32,200}" + _END_DASHED,
        r"sk-ant-",
    ),
    "openai_key": (
        r"sk-(?:[A-Za-z0-9]{48}|(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{32,256})" + _END_DASHED,
        r"sk-(?:proj|svcacct|admin|None)-|sk-[A-Za-z0-9]{48}",
    ),
    "hugging_face_token": (r"(?:hf|api_org)_[A-Za-z]{34}" + _END, r"(?:hf|api_org)_[A-Za-z]{34}"),
    "npm_token": (r"npm_[A-Za-z0-9]{36}" + _END, r"npm_[A-Za-z0-9]{36}"),
    "pypi_token": (r"pypi-AgE[A-Za-z0-9_-]{50,400}" + _END_DASHED, r"pypi-AgE"),
}

_JWT = re.compile(
    r"(?<![A-Za-z0-9_-])(eyJ[A-Za-z0-9_-]{8,2048}+)\.eyJ[A-Za-z0-9_-]{4,8192}+"
    r"\.[A-Za-z0-9_-]{16,1024}+"
)


def _is_real(token: str) -> bool:
    """Whether a token is not one of the made-up ones in manuals (``AKIA...EXAMPLE``, ``xxxx``)."""
    return "EXAMPLE" not in token.upper() and len(set(token[-16:].lower())) > 4


def _is_jwt(token: str) -> bool:
    header = token.partition(".")[0]
    try:
        content = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "alg" in content


DETECTORS = (
    Detector("private_key", r"PRIVATE KEY(?: BLOCK)?-----", shape_spans(_PRIVATE_KEY)),
    Detector("jwt", r"eyJ[A-Za-z0-9_-]+\.eyJ", shape_spans(_JWT, _is_jwt)),
    *(
        Detector(kind, gate, shape_spans(re.compile(_START + f"(?:{shape})"), _is_real))
        for kind, (shape, gate) in _SHAPES.items()
    ),
)
