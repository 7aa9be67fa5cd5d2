"""Answers of a given form: JSON that fits a schema, a regular expression, a grammar, a choice.

llguidance says which tokens may come next; whatever it cannot enforce is refused before anything is
generated.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction
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
    text : str
        A JSON schema or the list of choices as JSON, a regular expression (as Rust's regex has it),
        or a grammar (as Lark has it).
    """

    form: Form
    text: str

    @classmethod
    def of(cls, form: Form, value: Any) -> Structure:
        """From a schema (dict or bool), a text, or a list of texts to choose from.

        Raises
        ------
        InputError
            If a schema is nested beyond reason.
        """
        if form in ("regex", "grammar"):
            return cls(form, value)
        try:
            return cls(form, json.dumps(value))
        except RecursionError:
            raise InputError(f"the {form} is nested too deeply", fix="make it simpler") from None


MOST_CHARACTERS = 65_536
"""Of a form. What a regular expression may do in these is bounded by llguidance's own limits."""

MOST_REFERENCES, MOST_RULES, MOST_DEPTH = 200, 400, 64
"""llguidance follows references, rules and nesting on the stack, and would overflow it."""

MOST_MULTIPLE = 10_000
"""Of ``multipleOf``, whose automaton has that many states."""

KNOWN = 32
"""Compiled forms that are kept, so that choices and repeated requests share them."""


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

    def copy(self) -> StructureMatcher:
        """One at the same place that goes its own way."""
        return StructureMatcher(self._matcher.deep_copy(), self._size)

    def consume(self, token: int) -> None:
        """Go on behind a token that was allowed."""
        self._matcher.consume_token(token)

    @property
    def is_complete(self) -> bool:
        """Whether the answer is whole and nothing may follow."""
        return bool(self._matcher.is_stopped()) and not self.has_failed

    @property
    def has_failed(self) -> bool:
        """Whether llguidance gave up, as it may on a form that is too complex."""
        return bool(self._matcher.is_error())


class Structures:
    """Makes matchers for one tokenizer; any thread may use it.

    Parameters
    ----------
    tokenizer : Tokenizer
        The model's own.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._tokens: LLTokenizer | None = None
        self._compiled: OrderedDict[Structure, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def matcher(self, structure: Structure) -> StructureMatcher:
        """A matcher at the beginning of an answer; the first of a form takes a while.

        Raises
        ------
        InputError
            If the form is wrong, or has something that cannot be enforced.
        """
        with self._lock:
            known = self._compiled.get(structure)
            if known is None:
                known = self._compiled[structure] = self._compile(structure)
                if len(self._compiled) > KNOWN:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(structure)
            copy = known.deep_copy()
        return StructureMatcher(copy, self._tokenizer.vocabulary_size)

    def _compile(self, structure: Structure) -> LLMatcher:
        from llguidance import LLMatcher
        from llguidance.tiktoken import lltokenizer_from_encoding

        if self._tokens is None:
            ends = [self._tokenizer.message_end, self._tokenizer.end_of_text]
            self._tokens = lltokenizer_from_encoding(self._tokenizer.encoding, eos_token=ends)
        try:
            grammar = _grammar(structure)
        except ValueError as error:
            raise InputError(
                f"the {structure.form} cannot be read: {error}", fix="correct it"
            ) from None
        matcher = LLMatcher(self._tokens, grammar, log_level=0)
        problems = [*filter(None, [matcher.get_error()]), *matcher.get_grammar_warnings()]
        if not problems:
            first = matcher.deep_copy()
            first.compute_bitmask()  # an error where nothing at all can be said
            problems = [first.get_error()] if first.is_error() else []
        if problems:
            raise InputError(
                f"the {structure.form} cannot be enforced: {_in_one_line(problems[0])}",
                fix="correct it, or leave out what is not supported",
            )
        return matcher


def _in_one_line(problem: str) -> str:
    """What llguidance says, without the drawing of where."""
    lines = [line.strip() for line in problem.splitlines()]
    drawn = re.compile(r"\^*|\d* ?\|.*")
    said = [line for line in lines if not drawn.fullmatch(line)]
    return " ".join(said)[:300]


def _grammar(structure: Structure) -> str:
    """What llguidance compiles; raises InputError if it is larger than is safe."""
    from llguidance import LLMatcher

    form, text = structure.form, structure.text
    if len(text) > MOST_CHARACTERS:
        raise _too_large(form, f"{len(text):,} characters", f"{MOST_CHARACTERS:,}")
    if text.count("$ref") > MOST_REFERENCES:
        raise _too_large(form, f"{text.count('$ref'):,} references", f"{MOST_REFERENCES:,}")
    if form == "json_schema":
        _check_schema(json.loads(text), 0)
        return LLMatcher.grammar_from_json_schema(text, overrides=SPACING)
    if form == "regex":
        return LLMatcher.grammar_from_regex(text)
    if form == "choice":
        return LLMatcher.grammar_from_lark(
            "start: " + " | ".join(json.dumps(one) for one in json.loads(text))
        )
    rules = sum(":" in line for line in text.splitlines())
    if rules > MOST_RULES:
        raise _too_large(form, f"{rules:,} rules", f"{MOST_RULES:,}")
    return LLMatcher.grammar_from_lark(text)


def _check_schema(schema: Any, depth: int) -> None:
    """Refuse what would overflow the stack or take minutes."""
    if depth > MOST_DEPTH:
        raise _too_large("json_schema", f"more than {MOST_DEPTH} levels", str(MOST_DEPTH))
    if isinstance(schema, list):
        for one in schema:
            _check_schema(one, depth + 1)
    if not isinstance(schema, dict):
        return
    multiple = schema.get("multipleOf")
    if isinstance(multiple, int | float) and math.isfinite(multiple):
        fraction = Fraction(str(multiple))
        largest = max(abs(fraction.numerator), fraction.denominator)
        if largest > MOST_MULTIPLE:
            raise _too_large("json_schema", f"multipleOf {multiple}", f"{MOST_MULTIPLE:,}")
    for one in schema.values():
        _check_schema(one, depth + 1)


def _too_large(form: str, what: str, most: str) -> InputError:
    return InputError(f"the {form} has {what}; at most {most} are taken", fix="make it simpler")
