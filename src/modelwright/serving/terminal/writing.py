"""How answers look in a terminal: without control characters, in colours if they are wanted."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence

from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.serving.terminal.conversation import Scored, Token
from modelwright.tokens.tokenizer import Tokenizer

# A model may say anything, and a terminal obeys escape sequences: only these two stay.
_WITHOUT_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\n"), ord("\t")})

_VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥"})

_SHADES = (None, 230, 222, 215, 208)
"""Of the 256 colours, from a likely token to one that surprises."""

_BITS_A_SHADE = 1.5
_BAR_CELLS = 30
_RESET = "\x1b[0m"


def printable(text: str) -> str:
    """Text without the control characters that a terminal would obey."""
    return text.translate(_WITHOUT_CONTROLS)


def has_colours() -> bool:
    """Whether the output is a terminal that shows them (https://no-color.org)."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in (None, "", "dumb")
    return sys.stdout.isatty() and not is_plain


def surprise(logarithm: float) -> float:
    """Bits of a natural log-probability."""
    return -logarithm / math.log(2)


def coloured(text: str, logarithm: float) -> str:
    """A text whose background says how unlikely it was."""
    shade = _SHADES[min(int(surprise(logarithm) / _BITS_A_SHADE), len(_SHADES) - 1)]
    if shade is None or not text.strip("\n"):
        return text
    # Not beyond the end of a line, where some terminals would colour the rest of it.
    begin = f"\x1b[48;5;{shade};38;5;16m"
    return "\n".join(f"{begin}{line}{_RESET}" if line else "" for line in text.split("\n"))


def token_of(found: TokenLogProbability, tokenizer: Tokenizer) -> Token:
    """A token in the form in which conversations keep it."""

    def scored(token: int, value: float) -> Scored:
        data = tokenizer.token_bytes(token) or tokenizer.decode_special([token]).encode()
        return list(data), round(value, 4)

    others = [scored(*other) for other in found.alternatives]
    return (*scored(found.token, found.value), others)


def token_table(tokens: Sequence[Token]) -> str:
    """Every token of an answer with its probability, and what else could have been said."""
    lines = ["    #  probability  token             could have been"]
    for number, (said, value, others) in enumerate(tokens, start=1):
        rest = [f"{_shown(one)} {percent(other)}" for one, other in others if one != said][:3]
        lines.append(f"{number:5}  {percent(value):>11}  {_shown(said):<16}  {'  '.join(rest)}")
    return "\n".join(lines)


def token_bars(token: Token) -> str:
    """One token and its alternatives, with bars."""
    said, value, others = token
    rows = list(others) if any(one == said for one, _ in others) else [*others, (said, value)]
    rest = 1 - sum(math.exp(logarithm) for _, logarithm in rows)
    lines = [_bar(_shown(one), math.exp(logarithm), one == said) for one, logarithm in rows]
    return "\n".join([*lines, _bar("(all others)", max(rest, 0.0), is_said=False)])


def percent(logarithm: float) -> str:
    """A probability as people read it."""
    share = 100 * math.exp(logarithm)
    return "< 0.01 %" if share < 0.01 else f"{share:.2f} %" if share < 1 else f"{share:.1f} %"


def _bar(label: str, share: float, is_said: bool) -> str:
    bar = "█" * round(share * _BAR_CELLS)
    figure = percent(math.log(share)) if share > 0 else "0 %"
    return f"{'→' if is_said else ' '} {label:<16} {figure:>9}  {bar}"


def _shown(data: Sequence[int]) -> str:
    """Bytes of a token in one line."""
    try:
        text = bytes(data).decode()
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in data)
    return printable(text.translate(_VISIBLE))
