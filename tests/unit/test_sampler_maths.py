"""The mathematics behind the samplers, each against a plain computation or a known answer."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wherefrom.compose.allocate import RATIO, allocate_levels, levels_of, weights_of
from wherefrom.compose.samplers.grid import EqualDistanceRows
from wherefrom.compose.samplers.match import NEAR, rake
from wherefrom.compose.samplers.spread import BLOCK, farthest_points
from wherefrom.earth.sphere import distance_km, uniform_on_sphere, unit_vectors
from wherefrom.errors import WherefromError

Floats = NDArray[np.float64]


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=50))
def test_a_level_is_never_more_than_half_a_percent_from_its_weights(weights: list[float]) -> None:
    levels = levels_of(weights)
    assert (levels >= 0).all()
    off = weights_of(levels) / np.array(weights)
    assert off.max() <= RATIO**0.5 * (1 + 1e-9)
    assert off.min() >= RATIO**-0.5 * (1 - 1e-9)
    order = np.argsort(weights)
    assert (np.diff(levels[order]) >= 0).all()


def test_places_without_a_weight_get_no_level_and_faulty_weights_are_refused() -> None:
    assert levels_of([0.0, np.nan, 5e-324, 1.7e308]).tolist()[:2] == [-1, -1]
    assert (levels_of([5e-324, 1.7e308]) >= 0).all()
    with pytest.raises(WherefromError, match="a weight is -2"):
        levels_of([1.0, -2.0])
    with pytest.raises(WherefromError, match="a weight is inf"):
        levels_of([np.inf])


@given(
    st.dictionaries(st.integers(70_000, 80_000), st.integers(1, 500), min_size=1, max_size=30),
    st.data(),
)
def test_levels_share_by_weight_up_to_their_sizes_and_give_n(
    counts: dict[int, int], data: st.DataObject
) -> None:
    levels, sizes = np.array(sorted(counts)), np.array([counts[k] for k in sorted(counts)])
    n = data.draw(st.integers(1, int(sizes.sum())))
    targets = [Fraction(t) for t in allocate_levels(levels, sizes, n).targets]
    assert sum(targets) == n
    rates = np.array([float(t / int(s)) for t, s in zip(targets, sizes, strict=True)])
    assert rates.max() <= 1
    weights = weights_of(levels)
    free = rates < 1
    if free.sum() > 1:
        # Below 1 probabilities are in proportion to the weights, and the heavier are full first.
        np.testing.assert_allclose(rates[free] / rates[free][0], weights[free] / weights[free][0])
    if free.any() and not free.all():
        assert weights[free].max() < weights[~free].min()


def test_more_places_than_have_a_weight_are_refused() -> None:
    with pytest.raises(WherefromError, match="only 7 places of the pool have a weight above 0"):
        allocate_levels(np.array([75_000]), np.array([7]), 8)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(2, 6))
def test_raking_meets_margins_and_keeps_odds_ratios(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 1000, rows * columns)
    at = np.divmod(np.arange(rows * columns), columns)
    targets = [rng.dirichlet(np.full(k, 2.0)) for k in (rows, columns)]
    raked = rake(sizes, at, targets)
    assert raked.converged
    for code, target in zip(at, targets, strict=True):
        np.testing.assert_allclose(np.bincount(code, raked.shares), target, atol=NEAR)
    # One factor per row and per column leaves the interaction of the pool as it was.
    ratio = np.log(raked.shares / sizes).reshape(rows, columns)
    np.testing.assert_allclose(ratio - ratio[:1] - ratio[:, :1] + ratio[:1, :1], 0, atol=1e-6)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_bounded_raking_meets_margins_within_its_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = np.divmod(np.arange(20), 5)
    sizes = rng.integers(1, 1000, 20)
    inner = rng.dirichlet(np.full(20, 1.0))
    targets = [np.bincount(code, inner).astype(np.float64) for code in at]
    # Feasible by construction: `inner` has these margins and lies within the bounds.
    most = inner * 1.5 + 1e-3
    raked = rake(sizes, at, targets, most)
    assert (raked.shares <= most).all()
    assert max(raked.misfit) < 1e-6
    unbounded = rake(sizes, at, targets).shares
    if (unbounded <= most).all():
        np.testing.assert_allclose(raked.shares, unbounded, atol=1e-7)


def test_bounded_raking_is_the_nearest_in_relative_entropy() -> None:
    from scipy.optimize import minimize

    sizes = np.array([100.0, 80, 10, 160, 5, 145])
    at = np.divmod(np.arange(6), 3)
    targets = [np.array([0.3, 0.7]), np.array([0.25, 0.35, 0.4])]
    most = np.array([1, 1, 1, 0.19, 0.3, 0.25])
    base = sizes / sizes.sum()

    def entropy(x: Floats) -> float:
        return float((x * np.log(x / base)).sum())

    # The last column follows from the others: constraints must not repeat each other.
    equal = [
        {"type": "eq", "fun": lambda x: np.bincount(at[0], x) - targets[0]},
        {"type": "eq", "fun": lambda x: (np.bincount(at[1], x) - targets[1])[:2]},
    ]
    bounds = [(1e-9, top) for top in most]
    best = minimize(entropy, base, bounds=bounds, constraints=equal, tol=1e-14)
    assert best.success
    raked = rake(sizes, at, targets, most)
    assert raked.converged
    np.testing.assert_allclose(raked.shares, best.x, atol=1e-5)
    assert (raked.shares == most).any()


def test_margins_that_cannot_be_met_end_with_their_misfit() -> None:
    at = [np.array([0, 1]), np.array([0, 1])]
    raked = rake(np.array([1, 1]), at, [np.array([0.5, 0.5]), np.array([0.2, 0.8])])
    assert not raked.converged
    assert max(raked.misfit) == pytest.approx(0.3, abs=1e-6)
    short = rake(np.array([1, 1]), at[:1], [np.array([0.2, 0.8])], np.array([1.0, 0.5]))
    np.testing.assert_allclose(short.shares, [0.2, 0.5])
    assert short.misfit == pytest.approx((0.3,))


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 3 * BLOCK), st.sampled_from([1, 2, 3]))
def test_farthest_points_are_those_of_the_plain_greedy(seed: int, count: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 12, (count, d)).astype(np.float64)
    n = int(rng.integers(1, min(count, 40) + 1))
    rows, radius = farthest_points(points, n, first=int(rng.integers(count)))
    nearest = np.full(count, np.inf)
    for k in range(n):
        nearest = np.minimum(nearest, ((points - points[rows[k]]) ** 2).sum(axis=1))
        assert radius[k] == np.sqrt(nearest.max())
        if k + 1 < n and nearest.max() > 0:
            assert rows[k + 1] == nearest.argmax()
    assert len(np.unique(rows)) == n


def test_farthest_points_cover_the_sphere_within_twice_the_optimum() -> None:
    rng = np.random.default_rng(4)
    points = unit_vectors(*uniform_on_sphere(20_000, rng))
    n = 200
    rows, radius = farthest_points(points, n, first=0)
    # n caps must cover the sphere (up to the pool's own gaps), so none is narrower than this.
    optimum = np.arccos(1 - 2 / n)
    angle = 2 * np.arcsin(radius[-1] / 2)
    assert angle <= 2 * 1.21**0.5 * optimum
    apart = 2 * np.arcsin(farthest_points(points[rows], n, 0)[1][-2] / 2)
    assert apart >= angle
    # Control: as many places at random leave far larger gaps.
    drawn = rng.choice(20_000, n, replace=False)
    gaps = np.sqrt(((points[:, None, :] - points[None, drawn, :]) ** 2).sum(-1).min(axis=1).max())
    assert gaps > 1.3 * radius[-1]


@settings(max_examples=50)
@given(
    st.floats(50, 20_000),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 2**32),
)
def test_rows_cover_the_sphere_and_nodes_lie_in_their_cells(
    spacing: float, shift: float, turn: float, seed: int
) -> None:
    rows = EqualDistanceRows(spacing, shift, turn)
    lon, lat = uniform_on_sphere(200, np.random.default_rng(seed))
    lon = np.concatenate([lon, [-180.0, 180.0, 0.0, 0.0]])
    lat = np.concatenate([lat, [0.0, 0.0, -90.0, 90.0]])
    cell = rows.cell(lon, lat)
    assert ((cell >= 0) & (cell < rows.count)).all()
    node = rows.node(cell)
    inner = np.abs(node[1]) < 89
    np.testing.assert_array_equal(rows.cell(*node)[inner], cell[inner])
    # Half a cell's height and half its width, both at most the spacing, are not exceeded; where
    # rows narrow towards a pole a cell's low edge is wider than its middle.
    far = distance_km(lon, lat, *node)
    assert far.max() <= spacing * (np.sqrt(0.5) + 0.6)


def test_nodes_are_the_spacing_apart_at_all_latitudes() -> None:
    rows = EqualDistanceRows(100.0, shift=0.3, turn=0.7)
    lon, lat = rows.node(np.arange(rows.count))
    east, middle = rows.node((np.arange(rows.count) + 1) % rows.count)
    beside = (middle == lat) & (np.abs(lat) < 85)
    width = distance_km(lon, lat, east, lat)[beside]
    assert width.max() < 100.01
    assert width.min() > 90
    np.testing.assert_allclose(np.diff(np.unique(lat))[1:-1], 100 / 111.1950797, rtol=1e-6)
    # As many nodes in the tropics as near the Arctic circle, by area.
    share = (np.abs(lat) < 30).mean()
    assert share == pytest.approx(0.5, abs=0.01)
