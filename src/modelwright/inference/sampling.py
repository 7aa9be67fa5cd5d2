"""What one generation asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelwright.core.errors import InputError
from modelwright.inference.structured import Structure

MAX_SEED = 2**63 - 1
MAX_STOP_STRINGS = 16
MOST_ALTERNATIVES = 20
"""Of a token, with their log-probabilities."""

MOST_KEPT = 2**31 - 1
"""Largest top-k."""

LARGEST_CHANGE = 1e30
"""Of a logit: what a text adds up of these still fits into float32."""

MOST_BIASED = 1024
REPETITION_PENALTIES = (0.01, 100.0)
"""Beyond which logits are no numbers any more."""

_COLDEST = 1e-5
"""Below this temperature the distribution is one-hot in float32, and division may overflow."""


class ParameterError(InputError):
    """A sampling parameter that cannot be meant, alone or with the others.

    Attributes
    ----------
    parameter : str
        Which one, as :class:`SamplingParams` calls it.
    """

    def __init__(self, parameter: str, what: str, *, fix: str):
        super().__init__(what, fix=fix)
        self.parameter = parameter


@dataclass(frozen=True)
class SamplingParams:
    """What one generation asks for.

    Attributes
    ----------
    max_tokens : int
        Most tokens to generate, the one that ends the text included.
    temperature : float
        Divides the logits; 0 always takes the likeliest token.
    top_k : int
        Keep this many likeliest tokens; 0 keeps all.
    top_p : float
        Keep the likeliest tokens that together reach this probability (nucleus sampling,
        Holtzman et al. 2020, arXiv:1904.09751).
    min_p : float
        Keep the tokens that are at least this many times as likely as the likeliest (Nguyen et
        al. 2024, arXiv:2407.01082); 0 keeps all.
    presence_penalty, frequency_penalty : float
        Taken off the logit of a token that was generated, once, and once for each time.
    repetition_penalty : float
        Divides the logit of a token in the prompt or the text if it is above 0, else multiplies
        it (Keskar et al. 2019, arXiv:1909.05858); 1 changes nothing.
    logit_bias : mapping of int to float
        Added to the logits of these tokens.
    min_tokens : int
        Tokens before which the text does not end by itself.
    ignores_end : bool
        Whether it goes on behind a token that ends a text.
    structure : Structure or None
        The form that the answer must have; it ends as soon as nothing may follow.
    stop : tuple of str
        Texts at which generation ends, behind ``min_tokens``; they are not part of the result.
    seed : int or None
        Makes the choice repeatable; None draws a new seed each time.
    log_probabilities : bool
        Whether to keep the log-probability of every token that was chosen, after temperature and
        before tokens are left out: that of the policy that drew it.
    alternatives : int or None
        How many likeliest tokens to keep beside every token, all with the log-probabilities that
        the model gives them, before temperature, penalties and bias; None keeps nothing.
    prompt_alternatives : int or None
        The same for the prompt's tokens, from the second on.
    only_prompt : bool
        Whether nothing is wanted but what the prompt says: it may fill the context, and the one
        token behind it means nothing.
    """

    max_tokens: int
    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    min_tokens: int = 0
    ignores_end: bool = False
    structure: Structure | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    log_probabilities: bool = False
    alternatives: int | None = None
    prompt_alternatives: int | None = None
    only_prompt: bool = False

    def __post_init__(self) -> None:
        self._check("max_tokens", self.max_tokens >= 1, "at least 1")
        warm = math.isfinite(self.temperature) and self.temperature >= 0
        self._check("temperature", warm, "0 or more, and finite")
        self._check("top_k", 0 <= self.top_k <= MOST_KEPT, f"between 0 (all) and {MOST_KEPT}")
        self._check("top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        self._check("min_p", 0 <= self.min_p <= 1, "between 0 and 1")
        for name in ("presence_penalty", "frequency_penalty"):
            is_small = abs(getattr(self, name)) <= LARGEST_CHANGE
            self._check(name, is_small, f"between -{LARGEST_CHANGE:g} and {LARGEST_CHANGE:g}")
        low, high = REPETITION_PENALTIES
        is_factor = low <= self.repetition_penalty <= high
        self._check("repetition_penalty", is_factor, f"between {low} and {high}")
        are_small = all(abs(value) <= LARGEST_CHANGE for value in self.logit_bias.values())
        if not are_small or len(self.logit_bias) > MOST_BIASED:
            raise ParameterError(
                "logit_bias",
                f"logit_bias must be between -{LARGEST_CHANGE:g} and {LARGEST_CHANGE:g}, and of at "
                f"most {MOST_BIASED:,} tokens",
                fix="correct logit_bias",
            )
        fits = 0 <= self.min_tokens <= self.max_tokens
        self._check("min_tokens", fits, f"between 0 and max_tokens, {self.max_tokens}")
        if self.structure is not None and (self.min_tokens or self.ignores_end):
            raise ParameterError(
                "min_tokens" if self.min_tokens else "ignores_end",
                "an answer of a given form ends where the form does: it has no least number of "
                "tokens, and does not go on behind its end",
                fix="leave one of the two out",
            )
        self._check(
            "max_tokens", not self.only_prompt or self.max_tokens == 1, "1 for a prompt alone"
        )
        stops = all(self.stop) and len(self.stop) <= MAX_STOP_STRINGS
        self._check("stop", stops, f"at most {MAX_STOP_STRINGS} texts, none of them empty")
        seeded = self.seed is None or 0 <= self.seed <= MAX_SEED
        self._check("seed", seeded, f"between 0 and {MAX_SEED}")
        for name in ("alternatives", "prompt_alternatives"):
            number = getattr(self, name)
            few = number is None or 0 <= number <= MOST_ALTERNATIVES
            self._check(name, few, f"between 0 and {MOST_ALTERNATIVES}")

    def _check(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ParameterError(
                name,
                f"{name} must be {expected}; got {getattr(self, name)!r}",
                fix=f"correct {name}",
            )

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < _COLDEST

    @property
    def has_penalties(self) -> bool:
        """Whether what was said before changes the logits."""
        return (
            self.presence_penalty != 0
            or self.frequency_penalty != 0
            or self.repetition_penalty != 1
        )
