"""How often a convergence point is claimed too early or too late, and how often it is found.

    python benchmarks/convergence_points.py [--studies 1500]

Made-up studies of the sweep of studies/scaling: six values of n, K compositions, B blocks. A block
moves a composition by a standard deviation of .004 at each n, half of its variance common to all
n; an episode moves it by .007, and in each block by .01 more, at n = 100, by .7 of that at each
next n; at the largest n every episode has all places. The margin is .01.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from wherefrom.evidence.convergence import change_of, point_of
from wherefrom.evidence.intervals import Parts

SEEDS = (20, 10, 10, 5, 4, 2)
MARGIN, BLOCK, EPISODE = 0.01, 0.004, 0.02
NONE = [0.0] * 6
FALLS = [[0.04, 0.025, 0.015, 0.005, 0.001, 0.0], [0.02, 0.01, 0.005, 0.0, 0.0, 0.0], NONE]

#: By name, D(n) of each composition, and the factor of all noise.
SCENARIOS: dict[str, tuple[list[list[float]], float]] = {
    "no difference": ([NONE] * 3, 1.0),
    "one of 3 at the margin until 1,000": ([[0.01] * 3 + [0.0] * 3, NONE, NONE], 1.0),
    "one alone at the margin until 1,000": ([[0.01] * 3 + [0.0] * 3], 1.0),
    "all 3 just within it": ([[0.0099] * 5 + [0.0]] * 3, 1.0),
    "one alone just within it": ([[0.0099] * 5 + [0.0]], 1.0),
    "falls, within it from 3,000": (FALLS, 1.0),
    "falls, half the noise": (FALLS, 0.5),
    "far from it until 10,000": ([[0.09, 0.08, 0.07, 0.06, 0.05, 0.0], NONE, NONE], 1.0),
}


def study(
    rng: np.random.Generator, true: NDArray[np.float64], blocks: int, factor: float
) -> list[list[Parts]]:
    """Make up the changes of K compositions, from their differences (K, 6)."""
    count, steps = true.shape
    common = rng.normal(size=(count + 1, blocks, 1))
    own = rng.normal(size=(count + 1, blocks, steps))
    block = factor * BLOCK * np.sqrt(0.5) * (common + own)
    tables = []
    for m, seeds in enumerate(SEEDS):
        scale = factor * EPISODE * 0.7**m * (m < steps - 1)
        episode = scale * np.sqrt(0.5) * rng.normal(size=(count + 1, 1, seeds)) * 0.5
        rest = scale * 0.5 * rng.normal(size=(count + 1, blocks, seeds))
        y = block[:, :, m, None] + episode + rest
        tables.append(y[1:] - y[0] + true[:, m, None, None])
    return [[change_of(table[k], tables[-1][k]) for table in tables[:-1]] for k in range(count)]


def main() -> None:
    """Print a line for each number of blocks and scenario."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=1500)
    studies = parser.parse_args().studies
    print("| blocks | differences | too early | too late | shown before the largest n | exact |")
    print("|---|---|---|---|---|---|")
    for blocks in (3, 4, 5, 6):
        for name, (curves, factor) in SCENARIOS.items():
            rng, true = np.random.default_rng(1), np.array(curves)
            far = (np.abs(true[:, :-1] - true[:, -1:]) >= MARGIN).any(axis=0)
            due = int(np.flatnonzero(far)[-1]) + 1 if far.any() else 0
            found = [point_of(study(rng, true, blocks, factor), MARGIN) for _ in range(studies)]
            shares = [
                np.mean([one.shown < due for one in found]),
                np.mean([one.earliest > due for one in found]),
                np.mean([one.shown < true.shape[1] - 1 for one in found]),
                np.mean([one.shown == due for one in found]),
            ]
            print(f"| {blocks} | {name} | " + " | ".join(f"{one:.3f}" for one in shares) + " |",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
