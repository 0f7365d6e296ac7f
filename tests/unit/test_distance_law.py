"""The distance law: it finds a planted slope, is not fooled by kinds of places, and refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from made_distances import made, only
from wherefrom.errors import WherefromError
from wherefrom.evidence.distance import law, overlap
from wherefrom.evidence.runs import FLOOR_KM, Runs


@pytest.fixture(scope="module")
def nearer() -> Runs:
    """Three compositions that differ in distance alone."""
    return made(np.random.default_rng(0))


def test_composition_is_blamed_for_what_distance_does(nearer: Runs) -> None:
    found = law(nearer, "c0")
    assert found.slope.low is not None
    assert found.slope.high is not None
    assert found.slope.low < -0.1 < found.slope.high < 0
    sparse = found.effects[2]
    assert sparse.farther == pytest.approx(0.41, abs=0.05)
    assert sparse.raw.high is not None
    assert sparse.raw.high < 0
    assert sparse.equal is not None
    assert sparse.equal.low is not None
    assert sparse.equal.high is not None
    assert sparse.equal.low < 0 < sparse.equal.high
    assert found.log_odds is not None
    assert found.log_odds.value == pytest.approx(-0.1 / 0.24, rel=0.3)


def test_the_pre_training_seed_of_a_block_widens_what_is_compared_within_it(nearer: Runs) -> None:
    """Runs of a block share a seed; what it does to all of them cancels in a difference."""
    luck = np.tile([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0], 3)[:, None, None]
    numbers = replace(nearer, score=nearer.score.astype(float))
    plain, lucky = (law(replace(nearer, score=numbers.score + by), "c0") for by in (0.0, luck))
    for one, other in zip(plain.effects[1:], lucky.effects[1:], strict=True):
        for a, b in ((one.raw, other.raw), (one.equal, other.equal)):
            assert a is not None
            assert b is not None
            assert a[:3] == pytest.approx(b[:3], abs=1e-6)


def test_distance_is_blamed_for_what_a_composition_does_to_kinds_of_places() -> None:
    found = law(made(np.random.default_rng(1), 0.0, -0.2), "c0")
    assert found.slope.low is not None
    assert found.slope.high is not None
    assert found.slope.low < 0 < found.slope.high
    # Contrasts between compositions cannot tell: this is why they do not make the law.
    assert found.across.high is not None
    assert found.across.high < 0
    assert found.effects[1].equal is not None
    assert found.effects[1].equal.high is not None
    assert found.effects[1].equal.high < 0


def test_a_hard_place_that_is_far_counts_as_an_effect_of_distance(nearer: Runs) -> None:
    """What is common to all draws of a composition at a place changes nothing."""
    hard = nearer.km.mean(axis=0) > np.median(nearer.km)
    fewer = nearer.score & ~hard
    one, other = law(nearer, "c0"), law(replace(nearer, score=fewer), "c0")
    assert abs(other.slope.value) <= abs(one.slope.value)
    shift = np.where(hard, -3.0, 0.0)
    numbers = replace(nearer, score=nearer.score - shift)
    assert law(numbers, "c0").slope.value == pytest.approx(one.slope.value, abs=1e-6)


def test_order_of_runs_and_places_matters(nearer: Runs) -> None:
    rng = np.random.default_rng(2)
    there = rng.permutation(len(nearer.unit))
    other = only(nearer, rng.permutation(len(nearer.blocks))).at(there)
    one, two = law(nearer, "c0"), law(other, "c0")
    assert two.slope[:3] == pytest.approx(one.slope[:3], rel=1e-4)
    assert {e.composition: e.raw.value for e in two.effects} == pytest.approx(
        {e.composition: e.raw.value for e in one.effects}
    )


def test_distance_zero_breaks_the_logarithm(nearer: Runs) -> None:
    km = nearer.km.copy()
    km[:, :50] = 0.0
    found = law(replace(nearer, km=km), "c0")
    km[:, :50] = FLOOR_KM / 2
    assert law(replace(nearer, km=km), "c0") == found
    assert np.isfinite(found.slope.value)


def test_a_single_block_is_given_a_slope(nearer: Runs) -> None:
    one = only(nearer, np.flatnonzero(np.array(nearer.blocks) == 0))
    found = law(one, "c0")
    assert found.slope.why == "single block"
    assert np.isnan(found.slope.value)
    assert found.log_odds is None
    assert found.across.why == "one block"
    for effect in found.effects[1:]:
        assert effect.equal is None
        assert effect.raw.low is None
        assert np.isfinite(effect.raw.value)
    assert found.curve


def test_draws_that_never_vary_are_given_a_slope(nearer: Runs) -> None:
    fixed = np.repeat(nearer.km[::6], 6, axis=0)
    found = law(replace(nearer, km=fixed), "c0")
    assert found.slope.why == "the draws lie at almost the same distances"
    mixed = nearer.km.copy()
    mixed[:6] = mixed[0]
    found = law(replace(nearer, km=mixed), "c0")
    assert found.effects[0].slope.why
    assert found.slope.low is not None


def test_a_composition_is_moved_to_distances_that_it_never_has(nearer: Runs) -> None:
    km = nearer.km.copy()
    km[12:] = 5000 + km[12:] / 10
    found = law(replace(nearer, km=km), "c0")
    assert found.effects[2].overlap < 0.05
    assert found.effects[2].equal is None
    assert found.effects[1].equal is not None


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_test_places_end_in_a_traceback(nearer: Runs, count: int) -> None:
    found = law(nearer.at(np.arange(count)), "c0")
    assert len(found.effects) == 3
    assert not found.curve
    assert (found.slope.low is None) == (count == 1)


def test_numbers_are_put_on_a_logistic_scale(nearer: Runs) -> None:
    rng = np.random.default_rng(3)
    error = (rng.normal(size=nearer.score.shape) * (1 + 0.3 * nearer.logs[:, None])) ** 2
    found = law(replace(nearer, score=error.astype(np.float32)), "c0")
    assert found.log_odds is None
    assert found.slope.low is not None
    assert found.slope.low > 0


def test_unequal_blocks_are_refused(nearer: Runs) -> None:
    fewer = only(nearer, np.arange(14))
    found = law(fewer, "c0")
    assert found.slope.low is not None
    assert found.effects[2].composition == "c2"


def test_a_reference_that_was_not_run_is_missed(nearer: Runs) -> None:
    assert law(nearer, "uniform").effects == law(nearer, "c0").effects


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"km": np.inf}, r"a distance of c1, block 2, is not a finite .*without places"),
        ({"km": np.nan}, r"a distance of c1, block 2, is not a finite number \(at \(8, 5\)"),
        ({"score": np.nan}, r"a score of c1, block 2, is not a finite number \(at \(8, 3, 5\)"),
        ({"blocks": (0,) * 18}, "c0 has block 0 twice"),
        ({"unit": np.arange(3)}, r"18 runs and 3 places, but distances of shape \(18, 400\)"),
    ],
)
def test_faulty_input_gives_a_law(nearer: Runs, change: dict[str, Any], message: str) -> None:
    if "km" in change:
        km = nearer.km.copy()
        km[8, 5] = change["km"]
        change = {"km": km}
    if "score" in change:
        score = nearer.score.astype(np.float64)
        score[8, 3, 5] = change["score"]
        change = {"score": score}
    with pytest.raises(WherefromError, match=message):
        replace(nearer, **change)


def test_overlap_is_not_a_share() -> None:
    x = np.array([0.1, 1.1, 2.1, 3.1])
    assert overlap(x, x) == 1.0
    assert overlap(x, x + 0.3) == 0.0
    assert overlap(x, np.array([0.1, 1.1, 2.6, 3.6])) == 0.5
    assert overlap(np.array([4.5]), np.array([4.4])) == 1.0  # half the circumference
