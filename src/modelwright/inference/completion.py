"""What comes out of generating one text, once it has ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelwright.inference.sequence import FinishReason, Sequence


@dataclass(frozen=True)
class Completion:
    """What the model said after one prompt.

    Attributes
    ----------
    tokens : list of int
        Generated ids, the one that ended the text included.
    text : str
        What they say, without control tokens and stop strings.
    finish_reason : {"stop", "length", "abort"}
        Why it ended.
    prompt_tokens : int
        Length of the prompt in tokens.
    log_probabilities : list of float
        Of the generated ids, where the parameters ask for them.
    """

    tokens: list[int]
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    log_probabilities: list[float] = field(default_factory=list)


def completion_of(sequence: Sequence) -> Completion:
    """The same of a sequence that has ended."""
    reason = sequence.finish_reason or "abort"
    return Completion(
        sequence.generated,
        sequence.text,
        reason,
        len(sequence.prompt),
        sequence.log_probabilities,
    )
