"""One text being generated: its prompt, its tokens so far, and where it stands."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import Literal

from torch import Generator

from modelwright.inference.detokenizer import Detokenizer
from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.structured import StructureMatcher
from modelwright.inference.timing import Timing

FinishReason = Literal["stop", "length", "abort"]


class SequenceStatus(Enum):
    """Where a sequence stands."""

    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()


class Sequence:
    """A prompt and what the model says after it.

    Parameters
    ----------
    prompt : list of int
        Token ids, at least one.
    params : SamplingParams
        How to generate.
    generator : torch.Generator
        This sequence's own randomness.
    matcher : StructureMatcher, optional
        Holds it to its form.
    adapter : str, optional
        Name of the adapter that speaks; None for the model itself.

    Attributes
    ----------
    tokens : list of int
        The prompt's and all that were generated.
    generated : list of int
        Those generated so far, the one that ended it included.
    log_probabilities : list of float
        Of these tokens by the policy that drew them, where the parameters ask for them.
    alternatives, prompt_alternatives : list of TokenLogProbability
        Of these tokens, and of the prompt's from the second on, where the parameters ask for them.
    text : str
        What they say, as far as it is certain; without stop strings and control tokens.
    blocks : list of int
        Its blocks of the cache while it runs, in the order of its tokens.
    computed : int
        How many of its tokens are in the cache.
    drafted : int
        How many are in the cache of a model that guesses ahead; those behind ``computed`` may have
        been other ones.
    remembered : int
        How many of its blocks, from the first on, others have been told of.
    block_hashes : list of bytes
        Names of its full blocks, as far as they were needed (``block_manager.py``).
    timing : Timing
        When it was asked for, begun, and went on.
    finish_reason : {"stop", "length", "abort"} or None
        Why it ended: at an end token or stop string, at a limit, or cancelled.
    """

    def __init__(
        self,
        prompt: list[int],
        params: SamplingParams,
        generator: Generator,
        matcher: StructureMatcher | None = None,
        adapter: str | None = None,
    ):
        self.prompt = prompt
        self.tokens = list(prompt)
        self.params = params
        self.generator = generator
        self.matcher = matcher
        self.adapter = adapter
        self.generated: list[int] = []
        self.log_probabilities: list[float] = []
        self.alternatives: list[TokenLogProbability] = []
        self.prompt_alternatives: list[TokenLogProbability] = []
        self.text = ""
        self.status = SequenceStatus.WAITING
        self.blocks: list[int] = []
        self.computed = self.drafted = self.remembered = 0
        self.block_hashes: list[bytes] = []
        self.finish_reason: FinishReason | None = None
        self.detokenizer = Detokenizer(() if params.min_tokens else params.stop)
        self.timing = Timing()

    @property
    def length(self) -> int:
        """Number of tokens, prompt and generated."""
        return len(self.tokens)

    @property
    def missing(self) -> int:
        """Tokens that have to be run before the next one is known."""
        return len(self.tokens) - self.computed

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will come."""
        return self.status is SequenceStatus.FINISHED

    def fork(self) -> Sequence:
        """A copy in the same blocks, to try out what may come next.

        It draws what this one will draw; nothing is kept of how likely its tokens are.
        """
        params = replace(
            self.params, log_probabilities=False, alternatives=None, prompt_alternatives=None
        )
        matcher = None if self.matcher is None else self.matcher.copy()
        copy = Sequence(self.prompt, params, self.generator.clone_state(), matcher, self.adapter)
        copy.tokens, copy.generated = list(self.tokens), list(self.generated)
        copy.blocks = self.blocks
        return copy

    def append(self, token: int, data: bytes) -> str:
        """Add a generated token and its bytes; return the new text that is certain."""
        self.generated.append(token)
        self.tokens.append(token)
        if self.matcher is not None:
            self.matcher.consume(token)
        if len(self.generated) > self.params.min_tokens:
            self.detokenizer.stop = self.params.stop
        return self._add(self.detokenizer.push(data))

    def finish(self, reason: FinishReason) -> str:
        """End here; return the text that was held back."""
        self.status = SequenceStatus.FINISHED
        self.finish_reason = reason
        return self._add(self.detokenizer.finish())

    def _add(self, piece: str) -> str:
        self.text += piece
        return piece
