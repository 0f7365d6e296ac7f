"""Is the sensitivity to the composition what it is said to be? Fixed seeds, stated error rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from wherefrom.evidence import ALL_REGIONS, Scores, SensitivityRow, compare, sensitivity

pytestmark = pytest.mark.slow

Floats = npt.NDArray[np.float64]
STUDIES = 400
SEEDS = 12
# Three standard errors of a proportion of 0.95 in 400 studies: a right interval fails a test
# here with probability 0.0013.
SLACK = 3 * np.sqrt(0.95 * 0.05 / STUDIES)


def effects(count: int, spread: float) -> Floats:
    """True effects of the compositions, equally spaced, with this standard deviation."""
    line = np.linspace(-1.0, 1.0, count)
    return np.asarray(line / line.std(ddof=1) * spread)


def simulate(
    rng: np.random.Generator,
    true: Floats,
    *,
    draws: int = 3,
    draw_sd: float = 0.006,
    taste_sd: float = 0.01,
    rest_sd: float = 0.01,
    uneven: float = 1.0,
    model: str = "m",
) -> pa.Table:
    """Simulate independent studies, one in each region; the last composition is `none`."""
    shape = (STUDIES, len(true) + 1, draws, SEEDS)
    # The last composition's draws scatter `uneven` times as much as those of the first.
    spread = draw_sd * np.linspace(1.0, uneven, shape[1])[:, None, None]
    values = (
        0.6
        + np.append(true, -0.05)[:, None, None]
        + rng.normal(0, 1, (*shape[:3], 1)) * spread
        + rng.normal(0, 0.03, (STUDIES, 1, 1, SEEDS))
        + rng.normal(0, taste_sd, (STUDIES, shape[1], 1, SEEDS))
        + rng.normal(0, rest_sd, shape)
    )
    study, composition, draw, seed = (axis.ravel() for axis in np.indices(shape))
    names = np.array([*(f"c{i}" for i in range(len(true))), "none"])
    words = {"model": model, "task": "t", "head": "knn", "metric": "f1_macro"}
    return pa.table(
        {
            **{name: pa.repeat(word, values.size) for name, word in words.items()},
            "region": np.array([f"study {i:03d}" for i in range(STUDIES)])[study],
            "composition": names[composition],
            "block": draw,
            "finetune_seed": seed,
            "n": np.full(values.size, 100),
            "value": values.ravel(),
        }
    )


def found_in(table: pa.Table) -> list[SensitivityRow]:
    found = [one for one in sensitivity(Scores(table)) if one.region != ALL_REGIONS]
    assert len(found) == STUDIES
    return found


def columns(rows: list[Any], *names: str) -> list[Floats]:
    return [np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in names]


DESIGNS: dict[str, tuple[int, float, dict[str, Any]]] = {
    "5 compositions, no effect": (5, 0.0, {}),
    "5 compositions, near the noise": (5, 0.004, {}),
    "5 compositions": (5, 0.01, {}),
    "7 compositions": (7, 0.01, {}),
    "7 compositions, far above the noise": (7, 0.03, {}),
    "draws dominate": (6, 0.01, {"draw_sd": 0.015, "taste_sd": 0.002}),
    "episodes dominate": (6, 0.01, {"draw_sd": 0.001, "taste_sd": 0.02}),
    "spreads of 1 to 3": (6, 0.01, {"uneven": 3.0}),
    "no effect, spreads of 1 to 3": (6, 0.0, {"uneven": 3.0}),
}


@pytest.mark.parametrize("design", DESIGNS)
def test_the_interval_of_the_spread_covers_the_truth_as_often_as_it_says(design: str) -> None:
    count, spread, noise = DESIGNS[design]
    found = found_in(simulate(np.random.default_rng(20260201), effects(count, spread), **noise))
    estimate, low, high, observed, p = columns(found, "spread", "low", "high", "observed", "p")
    assert ((low <= estimate) & (estimate <= high)).all()
    covered = np.mean((low <= spread) & (spread <= high))
    assert covered >= 0.95 - SLACK, f"{design}: {covered:.3f}"
    if spread == 0:
        # That there is any effect at all must be found in at most five studies of a hundred.
        assert np.mean(p < 0.05) <= 0.05 + SLACK
        return
    # An interval that always covers would be of no use.
    assert covered <= 0.995
    # Plain spreads are too large, by the noise; corrected ones are right on average.
    assert np.sqrt(np.mean(observed**2)) > spread
    if spread >= 0.01:
        # Four standard errors in the noisiest design.
        assert np.sqrt(np.mean(estimate**2)) == pytest.approx(spread, rel=0.08)


def test_an_interval_that_resamples_the_draws_would_not_cover() -> None:
    # The control: were the simulation too kind, the usual bootstrap would pass as well.
    rng = np.random.default_rng(20260202)
    true, inside = effects(5, 0.01), 0
    for _ in range(STUDIES):
        means = true[:, None] + rng.normal(0, 0.01, (5, 3))
        again = np.take_along_axis(
            np.broadcast_to(means, (200, 5, 3)), rng.integers(0, 3, (200, 5, 3)), axis=2
        )
        low, high = np.quantile(again.mean(axis=2).std(axis=1, ddof=1), [0.025, 0.975])
        inside += low <= 0.01 <= high
    assert inside / STUDIES < 0.85


@pytest.mark.parametrize(("first", "second"), [(0.03, 0.01), (0.01, 0.01), (0.01, 0.0)])
def test_the_interval_between_two_models_covers_the_truth(first: float, second: float) -> None:
    rng = np.random.default_rng(20260203)
    a = found_in(simulate(rng, effects(6, first)))
    b = found_in(simulate(rng, effects(6, second), model="other", draw_sd=0.01))
    rows = [compare(x, y) for x, y in zip(a, b, strict=True)]
    low, high = columns(rows, "low", "high")
    covered = np.mean((low <= first - second) & (first - second <= high))
    assert covered >= 0.95 - SLACK, f"{covered:.3f}"
    if first == second:
        # "More sensitive" where it is not: in the lower tail, 2.5 % of the studies.
        assert np.mean(low > 0) <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / STUDIES)
    if first == 0.03:
        assert np.mean(low > 0) >= 0.8


def test_the_interval_of_the_share_of_the_gain_covers_the_truth() -> None:
    found = found_in(simulate(np.random.default_rng(20260204), effects(6, 0.02)))
    rows = [row for row in found if row.share is not None]
    assert len(rows) >= 0.99 * STUDIES
    low, high = columns(rows, "share_low", "share_high")
    covered = np.mean((low <= 0.4) & (high >= 0.4))
    assert covered >= 0.95 - SLACK, f"{covered:.3f}"
