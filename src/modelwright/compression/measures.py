"""What is said of a model before and after: its size, its loss on text, its speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from modelwright.evaluation.bits_per_byte import bits_per_byte
from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams

SEQUENCES = (1, 16)
"""How many sequences grow together when the speed is measured."""

WARM_UP_TOKENS = 4


@dataclass(frozen=True)
class Measures:
    """A model in figures.

    Attributes
    ----------
    weight_bytes : int
        Of the files with its weights.
    bits_per_byte : float or None
        On held-out text; None where there is none.
    tokens_per_second : dict of int to float
        Of generation, by the number of sequences that grow together; empty where it was not
        measured.
    """

    weight_bytes: int
    bits_per_byte: float | None
    tokens_per_second: dict[int, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """For a file."""
        return asdict(self)


def measure(
    engine: Engine,
    folder: Path,
    texts: Sequence[str],
    new_tokens: int,
    on_progress: Callable[[int], None],
) -> Measures:
    """Measure a model.

    Parameters
    ----------
    engine : Engine
        Runs it in plain PyTorch, as evaluation does; its speed is that of the engine that is
        served.
    folder : Path
        Where it lies.
    texts : sequence of str
        Held-out text.
    new_tokens : int
        Of each sequence when the speed is measured, as far as the context holds; 0 measures none.
    on_progress : callable
        Called with the number of bytes of text that are scored.
    """
    bits = bits_per_byte(engine, texts, on_progress) if texts else None
    speeds = _speeds(engine, new_tokens) if new_tokens else {}
    return Measures(weight_bytes(folder), bits, speeds)


def weight_bytes(folder: Path) -> int:
    """Size of a model's weights on disk."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _speeds(engine: Engine, new_tokens: int) -> dict[int, float]:
    served = Engine(engine.model, engine.tokenizer, max_sequences=max(SEQUENCES), weights="auto")
    return {count: tokens_per_second(served, count, new_tokens) for count in SEQUENCES}


def tokens_per_second(engine: Engine, sequences: int, new_tokens: int) -> float:
    """New tokens in a second while so many sequences grow together from the start of a document."""
    prompts = [[engine.tokenizer.end_of_text]] * sequences
    count = min(new_tokens, engine.context_length - 1)
    engine.generate(prompts, _greedy(min(WARM_UP_TOKENS, count)))
    started = time.perf_counter()
    engine.generate(prompts, _greedy(count))
    return count * sequences / (time.perf_counter() - started)


def table(before: Measures, after: Measures) -> list[str]:
    """Both in lines of text, as columns."""
    rows = [("", "before", "after", "ratio")]
    rows.append(_row("bytes", before.weight_bytes, after.weight_bytes, ",.0f"))
    if before.bits_per_byte is None or after.bits_per_byte is None:
        rows.append(("bits per byte", "not measured", "not measured", ""))
    else:
        rows.append(_row("bits per byte", before.bits_per_byte, after.bits_per_byte, ".4f"))
    for count, speed in before.tokens_per_second.items():
        name = f"tokens/s, {count} at once"
        rows.append(_row(name, speed, after.tokens_per_second[count], ",.0f"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def _row(name: str, before: float, after: float, form: str) -> tuple[str, str, str, str]:
    return name, format(before, form), format(after, form), f"{after / before:.3f}"


def _greedy(tokens: int) -> SamplingParams:
    return SamplingParams(max_tokens=tokens, temperature=0.0, ignores_end=True)
