"""The adaptive KL coefficient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.training.losses.kl_control import next_coefficient


@pytest.mark.parametrize(
    ("measured", "wanted"), [(6.0, 0.2), (6.6, 0.202), (60.0, 0.204), (0.0, 0.196), (-1.0, 0.196)]
)
def test_it_goes_to_its_target(measured: float, wanted: float) -> None:
    assert next_coefficient(0.2, measured, target=6.0, gain=0.1) == pytest.approx(wanted)


@given(st.floats(0.5, 20.0))
def test_it_settles_where_the_divergence_is_the_target(target: float) -> None:
    """With a divergence of 1 / β, β ends at 1 / target."""
    coefficient = 0.2
    for _ in range(600):
        coefficient = next_coefficient(coefficient, 1 / coefficient, target, gain=0.1)
    assert coefficient == pytest.approx(1 / target, rel=1e-3)
