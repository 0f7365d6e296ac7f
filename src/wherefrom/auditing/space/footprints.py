"""Footprints: what tiles cover, how much of it twice, and how much of it is land."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from wherefrom import keys
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import LEAST, Commands, Finding, percent
from wherefrom.auditing.space.coverage import held
from wherefrom.auditing.statistic import SPACE, Statistic
from wherefrom.auditing.tally import Floats, Ints, Sums, Tally, Weights, run_distinct
from wherefrom.earth.footprints import areas_km2
from wherefrom.earth.land import on_land
from wherefrom.keys import mixed
from wherefrom.pool import Pool
from wherefrom.pool.batches import Ask, Batch

__all__ = ["Footprints", "points_in"]

#: Footprints looked at closely, and points in them, together.
SAMPLE, POINTS = 1 << 13, 1 << 16
#: Points in each of them at least.
_EACH = 4
#: Turns in which a point in a polygon is sought in its box before its middle is taken.
_TURNS = 200


@dataclass(frozen=True)
class Footprints(Statistic):
    """The area that footprints cover. Repeated places count once.

    Areas are exact. What is of their inside is an estimate from `points` uniform points in a
    uniform sample of `sampled` footprints: a point that m footprints hold stands for 1 / m of the
    area around it.

    Attributes
    ----------
    footprints, sampled, points : int
    least_km2, median_km2, most_km2 : float
        Area of a footprint; of the sample.
    total_km2 : float
        Sum of all areas.
    covered_km2 : float
        Area that at least one footprint covers.
    overlap, overlap_se : float
        Share of the covered area that at least two footprints cover, and its standard error.
    on_land, on_land_se : float
        Share of the footprints' area that is land, mean over the footprints, standard error.
    coastal, at_sea : float
        Share of the footprints with land and sea in them, and without land. Of what is land in
        less than 1 part in 100 some is missed.
    covered_land : float
        Share of the land that footprints cover.
    """

    name, section = "footprints", SPACE

    footprints: int
    sampled: int
    points: int
    least_km2: float
    median_km2: float
    most_km2: float
    total_km2: float
    covered_km2: float
    overlap: float
    overlap_se: float
    on_land: float
    on_land_se: float
    coastal: float
    at_sea: float
    covered_land: float
    #: Whether there is land to cover.
    by_land: bool = field(default=True, repr=False)

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally of areas and of what covers points in a sample of the footprints."""
        if not asked.pool.extended:
            return ()
        wkb = _sampled(asked)
        shapes = shapely.from_wkb(wkb)
        each = max(_EACH, POINTS // len(shapes))
        rng = keys.generator("audit footprints", asked.seed)
        return [CoverTally(wkb, *points_in(np.repeat(shapes, each), rng))]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[CoverTally]) -> Footprints | None:
        """Sum up what covers the points in the sample."""
        if not counted:
            return None
        [seen] = counted
        lon, lat = seen.lon, seen.lat
        areas = areas_km2(shapely.from_wkb(seen.wkb))
        size, each = len(areas), len(lon) // len(areas)
        # On a border rounding may put a point outside of the footprint that it was drawn in.
        times = np.maximum(seen.times, 1).reshape(size, each)
        land = on_land(lon, lat)[0].reshape(size, each)
        scale = seen.area / areas.sum()  # of the sample to all
        once = areas * (1.0 / times).mean(axis=1)
        twice = areas * ((times > 1) / times).mean(axis=1)
        covered, overlap = once.sum(), twice.sum() / once.sum()
        rest = twice - overlap * once
        shares = land.mean(axis=1)
        own = (
            land
            if asked.within is None
            else land & asked.within.holds(lon, lat).reshape(land.shape)
        )
        with_land = 0.0 if asked.ground.none else (areas * (own / times).mean(axis=1)).sum()
        return cls(
            footprints=seen.count,
            sampled=size,
            points=size * each,
            least_km2=float(areas.min()),
            median_km2=float(np.median(areas)),
            most_km2=float(areas.max()),
            total_km2=seen.area,
            covered_km2=float(scale * covered),
            overlap=float(overlap),
            overlap_se=float(np.sqrt((rest**2).sum() * size / max(size - 1, 1)) / covered),
            on_land=float(shares.mean()),
            on_land_se=float(shares.std() / np.sqrt(size)),
            coastal=float(((shares > 0.0) & (shares < 1.0)).mean()),
            at_sea=float((shares == 0.0).mean()),
            covered_land=float(min(scale * with_land / asked.ground.area_km2, 1.0)),
            by_land=asked.by_land,
        )

    def rows(self) -> list[tuple[str, ...]]:
        """Return areas, overlap and share of land."""
        rows: list[tuple[str, ...]] = [
            (
                "area of a footprint",
                area(self.median_km2),
                "",
                f"the median; from {area(self.least_km2)} to {area(self.most_km2)}",
            ),
            (
                "covered twice or more",
                percent(self.overlap),
                "",
                f"of the {area(self.covered_km2)} that footprints cover; together they have "
                f"{area(self.total_km2)}",
            ),
            (
                "land in footprints",
                percent(self.on_land),
                "",
                f"of their area; {percent(self.coastal)} of them are partly land, "
                f"{percent(self.at_sea)} hold none",
            ),
        ]
        if self.by_land:
            share = percent(self.covered_land)
            rows.append(("land that is covered", share, "", "by at least one footprint"))
        return rows

    def findings(self, commands: Commands) -> list[Finding]:
        """Find whether footprints overlap, or hold no land."""
        found = []
        if self.overlap - 2.0 * self.overlap_se > LEAST:
            text = (
                f"Overlap: {percent(self.overlap)} of the area that footprints cover is covered "
                f"twice or more: {area(self.total_km2)} of footprints show {area(self.covered_km2)}"
                " of the Earth."
            )
            found.append(Finding("overlap", self.overlap, text, ""))
        if self.at_sea > LEAST:
            text = f"{percent(self.at_sea)} of the footprints hold no land."
            found.append(Finding("sea", self.at_sea, text, ""))
        return found


def _sampled(asked: Asked) -> NDArray[Any]:
    """Return a uniform sample of the footprints, well-known binary, the same whatever the parts."""
    if not isinstance(asked.pool, Pool):
        [tally] = run_distinct(
            asked.pool, [SampleTally()], asked.seen, weights=asked.weights, label="footprints"
        )
        return tally.wkb
    weights = asked.weights if asked.seen.rows is None else asked.seen.weights
    rows = np.arange(len(asked.pool)) if weights is None else np.flatnonzero(weights > 0.0)
    rows = rows[np.argsort(mixed(rows))[:SAMPLE]]
    return np.asarray(shapely.to_wkb(asked.pool.footprints(rows)))


class SampleTally(Sums):
    """The footprints of `SAMPLE` rows, well-known binary: those of the smallest hashes."""

    ask = Ask(footprints=True)
    sums = ()

    def __init__(self) -> None:
        self.wkb: NDArray[Any] = np.zeros(0, dtype=object)
        self._hash: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Look at a batch; see `Tally.update`."""
        assert batch.footprints is not None
        rows = np.arange(len(batch)) if weight is None else np.flatnonzero(weight > 0.0)
        rows = rows[np.argsort(mixed(rows + batch.start))[:SAMPLE]]
        self._take(mixed(rows + batch.start), shapely.to_wkb(batch.footprints[rows]))

    def merge(self, other: Self) -> None:
        """Take in what another part has."""
        self._take(other._hash, other.wkb)

    def _take(self, hashes: NDArray[np.uint64], wkb: NDArray[Any]) -> None:
        every = np.concatenate([self._hash, hashes])
        low = np.argsort(every)[:SAMPLE]
        self._hash, self.wkb = every[low], np.concatenate([self.wkb, wkb])[low]


class CoverTally(Sums):
    """Number and area of all footprints, and how many of them hold each of some points.

    The points, degrees, shape (M,), lie in the footprints of a sample, `wkb`, as many in each.
    """

    ask = Ask(footprints=True)
    sums = ("count", "area", "times")

    def __init__(self, wkb: NDArray[Any], lon: Floats, lat: Floats) -> None:
        self.wkb, self.lon, self.lat = wkb, lon, lat
        self.count, self.area = 0, 0.0
        self.times: Ints = np.zeros(len(lon), dtype=np.int64)
        self._tree: shapely.STRtree | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tree": None}

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Count a batch; see `Tally.update`."""
        assert batch.footprints is not None
        if self._tree is None:
            self._tree = shapely.STRtree(shapely.points(self.lon, self.lat))
        rows = np.arange(len(batch)) if weight is None else np.flatnonzero(weight > 0.0)
        self.count += len(rows)
        self.area += float(batch.areas_km2[rows].sum())
        at = held(self._tree, batch.footprints[rows])
        self.times += np.bincount(at, minlength=len(self.times))


def points_in(shapes: NDArray[Any], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw a point in each of some polygons, uniformly by area on the sphere, degrees.

    Sought in the box of the polygon; of one that fills less than about 1 part in 40 of it the
    point may be its middle.

    >>> rng = np.random.default_rng(0)
    >>> lon, lat = points_in(np.full(1000, shapely.box(0, 60, 1, 80)), rng)
    >>> bool(abs((lat < 68.1).mean() - 0.5) < 0.05)  # half of the area, not of the degrees
    True
    """
    parts, owner = shapely.get_parts(shapes, return_index=True)
    if len(parts) > len(shapes):  # one part of each, by area
        upto = np.cumsum(areas_km2(parts))
        first = np.searchsorted(owner, np.arange(len(shapes)))
        last = np.append(first[1:], len(parts)) - 1
        low = np.concatenate([[0.0], upto])[first]
        at = np.searchsorted(upto, low + (upto[last] - low) * rng.random(len(shapes)))
        parts = parts[np.clip(at, first, last)]
    west, south, east, north = shapely.bounds(parts).T
    low, high = np.sin(np.radians(south)), np.sin(np.radians(north))
    lon, lat = np.full((2, len(parts)), np.nan)
    left = np.arange(len(parts))
    for _ in range(_TURNS):
        if not len(left):
            break
        x = west[left] + (east - west)[left] * rng.random(len(left))
        sine = low[left] + (high - low)[left] * rng.random(len(left))
        y = np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))
        inside = shapely.contains_xy(parts[left], x, y)
        lon[left[inside]], lat[left[inside]] = x[inside], y[inside]
        left = left[~inside]
    if len(left):
        middle = shapely.point_on_surface(parts[left])
        lon[left], lat[left] = shapely.get_x(middle), shapely.get_y(middle)
    return lon, lat


def area(km2: float) -> str:
    """Write an area.

    >>> area(6.5536), area(12056.3), area(0.000123), area(1.3e8)
    ('6.55 km²', '12,056 km²', '0.000123 km²', '130 million km²')
    """
    if km2 >= 1e6:
        return f"{km2 / 1e6:.3g} million km²"
    return f"{km2:,.0f} km²" if km2 >= 999.5 else f"{km2:.3g} km²"
