"""All scores of the rules for a batch of texts, in one pass over their words.

The order is FineWeb's: Gopher's scores are those of the text as it is; C4 edits its lines;
FineWeb's scores are those of the edited text. Unlike C4 we keep a blank line between paragraphs:
without it a model of prose learns that there are none.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from modelwright.data.rules.c4 import judge_c4_lines, score_c4
from modelwright.data.rules.curator import score_curator
from modelwright.data.rules.fineweb import score_fineweb
from modelwright.data.rules.gopher_quality import score_gopher_quality
from modelwright.data.rules.gopher_repetition import score_gopher_repetition
from modelwright.data.rules.lines import WHITESPACE, join_lines, split_lines
from modelwright.data.rules.refinedweb import edit_refinedweb_lines
from modelwright.data.rules.segments import Integers, segment_sums, share
from modelwright.data.rules.sentences import count_sentences
from modelwright.data.rules.table import RULE_COLUMNS, LineEdits, WordProfile
from modelwright.data.rules.words import index_pieces, split_further


@dataclass(frozen=True)
class RuleScores:
    """What :func:`score_rules` gives.

    Attributes
    ----------
    texts : polars.Series
        The texts after the line edits.
    scores : polars.DataFrame
        One row a text, the columns :data:`~modelwright.data.rules.table.RULE_COLUMNS`, as Int64
        and Float64.
    """

    texts: pl.Series
    scores: pl.DataFrame


def score_rules(texts: pl.Series, words: WordProfile, edits: LineEdits) -> RuleScores:
    """Work out the scores of all rules and edit the lines of the texts.

    Parameters
    ----------
    texts : polars.Series
        Strings, no nulls. The scores of a text depend on that text alone.
    words : {"whitespace", "fineweb-compat"}
        What counts as a word. Sentences are always counted on ``fineweb-compat`` words.
    edits : {"none", "c4", "c4-terminal", "refinedweb"}
        Nothing; C4's edits as FineWeb has them; the same and lines without a mark at the end
        dropped, as in C4 itself; the corrections of RefinedWeb. The scores of C4 and RefinedWeb
        say what their edits would do, whether they are made or not.
    """
    lines = split_lines(texts)
    pieces = index_pieces(lines.stripped)
    compat = split_further(pieces)
    line_words = compat if words == "fineweb-compat" else pieces
    text_words = line_words.grouped(lines.offsets)

    def count_words(some: pl.Series) -> Integers:
        found = index_pieces(some)
        return (split_further(found) if words == "fineweb-compat" else found).counts

    c4 = judge_c4_lines(lines, pieces, drop_unterminated=edits == "c4-terminal")
    sentences = c4.edited.recount(count_sentences(compat), _sentences)
    refinedweb = edit_refinedweb_lines(lines.raw, pieces.counts)
    left = segment_sums(refinedweb.recount(line_words.counts, count_words), lines.offsets)
    removed = share(text_words.counts - left, text_words.counts)

    edited, scored, edited_words = texts, texts, text_words.counts
    if edits != "none":
        chosen = refinedweb if edits == "refinedweb" else c4.edited
        blank = (lines.stripped == "").to_numpy()
        edited = join_lines(chosen.after, chosen.kept | blank, lines.offsets)
        edited = edited.str.replace_all("\n{3,}", "\n\n")
        edited = edited.str.strip_chars(WHITESPACE).alias(texts.name)
        scored = edited
        if (
            edits != "refinedweb"
        ):  # C4 takes blank lines for short ones; FineWeb's scores rest on that
            scored = join_lines(chosen.after, chosen.kept, lines.offsets)
            scored = scored.str.strip_chars(WHITESPACE)
        counts = chosen.recount(line_words.counts, count_words)
        edited_words = segment_sums(counts, lines.offsets)

    found = [
        score_gopher_repetition(texts, text_words),
        score_gopher_quality(texts, lines, text_words),
        score_c4(c4, lines.offsets, sentences),
        score_fineweb(scored, edited_words),
        pl.DataFrame({"refinedweb_removed_word_fraction": removed}),
        score_curator(texts, pieces.grouped(lines.offsets)),
    ]
    kinds = {"integer": pl.Int64, "number": pl.Float64}
    scores = pl.concat(found, how="horizontal").select(
        pl.col(name).cast(kinds[kind]) for name, kind in RULE_COLUMNS.items()
    )
    return RuleScores(edited, scores)


def _sentences(lines: pl.Series) -> Integers:
    return count_sentences(split_further(index_pieces(lines)))
