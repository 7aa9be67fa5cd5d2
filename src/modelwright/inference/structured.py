"""Answers of a given form: JSON that fits a schema, a regular expression, a grammar, a choice.

llguidance says which tokens may come next; whatever it cannot enforce is refused before anything is
generated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

Form = Literal["json_schema", "regex", "grammar", "choice"]

SPACING: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As Python writes JSON; with free white space a weak model may write nothing else."""


@dataclass(frozen=True)
class Structure:
    """The form of an answer.

    Attributes
    ----------
    form : {"json_schema", "regex", "grammar", "choice"}
        What is given.
    value : object
        A JSON schema (dict or bool), a regular expression (str, as Rust's regex has it), a grammar
        (str, as Lark has it), or texts of which one is to be said.
    """

    form: Form
    value: Any


class StructureMatcher:
    """Follows one answer, and says what may come next.

    Parameters
    ----------
    matcher : LLMatcher
        At its beginning.
    vocabulary_size : int
        Tokens that there are.
    """

    def __init__(self, matcher: LLMatcher, vocabulary_size: int):
        self._matcher, self._size = matcher, vocabulary_size

    def allowed(self) -> Tensor:
        """Whether each token may come next (V,), bool, on the CPU."""
        bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        places = torch.arange(8, dtype=torch.uint8)
        return ((bits[:, None] >> places) & 1).bool().flatten()[: self._size]

    def consume(self, token: int) -> None:
        """Go on behind a token that was allowed."""
        self._matcher.consume_token(token)

    @property
    def is_complete(self) -> bool:
        """Whether the answer is whole and nothing may follow."""
        return bool(self._matcher.is_stopped())


class Structures:
    """Makes matchers for one tokenizer.

    Parameters
    ----------
    tokenizer : Tokenizer
        The model's own.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._known: LLTokenizer | None = None

    def matcher(self, structure: Structure) -> StructureMatcher:
        """A matcher at the beginning of an answer.

        Raises
        ------
        InputError
            If the form is wrong, or has something that cannot be enforced.
        """
        from llguidance import LLMatcher

        grammar = _grammar(structure)
        is_wrong, problems = LLMatcher.validate_grammar_with_warnings(grammar, self._tokens())
        if is_wrong or problems:
            raise InputError(
                f"the {structure.form} cannot be enforced: {problems[0].splitlines()[0]}",
                fix="correct it, or leave out what is not supported",
            )
        return StructureMatcher(
            LLMatcher(self._tokens(), grammar, log_level=0), self._tokenizer.vocabulary_size
        )

    def _tokens(self) -> LLTokenizer:
        if self._known is None:
            from llguidance.tiktoken import lltokenizer_from_encoding

            ends = [self._tokenizer.message_end, self._tokenizer.end_of_text]
            self._known = lltokenizer_from_encoding(self._tokenizer.encoding, eos_token=ends)
        return self._known


def _grammar(structure: Structure) -> str:
    from llguidance import LLMatcher

    makers: dict[Form, Callable[[Any], str]] = {
        "json_schema": lambda value: LLMatcher.grammar_from_json_schema(
            json.dumps(value), overrides=SPACING
        ),
        "regex": LLMatcher.grammar_from_regex,
        "grammar": LLMatcher.grammar_from_lark,
        "choice": lambda value: LLMatcher.grammar_from_lark(_one_of(value)),
    }
    try:
        return makers[structure.form](structure.value)
    except ValueError as error:
        raise InputError(
            f"the {structure.form} cannot be read: {error}", fix="correct it"
        ) from None


def _one_of(texts: Sequence[str]) -> str:
    return "start: " + " | ".join(json.dumps(text) for text in texts)
