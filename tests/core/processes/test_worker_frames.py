from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.processes.frames import BrokenFrameError, read_frame, write_frame

HEADERS = st.dictionaries(st.text(), st.text() | st.integers() | st.booleans())


@given(st.lists(st.tuples(HEADERS, st.binary())))
def test_messages_come_back(messages):
    stream = io.BytesIO()
    for header, body in messages:
        write_frame(stream, header, body)
    stream.seek(0)
    assert [read_frame(stream) for _ in messages] == messages
    assert read_frame(stream) is None


@given(st.binary(max_size=60))
def test_anything_else_is_refused(raw):
    try:
        frame = read_frame(io.BytesIO(raw), max_body=100)
    except BrokenFrameError:
        return
    assert frame is None or isinstance(frame[0], dict)


def test_a_message_that_is_cut_off_or_too_long():
    stream = io.BytesIO()
    write_frame(stream, {"a": 1}, b"body")
    raw = stream.getvalue()
    for length in range(1, len(raw)):
        with pytest.raises(BrokenFrameError, match="cut off"):
            read_frame(io.BytesIO(raw[:length]))
    with pytest.raises(BrokenFrameError, match="too long"):
        read_frame(io.BytesIO(raw), max_body=3)
