"""No text can make the search slow: each pattern against texts made to mislead it."""

from __future__ import annotations

import subprocess
import sys

PIECES = [
    "a", "A", "1", "1 ", "1.", "1-", "1 2", "(1", "+1 ", "+", "00 1", "0 12 ", "12:", "ab:", "::1",
    "ab-",
    "@", "a@", "a.", "a@b.", "a@b-", "@a.", "a at b", "a [at] b.", "<a at b.", "a (at) b (dot) ",
    "GB29 ", "GB29NWBK", "GB29 NWBK ", "1234 5678 ", "123-45-", "ssn 123 45 ", "bc1q", "1A",
    "eyJ", "eyJhbGciOiJIUzI1NiJ9.", "eyJhbGciOiJIUzI1NiJ9.eyJ", "sk-", "sk-proj-", "AKIA", "xoxb-",
    "ghp_",
    "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\nA: b\n", "A" * 64 + "\n", "\\n",
    "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n", "://", "://a:", "://a:b", "://a:b@",
    'password="', "password = ", "password='a1", "KEY=", "KEY=a1b2c3d4e5f6g7h8",
    "<EMAIL>", "<", " ",
    "1 Main ", "1 A B C D ", "1 Main Street, ", "1 Main St Apt 1 Town ", "P.O. Box ", "PSC 1 Box ",
    "phone ", "phone 1", "tel: 12 34 ", "born on ", "date of birth ", "passport ",
    "driver's license no ",
    "1.2.3.4.", "255.255.255.", "é", "\u0301", "x" * 70 + "@", "1" * 20 + " ",
]  # fmt: skip

SCRIPT = """
import resource, time
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
from modelwright.data.personal_data.detect import DETECTORS
for piece in {pieces!r}:
    text = piece * ({size} // len(piece)) + "x"
    for detector in DETECTORS:
        started = time.process_time()
        list(detector.spans(text))
        if time.process_time() - started > {allowed}:
            print(detector.kind, repr(piece), time.process_time() - started)
print("done")
"""


def test_time_is_linear_on_texts_made_to_mislead() -> None:
    """The worst takes 0.2 CPU-seconds; in quadratic time 10^10 steps would be needed."""
    script = SCRIPT.format(pieces=PIECES, size=100_000, allowed=2)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "done", done.stdout + done.stderr
