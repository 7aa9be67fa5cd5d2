"""Names that settings may choose among, apart from what they stand for, which needs torch."""

from __future__ import annotations

from typing import Literal

OptimizerName = Literal["muon", "adamw"]
AveragingName = Literal["exponential", "uniform"]
ScheduleName = Literal["wsd", "cosine", "linear", "constant"]
StartName = Literal["random", "bigrams"]
