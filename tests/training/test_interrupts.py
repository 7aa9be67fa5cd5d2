import os
import signal

import pytest

from modelwright.training import interrupts
from modelwright.training.budget import Horizon
from modelwright.training.callbacks.checkpointing import Checkpointing
from modelwright.training.checkpoint import TrainState
from modelwright.training.interrupts import stop_requests


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_saves_at_the_next_step_and_then_stops(number: int) -> None:
    saved, finished = list[int](), list[int]()
    with stop_requests() as stop:
        state = TrainState(7, 0, Horizon(100, None))
        checkpointing = Checkpointing(
            1e9,
            lambda state: saved.append(state.step),
            lambda: finished.append(len(saved)),
            stop,
            state,
        )
        checkpointing(state)
        assert saved == []
        os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            checkpointing(state)
    assert saved == [7]
    assert finished == [1]  # it is on disk before the run ends


def test_a_second_request_stops_at_once_and_handlers_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_requests():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # so soon it is the same request, passed on
        monkeypatch.setattr(interrupts, "SAME_REQUEST_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
