"""How often verdicts and intervals are wrong, in simulated studies, and what they find.

Every study is judged by the functions that a report is made of (`wherefrom.evidence.Comparison`,
`sensitivity`), with scores put in the place of a results table: 7 compositions, zero pre-training
and 4 baselines in 6 regions and over all, on 6 blocks and 50 episodes. The noise (`World`) is of
SatCLIP L = 40 in the laptop study (logistic head, macro F1, n = 100): of a block's mean 0.0039 in
a region, of which 0.0017 are the rest; taste 0.011, rest 0.012, episode 0.035.

    python benchmarks/evidence_claims.py [--studies 1500] [--others 400] [--scenario NAME]

A line for each scenario: 1,500 studies of those without any effect that a bound is about (`NULLS`),
400 of the others. The columns:

studies        how many
pointwise      share of the 95 % intervals of single contrasts that hold the truth
at once        share of studies in which all intervals that a page shows do
better/worse   share of studies in which anything is called so, or the best row, that is not
equivalent     share in which anything is called equivalent that differs by the margin
sensitivity    share in which one of two models of equal spread is said to be the more sensitive
found, all     share in which 0.03 above uniform is called better, over all regions
found, region  the same in one region
baseline       the same against the best baseline, in one region
alike          share in which two equal compositions are called equivalent, over all regions
factor         by which simulation changes Bonferroni's half-widths, on average
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from wherefrom.evidence import ALL_REGIONS, BEST_BASELINE, Key, Scores, View, compare, sensitivity
from wherefrom.evidence.differences import Comparison
from wherefrom.evidence.intervals import half_width
from wherefrom.evidence.scores import Cells

Floats = npt.NDArray[np.float64]

COMPOSITIONS = ("uniform", "none", "a", "b", "c", "d", "e", "f")
BASELINES = ("raw-1", "raw-2", "raw-3", "raw-4")
REGIONS = ("Africa", "Asia", "Europe", "North America", "Oceania", "South America")
REFERENCES = ("uniform", "none", BEST_BASELINE)
PAIRS = (("a", "b"), ("c", "d"), ("e", "f"))
EPISODES, PLACES, MARGIN = 50, 2000, 0.01


@dataclass(frozen=True)
class World:
    """Standard deviations of the parts of a score, and the true means."""

    own: float = 0.0035
    shared: float = 0.001
    taste: float = 0.011
    rest: float = 0.012
    episode: float = 0.035
    #: Between the effects of the compositions on both models of the column `sensitivity`.
    spread: float = 0.01
    #: By composition, what `own` is multiplied with.
    scatter: Sequence[float] = (1.0,) * len(COMPOSITIONS)
    #: Of a row's score in a region over other test places.
    places: float = 0.0
    #: Draws from Student's t with 3 degrees of freedom.
    heavy: bool = False
    #: Share of the variance of `own` that is the same in all regions.
    common: float = 0.0
    #: What half of the compositions share in a block beyond what all do.
    kin: float = 0.0
    blocks: int = 6
    #: Added to everything that varies.
    scale: float = 1.0
    effects: dict[str, float] = field(default_factory=dict)


class SimulatedPlaces:
    """Covariances over test places, estimated from the influence of each on every row."""

    population = "simulated"

    def __init__(self, influence: Floats, rows: Sequence[Key]) -> None:
        self._rows = {key.composition or key.model: i for i, key in enumerate(rows)}
        parts = influence - influence.mean(axis=-1, keepdims=True)
        count = parts.shape[-1]
        by_region = parts @ parts.swapaxes(-1, -2) / (count - 1) / count
        self._by_region = dict(zip(REGIONS, by_region, strict=True))
        self._by_region[ALL_REGIONS] = by_region.mean(axis=0) / len(REGIONS)

    def covariance(
        self, keys: Sequence[Key], region: str, among: Sequence[str] | None = None
    ) -> tuple[Floats, float]:
        """Return the covariance of the rows, and its degrees of freedom."""
        at = [self._rows[key.composition or key.model] for key in keys]
        df = PLACES - 1.0 if region != ALL_REGIONS else len(REGIONS) * PLACES - 1.0
        return self._by_region[region][np.ix_(at, at)], df


class Simulated(Scores):
    """Scores that were not read from a table."""

    def __init__(self, world: World, rng: np.random.Generator, models: Sequence[str] = ("m",)):
        self.places, self.units, self.official, self.strongest = None, {}, frozenset(), {}
        self.cells, self.regions = {}, {}
        for model in models:
            self._fill(world, rng, model)

    def _fill(self, world: World, rng: np.random.Generator, model: str) -> None:
        def normal(sd: float, *shape: int) -> Floats:
            return np.asarray(rng.normal(0, sd * world.scale, shape))

        rows, regions, blocks = len(COMPOSITIONS), len(REGIONS), world.blocks
        task = f"task of {model}"
        self.regions[task] = list(REGIONS)
        view = View(model, task, 100, "logistic", "f1_macro")
        shape = (regions, rows, blocks)
        if world.heavy:
            own = rng.standard_t(3, shape) / np.sqrt(3) * world.own * world.scale
        else:
            own = normal(world.own, *shape) * np.sqrt(1 - world.common)
            own += normal(world.own, 1, rows, blocks) * np.sqrt(world.common)
        own *= np.asarray(world.scatter)[:, None]
        own += normal(world.shared, regions, 1, blocks)
        own[:, : rows // 2] += normal(world.kin, regions, 1, blocks)
        own[:, rows // 2 :] += normal(world.kin, regions, 1, blocks)
        episode = normal(world.episode, regions, 1, EPISODES)
        taste = episode + normal(world.taste, regions, rows + len(BASELINES), EPISODES)
        effects = [world.effects.get(name, 0.0) for name in (*COMPOSITIONS, *BASELINES)]
        taste += 0.6 + np.array(effects)[:, None]
        keys = [view.key(name) for name in COMPOSITIONS]
        keys += [Key(name, "", *view[1:]) for name in BASELINES]
        if world.places:
            sd = world.places * np.sqrt(PLACES)
            influence = normal(sd, regions, len(keys), PLACES)
            self.places = SimulatedPlaces(influence, keys)
            taste += influence.mean(axis=-1, keepdims=True)
        values = own[..., None] + taste[:, :rows, None] + normal(world.rest, *shape, EPISODES)
        seeds = np.arange(EPISODES)
        for i, key in enumerate(keys[:rows]):
            one = values[:, i].swapaxes(0, 1)
            self.cells[key] = Cells(np.arange(blocks), seeds, one)
        for i, key in enumerate(keys[rows:], start=rows):
            self.cells[key] = Cells(np.array([-1]), seeds, taste[None, :, i])


def judged(world: World, seed: int) -> list[float]:
    """Judge one study: what the columns of the table are means of; NaN where there is nothing."""
    scores = Simulated(world, np.random.default_rng((20260301, seed)))
    (view,) = scores.families()
    found = Comparison(scores, view, REFERENCES, margin=MARGIN, pairs=PAIRS)
    effects = dict.fromkeys((*COMPOSITIONS, *BASELINES), 0.0) | world.effects
    inside, outside = [], False
    for one in found.regions.values():
        # The pair of the leading row with the next has no interval on a page.
        shown = {pair.both for pair in (*one.compared, *one.asked)}
        members = [member for both, member in one.members.items() if both in shown]
        parts = [one.part(member) for member in members]
        names = [[k.composition or k.model for k in (m.key, m.reference)] for m in members]
        off = [p.estimate - effects[a] + effects[b] for p, (a, b) in zip(parts, names, strict=True)]
        inside += (np.abs(off) <= half_width(parts)).tolist()
        outside |= bool((np.abs(off) > found.family.half_width(parts)).any())
    rows = [*found.rows, *found.contrasts(PAIRS, list(found.regions))]
    better, same = False, False
    for row in rows:
        true = effects[row.composition] - effects[row.reference_row]
        word = row.verdict.split()[0]
        better |= (word == "better" and true <= 0) or (word == "worse" and true >= 0)
        same |= word == "equivalent" and abs(true) > MARGIN - 1e-9
    top = [name for name, effect in effects.items() if effect == max(effects.values())]
    better |= any(leader.decided and top != [leader.best] for leader in found.leaders)

    def said(word: str, name: str, reference: str, region: str) -> float:
        about = (name, reference, region)
        verdicts = [r.verdict for r in rows if (r.composition, r.reference, r.region) == about]
        return float(verdicts[0].startswith(word))

    planted = effects["a"] - effects["uniform"] > 0.02
    finds = [
        said("better", "a", "uniform", ALL_REGIONS),
        said("better", "a", "uniform", REGIONS[0]),
        said("better", "a", BEST_BASELINE, REGIONS[0]),
    ]
    alike = effects["b"] == effects["uniform"] != effects["none"]
    factor = float(np.sqrt(found.family.largest[round(0.05 * len(found.family.largest))]))
    return [
        float(np.mean(inside)),
        float(not outside),
        float(better),
        float(same),
        more_sensitive(world, seed),
        *(finds if planted else [np.nan] * 3),
        said("equivalent", "b", "uniform", ALL_REGIONS) if alike else np.nan,
        factor,
    ]


def more_sensitive(world: World, seed: int) -> float:
    """Tell whether one of two models that depend alike on the composition is said to do so more."""
    names = [name for name in COMPOSITIONS if name != "none"]
    line = np.linspace(-1, 1, len(names))
    effects = dict(zip(names, line / line.std(ddof=1) * world.spread, strict=True))
    both = replace(world, effects=effects | {"none": -0.05})
    scores = Simulated(both, np.random.default_rng((20260302, seed)), ("m", "other"))
    first, second = (row for row in sensitivity(scores) if row.region == ALL_REGIONS)
    row = compare(first, second)
    assert row.low is not None
    assert row.high is not None
    return float(row.low > 0 or row.high < 0)


STEPS = tuple(float(x) for x in np.linspace(1, 4, len(COMPOSITIONS)))
LOST = {"none": -0.05} | dict.fromkeys(BASELINES, -0.05)
SCENARIOS: dict[str, World] = {
    "nested": World(),
    "seed interaction .006": World(own=float(np.hypot(0.0035, 0.006))),
    "new test places .003": World(places=0.003),
    "new test places .005": World(places=0.005),
    "scatter 1 to 4": World(scatter=STEPS),
    "t3 draws": World(heavy=True),
    "planted .03": World(effects=LOST | {"a": 0.03}),
    "at the margin": World(scale=0.5, effects=LOST | dict.fromkeys("abcdef", MARGIN)),
    "alike": World(effects=LOST),
    "two lead": World(
        effects=LOST | dict.fromkeys(("uniform", *"cdef"), -0.05) | dict.fromkeys("ab", 0.03)
    ),
    "5 blocks": World(blocks=5),
    "planted .03, 5 blocks": World(effects=LOST | {"a": 0.03}, blocks=5),
    "planted .03, seeds .006": World(
        own=float(np.hypot(0.0035, 0.006)), effects=LOST | {"a": 0.03}
    ),
    "one scatters 4": World(scatter=(4.0,) + (1.0,) * (len(COMPOSITIONS) - 1)),
    "regions alike": World(common=0.7),
    "kin share .006": World(kin=0.006),
    "block effect .02": World(shared=0.02),
}
#: Without any effect: their rates have bounds (docs/evidence.md).
NULLS = (
    "nested", "seed interaction .006", "new test places .003", "new test places .005",
    "scatter 1 to 4", "t3 draws", "5 blocks",
)  # fmt: skip
COLUMNS = (
    "pointwise", "at once", "better/worse", "equivalent", "sensitivity", "found, all",
    "found, region", "baseline", "alike", "factor",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1500, help="of each of NULLS")
    parser.add_argument("--others", type=int, default=400, help="of each other scenario")
    parser.add_argument("--scenario", action="append", choices=[*SCENARIOS])
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(f"{'scenario':24s}{'studies':>8s}" + "".join(f"{name:>14s}" for name in COLUMNS))
    with ProcessPoolExecutor(options.processes) as pool:
        for name in options.scenario or SCENARIOS:
            start = time.perf_counter()
            run = partial(judged, SCENARIOS[name])
            studies = options.studies if name in NULLS else options.others
            found = np.array(list(pool.map(run, range(studies), chunksize=10)))
            cells = "".join(f"{value:14.3f}" for value in found.mean(axis=0))
            took = time.perf_counter() - start
            print(f"{name:24s}{studies:8d}{cells}   {took:.0f} s", flush=True)


if __name__ == "__main__":
    main()
