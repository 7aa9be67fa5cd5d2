from __future__ import annotations

import sys

import pytest
from pages import CASES

from modelwright.data.extract.extracted import Extracted
from modelwright.data.extract.process import CRASHED
from modelwright.data.sandbox import Failure, Limits, Sandbox, Task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the system has no limits")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(1, Limits(cpu_seconds=1.0)) as sandbox:
        yield sandbox


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_document_is_contained(sandbox, case):
    result = sandbox.extract(Task(case.kind, case.make(), case.options))
    if isinstance(result, Extracted):
        assert case.never not in result.text + result.title
        assert len(result.text) < 50_000_000
    else:
        assert result != Failure(CRASHED)
