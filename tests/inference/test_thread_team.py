import gc
import os
import signal
import threading
import time
from random import Random

import pytest

from modelwright.inference import thread_team
from modelwright.inference.kernels.compiled import compiled
from modelwright.inference.kernels.threads import begin_together, end_together, look_out
from modelwright.inference.thread_team import ThreadTeam


@compiled()
def join_in(counters: int, thread: int, threads: int) -> None:
    begin_together(counters, thread)
    end_together(counters, thread, threads)


def run(team: ThreadTeam) -> set[int]:
    """Which threads did a piece of work, by the system's numbers."""
    took_part = set[int]()

    def work(thread: int) -> None:
        if thread > 0:
            took_part.add(threading.get_ident())
        join_in(team.counters, thread, team.size)
        if thread == 0:
            took_part.add(threading.get_ident())

    team.run(work)
    return took_part


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_same_threads_do_all_the_work(size: int) -> None:
    team = ThreadTeam(size)
    threads = run(team)
    assert len(threads) == size
    for number in range(200):
        if number % 50 == 0:
            time.sleep(0.02)  # the others fall asleep
        assert run(team) == threads


def test_nobody_waits_for_a_thread_that_was_interrupted() -> None:
    team = ThreadTeam(2)

    def interrupted(thread: int) -> None:
        assert thread == 0
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            team.run(interrupted)
        assert len(run(team)) == 2


def test_nobody_looks_out_for_what_was_called_off(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = list[int]()

    def look(counters: int, begun: int) -> None:
        looked.append(begun)
        look_out(counters, begun)

    monkeypatch.setattr(thread_team, "look_out", look)
    team = ThreadTeam(2)

    def interrupted(thread: int) -> None:
        while not looked:  # the other one has heard of it
            time.sleep(0.001)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        team.run(interrupted)
    until, before = time.monotonic() + 30, -1
    while len(looked) != before:
        assert time.monotonic() < until
        before = len(looked)
        time.sleep(0.2)
    assert len(run(team)) == 2


def run_until_interrupted(team: ThreadTeam, seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    while True:
        run(team)


def test_interrupts_at_any_moment_leave_a_team_that_works() -> None:
    team, moments = ThreadTeam(2), Random(1)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(500):
            with pytest.raises(KeyboardInterrupt):
                run_until_interrupted(team, moments.uniform(1e-5, 1e-3))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(run(team)) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_is_told_that_the_threads_are_gone() -> None:
    team = ThreadTeam(2)
    run(team)
    child = os.fork()
    if child == 0:
        try:
            run(team)
        except RuntimeError:
            os._exit(3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_threads_end_with_the_team() -> None:
    before = set(threading.enumerate())
    team = ThreadTeam(3)
    run(team)
    threads = set(threading.enumerate()) - before
    assert len(threads) == 2
    del team
    gc.collect()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
