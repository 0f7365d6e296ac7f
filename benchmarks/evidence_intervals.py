"""Coverage and width of rival 95 % intervals for the difference of two compositions.

Simulated studies with no difference: 3 draws x 2 pre-train seeds x 50 fine-tune seeds a
composition. Fine-tune seeds and initial weights are shared by the compositions. Prints, for each
interval, the share of studies in which it holds the truth and its mean half-width.

Rivals: percentile bootstrap over the nested axes; t over draw-level differences (draw i with
draw i); Welch's t over draw-level means; ours (Welch's t and the episodes' part, in quadrature);
and the paired t over the 50 fine-tune seeds of one run, which the axes above it are missing from.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from wherefrom.evidence.intervals import Side, difference, half_width

Floats = npt.NDArray[np.float64]
STUDIES, DRAWS, PRETRAINS, SEEDS = 4000, 3, 2, 50
DESIGNS = {
    "all axes alike": {"draw": 0.006, "run": 0.006, "taste": 0.010},
    "draws dominate": {"draw": 0.015, "run": 0.003, "taste": 0.002},
    "episodes dominate": {"draw": 0.001, "run": 0.001, "taste": 0.020},
    "spreads of 1 to 2": {"draw": 0.006, "run": 0.006, "taste": 0.010, "ratio": 2.0},
    "spreads of 1 to 5": {"draw": 0.003, "run": 0.003, "taste": 0.005, "ratio": 5.0},
    "inits act alike in all draws": {"draw": 0.006, "run": 0.006, "taste": 0.010, "init": 0.003},
}


def simulate(rng: np.random.Generator, spread: dict[str, float]) -> tuple[Floats, Floats]:
    """Return two compositions of equal worth, each (draws, pretrains, seeds)."""
    shared = rng.normal(0, 0.03, SEEDS) + rng.normal(0, 0.004, (1, PRETRAINS, 1))
    sides = []
    for ratio in (1.0, spread.get("ratio", 1.0)):
        sides.append(
            shared
            + rng.normal(0, spread["draw"] * ratio, (DRAWS, 1, 1))
            + rng.normal(0, spread["run"] * ratio, (DRAWS, PRETRAINS, 1))
            + rng.normal(0, spread.get("init", 0.0), (1, PRETRAINS, 1))
            + rng.normal(0, spread["taste"], SEEDS)
            + rng.normal(0, 0.01, (DRAWS, PRETRAINS, SEEDS))
        )
    return sides[0], sides[1]


def bootstrap(a: Floats, b: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """Centre and half-width of the percentile bootstrap, 400 resamples, paired."""
    delta, shape = a - b, (400,)
    draws = rng.integers(0, DRAWS, (*shape, DRAWS))
    runs = rng.integers(0, PRETRAINS, (*shape, DRAWS, PRETRAINS))
    seeds = rng.integers(0, SEEDS, (*shape, SEEDS))
    means = delta[draws[:, :, None], runs].mean(axis=(1, 2))
    low, high = np.quantile(np.take_along_axis(means, seeds, 1).mean(axis=1), [0.025, 0.975])
    return (low + high) / 2, (high - low) / 2


def paired_draws(a: Floats, b: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """t over the differences of draw i and draw i."""
    delta = (a - b).mean(axis=(1, 2))
    half = stats.t.ppf(0.975, DRAWS - 1) * delta.std(ddof=1) / np.sqrt(DRAWS)
    return delta.mean(), half


def welch(a: Floats, b: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """Welch's t over draw-level means."""
    x, y = (side.mean(axis=(1, 2)) for side in (a, b))
    low, high = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    return (low + high) / 2, (high - low) / 2


def ours(a: Floats, b: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """The interval of wherefrom.evidence."""
    parts = difference(Side(a.mean(axis=1)), Side(b.mean(axis=1)))
    return parts.estimate, float(half_width([parts])[0])


def seeds_alone(a: Floats, b: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """Paired t over the fine-tune seeds of one run."""
    delta = (a - b)[0, 0]
    half = stats.t.ppf(0.975, SEEDS - 1) * delta.std(ddof=1) / np.sqrt(SEEDS)
    return delta.mean(), half


def main() -> None:
    """Print a table of coverage and half-width by design and interval."""
    rivals: list[Callable[..., tuple[float, float]]] = [
        bootstrap, paired_draws, welch, ours, seeds_alone,
    ]  # fmt: skip
    print(f"{'design':30s}" + "".join(f"{rival.__name__:>18s}" for rival in rivals))
    for name, spread in DESIGNS.items():
        rng = np.random.default_rng(20260110)
        found = np.empty((STUDIES, len(rivals), 2))
        for study in range(STUDIES):
            a, b = simulate(rng, spread)
            found[study] = [rival(a, b, rng) for rival in rivals]
        covered = (np.abs(found[..., 0]) <= found[..., 1]).mean(axis=0)
        width = found[..., 1].mean(axis=0)
        cells = [f"{c:.3f} +-{w:.4f}" for c, w in zip(covered, width, strict=True)]
        print(f"{name:30s}" + "".join(f"{cell:>18s}" for cell in cells))


if __name__ == "__main__":
    main()
