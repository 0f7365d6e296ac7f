"""The distance law's intervals hold the truth, whatever else differs between compositions."""

from __future__ import annotations

import numpy as np
import pytest

from made_distances import made
from wherefrom.evidence.distance import law

STUDIES = 150


@pytest.mark.parametrize(("slope", "misled", "blocks"), [(-0.1, 0.0, 4), (0.0, -0.2, 6)])
def test_intervals_of_a_law_are_too_narrow(slope: float, misled: float, blocks: int) -> None:
    """Of 150 studies 133 or more hold the truth (.95: P = .004 for fewer, binomial)."""
    held, equal = 0, 0
    for study in range(STUDIES):
        rng = np.random.default_rng(study)
        tested = made(rng, slope, misled, blocks=blocks, places=150, seeds=4, sizes=(150, 150, 40))
        found = law(tested, "c0")
        assert found.slope.low is not None
        assert found.slope.high is not None
        held += found.slope.low <= slope <= found.slope.high
        left = found.effects[1].equal
        assert left is not None
        assert left.low is not None
        assert left.high is not None
        equal += left.low <= (0.0 if not misled else misled / 2) <= left.high
    assert held >= 133
    assert equal >= 133
