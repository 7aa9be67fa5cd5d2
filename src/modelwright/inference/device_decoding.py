"""Steps whose tokens are drawn on the device, and the next step told to it before they are known.

The device then never waits for the host: while it runs a step, the host turns the tokens of the
step before into text and decides what follows. A step that is told ahead runs the same sequences
once more; of one that turns out to have ended it is thrown away. A text does not depend on it, as
its tokens are drawn in the same order from the same random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from modelwright.inference.adjustments import is_adjusted
from modelwright.inference.sampler import SamplingRows, chosen_log_probabilities, sample
from modelwright.inference.scheduler import Part, Scheduler
from modelwright.inference.sequence import Sequence
from modelwright.inference.static_network import StaticNetwork
from modelwright.inference.transfer import OnItsWay, to_device


@dataclass(frozen=True)
class Launched:
    """A step that the device was told to run.

    Attributes
    ----------
    parts : list of Part
        What it runs, a token each.
    tokens : Tensor
        The next token of each (B,), int64, on the device.
    drawn : OnItsWay
        The same for the host; -1 where the model's output was not finite.
    log_probabilities : OnItsWay, optional
        Of these tokens (B,), float32, if any sequence asks for them.
    """

    parts: list[Part]
    tokens: Tensor
    drawn: OnItsWay
    log_probabilities: OnItsWay | None

    @property
    def rows(self) -> list[int]:
        """Rows whose sequences still run."""
        return [row for row, part in enumerate(self.parts) if not part.sequence.is_finished]


class DeviceDecoding:
    """Runs steps of one token a sequence, for sequences whose tokens can be drawn on the device.

    Parameters
    ----------
    network : StaticNetwork
        The model.
    scheduler : Scheduler
        Whose sequences they are.
    vocabulary_size : int
        Tokens that may be drawn; logits of others are left out.
    context_length : int
        Longest sequence.
    runs_ahead : bool
        Whether a step is told to the device while the one before runs.
    """

    def __init__(
        self,
        network: StaticNetwork,
        scheduler: Scheduler,
        vocabulary_size: int,
        context_length: int,
        runs_ahead: bool,
    ):
        self._network, self._scheduler = network, scheduler
        self._vocabulary_size, self._context_length = vocabulary_size, context_length
        self._runs_ahead = runs_ahead
        self._rows: SamplingRows | None = None

    def fits(self, parts: list[Part]) -> bool:
        """Whether a step can be run in this way."""
        return all(
            part.count == 1
            and part.is_last
            and not part.joins
            and part.sequence.adapter is None
            and part.sequence.params.alternatives is None
            and not is_adjusted(part.sequence)
            for part in parts
        )

    def launch(self, parts: list[Part], tokens: Tensor | None = None) -> Launched:
        """Have the device run a step; ``tokens`` (B,) are its inputs if they are only there."""
        hidden = self._network.decode(parts, tokens)
        logits = self._network.logits(hidden)[:, : self._vocabulary_size].float()
        rows = self._rows_for(parts, logits.device)
        drawn = sample(logits, rows, [part.sequence.generator for part in parts])
        # What is drawn from numbers that are not finite may be no token.
        drawn = drawn.clamp(0, self._vocabulary_size - 1)
        is_finite = torch.isfinite(logits.amax(dim=-1))
        log_probabilities = None
        if any(params.log_probabilities for params in rows.params):
            log_probabilities = OnItsWay.of(chosen_log_probabilities(logits, drawn, rows))
        said = OnItsWay.of(torch.where(is_finite, drawn, -1))
        return Launched(parts, drawn, said, log_probabilities)

    def launch_following(self, launched: Launched) -> Launched | None:
        """Have it run the step after one that it has not finished; None if that has to wait."""
        rows = launched.rows
        running = self._scheduler.running
        has_place = len(running) < self._scheduler.max_sequences
        newcomers_wait = bool(self._scheduler.waiting) and has_place
        if not self._runs_ahead or newcomers_wait or len(rows) != len(running):
            return None
        rows = [row for row in rows if not self._ends(launched.parts[row].sequence)]
        parts = [launched.parts[row] for row in rows]
        # Nobody loses room to a step that is told ahead.
        reserve = self._scheduler.blocks.reserve
        if not parts or not all(reserve(part.sequence, part.end + 1) for part in parts):
            return None
        tokens = launched.tokens
        if len(rows) < len(launched.parts):
            tokens = tokens[to_device(rows, torch.int64, tokens.device)]
        return self.launch([Part(part.sequence, part.end, 1) for part in parts], tokens)

    def take(self, launched: Launched) -> tuple[list[Part], list[int | None]]:
        """Wait for a step; gives the parts whose sequences still run, and their next tokens.

        Log-probabilities are kept with the sequences that ask for them.
        """
        drawn: list[int] = launched.drawn.wait().tolist()
        logs = launched.log_probabilities
        found: list[float] = [] if logs is None else logs.wait().tolist()
        rows = launched.rows
        for row in rows:
            part, sequence = launched.parts[row], launched.parts[row].sequence
            self._scheduler.blocks.remember(sequence, part.end)
            sequence.computed = part.end
            if sequence.params.log_probabilities and drawn[row] >= 0:
                sequence.log_probabilities.append(found[row])
        tokens = [drawn[row] if drawn[row] >= 0 else None for row in rows]
        return [launched.parts[row] for row in rows], tokens

    def _ends(self, sequence: Sequence) -> bool:
        """Whether a sequence has its last token in the step under way, whatever that is."""
        is_full = sequence.length + 1 >= self._context_length
        return is_full or len(sequence.generated) + 1 >= sequence.params.max_tokens

    def _rows_for(self, parts: list[Part], device: torch.device) -> SamplingRows:
        """Those of the step before, if they ask for the same: they are on the device already."""
        params = [part.sequence.params for part in parts]
        if self._rows is None or self._rows.params != params:
            self._rows = SamplingRows(params, device)
        return self._rows
