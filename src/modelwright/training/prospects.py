"""What the training of a shape would come to: how it begins, what it reads and what it reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modelwright.training.bigram_start import MOST_TOKENS, fit_flops
from modelwright.training.forecast import Text
from modelwright.training.names import StartName
from modelwright.training.shapes import Shape

OF_STEPS = 0.9
"""Part of the time that goes into steps as they are timed; the rest goes into measuring, samples,
saving and what else a machine has to do. In runs of 2 to 10 minutes on a CPU 0.78 to 1.1 did."""

MOST_START = 0.4
"""Largest part of the time, or of a training's operations, that its start from bigrams may take;
else training starts at random."""

FEW_TOKENS = 5e5
"""Up to so many the start is from bigrams, if it does not take too much: so short trainings
reached more from it in all runs, also of texts that were read two or three times, where the law
says less."""

NEGLIGIBLE = 0.001
"""Part of the bits for which a smaller model, or a simpler start, is not given up."""

COUNTED_PER_SECOND = 1e7
"""Tokens of which the pairs are counted in a second."""


@dataclass(frozen=True)
class Prospect:
    """A training that could be.

    Attributes
    ----------
    shape : Shape
        Of the model.
    start : {"random", "bigrams"}
        Its first weights.
    tokens : float
        How many it is trained on.
    """

    shape: Shape
    start: StartName
    tokens: float

    def bits_per_byte(self, text: Text) -> float:
        """What it is expected to reach on held-out text."""
        return text.bits_per_byte(self.shape.weights, self.tokens, self.start == "bigrams")


def in_time(
    shape: Shape, seconds: float, text: Text, start: StartName | None = None
) -> list[Prospect]:
    """So many seconds of pretraining with a shape that was timed, its start included.

    With the ``start`` that was asked for; without, with either for which there is time.
    """
    counting = min(text.tokens, MOST_TOKENS) / COUNTED_PER_SECOND
    # The fit computes about as fast as training does.
    took = counting + _start_flops(shape) / (shape.tokens_per_second * shape.flops_per_token)
    most = MOST_START * seconds
    speed = OF_STEPS * shape.tokens_per_second
    at_random = Prospect(shape, "random", speed * seconds)
    from_bigrams = Prospect(shape, "bigrams", speed * (seconds - min(took, most)))
    if start is None and took > most:
        return [at_random]
    if start is None:
        return [from_bigrams] if at_random.tokens <= FEW_TOKENS else [at_random, from_bigrams]
    return [from_bigrams if start == "bigrams" else at_random]


def start_share(shape: Shape, tokens: float) -> float:
    """Operations of a start from bigrams, over those of training on so many tokens."""
    return _start_flops(shape) / (shape.flops_per_token * tokens)


def _start_flops(shape: Shape) -> float:
    return fit_flops(shape.vocabulary, shape.hidden_size)


def on_tokens(shape: Shape, tokens: float, text: Text, start: StartName | None = None) -> Prospect:
    """A training on so many tokens, its start not included; ``start`` as for :func:`in_time`.

    Without one it is from bigrams if tokens are few or as much work on more would gain less.
    """
    at_random, from_bigrams = (Prospect(shape, one, tokens) for one in ("random", "bigrams"))
    if start is None:
        share = start_share(shape, tokens)
        longer = Prospect(shape, "random", (1.0 + share) * tokens)
        gains_more = from_bigrams.bits_per_byte(text) < longer.bits_per_byte(text)
        is_worth_it = tokens <= FEW_TOKENS or gains_more
        return from_bigrams if is_worth_it and share <= MOST_START else at_random
    return from_bigrams if start == "bigrams" else at_random


def best_in_time(
    shapes: list[Shape], seconds: float, text: Text, start: StartName | None = None
) -> Prospect:
    """The shape that is expected to reach most in so many seconds of pretraining."""
    prospects = (one for shape in shapes for one in in_time(shape, seconds, text, start))
    return _best(prospects, text)


def best_for_flops(
    shapes: list[Shape], flops: float, text: Text, start: StartName | None = None
) -> Prospect:
    """The shape that is expected to reach most with so many operations."""
    prospects = (on_tokens(one, flops / one.flops_per_token, text, start) for one in shapes)
    return _best(prospects, text)


def largest_worthwhile(
    shapes: list[Shape], tokens: float, text: Text, start: StartName | None = None
) -> Shape:
    """The largest shape that makes the best use, or nearly, of the operations it needs for this."""
    for shape in reversed(shapes):
        if best_for_flops(shapes, shape.flops_per_token * tokens, text, start).shape == shape:
            return shape
    return shapes[0]


def _best(prospects: Iterable[Prospect], text: Text) -> Prospect:
    """The first of those that are expected to reach most, or nearly so."""
    each = [(one, one.bits_per_byte(text)) for one in prospects]
    enough = (1.0 + NEGLIGIBLE) * min(bits for _, bits in each)
    return next(one for one, bits in each if bits <= enough)
