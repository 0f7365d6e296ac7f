"""Rival ways to judge one family of claims, on the simulated studies of evidence_claims.py.

For each way: share of studies without any effect in which something is called better or worse, and
share of studies in which 0.03 above uniform is called better, over all regions and in one. The
noise is that of "seed interaction .006" in evidence_claims.py, where power is not a matter of
course.

    python benchmarks/evidence_rivals.py [--studies 1500]

paired     t over the differences of the blocks of a pair alone
own        each composition's own variance, after what a block shares is taken off (ours)
welch      the spread over blocks of each side, as if blocks were not shared
column     Holm's method in each region apart; elsewhere one family over all regions
max-t      single step, simulated (ours)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from evidence_claims import LOST, MARGIN, PAIRS, REFERENCES, REGIONS, SCENARIOS, Simulated, World

from wherefrom.evidence import ALL_REGIONS, holm
from wherefrom.evidence.differences import Comparison
from wherefrom.evidence.intervals import Parts, two_sided_p

Floats = npt.NDArray[np.float64]
NOISY = SCENARIOS["seed interaction .006"]
WORLDS = {
    "no effect": NOISY,
    "no effect, scatter 1 to 4": SCENARIOS["scatter 1 to 4"],
    "no effect, t3 draws": SCENARIOS["t3 draws"],
    "block effect .02": replace(NOISY, shared=0.02),
    "planted .03": replace(NOISY, effects=LOST | {"a": 0.03}),
}
WAYS = (
    "Holm, paired", "Holm, paired, column", "Bonferroni, own", "Holm, own", "Holm, welch",
    "max-t, own",
)  # fmt: skip


def judged(world: World, seed: int) -> Floats:
    """Return, of each way, whether it decides anything and finds `a` over all and in a region."""
    scores = Simulated(world, np.random.default_rng((20260303, seed)))
    (view,) = scores.families()
    found = Comparison(scores, view, REFERENCES, margin=MARGIN, pairs=PAIRS)
    own: list[Parts] = []
    paired: list[Parts] = []
    welch: list[Parts] = []
    regions: list[str] = []
    wanted: dict[str, int] = {}
    for region, one in found.regions.items():
        for member in one.members.values():
            part = one.part(member)
            names = {member.key.composition, member.reference.composition}
            if names == {"a", "uniform"}:
                wanted[region] = len(own)
            own.append(part)
            frame, _ = one.column.frame([member.key, member.reference])
            if "" in names:
                paired.append(part)
                welch.append(part)
            else:
                at = [frame.keys.index(key) for key in (member.key, member.reference)]
                first, second = frame.means[at]
                blocks = len(first)
                square = (first - second).var(ddof=1) / blocks
                paired.append(replace(part, block=square, block_df=blocks - 1.0))
                each = np.array([first.var(ddof=1), second.var(ddof=1)]) / blocks
                df = each.sum() ** 2 / (each**2).sum() * (blocks - 1)
                welch.append(replace(part, block=float(each.sum()), block_df=float(df)))
            regions.append(region)

    def p_of(parts: Sequence[Parts]) -> Floats:
        return two_sided_p(parts, np.abs([part.estimate for part in parts]))

    column = np.empty(len(own))
    by_pair = p_of(paired)
    for region in found.regions:
        inside = np.array(regions) == region
        column[inside] = holm(by_pair[inside])
    by_own = p_of(own)
    adjusted = {
        "Holm, paired": holm(by_pair),
        "Holm, paired, column": column,
        "Bonferroni, own": by_own * len(own),
        "Holm, own": holm(by_own),
        "Holm, welch": holm(p_of(welch)),
        "max-t, own": found.family.adjusted(own),
    }
    places = [wanted[ALL_REGIONS], wanted[REGIONS[0]]]
    decided = np.array([adjusted[way] <= 0.05 for way in WAYS])
    return np.column_stack([decided.any(axis=1), decided[:, places]]).astype(np.float64)


def main() -> None:
    """Print a table for each world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1500)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    run: Callable[[int], Floats]
    with ProcessPoolExecutor(options.processes) as pool:
        for name, world in WORLDS.items():
            run = partial(judged, world)
            found = np.mean(list(pool.map(run, range(options.studies), chunksize=10)), axis=0)
            print(f"{name:28s}{'anything':>10s}{'all':>8s}{'region':>8s}")
            for way, (anything, every, one) in zip(WAYS, found, strict=True):
                print(f"  {way:26s}{anything:10.3f}{every:8.3f}{one:8.3f}", flush=True)


if __name__ == "__main__":
    main()
