"""What `load.py` prints of its rounds: figures are of what can be counted, or "-"."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from answer_streams import Stream


@dataclass
class Round:
    """All answers of a round."""

    streams: list[Stream]
    seconds: float
    cpu_seconds: float

    @property
    def cut_off(self) -> bool:
        """Its time was over."""
        return any(stream.cut_off for stream in self.streams)

    def tokens(self, answer: int) -> int:
        """Of whole answers, and one for each piece of those that were given up."""
        return sum(
            len(stream.pieces) if stream.cut_off else answer
            for stream in self.streams
            if not stream.failure
        )


@dataclass
class Stall:
    """Eight streams and the long prompt."""

    streams: list[Stream]
    long: Stream
    seconds: float

    @property
    def cut_off(self) -> bool:
        """Its time was over."""
        return any(stream.cut_off for stream in [self.long, *self.streams])

    @property
    def gaps(self) -> list[float]:
        """Of streams that were given to the end."""
        return [gap for stream in self.streams if stream.good for gap in stream.gaps]


def load_row(name: str, rounds: list[Round], answer: int, max_seconds: float) -> str:
    """A line of the table."""
    cut = any(one.cut_off for one in rounds)
    # What was left for the last round may be too short to be one of three.
    counted = [together(rounds)] if cut else rounds
    tokens = [one.tokens(answer) for one in counted]
    speed = thrift = "-"
    if any(tokens):
        speed = middle([of / one.seconds for of, one in zip(tokens, counted, strict=True)])
        busy = [pair for pair in zip(tokens, counted, strict=True) if pair[1].cpu_seconds > 0]
        thrift = middle([of / one.cpu_seconds for of, one in busy])
    streams = [stream for one in rounds for stream in one.streams]
    # The first token of an answer that was given up came, too.
    begun = [stream for stream in streams if stream.pieces and not stream.failure]
    first = shares([stream.first for stream in begun])
    gaps = shares([gap for stream in begun for gap in stream.gaps])
    good = sum(stream.good for stream in streams)
    failed = sum(stream.failure is not None for stream in streams)
    if cut:
        name += f" (cut off after {max_seconds:,.0f} s)"
    return f"| {name} | {speed} | {thrift} | {first} | {gaps} | {good} | {failed} |"


def together(rounds: list[Round]) -> Round:
    """All rounds as one."""
    return Round(
        [stream for one in rounds for stream in one.streams],
        sum(one.seconds for one in rounds),
        sum(one.cpu_seconds for one in rounds),
    )


def stall_row(name: str, stalls: list[Stall], max_seconds: float) -> str:
    """A line of the table."""
    usual = middle([1e3 * median(one.gaps) for one in stalls if one.gaps], 1)
    most = [1e3 * max(one.gaps) for one in stalls if one.gaps]
    longest = f"{middle(most)} / {max(most):,.0f}" if most else "-"
    first = middle([1e3 * one.long.first for one in stalls if one.long.good and one.long.pieces])
    streams = [stream for one in stalls for stream in [one.long, *one.streams]]
    failed = sum(stream.failure is not None for stream in streams)
    if any(stream.cut_off for stream in streams):
        name += f" (cut off after {max_seconds:,.0f} s)"
    return f"| {name} | {usual} | {longest} | {first} | {failed} |"


def middle(values: list[float], digits: int = 0) -> str:
    """The median, if there is one."""
    return f"{median(values):,.{digits}f}" if values else "-"


def shares(seconds: list[float]) -> str:
    """Percentiles 50, 95 and 99 in milliseconds."""
    if not seconds:
        return "-"
    falling = sorted(seconds)
    return " / ".join(
        f"{1e3 * falling[min(len(falling) - 1, int(share * len(falling)))]:,.1f}"
        for share in (0.5, 0.95, 0.99)
    )
