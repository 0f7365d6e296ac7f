"""How near the pre-training places of a study lie to its test places, and what scores owe to that.

Distances are those of the places of a composition's draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose import Composition
from wherefrom.earth.sphere import nearest_km
from wherefrom.errors import WherefromError
from wherefrom.evidence.distance import Law, law
from wherefrom.evidence.places import units_of
from wherefrom.evidence.records import Record
from wherefrom.evidence.recut import ALL_PLACES
from wherefrom.evidence.redraws import Estimate
from wherefrom.evidence.runs import Runs
from wherefrom.pool import Pool
from wherefrom.study.predictions import Saved, saved
from wherefrom.study.stage import Plan, Stage
from wherefrom.study.store import Store

__all__ = [
    "CurveRow", "DistanceRow", "EffectRow", "LawRow", "Nearness", "Reader", "WITHIN_KM",
    "described", "distances",
]  # fmt: skip

Floats = NDArray[np.float64]

#: Distances that the table counts test places below.
WITHIN_KM = (5, 50, 500)


@dataclass(frozen=True, kw_only=True)
class _Of(Record):
    """What is about the test places of a region, or all."""

    model: str
    task: str
    n: int
    head: str
    region: str


@dataclass(frozen=True, kw_only=True)
class DistanceRow(Record):
    """Distances (km) of test places to the nearest pre-training place, over all blocks."""

    model: str
    task: str
    region: str
    composition: str
    blocks: int
    test_places: int
    median_km: float
    p10_km: float
    p90_km: float
    within_5_km: float
    within_50_km: float
    within_500_km: float


@dataclass(frozen=True, kw_only=True)
class LawRow(_Of):
    """The distance law (`wherefrom.evidence.distance`): change for ten times the distance.

    `slope` is in shares of test places, or in squared units of numbers; `log_odds` of being right;
    `near`, `middle` and `far` are slopes below 50 km, up to 500 km and beyond.
    """

    compositions: int
    blocks: int
    test_places: int
    mean: float
    redraw_spread: float | None
    slope: float | None
    low: float | None
    high: float | None
    log_odds: float | None
    log_odds_low: float | None
    log_odds_high: float | None
    near: float | None
    near_low: float | None
    near_high: float | None
    middle: float | None
    middle_low: float | None
    middle_high: float | None
    far: float | None
    far_low: float | None
    far_high: float | None
    across: float | None
    across_low: float | None
    across_high: float | None
    note: str


@dataclass(frozen=True, kw_only=True)
class EffectRow(_Of):
    """A composition minus the reference as observed, and with the reference's distances."""

    composition: str
    reference: str
    farther: float
    overlap: float
    effect: float
    low: float | None
    high: float | None
    at_equal_distance: float | None
    equal_low: float | None
    equal_high: float | None
    slope: float | None
    slope_low: float | None
    slope_high: float | None
    note: str


@dataclass(frozen=True, kw_only=True)
class CurveRow(_Of):
    """A composition's mean score at test places of one bin of distances."""

    composition: str
    from_km: float
    to_km: float
    median_km: float
    places: float
    score: float
    adjusted: float


@dataclass(frozen=True)
class Nearness:
    """All that is said of one model, task and head; `regions` begin with all test places.

    `units` are those of the squared error, None for shares of test places that are right.
    """

    model: str
    task: str
    n: int
    head: str
    reference: str
    units: str | None
    regions: list[str] = field(default_factory=list)
    distances: list[DistanceRow] = field(default_factory=list)
    laws: list[LawRow] = field(default_factory=list)
    effects: list[EffectRow] = field(default_factory=list)
    curves: list[CurveRow] = field(default_factory=list)
    #: Compositions without distance, and why.
    left_out: list[str] = field(default_factory=list)

    def law(self, region: str = ALL_PLACES) -> LawRow | None:
        """Return the law of a region, or None."""
        return next((row for row in self.laws if row.region == region), None)


class Reader:
    """Reads distances and predictions of a study's finished stages; a draw is measured once.

    Parameters
    ----------
    plan : Plan
    store : Store
    block_km : float, optional
        Width of the blocks of land not yet seen, which intervals then are about
        (`wherefrom.evidence.places.units_of`); by default this map.
    """

    def __init__(self, plan: Plan, store: Store, block_km: float | None = None) -> None:
        self.plan, self.store, self.block_km = plan, store, block_km
        (source,) = plan.of_kind("pool")
        self._pool = Pool.read(store.sound(source) / "pool.parquet")
        self._km: dict[tuple[str, str], Floats] = {}

    def nearness(self, model: str, task: str, n: int, head: str, reference: str) -> Nearness | None:
        """Say what is known of one model, task (by its label), n and head.

        Returns
        -------
        Nearness or None
            None if no composition with places was tested so.

        Raises
        ------
        WherefromError
            If predictions are missing, or runs were tested on different places.
        """
        asked = {"model": model, "task": task, "head": head}
        finished = self.store.finished(self.plan.of_kind("fewshot"))
        stages = [
            stage
            for stage in self.plan.of_kind("fewshot")
            if asked.items() <= stage.axes.items()
            and n in stage.spec["n"]
            and stage.spec["regions"] is None
            and stage.key in finished
        ]
        runs = [stage for stage in stages if not _draw(stage).of.empty]
        if not runs:
            return None
        first, *_ = kept = saved(runs, self.store)
        rows = {part.region: part.test for part in first.regions(n)}
        if not rows:
            return None
        test = np.concatenate(list(rows.values()))
        tested = Runs(
            tuple(one.composition for one in kept),
            tuple(one.run[0] for one in kept),
            np.stack([self._nearest(stage, first)[test] for stage in runs]),
            _scores(kept, n, rows),
            units_of(first.places, self.block_km)[test],
        )
        at = np.repeat(np.arange(len(rows)), [len(one) for one in rows.values()])
        names = dict.fromkeys(stage.axes["composition"] for stage in stages)
        found = Nearness(
            model,
            task,
            n,
            head,
            reference if reference in tested.names else tested.names[0],
            first.places.units,
            left_out=[f"{name}: it has no places" for name in names if name not in tested.names],
        )
        _describe(found, ALL_PLACES, tested)
        for code, region in enumerate(rows) if len(rows) > 1 else ():
            _describe(found, region, tested.at(at == code))
        return found

    def _nearest(self, stage: Stage, one: Saved) -> Floats:
        """Return the distance of every row of a task to the nearest place of a run, km."""
        draw = _draw(stage)
        key = (draw.key, stage.inputs["task"].key)
        if key not in self._km:
            drawn = Composition.read(self.store.sound(draw) / "composition.parquet")
            rows = self._pool.take(drawn.ids)
            lon, lat = self._pool.lon[rows], self._pool.lat[rows]
            self._km[key] = nearest_km(one.places.lon, one.places.lat, lon, lat)
        return self._km[key]


def described(found: Sequence[Nearness]) -> dict[str, tuple[list[Any], type[Record]]]:
    """Give the tables of some headlines: file name, rows and their kind."""

    def every(name: str) -> list[Any]:
        return list(dict.fromkeys(row for one in found for row in getattr(one, name)))

    return {
        "distances": (every("distances"), DistanceRow),
        "distance_law": (every("laws"), LawRow),
        "distance_effects": (every("effects"), EffectRow),
        "distance_curves": (every("curves"), CurveRow),
    }


def distances(km: Floats) -> dict[str, float]:
    """Sum up distances of any shape, km: median, 10 % and 90 %, shares nearer than some.

    Examples
    --------
    >>> distances(np.array([0.0, 10.0, 100.0]))["within_50_km"]
    0.6666666666666666
    """
    low, middle, high = np.quantile(km, [0.1, 0.5, 0.9]).tolist()
    shares = {f"within_{edge}_km": float((km < edge).mean()) for edge in WITHIN_KM}
    return {"median_km": middle, "p10_km": low, "p90_km": high} | shares


def _draw(stage: Stage) -> Stage:
    return stage.inputs["pretrain"].inputs["draw"]


def _scores(kept: Sequence[Saved], n: int, rows: dict[str, NDArray[np.int64]]) -> NDArray[Any]:
    """Score every run's predictions at the pooled test places: right or not, or squared error."""
    truth = kept[0].places.label[np.concatenate(list(rows.values()))]
    classes = kept[0].places.units is None
    scores = []
    for one in kept:
        told = {part.region: part for part in one.regions(n)}
        if any(
            region not in told or not np.array_equal(told[region].test, test)
            for region, test in rows.items()
        ):
            raise WherefromError(
                f"{one.folder}: tested on other places than other runs; remove the store and run "
                "the study again"
            )
        predicted = np.concatenate([told[region].predicted for region in rows], axis=1)
        right = predicted == truth if classes else ((predicted - truth) ** 2).astype(np.float32)
        scores.append(right)
    seeds = min(map(len, scores))
    return np.stack([one[:seeds] for one in scores])


def _describe(found: Nearness, region: str, tested: Runs) -> None:
    """Add what is to be said of some test places."""
    about: dict[str, Any] = {"model": found.model, "task": found.task, "region": region}
    found.regions.append(region)
    for name in tested.names:
        km = tested.km[tested.runs_of(name)]
        summed: dict[str, Any] = dict(distances(km))
        found.distances.append(
            DistanceRow(
                **about,
                composition=name,
                blocks=len(km),
                test_places=km.shape[1],
                **summed,
            )
        )
    made = law(tested, found.reference)
    about |= {"n": found.n, "head": found.head}
    found.laws.append(_law_row(about, tested, made))
    for one in made.effects:
        equal = one.equal or Estimate(np.nan)
        found.effects.append(
            EffectRow(
                **about,
                composition=one.composition,
                reference=found.reference,
                farther=one.farther,
                overlap=one.overlap,
                effect=one.raw.value,
                low=one.raw.low,
                high=one.raw.high,
                **_named(equal, "at_equal_distance", "equal_low", "equal_high"),
                **_named(one.slope, "slope", "slope_low", "slope_high"),
                note=one.raw.why,
            )
        )
    found.curves.extend(CurveRow(**about, **point._asdict()) for point in made.curve)


def _law_row(about: dict[str, Any], tested: Runs, made: Law) -> LawRow:
    stretches: dict[str, Any] = {}
    for name, one in zip(("near", "middle", "far"), made.stretches, strict=True):
        stretches |= _named(one, name, f"{name}_low", f"{name}_high")
    return LawRow(
        **about,
        compositions=len(tested.names),
        blocks=len(set(tested.blocks)),
        test_places=len(tested.unit),
        mean=made.mean,
        redraw_spread=made.spread if np.isfinite(made.spread) else None,
        **_named(made.slope, "slope", "low", "high"),
        **_named(made.log_odds or Estimate(np.nan), "log_odds", "log_odds_low", "log_odds_high"),
        **stretches,
        **_named(made.across, "across", "across_low", "across_high"),
        note=made.slope.why,
    )


def _named(one: Estimate, value: str, low: str, high: str) -> dict[str, Any]:
    return {value: one.value if np.isfinite(one.value) else None, low: one.low, high: one.high}
