"""A classifier of good and bad text, trained by the user from two sets of examples."""

from modelwright.data.quality.classifier import QualityClassifier, load_quality, score_quality
from modelwright.data.quality.training import QualityReport, train_quality

__all__ = [
    "QualityClassifier",
    "QualityReport",
    "load_quality",
    "score_quality",
    "train_quality",
]
