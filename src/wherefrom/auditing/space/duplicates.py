"""Duplicates: places given twice, and places too near to each other to be two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import LEAST, SIGMAS, Commands, Finding, degrees, percent
from wherefrom.auditing.lattice import ALL_LAND, COARSE, Ground
from wherefrom.auditing.space.coverage import tree_of
from wherefrom.auditing.space.density import cells_of
from wherefrom.auditing.statistic import SPACE, Statistic, plain
from wherefrom.auditing.tally import (
    APART_M,
    Floats,
    Hashes,
    Ints,
    Tally,
    canonical_places,
    counted_places,
)
from wherefrom.earth.land import LAND_KM2
from wherefrom.earth.sphere import EARTH_RADIUS_KM, arc_km, chord, unit_vectors
from wherefrom.keys import mixed
from wherefrom.pool import Pool
from wherefrom.pool.batches import Ask, Batch
from wherefrom.pool.check import place_hashes
from wherefrom.pool.scan import IN_MEMORY
from wherefrom.pool.seasons import days_in
from wherefrom.pool.time import same_days

__all__ = ["CAPACITY", "Duplicates", "DuplicatesTally", "Repeated"]


#: Different places kept; with more, whole cells are left out at random.
CAPACITY = 1 << 20
#: Bands of the cells that are kept or left out whole: cells of 10 km.
BANDS = 2000
#: Places named that are given most often.
NAMED = 5
_M10, _KM1 = 0.01, 1.0


@dataclass(frozen=True)
class Repeated:
    """A place, degrees, that many rows have."""

    lon: float
    lat: float
    rows: int


@dataclass(frozen=True)
class Duplicates(Statistic):
    """Rows that share a place, or nearly so. Multiplicities of a composition do not count.

    Attributes
    ----------
    n_rows : int
        Rows counted; ``rows`` in JSON.
    exact : bool
        Whether all places were compared. Else the places of a random share of 10 km cells were;
        each place's neighbours are sought in its own cell, for places at least 1 km inside it.
    looked_at : float
        That share of the cells; 1 if exact.
    repeats : float
        Share of rows whose exact place an earlier row has.
    repeats_se : float
        Its standard error; 0 if exact.
    places : int
        Different places; of a sample an estimate.
    least_rows, most_rows : int
        The fewest and the most rows that a place has, of those looked at.
    within_10m, within_1km : float
        Share of the different places with another one so near.
    within_10m_se, within_1km_se : float
        Standard errors; 0 if exact.
    uniform_within_1km : float
        What `within_1km` would be for as many places uniform by area on land.
    at_zero : int
        Rows at 0 E, 0 N: the place of missing values; always exact.
    node : bool
        Whether that is a node of the places' own lattice: those around it have places as well.
    most : tuple of Repeated
        The places that most rows have, of those looked at; empty without repeats.
    copies : int
        Different places that are within some `APART_M` of an earlier row's, and are one with it;
        what is told of neighbours is of the others. 0 where such places are few.
    same_day : float or None
        Share of rows that have both the place and the day of an earlier one; None without dates.
    """

    name, section = "duplicates", SPACE

    n_rows: int
    exact: bool
    looked_at: float
    repeats: float
    repeats_se: float
    places: int
    least_rows: int
    most_rows: int
    within_10m: float
    within_10m_se: float
    within_1km: float
    within_1km_se: float
    uniform_within_1km: float
    at_zero: int
    most: tuple[Repeated, ...]
    copies: int = 0
    node: bool = False
    same_day: float | None = None
    #: Whether there is land to be uniform on.
    by_land: bool = field(default=True, repr=False)
    #: The column that says which rows are one place: then `n_rows` are first rows of places.
    by_column: str = field(default="", repr=False)

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally of different places, and one without near copies where there are some."""
        apart = DuplicatesTally(asked.ground, by_row=False)
        if asked.place is not None:
            return [apart]
        return [DuplicatesTally(asked.ground), *([apart] if asked.seen.copies else [])]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Duplicates:
        """Sum up; neighbours of a place are no copies of it."""
        rows: Duplicates = counted[0].result()
        for apart in (tally.result() for tally in counted[1:]):
            names = [f"{name}{se}" for name in ("within_10m", "within_1km") for se in ("", "_se")]
            near = {name: getattr(apart, name) for name in (*names, "uniform_within_1km")}
            rows = replace(rows, copies=asked.seen.copies, **near)
        return replace(rows, same_day=_same_day(asked), by_column=asked.place or "")

    @property
    def apart(self) -> int:
        """Different places without near copies."""
        return self.places - self.copies

    def entries(self) -> dict[str, Any]:
        """Return the shares and the places that are given most often."""
        numbers = plain(self)
        return {self.name: {"rows": numbers.pop("n_rows"), **numbers}}

    def rows(self) -> list[tuple[str, ...]]:
        """Return repeats and near repeats."""
        how = "all rows compared" if self.exact else f"± {percent(self.repeats_se)}, of a sample"
        copies = percent(self.copies / self.n_rows)
        none = "0 %" if self.by_land else ""
        same = "place as an earlier row" if not self.by_column else "point as an earlier place"
        day = percent(self.same_day or 0.0)
        return [
            (f"same {same}", percent(self.repeats), none, how),
            *([("same place and day", day, "", "of rows")] if self.same_day is not None else []),
            *([("nearly so", copies, none, f"within {APART_M:g} m")] if self.copies else []),
            (
                "another place within 1 km",
                percent(self.within_1km),
                percent(self.uniform_within_1km) if self.by_land else "",
                f"{percent(self.within_10m)} within 10 m",
            ),
        ]

    @property
    def all_at_zero(self) -> bool:
        """Whether every row is at 0/0."""
        return self.at_zero == self.n_rows

    def findings(self, commands: Commands) -> list[Finding]:
        """Find rows that repeat a place or stand at 0/0, whatever the reference."""
        found = []
        if self.at_zero and not self.node:
            share = self.at_zero / self.n_rows
            rows = "1 row" if self.at_zero == 1 else f"{self.at_zero:,} rows"
            rows += f" ({percent(share)}) {'is' if self.at_zero == 1 else 'are'}"
            rows = rows if share < 1 else "All rows are"
            text = f"{rows} at 0° E 0° N, at sea: what missing coordinates leave behind."
            found.append(Finding("null-island", share, text, commands.clean()))
        if self.same_day is not None:
            if self.same_day > LEAST:
                text = (
                    f"{percent(self.same_day)} of the rows have place and day of an earlier row. "
                    "The other findings count each place once."
                )
                found.append(Finding("duplicates", self.same_day, text, commands.clean()))
        elif self.by_column and self.repeats > LEAST:
            text = (
                f"{percent(self.repeats)} of the places by {self.by_column!r} are where an earlier "
                f"one is: {self.n_rows:,} of them have {self.places:,} coordinates. The other "
                "findings count each once."
            )
            found.append(Finding("duplicates", self.repeats, text, commands.clean()))
        elif self.repeats > LEAST:
            even = self.least_rows == self.most_rows
            each = f"{self.most_rows:,}" if even else f"{self.least_rows:,} to {self.most_rows:,}"
            text = (
                f"{percent(self.repeats)} of the rows repeat the place of an earlier row: "
                f"{self.n_rows:,} rows at {'' if self.exact else 'about '}{self.places:,} "
                f"place{'s' * (self.places != 1)}, {each} each"
            )
            if self.most:
                at = f"{degrees(self.most[0].lon)}, {degrees(self.most[0].lat)}"
                text += f" ({'such as' if even else 'most'} at {at})"
            text += (
                ". The other findings count rows, too many to be compared"
                if self.n_rows > IN_MEMORY
                else ". Dates or samples of a place are no fault, copies are; the other findings "
                "count each place once"
            )
            found.append(Finding("duplicates", self.repeats, f"{text}.", commands.clean()))
        if self.copies > LEAST * self.n_rows:
            share = self.copies / self.n_rows
            text = (
                f"{percent(share)} of the rows are within {APART_M:g} m of an earlier row and not "
                f"at its very place: {self.n_rows:,} rows at {self.apart:,} places. "
                "So near they are taken for copies that rounding or noise has moved; the other "
                "findings count each place once."
            )
            found.append(Finding("near-copies", share, text, commands.clean()))
        # In a region as many places are nearer to each other than on all land.
        by_chance = 1.0 - (1.0 - self.uniform_within_1km) ** (1.0 / commands.land_share)
        near = self.within_1km - by_chance
        # Neighbours come in pairs, so that chance varies as of half as many.
        chance = (2.0 * by_chance * (1.0 - by_chance) / self.places) ** 0.5
        if near > max(LEAST, SIGMAS * max(self.within_1km_se, chance)):
            where = commands.ground.name
            if commands.land_share < 1.0:
                where = f"the {commands.ground.noun} of their region"
            if commands.land_share <= 1.0 / COARSE:  # of which the lattice has no point
                where = f"{LAND_KM2 / COARSE:,.0f} km² of {commands.ground.noun}"
            if not self.by_land:
                where = commands.within
            text = (
                f"{percent(self.within_1km)} of the places have another one within 1 km; of as "
                f"many places uniform on {where} {percent(by_chance)} would."
            )
            command = commands.draw("grid:spacing_km=2", "thinned")
            found.append(Finding("near-duplicates", near, text, command, may_follow=("sea",)))
        return found


def _same_day(asked: Asked) -> float | None:
    """Tell the share of rows that have place and day of an earlier row, of a table with dates."""
    pool = asked.pool
    days = days_in(pool.table) if isinstance(pool, Pool) else None
    if days is None or not isinstance(pool, Pool):
        return None
    lon, lat = canonical_places(pool.lon, pool.lat)
    keys = same_days(place_hashes(lon, lat), days)
    keys = keys if asked.weights is None else keys[asked.weights > 0.0]
    return 1.0 - len(np.unique(keys)) / max(len(keys), 1)


class DuplicatesTally:
    """Tally of different places, of all or of a random share of cells.

    At most `capacity` of them are kept; half as many at least if there are more.
    """

    ask = Ask()

    def __init__(
        self, ground: Ground = ALL_LAND, capacity: int = CAPACITY, by_row: bool = True
    ) -> None:
        self.ground, self.capacity, self.by_row = ground, capacity, by_row
        self._rows = self._at_zero = self._level = 0
        self._cell: Hashes = np.zeros(0, dtype=np.uint64)
        self._lon, self._lat = np.zeros(0), np.zeros(0)
        self._count: Ints = np.zeros(0, dtype=np.int64)
        self._waiting: list[tuple[Hashes, Floats, Floats, Ints]] = []

    def update(self, batch: Batch, weight: Floats | None = None) -> None:
        """Count the rows of a batch."""
        lon, lat, _ = counted_places(batch, weight)
        lon, lat = canonical_places(lon, lat)
        self._rows += len(lon)
        self._at_zero += int(((lon == 0.0) & (lat == 0.0)).sum())
        cell = mixed(cells_of(BANDS).cell(lon, lat))
        kept = _below(cell, self._level)
        self._wait(cell[kept], lon[kept], lat[kept], np.ones(int(kept.sum()), dtype=np.int64))

    def merge(self, other: Self) -> None:
        """Add what another part kept."""
        self._rows += other._rows
        self._at_zero += other._at_zero
        self._level = max(self._level, other._level)
        for kept in (*other._waiting, (other._cell, other._lon, other._lat, other._count)):
            self._wait(*kept)

    def result(self) -> Duplicates:
        """Sum up."""
        assert self._rows, "no places were counted"
        self._settle()
        area = self.ground.area_km2
        nearest = self._nearest_km()
        share = 2.0**-self._level
        count = self._count
        again = count > 1
        inside = np.ones(len(count), dtype=bool) if share == 1.0 else self._inside()
        one = np.ones_like(count)
        repeats = self._share(count - 1, count, np.ones_like(inside))
        places = len(count) if share == 1.0 else round(self._rows * (1.0 - repeats[0]))
        cap = 2.0 * np.pi * EARTH_RADIUS_KM**2 * (1.0 - np.cos(_KM1 / EARTH_RADIUS_KM))
        most = np.flatnonzero(again)
        most = most[np.lexsort((self._lat[most], self._lon[most], -count[most]))][:NAMED]
        return Duplicates(
            self._rows,
            share == 1.0,
            share,
            *repeats,
            places,
            int(count.min()),
            int(count.max()),
            *self._share((nearest <= _M10).astype(np.int64), one, inside),
            *self._share((nearest <= _KM1).astype(np.int64), one, inside),
            1.0 - float(np.exp((1 - places) * cap / area)),
            self._at_zero,
            tuple(Repeated(float(self._lon[i]), float(self._lat[i]), int(count[i])) for i in most),
            node=bool(self._at_zero) and share == 1.0 and self._is_node(),
            by_land=not self.ground.none,
        )

    def _is_node(self) -> bool:
        """Tell whether the places around 0 E, 0 N, as far as they reach, are a lattice with it."""
        lon, lat, count = self._lon, self._lat, self._count
        own = (lon == 0.0) & (lat == 0.0)
        along = [np.abs(x[(y == 0.0) & ~own]) for x, y in ((lon, lat), (lat, lon))]
        if not all(map(len, along)) or count[own].sum() > count[~own].max():
            return False
        x, y = (axis / away.min() for axis, away in zip((lon, lat), along, strict=True))
        nodes = np.stack([x, y])[:, np.maximum(np.abs(x), np.abs(y)) < 1.001].round(3)
        reach = [sum(axis.min() <= 0.999 * i <= axis.max() for i in (-1, 0, 1)) for axis in (x, y)]
        there = np.unique(nodes[:, (nodes == nodes.round()).all(axis=0)], axis=1)
        return bool(there.shape[1] == reach[0] * reach[1])

    def _wait(self, cell: Hashes, lon: Floats, lat: Floats, count: Ints) -> None:
        """Put places aside until there are so many that sorting them pays."""
        self._waiting.append((cell, lon, lat, count))
        if sum(len(waiting[0]) for waiting in self._waiting) > self.capacity // 2:
            self._settle()

    def _settle(self) -> None:
        """Join the places put aside to those kept; leave out cells while there are too many."""
        # Tallies of several parts settle at once: nothing is held longer than it is needed.
        waiting = [(self._cell, self._lon, self._lat, self._count), *self._waiting]
        self._keep([np.zeros(0, column.dtype) for column in waiting[0]])
        columns: list[NDArray[Any]] = [np.concatenate(each) for each in zip(*waiting, strict=True)]
        self._waiting, waiting = [], []
        _take(columns, _below(columns[0], self._level))
        _take(columns, _by_place(columns[1], columns[2]))
        _, lon, lat, count = columns
        first = np.ones(len(count), dtype=bool)
        first[1:] = (lon[1:] != lon[:-1]) | (lat[1:] != lat[:-1])
        if not first.all():
            summed = np.zeros(len(count), dtype=np.int64)
            summed[first] = np.add.reduceat(count, np.flatnonzero(first))
            columns[3] = summed
            del lon, lat, count
            _take(columns, first)
        used = np.ones(len(columns[0]), dtype=bool)
        # The level at the end is the first at which all fits, whatever came when.
        while used.sum() > self.capacity:
            self._level += 1
            used = _below(columns[0], self._level)
        _take(columns, used)
        self._keep(columns)

    def _keep(self, columns: Sequence[NDArray[Any]]) -> None:
        self._cell, self._lon, self._lat, self._count = columns

    def _nearest_km(self) -> Floats:
        """Distance of every place kept to the nearest other one, if within 1 km, else infinite."""
        xyz = unit_vectors(self._lon, self._lat)
        # Both nearest are asked for since the first is the place itself.
        near, _ = tree_of(xyz).query(xyz, k=2, distance_upper_bound=chord(1.001 * _KM1))
        return np.where(np.isfinite(near[:, 1]), arc_km(np.minimum(near[:, 1], 2.0)), np.inf)

    def _inside(self) -> NDArray[np.bool_]:
        """Tell which places are at least 1 km from the edges of their cell."""
        cells = cells_of(BANDS)
        west, south, east, north = cells.bounds(cells.cell(self._lon, self._lat))
        per_degree = np.pi / 180.0 * EARTH_RADIUS_KM
        margin = 1.001 * _KM1 / per_degree
        # Parallels bend: a meridian is left behind soonest towards the pole.
        aside = margin / np.cos(np.radians(np.minimum(np.abs(self._lat) + margin, 89.9)))
        return np.asarray(
            (self._lat - south > margin)
            & (north - self._lat > margin)
            & (self._lon - west > aside)
            & (east - self._lon > aside)
        )

    def _share(self, hits: Ints, of: Ints, used: NDArray[np.bool_]) -> tuple[float, float]:
        """Ratio of hits to all `of` them in the cells used, and its standard error by cells."""
        rows = int(of[used].sum())
        if not rows:
            return 0.0, 0.0
        ratio = float(hits[used].sum()) / rows
        if self._level == 0:
            return ratio, 0.0
        _, cell = np.unique(self._cell[used], return_inverse=True)
        per_cell = np.bincount(cell, weights=hits[used] - ratio * of[used])
        cells = len(per_cell)
        squares = float((per_cell**2).sum()) * cells / max(cells - 1, 1)
        return ratio, float(np.sqrt(squares * (1.0 - 2.0**-self._level))) / rows


def _below(cell: Hashes, level: int) -> NDArray[np.bool_]:
    """Tell which cells are kept at a level: at each, a random half of those before."""
    return np.asarray(cell >> np.uint64(64 - level) == 0) if level else np.ones(len(cell), bool)


def _by_place(lon: Floats, lat: Floats) -> Ints:
    """Return an order in which equal places lie side by side."""
    # Equal places have equal hashes, and one hash sorts several times as fast as two numbers.
    place = mixed(lon.view(np.uint64))
    place ^= lat.view(np.uint64)
    return np.argsort(mixed(place))


def _take(columns: list[NDArray[Any]], which: NDArray[Any]) -> None:
    """Keep some rows, or bring them in an order, one column after the other."""
    if which.dtype == np.bool_ and which.all():
        return
    for i, column in enumerate(columns):
        columns[i] = column[which]
