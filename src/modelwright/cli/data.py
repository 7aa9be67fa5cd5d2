"""``modelwright data``: look into a corpus, or into examples."""

from __future__ import annotations

from modelwright.cli.verbs import Verbs

VERBS = {
    "report": ("modelwright.cli.data_report", "Write a page about a corpus, to be opened"),
    "look": ("modelwright.cli.data_look", "Print documents that fit, with their scores"),
    "examples": ("modelwright.cli.data_examples", "Show examples as a model sees them"),
    "judge": ("modelwright.cli.judge", "Train on two corpora and say which is better"),
    "classifier": ("modelwright.cli.data_classifier", "Train a quality classifier"),
}

command = Verbs("data", verbs=VERBS, help="Look into data: what is in it, and is it any good?")
