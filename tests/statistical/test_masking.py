"""Presto's masks follow the stated probabilities.

Each statistical test is a chi-square test at level 1e-4 with a fixed seed: a right generator would
fail it for one seed in 10,000.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from wherefrom.errors import WherefromError
from wherefrom.models.masking import Masking
from wherefrom.models.tokens import ABSENT, GROUPS, HIDDEN, SRTM, VISIBLE

pytestmark = pytest.mark.slow

LEVEL = 1e-4
SAMPLES = 20_000
VARYING = [i for i in range(10) if i != SRTM]


def draw(masking: Masking, samples: int = SAMPLES, seed: int = 0) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = masking.draw(samples, torch.Generator().manual_seed(seed)).numpy()
    return found


@pytest.fixture(scope="module")
def kind() -> NDArray[np.uint8]:
    return draw(Masking(tuple(GROUPS)))


@pytest.fixture(scope="module")
def grid(kind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the 12 x 9 tokens of varying groups are hidden."""
    return kind[:, :, VARYING] == HIDDEN


@pytest.fixture(scope="module")
def strategy(grid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Tell each sample's strategy from its mask: groups, steps, a run of steps, tokens.

    Six groups hidden at all steps, or eight whole steps, do not come about by chance among tokens
    (probability below 1e-5 a sample). A run may be random steps that happen to be neighbours.
    """
    groups = grid.all(axis=1).sum(axis=1) >= 6
    whole = grid.all(axis=2)
    steps = whole.sum(axis=1) >= 8
    run = steps & ((np.diff(whole.astype(np.int8), axis=1) != 0).sum(axis=1) <= 2)
    run &= ~(whole[:, 0] & whole[:, -1])
    return np.select([groups, run, steps], [0, 2, 1], 3)


def p_value(counts: NDArray[np.int64], shares: list[float]) -> float:
    expected = np.array(shares) / sum(shares) * counts.sum()
    return float(stats.chisquare(counts, expected).pvalue)


def test_hidden_tokens_are_more_or_fewer_than_81(kind: NDArray[np.uint8]) -> None:
    assert set((kind == HIDDEN).sum((1, 2))) == {81}
    assert set((kind == VISIBLE).sum((1, 2))) == {28}
    assert (kind[:, 1:, SRTM] == ABSENT).all()


def test_elevation_is_hidden_too_often_or_too_rarely(kind: NDArray[np.uint8]) -> None:
    hidden = int((kind[:, 0, SRTM] == HIDDEN).sum())
    assert p_value(np.array([hidden, SAMPLES - hidden]), [0.75, 0.25]) > LEVEL


def test_strategies_are_not_equally_frequent(strategy: NDArray[np.int64]) -> None:
    # Random steps are neighbours in 5 of C(12, 8) cases, or 4 of C(12, 9) if the elevation is seen.
    chance = 0.75 * 5 / 495 + 0.25 * 4 / 220
    shares = [0.25, 0.25 * (1 - chance), 0.25 * (1 + chance), 0.25]
    assert p_value(np.bincount(strategy, minlength=4), shares) > LEVEL


def test_some_group_is_hidden_more_often(
    grid: NDArray[np.bool_], strategy: NDArray[np.int64]
) -> None:
    whole = grid[strategy == 0].all(axis=1)
    six = whole[whole.sum(axis=1) == 6]
    # Each of the 84 sets of six groups is equally likely.
    sets = {frozenset(s): i for i, s in enumerate(combinations(range(9), 6))}
    found = np.bincount([sets[frozenset(np.flatnonzero(row))] for row in six], minlength=84)
    assert p_value(found, [1.0] * 84) > LEVEL


def test_some_steps_are_hidden_more_often(
    grid: NDArray[np.bool_], strategy: NDArray[np.int64]
) -> None:
    steps = grid[strategy == 1].all(axis=2)
    for count in (8, 9):  # with the elevation hidden and not
        some = steps[steps.sum(axis=1) == count]
        sets = [frozenset(s) for s in combinations(range(12), count) if np.ptp(s) >= count]
        index = {s: i for i, s in enumerate(sets)}
        found = np.bincount(
            [index[frozenset(np.flatnonzero(row))] for row in some], minlength=len(sets)
        )
        assert p_value(found, [1.0] * len(sets)) > LEVEL


def test_runs_start_at_some_step_more_often(
    grid: NDArray[np.bool_], strategy: NDArray[np.int64]
) -> None:
    runs = grid[strategy == 2].all(axis=2)
    for count in (8, 9):
        starts = runs[runs.sum(axis=1) == count].argmax(axis=1)
        assert p_value(np.bincount(starts, minlength=13 - count), [1.0] * (13 - count)) > LEVEL


def test_left_over_tokens_are_not_spread_evenly(
    grid: NDArray[np.bool_], strategy: NDArray[np.int64]
) -> None:
    # Beside six whole groups: 8 or 9 tokens of the other three, at any step alike.
    some = grid[strategy == 0]
    left = some & ~some.all(axis=1, keepdims=True)
    assert p_value(left.sum((0, 2)), [1.0] * 12) > LEVEL
    assert p_value(left.sum((0, 1)), [1.0] * 9) > LEVEL
    # Beside eight whole steps: 8 tokens of the other four.
    some = grid[(strategy == 1) & (grid.all(axis=2).sum(axis=1) == 8)]
    left = some & ~some.all(axis=2, keepdims=True)
    assert set(left.sum((1, 2))) == {8}
    assert p_value(left.sum((0, 1)), [1.0] * 9) > LEVEL


def test_random_tokens_prefer_a_place_or_each_other(
    grid: NDArray[np.bool_], strategy: NDArray[np.int64]
) -> None:
    some = grid[strategy == 3].reshape(-1, 108)
    assert p_value(some.sum(axis=0), [1.0] * 108) > LEVEL
    # Pairs of two tokens: hidden together as often as in a draw without replacement.
    rng = np.random.default_rng(0)
    r = some.sum(axis=1)
    expected = float((r * (r - 1) / (108 * 107)).mean())
    pairs = np.stack([rng.choice(108, 2, replace=False) for _ in range(len(some))])
    both = some[np.arange(len(some))[:, None], pairs].all(axis=1)
    counts = np.array([both.sum(), len(both) - both.sum()])
    assert p_value(counts, [expected, 1 - expected]) > LEVEL


SUBSETS = [
    ("ERA5", "SRTM", "dynamic_world"), ("ERA5", "dynamic_world"), ("S1", "SRTM"), ("NDVI",),
    tuple(g for g in GROUPS if g != "dynamic_world"), ("S2_RGB", "S2_NIR_10m", "NDVI"),
]  # fmt: skip


@pytest.mark.parametrize("groups", SUBSETS, ids=" ".join)
@pytest.mark.parametrize("steps", [1, 3, 12, 24])
def test_budget_does_not_adapt_to_absent_groups(groups: tuple[str, ...], steps: int) -> None:
    tokens = steps * sum(g != "SRTM" for g in groups) + ("SRTM" in groups)
    hidden = int(tokens * 0.75)
    if not 0 < hidden < tokens:
        with pytest.raises(WherefromError, match=f"hides {hidden} of {tokens} tokens"):
            Masking(groups, steps)
        return
    kind = draw(Masking(groups, steps), 500)
    assert set((kind == HIDDEN).sum((1, 2))) == {hidden}
    assert set((kind == VISIBLE).sum((1, 2))) == {tokens - hidden}
    absent = [i for i, g in enumerate(GROUPS) if g not in groups]
    assert (kind[:, :, absent] == ABSENT).all()


def test_strategies_of_few_groups_are_not_equally_frequent() -> None:
    kind = draw(Masking(("ERA5", "dynamic_world")))
    grid = kind[:, :, [6, 9]] == HIDDEN  # 18 of 24 tokens
    one_group = grid.all(axis=1).any(axis=1)
    whole = grid.all(axis=2)
    neighbours = (np.diff(whole.astype(np.int8), axis=1) != 0).sum(axis=1)
    run = (whole.sum(axis=1) == 9) & (neighbours <= 2) & ~(whole[:, 0] & whole[:, -1])
    # A run hides nine steps of both groups; one whole group with six of the other may be chance.
    assert p_value(np.array([run.sum(), SAMPLES - run.sum()]), [*_runs_of_nine()]) > LEVEL
    assert one_group.mean() > 0.25


def _runs_of_nine() -> tuple[float, float]:
    tokens = 4 / math.comb(24, 18)
    share = 0.25 + 0.25 * 4 / 220 + 0.25 * tokens
    return share, 1 - share


def test_the_same_generator_gives_other_masks() -> None:
    masking = Masking(tuple(GROUPS))
    assert np.array_equal(draw(masking, 100), draw(masking, 100))
    assert not np.array_equal(draw(masking, 100), draw(masking, 100, seed=1))


def test_unknown_groups_are_masked() -> None:
    with pytest.raises(WherefromError, match="S9"):
        Masking(("S1", "S9"))
    with pytest.raises(WherefromError, match="groups"):
        Masking(())
