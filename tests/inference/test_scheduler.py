"""The scheduler and its blocks, with a cache that remembers what was written where."""

from collections.abc import Sequence as Items
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.inference.block_manager import BLOCK_SIZE, BlockManager
from modelwright.inference.kv_cache import slots_of
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.scheduler import Scheduler
from modelwright.inference.sequence import Sequence


def sequence_of(tokens: int | Items[int], adapter: str | None = None) -> Sequence:
    prompt = [0] * tokens if isinstance(tokens, int) else list(tokens)
    params = SamplingParams(max_tokens=400)
    return Sequence(prompt, params, torch.Generator(), adapter=adapter)


class Cache:
    """What each place of a cache holds: a token and all that came before it."""

    def __init__(self) -> None:
        self.places = dict[int, tuple[str | None, tuple[int, ...]]]()

    def run(self, scheduler: Scheduler, random: Random) -> list[list[int]]:
        """One step: write, then read as attention would; gives (start, count) of the parts."""
        parts = scheduler.schedule()
        assert sum(part.count for part in parts) <= scheduler.step_tokens
        for part in parts:
            assert part.start == part.sequence.computed
            for position, slot in zip(
                range(part.start, part.end),
                slots_of(part.sequence.blocks, part.start, part.count),
                strict=True,
            ):
                seen = tuple(part.sequence.tokens[: position + 1])
                self.places[slot] = (part.sequence.adapter, seen)
        for part in parts:
            for position, slot in enumerate(slots_of(part.sequence.blocks, 0, part.end)):
                seen = tuple(part.sequence.tokens[: position + 1])
                assert self.places[slot] == (part.sequence.adapter, seen)
            part.sequence.computed = part.end
            if part.is_last:
                part.sequence.append(random.randrange(2), b"")
        scheduler.blocks.check(scheduler.running)
        return [[part.start, part.count] for part in parts]


def new_scheduler(blocks: int = 100, sequences: int = 8, tokens: int = 64) -> Scheduler:
    return Scheduler(BlockManager(blocks), sequences, tokens)


def test_first_come_first_served_up_to_the_limit() -> None:
    scheduler = new_scheduler(sequences=2)
    first, second, third = (sequence_of(3 + extra) for extra in range(3))
    for sequence in (first, second, third):
        scheduler.add(sequence)
    assert [part.sequence for part in scheduler.schedule()] == [first, second]
    scheduler.remove(first)
    assert [part.sequence for part in scheduler.schedule()] == [second, third]


def test_a_long_prompt_is_run_in_pieces_beside_the_answers() -> None:
    scheduler, cache, random = new_scheduler(), Cache(), Random(0)
    scheduler.add(sequence_of([1] * 4))
    cache.run(scheduler, random)
    scheduler.add(sequence_of([0] * 130))
    steps = [cache.run(scheduler, random) for _ in range(4)]
    assert steps == [
        [[4, 1], [0, 63]],
        [[5, 1], [63, 63]],
        [[6, 1], [126, 4]],
        [[7, 1], [130, 1]],
    ]


def test_texts_that_begin_alike_share_what_was_worked_out() -> None:
    scheduler, cache, random = new_scheduler(tokens=200), Cache(), Random(0)
    beginning = [random.randrange(9) for _ in range(3 * BLOCK_SIZE)]
    for tail in ([1], [2], []):
        scheduler.add(sequence_of([*beginning, *tail]))
    # Also those that come in the same step; the last token is run again, as it must be.
    assert cache.run(scheduler, random) == [[48, 1], [0, 49], [32, 16]]
    for sequence in list(scheduler.running):
        scheduler.remove(sequence)
    assert scheduler.blocks.usage == 0
    scheduler.add(sequence_of([*beginning, 5, 6]))
    scheduler.add(sequence_of([*beginning, 5, 6], adapter="another"))
    assert cache.run(scheduler, random) == [[48, 2], [0, 50]]
    assert (scheduler.prefix_queries, scheduler.prefix_hits) == (49 * 2 + 48 + 100, 48 + 32 + 48)


def test_prompts_whose_probabilities_are_wanted_are_run_whole() -> None:
    scheduler, cache, random = new_scheduler(tokens=200), Cache(), Random(0)
    scheduler.add(sequence_of(40))
    cache.run(scheduler, random)
    params = SamplingParams(max_tokens=4, prompt_alternatives=2)
    scheduler.add(Sequence([0] * 40, params, torch.Generator()))
    assert cache.run(scheduler, random)[-1] == [0, 40]


def test_without_room_the_newest_waits_and_goes_on_later() -> None:
    scheduler, cache, random = new_scheduler(blocks=4, tokens=200), Cache(), Random(0)
    old, new = sequence_of([1] * 30), sequence_of([2] * 30)
    scheduler.add(old)
    scheduler.add(new)
    for _ in range(4):
        cache.run(scheduler, random)
    assert (old.length, new.length, scheduler.preemptions) == (34, 33, 1)
    assert list(scheduler.waiting) == [new]
    scheduler.remove(old)
    said = list(new.generated)
    cache.run(scheduler, random)
    assert new.generated[:3] == said
    assert new.length == 34


def test_what_a_failed_step_claimed_to_have_written_is_forgotten() -> None:
    scheduler, cache, random = new_scheduler(), Cache(), Random(0)
    lost = sequence_of([3] * 40)
    scheduler.add(lost)
    scheduler.schedule()
    scheduler.blocks.forget()
    scheduler.remove(lost)
    scheduler.add(sequence_of([3] * 40))
    assert cache.run(scheduler, random) == [[0, 40]]


def test_a_waiting_sequence_can_be_removed() -> None:
    scheduler = new_scheduler(sequences=1)
    first, second = sequence_of(1), sequence_of(1)
    scheduler.add(first)
    scheduler.add(second)
    scheduler.remove(first)
    assert [part.sequence for part in scheduler.schedule()] == [second]
    scheduler.remove(second)
    assert not scheduler.has_work


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(6, 40), st.integers(1, 6), st.integers(8, 90))
def test_any_traffic_reads_what_it_wrote(
    seed: int, blocks: int, sequences: int, tokens: int
) -> None:
    random = Random(seed)
    scheduler, cache = new_scheduler(blocks, sequences, tokens), Cache()
    beginnings = [[random.randrange(2) for _ in range(40)] for _ in range(2)]
    longest = blocks * BLOCK_SIZE
    for _ in range(80):
        if random.random() < 0.4:
            beginning = random.choice(beginnings)[: random.randrange(1, 40)]
            tail = [random.randrange(2) for _ in range(random.randrange(30))]
            adapter = random.choice([None, "one"])
            scheduler.add(sequence_of([*beginning, *tail], adapter))
        cache.run(scheduler, random)
        for sequence in [*scheduler.running, *scheduler.waiting]:
            is_over = sequence.length >= longest or random.random() < 0.03
            if is_over:
                scheduler.remove(sequence)
    for _ in range(20_000):
        if not scheduler.has_work:
            break
        assert cache.run(scheduler, random), "nothing moves"
        for sequence in list(scheduler.running):
            if sequence.length >= min(longest, 100):
                scheduler.remove(sequence)
    assert not scheduler.has_work
    assert scheduler.blocks.usage == pytest.approx(0)
