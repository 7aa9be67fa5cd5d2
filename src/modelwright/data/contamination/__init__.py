"""Finding documents that hold what a model will be examined with."""

from modelwright.data.contamination.ngrams import (
    EvaluationNgrams,
    EvaluationSet,
    build_evaluation_ngrams,
)
from modelwright.data.contamination.score import (
    CONTAMINATION_COLUMNS,
    Overlap,
    explain_contamination,
    score_contamination,
)

__all__ = [
    "CONTAMINATION_COLUMNS",
    "EvaluationNgrams",
    "EvaluationSet",
    "Overlap",
    "build_evaluation_ngrams",
    "explain_contamination",
    "score_contamination",
]
