"""Pieces of English text that are split, or kept whole, as they are listed: contractions and such.

The lists are facts about spaCy's English tokenizer, on which FineWeb's word counts rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_PRONOUNS = ("i", "you", "he", "she", "it", "we", "they")
_QUESTIONS = ("who", "what", "when", "where", "why", "how", "there")
_POINTERS = ("that", "this")
_PLURAL_POINTERS = ("these", "those")
_MODALS = (
    "ca",
    "could",
    "do",
    "does",
    "did",
    "had",
    "may",
    "might",
    "must",
    "need",
    "ought",
    "sha",
    "should",
    "wo",
    "would",
)
_AUXILIARIES = ("ai", "are", "is", "was", "were", "have", "has", "dare")

_ENDINGS: Mapping[tuple[str, ...], tuple[tuple[str, ...], ...]] = {
    ("i",): (("'m",), ("'m", "a")),
    (*_PRONOUNS, *_QUESTIONS, *_POINTERS, *_PLURAL_POINTERS): (
        ("'ll",),
        ("'ll", "'ve"),
        ("'d",),
        ("'d", "'ve"),
    ),
    ("i", "you", "we", "they", *_QUESTIONS, *_PLURAL_POINTERS): (("'ve",),),
    ("you", "we", "they", *_QUESTIONS, *_PLURAL_POINTERS): (("'re",),),
    ("he", "she", "it", *_QUESTIONS, *_POINTERS): (("'s",),),
    _MODALS: (("n't",), ("n't", "'ve")),
    ("could", "might", "must", "should", "would"): (("'ve",),),
    _AUXILIARIES: (("n't",),),
}
"""Words and the endings that are split from them."""

_ORDINARY = frozenset(("ill", "its", "hell", "shell", "shed", "were", "well", "whore"))
"""Ordinary words that look like contractions without their apostrophe."""

_OTHER_SPLITS = (
    ("y'", "all"), ("y", "all"), ("how", "'d", "'y"), ("not", "'ve"), ("not", "ve"),
    ("can", "not"), ("gon", "na"), ("got", "ta"), ("let", "'s"), ("c'm", "on"),
)  # fmt: skip

_WHOLE = """
'S 's 'd 're 'em 'll 'nuff ' '' and/or w/o 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am
Ma'am o'clock O'clock lovin' Lovin' havin' Havin' doin' Doin' goin' Goin' nothin' Nothin' nuthin'
Nuthin' ol' Ol' somethin' Somethin' C++ ä. ö. ü. — \\t \\n
Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan.
Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr.
Nev. Nov. Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp.
D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms.
p.m. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s.
:) :-) :)) :-)) (: (-: =) (= :] :-] [: [-: [= =] :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :(( ): )-:
=( >:( :') :'( :/ :-/ =/ =| :| :-| ]= :1 :P :-P :p :-p :O :-O :o :-o :0 :-0 :() :* :-* :3 :-3 =3 :>
:-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ >.< >.> <.< ._. ;_; -_- v.v V.V v_v V_V
o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 </3 (^_^) (-_-) (*_*)
"""


def _split_words() -> Iterator[tuple[str, ...]]:
    """All contractions as the words that they consist of, in lower case."""
    for words, endings in _ENDINGS.items():
        for word in words:
            for ending in endings:
                yield (word, *ending)
                bare = (word, *(part.replace("'", "") for part in ending))
                if "".join(bare) not in _ORDINARY:
                    yield bare
    yield from _OTHER_SPLITS


def _special_pieces() -> Iterator[tuple[str, ...]]:
    for words in _split_words():
        yield words
        yield (words[0][:1].upper() + words[0][1:], *words[1:])
    for hour in range(1, 13):
        for half in ("am", "pm", "a.m.", "p.m."):
            yield (str(hour), half)
    for whole in (*_WHOLE.split(), *(f"{letter}." for letter in "abcdefghijklmnopqrstuvwxyz")):
        yield (whole,)


SPECIAL_PIECES: Mapping[str, tuple[str, ...]] = {
    "".join(words).replace("'", apostrophe): tuple(word.replace("'", apostrophe) for word in words)
    for words in _special_pieces()
    for apostrophe in "'’"
}
"""For each piece the words that it is split into, with straight and with curly apostrophe."""
