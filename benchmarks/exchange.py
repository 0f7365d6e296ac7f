"""How often exchange rates are wrong, in simulated studies, and how narrow they are.

Every study is judged by the function that a report is made of (`wherefrom.evidence.exchange`), with
scores put in the place of a results table: three compositions at 1,000, 3,000, 10,000 and 30,000
places under two budgets, uniform likewise, zero pre-training, in three regions and over all, 50
episodes. The noise is of SatCLIP L = 40 in the laptop study (see evidence_claims.py); `kin` is what
all sizes of a composition share in a block and others do not.

    python benchmarks/exchange.py [--studies 1000] [--world NAME] [--blocks 4] [--processes 2]

A line for each world, with these columns, of the compositions over all regions:

right       share of the answers that hold the true number of places, or rightly say never or fewer
figure      share of studies in which all answers of the figure do
regions     share of studies in which all answers in single regions do
decided     share of the answers that are not "undecided"
interval    share with both ends, and the median of the larger through the smaller
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from wherefrom.evidence import ALL_REGIONS, Scores, View
from wherefrom.evidence.exchange import (
    AT_LEAST,
    AT_MOST,
    FEWER,
    NEVER,
    WORTH,
    ExchangeRow,
    exchange,
)
from wherefrom.evidence.scores import Cells
from wherefrom.evidence.sizes import ITSELF
from wherefrom.study.sizes import Size

Floats = npt.NDArray[np.float64]

SIZES, OWN = (1000, 3000, 10_000, 30_000), 10_000
REGIONS = ("Africa", "Asia", "Europe")
VIEW = View("m", "t", 100, "logistic", "f1_macro")
EPISODES = 50

#: By world and composition, the true score minus that of 10,000 uniform places, at each size.
Curve = tuple[float, ...]
WORLDS: dict[str, dict[str, Curve]] = {
    # The same design under four names: every one is worth what uniform is.
    "null": dict.fromkeys(("uniform", "a", "b", "c"), (-0.02, -0.01, 0.0, 0.01)),
    # Reached at 20,000, nowhere, and by the fewest.
    "planted": {
        "uniform": (-0.03, -0.015, 0.0, 0.01),
        "a": (-0.05, -0.035, -0.02, 0.0117),
        "b": (-0.07, -0.06, -0.055, -0.05),
        "c": (0.02, 0.02, 0.03, 0.03),
    },
    # Scores that hardly depend on the places: all answers hang on noise.
    "flat": dict.fromkeys(("uniform", "a", "b", "c"), (0.0, 0.0, 0.0, 0.0)),
    # Reached just at the end of the range, just beyond it, and just at its beginning.
    "edges": {
        "uniform": (-0.02, -0.01, 0.0, 0.01),
        "a": (-0.03, -0.02, -0.01, 0.0),
        "b": (-0.03, -0.02, -0.01, -0.0005),
        "c": (0.0, 0.01, 0.02, 0.03),
    },
}


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the parts of a score, in a region."""

    own: float = 0.0035
    kin: float = 0.002
    shared: float = 0.001
    taste: float = 0.011
    rest: float = 0.012
    episode: float = 0.035


class Made(Scores):
    """Scores that were not read from a table; rows (B, regions, F) by composition."""

    def __init__(self, rows: Mapping[str, Floats]) -> None:
        self.places, self.units, self.official, self.strongest = None, {}, frozenset(), {}
        self.regions = {VIEW.task: list(REGIONS)}
        self.cells = {
            VIEW.key(name): Cells(np.arange(len(one)), np.arange(one.shape[2]), one)
            for name, one in rows.items()
        }


def study(
    rng: np.random.Generator,
    curves: Mapping[str, Curve],
    noise: Noise = Noise(),
    blocks: int = 4,
    episodes: int = EPISODES,
    budgets: Sequence[str] = ("samples", "epochs"),
) -> dict[Size, list[Scores]]:
    """Simulate the scores of a study, size by size."""

    def normal(sd: float, *shape: int) -> Floats:
        return np.asarray(rng.normal(0, sd, shape))

    areas = len(REGIONS)
    common = 0.5 + normal(noise.shared, blocks, areas, 1) + normal(noise.episode, areas, episodes)
    whole: Floats = np.zeros((blocks, areas, episodes))
    kin, taste = (
        {name: normal(sd, *shape) for name in (*curves, "none")}
        for sd, shape in (
            (noise.kin, (blocks, areas, 1)),
            (noise.taste / np.sqrt(2), (areas, episodes)),
        )
    )

    def row(name: str, mean: float) -> Floats:
        made = mean + common + kin[name] + taste[name] + normal(noise.own, blocks, areas, 1)
        made = made + normal(noise.taste / np.sqrt(2), areas, episodes)
        return np.asarray(whole + made + normal(noise.rest, blocks, areas, episodes))

    at = SIZES.index(OWN)
    first = {"none": row("none", -0.05)} | {n: row(n, curve[at]) for n, curve in curves.items()}
    beside = {name: first[name] for name in ("uniform", "none")}
    made: dict[Size, list[Scores]] = {Size(OWN): [Made(first)]}
    for budget in budgets:
        for i, size in enumerate(SIZES):
            if i != at:
                rows = {name: row(name, curve[i]) for name, curve in curves.items()}
                same = {"uniform": first["uniform"], ITSELF: rows.pop("uniform")}
                made[Size(size, budget)] = [Made(beside | rows), Made(same)]
    return made


def truth(curve: Curve) -> float | None:
    """Return the first number of places at which a curve is not below zero."""
    if curve[0] >= 0:
        return float(SIZES[0])
    for i in range(1, len(SIZES)):
        if curve[i] >= 0:
            share = curve[i - 1] / (curve[i - 1] - curve[i])
            return float(SIZES[i - 1] * (SIZES[i] / SIZES[i - 1]) ** share)
    return None


def is_right(row: ExchangeRow, curve: Curve) -> bool:
    """Tell whether an answer holds the truth."""
    places, slack = truth(curve), 1e-9
    within = {
        WORTH: lambda m: row.low * (1 - slack) <= m <= row.high * (1 + slack),
        AT_LEAST: lambda m: m >= row.low * (1 - slack),
        AT_MOST: lambda m: m <= row.high * (1 + slack),
        FEWER: lambda m: curve[0] >= 0,
        NEVER: lambda m: False,
    }.get(row.verdict, lambda m: True)
    if places is None:
        return row.verdict in (NEVER, AT_LEAST, "undecided")
    return bool(within(places))


def judged(world: str, blocks: int, seed: int) -> tuple[list[bool], bool, list[str], list[float]]:
    """Judge one study: right over all regions, in all regions, verdicts and widths."""
    curves = WORLDS[world]
    found = exchange(
        study(np.random.default_rng((20261130, seed)), curves, blocks=blocks), VIEW, "uniform", OWN
    )
    assert found is not None
    right = {row: is_right(row, curves[row.composition]) for row in found.rates}
    whole = [row for row in found.rates if row.region == ALL_REGIONS]
    widths = [row.high / row.low for row in whole if row.low and row.high]
    inside = all(ok for row, ok in right.items() if row.region != ALL_REGIONS)
    return [right[row] for row in whole], inside, [row.verdict for row in whole], widths


def main() -> None:
    """Print a line for each world."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--world", choices=WORLDS)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    print(f"{'world':10}{'right':>8}{'figure':>8}{'regions':>8}{'decided':>8}{'interval':>9}")
    with ProcessPoolExecutor(asked.processes) as pool:
        for world in [asked.world] if asked.world else WORLDS:
            one = partial(judged, world, asked.blocks)
            made = list(pool.map(one, range(asked.studies), chunksize=10))
            right = np.array([study[0] for study in made])
            verdicts = [word for study in made for word in study[2]]
            widths = [width for study in made for width in study[3]]
            decided = np.mean([word != "undecided" for word in verdicts])
            share, width = len(widths) / len(verdicts), np.median(widths) if widths else np.nan
            print(
                f"{world:10}{right.mean():8.3f}{right.all(axis=1).mean():8.3f}"
                f"{np.mean([study[1] for study in made]):8.3f}{decided:8.2f}"
                f"{share:6.2f} x{width:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
