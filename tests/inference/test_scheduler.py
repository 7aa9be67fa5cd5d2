import torch

from modelwright.inference.sampling import SamplingParams
from modelwright.inference.scheduler import Scheduler
from modelwright.inference.sequence import Sequence


def sequence_of(length: int) -> Sequence:
    return Sequence([0] * length, SamplingParams(max_tokens=4), torch.Generator())


def test_first_come_first_served_into_the_lowest_slots() -> None:
    scheduler = Scheduler(slots=2, prefill_tokens=100)
    first, second, third = (sequence_of(3) for _ in range(3))
    for sequence in (first, second, third):
        scheduler.add(sequence)
    batch = scheduler.schedule()
    assert (batch.prefill, batch.decode) == ([first, second], [])
    assert (first.slot, second.slot, third.slot) == (0, 1, None)
    scheduler.remove(first)
    batch = scheduler.schedule()
    assert (batch.prefill, batch.decode) == ([third], [second])
    assert third.slot == 0
    batch = scheduler.schedule()
    assert (batch.prefill, batch.decode) == ([], [third, second])


def test_prefill_is_bounded_with_padding_but_lets_one_long_prompt_in() -> None:
    scheduler = Scheduler(slots=9, prefill_tokens=100)
    lengths = [150, 40, 60, 10, 10, 30, 30]
    sequences = [sequence_of(length) for length in lengths]
    for sequence in sequences:
        scheduler.add(sequence)
    admitted = []
    while scheduler.waiting:
        admitted.append([sequence.length for sequence in scheduler.schedule().prefill])
    assert admitted == [[150], [40], [60], [10, 10, 30], [30]]


def test_a_waiting_sequence_can_be_removed() -> None:
    scheduler = Scheduler(slots=1, prefill_tokens=100)
    first, second = sequence_of(1), sequence_of(1)
    scheduler.add(first)
    scheduler.add(second)
    scheduler.remove(first)
    assert scheduler.schedule().prefill == [second]
    scheduler.remove(second)
    assert not scheduler.has_work
