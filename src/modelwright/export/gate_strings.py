"""The texts on which an export's tokenizer is compared with the model's own.

They are made, not collected: the same on every machine, of all that tokenizers differ in. Ranges of
characters are written out, so that no newer version of Unicode changes them.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelwright.tokens.tokenizer import Tokenizer

How = Literal["plain", "special", "start"]
"""As text alone, with control tokens recognised, or as the beginning of a prompt."""

STRINGS = 5_000

_SCRIPTS = {
    "Latin": ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x17E)),
    "Greek": ((0x391, 0x3A1), (0x3A3, 0x3C9)),
    "Cyrillic": ((0x410, 0x44F),),
    "Hebrew": ((0x5D0, 0x5EA),),
    "Arabic": ((0x627, 0x63A), (0x641, 0x64A)),
    "Devanagari": ((0x905, 0x939), (0x93E, 0x94D)),
    "Tamil": ((0xB95, 0xB95), (0xBAE, 0xBB5), (0xBBE, 0xBC2)),
    "Thai": ((0xE01, 0xE30), (0xE32, 0xE3A)),
    "Georgian": ((0x10D0, 0x10F0),),
    "Hangul": ((0xAC00, 0xD7A3),),
    "Hiragana": ((0x3041, 0x3096),),
    "Han": ((0x4E00, 0x9FA5),),
    "Han, rare": ((0x20000, 0x2A6D6),),
    "Gothic": ((0x10330, 0x10340),),
}
_DIGITS = "0123456789" * 3 + "٠١٢٣٤٥٦٧٨٩०१२३५²³¹½¼ⅣⅫ①⑩〇"
_SPACES = " " * 8 + "\t\n\n\r\r\n\u00a0\u2003\u2009\u3000\u2028\u205f\x0b\x0c\x85"
_SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»–—…“”‘’•€£§©™°×÷←→≤≠∞∑√■★♥"
_ENDINGS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'Re", "’s", "'", "''")
_EMOJI = (
    "🙂", "😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷", "🇺🇳", "❤️", "☕", "1️⃣", "🧑🏿‍🚀", "🫠",
)  # fmt: skip
_MARKS = "\u0301\u0300\u0308\u0327\u030a\u0323\u20dd\ufe0f\u200d\u200c\u200b\ufeff"
_CONTROLS = "\x00\x01\x1b\x7f\x9f\ufffd\ue000\uffff"

CHATS: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "What is a list?"}],
    [{"role": "user", "content": "  two spaces before, two behind  "}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Pourquoi ?\n"}],
    [
        {"role": "user", "content": "1 + 1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "你好 🙂"},
    ],
    [
        {"role": "system", "content": "Antworte\n\nauf Deutsch"},
        {"role": "user", "content": "a\tb"},
        {"role": "assistant", "content": "x = 1\n"},
        {"role": "user", "content": "{{ braces }} <b>"},
        {"role": "assistant", "content": "'quoted' \"twice\" \\n"},
        {"role": "user", "content": "?"},
    ],
)
"""Conversations on which the chat template is compared, each ends with a question."""


PROSE = """\
The ferry leaves at seven, and who is late has to wait until noon; so we ran, with wet shoes and
half a loaf of bread. "It isn't far," she said. "Count to a thousand and you'll see the pier."

def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else sum(ordered[middle - 1 : middle + 1]) / 2

In 1931 the lake rose by 4.5 m; 23 × 17 = 391. L'hiver fut long, et la neige resta jusqu'en avril.
Was man nicht im Kopf hat, hat man in den Beinen. 雨停了，我们就出发。 Дорога была пуста.
"""
"""What models are asked to go on with: prose, code, numbers, other languages."""


@dataclass(frozen=True)
class Probe:
    """A text and how it is to be read."""

    text: str
    how: How


def make_probes(
    tokenizer: Tokenizer, count: int = STRINGS, normalised: bool = False
) -> list[Probe]:
    """Texts of every kind in turn, always the same for the same tokenizer.

    Parameters
    ----------
    tokenizer : Tokenizer
        Whose tokens, ordinary and control, texts are also made of.
    count : int
        How many.
    normalised : bool
        Bring them into form NFC first, for readers that do not.
    """
    rng = random.Random(0)
    visible = [token for token, id in tokenizer.special_tokens.items() if tokenizer.token_bytes(id)]
    makers: list[tuple[Callable[[random.Random], str], How]] = [
        (_words, "plain"),
        (_mixed, "plain"),
        (_spaces, "plain"),
        (_digits, "plain"),
        (_signs, "plain"),
        (_emoji, "plain"),
        (_marked, "plain"),
        (_code, "plain"),
        (_anything, "plain"),
        (lambda rng: _own_tokens(rng, tokenizer), "plain"),
        (lambda rng: _mixed(rng) + _forged(rng, tokenizer), "plain"),
        (lambda rng: _with_control(rng, tokenizer), "special"),
        (_mixed, "start"),
    ]
    probes = list[Probe]()
    while len(probes) < count:
        make, how = makers[len(probes) % len(makers)]
        text = make(rng)
        if normalised:
            text = unicodedata.normalize("NFC", text)
        if any(token in text for token in visible):
            how = "special"  # readers recognise these in any text
        probes.append(Probe(text or " ", how))
    return probes


def make_chats() -> list[dict[str, Any]]:
    """All conversations, with and without the opening of an answer."""
    return [
        {"messages": messages, "add_generation_prompt": asks}
        for messages in CHATS
        for asks in (True, False)
    ]


def _character(rng: random.Random, ranges: Sequence[tuple[int, int]]) -> str:
    first, last = rng.choice(ranges)
    return chr(rng.randint(first, last))


def _word(rng: random.Random, script: str | None = None) -> str:
    ranges = _SCRIPTS[script or rng.choice(list(_SCRIPTS))]
    return "".join(_character(rng, ranges) for _ in range(rng.randint(1, 9)))


def _words(rng: random.Random) -> str:
    script = rng.choice(list(_SCRIPTS))
    return " ".join(_word(rng, script) for _ in range(rng.randint(1, 12)))


def _mixed(rng: random.Random) -> str:
    parts = [rng.choice((_word, _digits, _sign, _space, _pictured))(rng) for _ in range(12)]
    return "".join(parts)


def _spaces(rng: random.Random) -> str:
    return "".join(
        "".join(_space(rng) for _ in range(rng.randint(1, 5)))
        + (_word(rng, "Latin") if rng.random() < 0.6 else _sign(rng))
        for _ in range(rng.randint(1, 6))
    ) + _space(rng) * rng.randint(0, 3)


def _digits(rng: random.Random) -> str:
    return "".join(rng.choice(_DIGITS) for _ in range(rng.randint(1, 12)))


def _signs(rng: random.Random) -> str:
    parts = [rng.choice((_sign, _ending, _short, _space))(rng) for _ in range(rng.randint(2, 14))]
    return "".join(parts)


def _emoji(rng: random.Random) -> str:
    return "".join(_pictured(rng) + _space(rng) * rng.randint(0, 1) for _ in range(4))


def _marked(rng: random.Random) -> str:
    return "".join(
        character + "".join(rng.choice(_MARKS) for _ in range(rng.randint(0, 2)))
        for character in _words(rng)
    )


def _code(rng: random.Random) -> str:
    name, other = _word(rng, "Latin"), _word(rng, "Latin")
    indent = rng.choice(("  ", "    ", "\t", "        "))
    number = rng.randint(0, 10 ** rng.randint(1, 12))
    return (
        f"def {name}({other}, *, x={number}):\n{indent}return {other}['{name}'] + {number}.5e-3\n"
    )


def _anything(rng: random.Random) -> str:
    controls = [rng.choice(_CONTROLS) for _ in range(rng.randint(1, 4))]
    parts = [*controls, _word(rng), _sign(rng), _space(rng), _digits(rng)]
    rng.shuffle(parts)
    return "".join(parts)


def _own_tokens(rng: random.Random, tokenizer: Tokenizer) -> str:
    """Text that is made of the vocabulary, so that every part of it comes up."""
    return tokenizer.decode([rng.randrange(tokenizer.vocabulary_size) for _ in range(20)])


def _forged(rng: random.Random, tokenizer: Tokenizer) -> str:
    """A control token's name, which a text may hold without meaning it."""
    return rng.choice(sorted(tokenizer.special_tokens) or ["<s>"])


def _with_control(rng: random.Random, tokenizer: Tokenizer) -> str:
    return _mixed(rng) + _forged(rng, tokenizer) + _word(rng) + _forged(rng, tokenizer)


def _sign(rng: random.Random) -> str:
    return rng.choice(_SIGNS) * rng.choice((1, 1, 1, 2, 4))


def _ending(rng: random.Random) -> str:
    return rng.choice(_ENDINGS)


def _short(rng: random.Random) -> str:
    return _word(rng, "Latin")[:3]


def _space(rng: random.Random) -> str:
    return rng.choice(_SPACES)


def _pictured(rng: random.Random) -> str:
    return rng.choice(_EMOJI)
