"""Words as FineWeb counts them: how spaCy's English tokenizer splits what is between white space.

Punctuation marks are words of their own, contractions are two words ("do", "n't"), well-known
abbreviations and web addresses stay whole. The character classes and the order (special pieces,
prefixes and suffixes from outside in, addresses, then infixes) are those that spaCy documents:
https://spacy.io/usage/linguistic-features#how-tokenizer-works. Letters without case count as
lower and upper case. Only rare cases (longer emoticons inside a piece, rare scripts) differ.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import polars as pl

from modelwright.data.rules.special_words import SPECIAL_PIECES

_MARKS = r"…,:;!?¿؟¡()\[\]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = r"'\"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_CURRENCY = r"$£€¥฿﷼₠-₿"
_SYMBOLS = (
    r"¦©®°҂۞۩℀℁℃-℆℈℉℔№℗℞-℣℥℧℩℮℺℻⅊⅌⅍⅏↊↋↕-↙↜-↟↡↢↤↥↧-↭↯-⇍⇐⇑⇓⇕-⇳⌀-⌇⌌-⌟⌢-⌨⌫-⍻⍽-⎚⎴-⏛⏢-␦⑀-⑊⒜-ⓩ"
    r"─-▶▸-◀◂-◷☀-♮♰-❧➔-➿⠀-⣿⬀-⬯⭅⭆⭍-⭳⭶-⮕⮘-⯈⯊-⯾⺀-⿻〄〒〓〠〶〷〾〿㆐㆑㆖-㆟㇀-㇣㈀-㈞㈪-㉇㉐㉠-㉿㊊-㊰㋀-㋾㌀-㏿䷀-䷿"
    r"\uFFFC\uFFFD\U0001F000-\U0001F3FA\U0001F400-\U0001FAFF"
)
_LETTER = r"[^\W\d_]"
_LOWER = r"[^\W\d_A-Z]"
_UPPER = r"[^\W\d_a-z]"
_UNITS = (
    "km²|km³|km/h|kmh|km|dm²|dm³|dm|cm²|cm³|cm|mm²|mm³|mm|mph|mbar|mb|m²|m³|m/s|mg|m|ha|µm|nm|yd|in"
    "|ft|kg|kb|g|µg|lb|t|oz|hPa|Pa|MB|KB|gb|GB|tb|TB|T|G|M|K|%"
)

_PREFIX = re.compile(
    rf"\.\.+|\+(?![0-9])|(?:US|C|A)\$|[§%=—–{_MARKS}{_QUOTES}{_CURRENCY}{_SYMBOLS}]"
)
_SUFFIX = re.compile(
    rf"(?:\.\.+|['’][sS]|[—–{_MARKS}{_QUOTES}{_SYMBOLS}]"
    rf"|(?<=[0-9])(?:\+|[{_CURRENCY}]|{_UNITS})"
    rf"|(?:(?<=[0-9%²+\-{_MARKS}{_QUOTES}])|(?<={_LOWER})|(?<={_UPPER}{_UPPER}))\.)$"
)
_LONGEST_SUFFIX = 8
"""Characters from the end that are searched, so that the time is linear in the length."""

_INFIX = re.compile(
    rf"\.\.+|[…{_SYMBOLS}]|(?<=[0-9])[+\-*^](?=[0-9-])"
    rf"|(?:(?<={_LOWER})|(?<=[{_QUOTES}]))\.(?:(?={_UPPER})|(?=[{_QUOTES}]))"
    rf"|(?<={_LETTER}),(?={_LETTER})"
    rf"|(?:(?<={_LETTER})|(?<=[0-9]))(?:---|--|——|[-–—~:<>=/])(?={_LETTER})"
)
_ADDRESS = re.compile(
    r"(?:[\w+\-.]{2,}://)?(?:[^\s@]+@)?(?:[A-Za-z0-9\u00a1-\uffff][\w\u00a1-\uffff-]{0,63}\.)+"
    rf"{_LOWER}{{2,63}}(?::\d{{2,5}})?(?:[/?#]\S*)?"
)

_LONGEST_SPECIAL = max(map(len, SPECIAL_PIECES))
_SPECIAL = pl.Series(sorted(SPECIAL_PIECES)).implode()

_EMOTICONS = [
    piece
    for piece in SPECIAL_PIECES
    if len(piece) == 2 and all(_PREFIX.fullmatch(mark) for mark in piece)
]
_EMOTICON = "|".join(map(re.escape, _EMOTICONS))
"""Two marks that are one word wherever they meet, such as "):"."""

# Most pieces are letters, perhaps joined by dashes, with marks around them; they need no Python.
_PLAIN = r"^(?:[a-z]+|[A-Z][a-z]*|[A-Z]{2,})$"
_MARKED = (
    r"^[(\[{<\"“`‘'*_—–]*(?:[A-Za-z]+[-–—])*(?:[A-Z]?[a-z]+|[A-Z]{2,})(?:['’][sS]\b)?"
    r"[,:;!?)\]}>\"”'’`*_]*\.?[)\]}\"”'’`*_]*$"
)
_MARKED_WORD = r"[a-zA-Z]+|['’][sS]\b|."
_SPECIAL_WORDS = pl.Series(sorted({piece.strip(".'’") for piece in SPECIAL_PIECES})).implode()


def split_pieces(pieces: pl.Series) -> pl.Series:
    """Split pieces of text between white space into words.

    Parameters
    ----------
    pieces : polars.Series
        Strings without white space.

    Returns
    -------
    polars.Series
        A list of words for each piece; together they are the piece again.
    """
    plain = pieces.str.contains(_PLAIN) & ~pieces.is_in(_SPECIAL)
    marked = ~plain & pieces.str.contains(_MARKED) & ~_holds_special(pieces)
    marked &= ~pieces.str.contains(_EMOTICON)
    others = ~plain & ~marked
    split = pl.concat(
        [
            pl.select(pl.concat_list(pieces.filter(plain))).to_series(),
            pieces.filter(marked).str.extract_all(_MARKED_WORD),
            # No word holds a space; a list of strings is much slower to take over than a string.
            pl.Series(
                [" ".join(split_piece(piece)) for piece in pieces.filter(others).to_list()],
                dtype=pl.String,
            ).str.split(" "),
        ]
    )
    places = pl.concat([kind.arg_true() for kind in (plain, marked, others)])
    return split.gather(places.arg_sort())


def _holds_special(pieces: pl.Series) -> pl.Series:
    """Whether the last word of letters, whatever marks are around it, could be a special piece."""
    return pieces.str.extract(r"([A-Za-z]+)(?:['’][sS]\b)?[^A-Za-z]*$").is_in(_SPECIAL_WORDS)


def split_piece(piece: str) -> Iterator[str]:
    """Yield the words of one piece; time grows linearly with its length."""
    if not re.search(_EMOTICON, piece):
        yield from _split_ends(piece)
        return
    words = [*_split_ends(piece), ""]
    skip = False
    for word, following in itertools.pairwise(words):
        if skip:
            skip = False
        elif following and word + following in _EMOTICONS:
            skip = True
            yield word + following
        else:
            yield word


def _split_ends(piece: str) -> Iterator[str]:
    start, end = 0, len(piece)
    after: list[str] = []
    while start < end and not _is_special(piece, start, end):
        prefix = _PREFIX.match(piece, start, end)
        inner = prefix.end() if prefix else start
        if inner < end and _is_special(piece, inner, end):
            yield piece[start:inner]
            start = inner
            break
        suffix = _SUFFIX.search(piece, max(inner, end - _LONGEST_SUFFIX), end)
        if suffix and _is_special(piece, start, suffix.start()):
            after.append(suffix.group())
            end = suffix.start()
            break
        if prefix:
            yield prefix.group()
        if suffix:
            after.append(suffix.group())
            end = suffix.start()
        if not prefix and not suffix:
            break
        start = inner
    yield from _split_core(piece[start:end])
    yield from reversed(after)


def _is_special(piece: str, start: int, end: int) -> bool:
    return end - start <= _LONGEST_SPECIAL and piece[start:end] in SPECIAL_PIECES


def _split_core(core: str) -> Iterator[str]:
    """Yield the words of what is left when nothing more can be taken off its ends."""
    if core in SPECIAL_PIECES:
        yield from SPECIAL_PIECES[core]
        return
    start = 0
    if not ("." in core and _ADDRESS.fullmatch(core)):
        for infix in _INFIX.finditer(core):
            if infix.start() == 0:
                continue
            if infix.start() > start:
                yield core[start : infix.start()]
            yield infix.group()
            start = infix.end()
    if start < len(core):
        yield core[start:]
