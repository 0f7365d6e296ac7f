"""How near a model's test places are to the places it was pre-trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.drawing import GREY, OURS, WHITE, Drawing, bare
from wherefrom.auditing.findings import LEAST, Commands, Finding, kilometres, percent
from wherefrom.auditing.intime import SAME_PLACE, DaysApart, InTime, dated_alone, days_apart
from wherefrom.auditing.statistic import Section, Statistic, Table, plain
from wherefrom.auditing.tally import Floats, Ints, Tally, Weights
from wherefrom.earth.apart import Neighbours, perimeters_km, reaches_km
from wherefrom.earth.footprints import areas_km2
from wherefrom.earth.land import LAND_KM2
from wherefrom.earth.sphere import EARTH_RADIUS_KM, arc_km, chords, distance_km, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.keys import mixed
from wherefrom.pool.batches import AnyPool, Ask, Batch, extents
from wherefrom.pool.check import place_hashes

__all__ = ["Leakage", "LeakageTally", "NearestPair", "Within", "tally_for"]


#: Thresholds in km.
KM = (1.0, 10.0, 100.0)
#: Quantiles of the distances that are told.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
#: The nearest test places that are listed, and those on the page.
LISTED, SHOWN = 20, 12

#: Rows and columns to a degree of the map that tells where a training place matters.
_FINE = 10
_ROWS, _COLUMNS = 180 * _FINE, 360 * _FINE
#: Fewer places are looked at without a map, which takes some 50 ms to draw.
_WORTH = 1 << 16
#: Footprints measured at once, and those of a batch whose sizes are looked at.
_AT_ONCE, SIZED = 1 << 18, 1 << 12


@dataclass(frozen=True)
class Within:
    """Test places that have a training place within so many km, in number and as share of them.

    `by_chance` is the share to be expected of as many training places, uniform over the land
    (of the region, or all without Antarctica) and independent of the test places; coasts are
    ignored, and footprints are as their mean, convex and turned at random.
    """

    km: float
    places: int
    share: float
    by_chance: float


@dataclass(frozen=True)
class NearestPair:
    """A test place, by its row in its table, and the training place nearest to it; degrees.

    Of footprints, coordinates are those of the middles, and `km` is between what they cover. `rows`
    counts the rows of the test place, such as seasons, of which `row` is the first.
    """

    row: int
    lon: float
    lat: float
    km: float
    train_lon: float
    train_lat: float
    train_row: int
    rows: int = 1


@dataclass(frozen=True, eq=False)
class Leakage(Statistic):
    """Distances from test places to the nearest training place.

    Attributes
    ----------
    n_test, n_train : int
        Places; of a composition the distinct ones.
    quantiles : dict of float to float
        Share of the test places -> km that they have at most.
    nearest : tuple of NearestPair
        The test places with the smallest distances, at most 20, each once.
    km : ndarray of float64, shape (n_test,)
        Distance of every test place, in the order of its table; of footprints that overlap 0.
    train_lon, train_lat : ndarray of float64, shape (n_test,)
        The training place nearest to each, degrees.
    train_row : ndarray of int64, shape (n_test,)
        Its row.
    time : InTime or None
        How near they are in time too, where both sides have dates.
    dated_alone : str
        Which side alone has dates, ``"training"`` or ``"test"``; else empty.
    days : ndarray of float64, shape (n_test,), or None
        Fewest days to a training place within 1 km, infinite for none, where both sides have dates.
    """

    name = "leakage"
    section = Section("leaks", "Leakage", "Leakage")

    n_test: int
    n_train: int
    quantiles: dict[float, float]
    within: tuple[Within, ...]
    nearest: tuple[NearestPair, ...]
    km: Floats = field(repr=False)
    train_lon: Floats = field(repr=False)
    train_lat: Floats = field(repr=False)
    train_row: Ints = field(repr=False)
    time: InTime | None = None
    dated_alone: str = ""
    days: Floats | None = field(default=None, repr=False)

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally of the test places, if there are some."""
        if asked.test is None:
            return ()
        ground = asked.ground
        area = LAND_KM2 if ground.within is None and ground.is_land else ground.area_km2
        found = tally_for(asked.pool, asked.test, asked.weights, area)
        apart = days_apart(asked.pool, asked.test)
        return [found] if apart is None else [found, apart]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Leakage | None:
        """Sum up, and say how near in time the places are."""
        if asked.test is None:
            return None
        tally, *apart = counted
        found: Leakage = tally.result()
        return found.in_time(dated_alone(asked.pool, asked.test), *apart)

    def in_time(self, alone: str, apart: DaysApart | None = None) -> Leakage:
        """Return it with what a tally of the same test places says of time."""
        if apart is None:
            return replace(self, dated_alone=alone)
        return replace(self, time=InTime.of(self.km, apart.days), days=apart.days)

    def entries(self) -> dict[str, Any]:
        """Return the numbers without the distances of every place."""
        quantiles = [{"share": share, "km": km} for share, km in self.quantiles.items()]
        return {self.name: plain(self) | {"quantiles": quantiles}}

    def findings(self, commands: Commands) -> list[Finding]:
        """Find whether test places are training places, to within 1 km; one finding or none."""
        near = [row for row in self.within if row.km <= SAME_PLACE]
        if not near or near[-1].share <= LEAST:
            return []
        first, *others = self.within
        text = (
            f"Leakage: {percent(first.share)} of the test places have a training place within "
            f"{first.km:g} km"
        )
        text += "".join(f", {percent(row.share)} within {row.km:g} km" for row in others)
        pair = self.nearest[0]
        text += (
            f" (by chance {percent(near[-1].by_chance)} within {near[-1].km:g} km); the nearest is "
            f"{kilometres(pair.km)} away, test row {pair.row}."
        )
        return [Finding("leakage", near[-1].share, text, commands.clean())]

    def lines(self) -> list[str]:
        """Return the shares near training places, and how near they come."""
        within = ", ".join(f"{percent(row.share)} within {row.km:g} km" for row in self.within)
        return [
            f"test places: of {self.n_test:,}, {within} of a training place; the nearest "
            f"{kilometres(self.quantiles[0.0])}, median {kilometres(self.quantiles[0.5])}",
            *self.time_lines(),
        ]

    def time_lines(self, train: str = "training", one: str = "training place") -> list[str]:
        """Say how near they are in time; what training places are called."""
        if self.time is not None:
            return [self.time.said(one)]
        alone = train if self.dated_alone == "training" else self.dated_alone
        return [f"time was not compared: only the {alone} places have dates"] if alone else []

    def notes(self) -> list[str]:
        """Say what of time is in no table."""
        if self.time is not None and self.time.dated:
            return []
        return [f"{each[0].upper()}{each[1:]}." for each in self.time_lines()]

    def tables(self) -> list[Table]:
        """Return the nearest pairs, and how near in time."""
        rows = [
            (
                f"{row.row}",
                f"{row.lon:.4f}, {row.lat:.4f}",
                f"{row.train_lon:.4f}, {row.train_lat:.4f}",
                f"{row.km:.3g}",
            )
            for row in self.nearest[:SHOWN]
        ]
        pairs = Table("Nearest pairs", ("test row", "lon, lat", "training place", "km"), rows)
        timed = self.time is not None and self.time.dated
        return [self.time.table(), pairs] if self.time is not None and timed else [pairs]

    def drawings(self) -> list[Drawing]:
        """Return the distribution of the distances."""
        caption = f"{self.n_test:,} test places, {self.n_train:,} training places."
        name = "Distance of test places from training places"
        return [Drawing("leakage", name, caption, self._draw)]

    def _draw(self, ax: Axes) -> None:
        bare(ax)
        km = np.maximum(np.sort(self.km), 0.01)
        share = 100 * np.arange(1, len(km) + 1) / len(km)
        ax.step(km, share, where="post", color=OURS, lw=2)
        for row in self.within:
            ax.axvline(row.km, color=GREY, lw=1, ls=(0, (3, 2)))
            ax.annotate(
                f"{percent(row.share)} within {row.km:g} km",
                (row.km, 2),
                xytext=(-3, 0),
                rotation=90,
                textcoords="offset points",
                ha="right",
                va="bottom",
                size=8,
                bbox=WHITE,
            )
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set_ylim(0, 101)
        ax.set_xlabel("km to the nearest training place (0.01 or less at the left end)", size=9)
        ax.set_ylabel("% of the test places", size=9)


class LeakageTally:
    """For each test place (lon, lat, degrees, shape (M,)) the nearest of the places that stream by.

    A k-d tree is made of the places of a batch and asked for every test place. Once a first batch
    has bounded the distances, only places in the neighbourhood of a test place can be nearer: a
    map of 0.1 degrees tells which, so most of a large pool is left out before any tree is made.
    Where either side has footprints, `shapes` or those of a batch, distances are between what they
    cover (`wherefrom.earth.apart.Neighbours`); their middles, and how far they reach from these,
    tell which to look at.

    `train` counts the places seen; `train_lon`, `train_lat` and `train_row`, shape (M,), are of the
    nearest so far, NaN and -1 before the first.
    """

    ask = Ask(footprints=True)

    def __init__(
        self,
        lon: Floats,
        lat: Floats,
        land_km2: float = LAND_KM2,
        shapes: NDArray[Any] | None = None,
    ) -> None:
        self.lon, self.lat, self.land_km2, self.shapes = lon, lat, land_km2, shapes
        self.vectors = unit_vectors(lon, lat)
        self.train = 0
        self.train_lon = np.full(len(lon), np.nan)
        self.train_lat = np.full(len(lon), np.nan)
        self.train_row = np.full(len(lon), -1, dtype=np.int64)
        # Chords on the unit sphere; 2 is the Earth's diameter.
        self._chord = np.full(len(lon), np.inf)
        self._reach = None if shapes is None else reaches_km(lon, lat, shapes)
        self._size = _sizes(shapes)
        self._train_sizes = np.zeros(3)
        self._near: NDArray[np.bool_] | None = None
        self._mapped = np.inf

    def __deepcopy__(self, memo: dict[int, Any]) -> LeakageTally:
        """Copy what changes and share the test places, of which there may be many."""
        twin = object.__new__(LeakageTally)
        twin.__dict__.update(self.__dict__)
        for name in ("train_lon", "train_lat", "train_row", "_chord", "_train_sizes"):
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the map, which is made again where it is needed."""
        return self.__dict__ | {"_near": None, "_mapped": np.inf}

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Look at a batch; see `Tally.update`. Places of weight 0 are left out."""
        from scipy.spatial import cKDTree  # slow to import

        rows = np.arange(len(batch)) if weight is None else np.flatnonzero(weight > 0.0)
        self.train += len(rows)
        if not len(rows) or not len(self.lon):
            return
        if self.shapes is not None or batch.footprints is not None:
            self._update_extents(batch, rows)
            return
        bound = float(self._chord.max(initial=0.0))
        if np.isfinite(bound) and len(batch) >= _WORTH:
            rows = rows[self._near_test(batch.lon[rows], batch.lat[rows])]
        # Equal places would share a leaf of the tree, to be searched one by one.
        distinct, first = np.unique(batch.lon[rows] + 1j * batch.lat[rows], return_index=True)
        if not len(distinct):
            return
        rows, lon, lat = rows[first], distinct.real, distinct.imag
        chord, at = cKDTree(unit_vectors(lon, lat)).query(
            self.vectors, distance_upper_bound=np.nextafter(bound, np.inf)
        )
        closer = np.flatnonzero(chord < self._chord)
        some = at[closer]
        self._take(closer, chord[closer], lon[some], lat[some], rows[some] + batch.start)

    def _update_extents(self, batch: Batch, rows: Ints) -> None:
        """Look at footprints, or at points beside footprints, those that reach as far together."""
        lon, lat, shapes = batch.lon, batch.lat, batch.footprints
        reach = np.zeros(len(batch))
        if shapes is not None:
            reach[rows] = reaches_km(lon[rows], lat[rows], shapes[rows])
            self._train_sizes += _sizes(shapes[rows[:SIZED]]) * min(len(rows), SIZED)
        classes = np.log2(np.maximum(reach[rows], 1.0)).astype(np.int64) // 3
        for each in np.unique(classes):
            same = rows[classes == each]
            for start in range(0, len(same), _AT_ONCE):
                some = same[start : start + _AT_ONCE]
                self._measure(batch, some, reach[some])

    def _measure(self, batch: Batch, rows: Ints, reach: Floats) -> None:
        """Find which of some places is nearer to a test place than what it has."""
        from scipy.spatial import cKDTree  # slow to import

        lon, lat, shapes = batch.lon[rows], batch.lat[rows], batch.footprints
        own = 0.0 if self._reach is None else self._reach
        far = arc_km(np.minimum(self._chord, 2.0))
        # No farther than the nearest middle, and what reaches from there and from here.
        chord, at = cKDTree(unit_vectors(lon, lat)).query(self.vectors)
        bound = np.minimum(far, arc_km(chord) + reach[at] + own)
        about = chords(bound + own + reach.max())
        near = np.flatnonzero(_marked(_neighbourhoods(self.lon, self.lat, about), lon, lat))
        found = rows[near]
        train = Neighbours(lon[near], lat[near], None if shapes is None else shapes[found])
        at, km = train.nearest(self.lon, self.lat, self.shapes, float(bound.max()) * (1.0 + 1e-9))
        closer = np.flatnonzero((at >= 0) & (chords(km) < self._chord))
        some = found[at[closer]]
        self._take(closer, chords(km[closer]), batch.lon[some], batch.lat[some], some + batch.start)

    def merge(self, other: LeakageTally) -> None:
        """Keep the nearer place of both; on a tie the earlier one."""
        closer = np.flatnonzero(other._chord < self._chord)
        places = (other.train_lon[closer], other.train_lat[closer], other.train_row[closer])
        self._take(closer, other._chord[closer], *places)
        self.train += other.train
        self._train_sizes += other._train_sizes

    def result(self, km: Sequence[float] = KM) -> Leakage:
        """Return the distances, and the shares within some km.

        Raises
        ------
        WherefromError
            If there is no training place or no test place.
        """
        if not len(self.lon) or not self.train:
            what = "test" if self.train else "training"
            raise WherefromError(f"there are no {what} places: distances need both")
        if self.shapes is None and not self._train_sizes[0]:
            far = distance_km(self.lon, self.lat, self.train_lon, self.train_lat)
        else:
            far = arc_km(self._chord)
        first, rows = _first_pairs(self, far)
        train = (self.train_lon, self.train_lat, self.train_row)
        columns = (each[first].tolist() for each in (self.lon, self.lat, far, *train))
        pairs = zip(first.tolist(), *columns, rows.tolist(), strict=True)
        return Leakage(
            len(far),
            self.train,
            dict(zip(QUANTILES, np.quantile(far, QUANTILES).tolist(), strict=True)),
            tuple(self._within(far, limit) for limit in km),
            tuple(NearestPair(*pair) for pair in pairs),
            far,
            *train,
        )  # fmt: skip

    def _take(self, test: Ints, chord: Floats, lon: Floats, lat: Floats, row: Ints) -> None:
        self._chord[test] = chord
        self.train_lon[test], self.train_lat[test], self.train_row[test] = lon, lat, row

    def _within(self, far: Floats, km: float) -> Within:
        # Half the chord squared is the part of the sphere that a cap covers (Archimedes).
        cap = 4.0 * np.pi * EARTH_RADIUS_KM**2 * np.sin(min(km / EARTH_RADIUS_KM, np.pi) / 2.0) ** 2
        # Where the middle of one may be that comes within a distance of another, convex and turned
        # at random (Blaschke 1937): areas, perimeters and the cap.
        (_, area, rim), train = self._size, self._train_sizes / max(self._train_sizes[0], 1.0)
        cap += area + train[1] + rim * train[2] / (2.0 * np.pi) + km * (rim + train[2])
        chance = -np.expm1(self.train * np.log1p(-min(cap / self.land_km2, 1.0 - 1e-16)))
        places = int((far <= km).sum())
        return Within(float(km), places, places / len(far), float(chance))

    def _near_test(self, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
        """Tell which places could be nearer to a test place than what it has."""
        size = float(self._chord.sum())
        if self._near is None or size < 0.7 * self._mapped:
            self._near, self._mapped = _neighbourhoods(self.lon, self.lat, self._chord), size
        return _marked(self._near, lon, lat)


def tally_for(
    train: AnyPool, test: AnyPool, weights: Weights | None = None, land_km2: float = LAND_KM2
) -> LeakageTally:
    """Return a tally for test places, to be run over the training places, which may be 10**9.

    The test places are kept in memory, 100 bytes a place and thread. Great-circle distances are
    between points, or between what footprints cover: 0 where they overlap. A pool of points that
    stand for images has no extents: a tile of 2.56 km leaks into test places within 1.8 km of its
    centre.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.auditing.tally import run
    >>> from wherefrom.pool import Pool
    >>> train = Pool.from_table(pa.table({"lon": [0.0, 10.0], "lat": [0.0, 0.0]}))
    >>> test = Pool.from_table(pa.table({"lon": [0.0, 9.5], "lat": [0.0, 0.0]}))
    >>> (tally,) = run(train, [tally_for(train, test)])
    >>> found = tally.result()
    >>> found.km.round(2).tolist(), [row.places for row in found.within]
    ([0.0, 55.6], [1, 1, 2])
    """
    lon, lat, shapes = extents(test)
    tally = LeakageTally(lon, lat, land_km2, shapes)
    # The first places bound the distances for every part, which shortens the work of each.
    first = next(iter(train.batches(tally.ask)), None)
    if first is not None:
        tally.update(first, None if weights is None else weights[: len(first)])
    tally.train = 0
    tally._train_sizes[:] = 0.0
    return tally


def _first_pairs(tally: LeakageTally, far: Floats) -> tuple[Ints, Ints]:
    """Return the first row of the nearest pairs of places, at most `LISTED`, and their rows."""
    train = place_hashes(tally.train_lon, tally.train_lat)
    order = np.argsort(far, kind="stable")
    both = mixed(place_hashes(tally.lon, tally.lat) + mixed(train))[order]
    _, first, rows = np.unique(both, return_index=True, return_counts=True)
    shown = np.argsort(first)[:LISTED]
    return order[first[shown]], rows[shown]


def _sizes(shapes: NDArray[Any] | None) -> Floats:
    """Return 1 and the mean area, km2, and perimeter, km, of footprints; 0 without."""
    if shapes is None or not len(shapes):
        return np.zeros(3)
    return np.array([1.0, areas_km2(shapes).mean(), perimeters_km(shapes).mean()])


def _marked(cells: NDArray[np.bool_], lon: Floats, lat: Floats) -> NDArray[np.bool_]:
    """Look places up in the map."""
    row = np.minimum(((lat + 90.0) * _FINE).astype(np.int64), _ROWS - 1)
    column = np.minimum(((lon + 180.0) * _FINE).astype(np.int64), _COLUMNS - 1)
    return np.asarray(cells[row * _COLUMNS + column])


def _neighbourhoods(lon: Floats, lat: Floats, chord: Floats) -> NDArray[np.bool_]:
    """Mark the cells of the map that a cap of this chord around a place touches, by its box."""
    angle = 2.0 * np.arcsin(np.minimum(chord / 2.0, 1.0)) * (1.0 + 1e-9) + 1e-9
    south, north = lat - np.degrees(angle), lat + np.degrees(angle)
    low = np.maximum(np.floor((south + 90.0) * _FINE), 0.0).astype(np.int64)
    high = np.minimum(np.floor((north + 90.0) * _FINE), _ROWS - 1.0).astype(np.int64)
    # The meridians that touch a cap: sin(half width) = sin(radius) / cos(latitude), all of them
    # if a pole is in it.
    polar = (south <= -90.0) | (north >= 90.0)
    ratio = np.sin(angle) / np.maximum(np.cos(np.radians(lat)), 1e-12)
    half = np.degrees(np.arcsin(np.clip(ratio, 0.0, 1.0))) + 1e-7
    west = np.floor((lon - half + 180.0) * _FINE).astype(np.int64)
    east = np.floor((lon + half + 180.0) * _FINE).astype(np.int64)
    polar |= east - west >= _COLUMNS - 1
    west, east = np.where(polar, 0, west), np.where(polar, _COLUMNS - 1, east)
    # Count the boxes over each cell: add 1 at two corners, take 1 off at the others, then sum up.
    counts = np.zeros((_ROWS + 1, _COLUMNS + 1), dtype=np.int32)
    for shift in (-_COLUMNS, 0, _COLUMNS):  # a box across the antimeridian is two
        left, right = np.maximum(west + shift, 0), np.minimum(east + shift, _COLUMNS - 1)
        inside = left <= right
        for row, sign in ((low, 1), (high + 1, -1)):
            np.add.at(counts, (row[inside], left[inside]), sign)
            np.add.at(counts, (row[inside], right[inside] + 1), -sign)
    covered = counts.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    return (covered[:_ROWS, :_COLUMNS] > 0).ravel()
