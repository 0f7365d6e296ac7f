"""Time: in which seasons, months and years the rows are, north and south of the equator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from matplotlib.axes import Axes

from wherefrom.auditing.asked import Asked, dated
from wherefrom.auditing.drawing import OURS, REFERENCE, Drawing, bare
from wherefrom.auditing.findings import LEAST, Commands, Finding, percent
from wherefrom.auditing.statistic import Section, Statistic, Table
from wherefrom.auditing.tally import Floats, Sums, Tally, Weights, grouped
from wherefrom.pool.batches import Ask, Batch
from wherefrom.pool.scan import IN_MEMORY
from wherefrom.pool.seasons import GROWING, MONTHS, SEASONS, TIME
from wherefrom.shown import count_of

__all__ = ["Hemisphere", "Time"]

#: A season or a year has nearly all rows with this share, and hardly any with this one.
MOST, HARDLY = 0.9, 0.01
#: Fewest places of a hemisphere, or rows of all years, of which that is told.
FEWEST = 100
#: What a hemisphere is called, its box, and where it lies.
SIDES = (
    ("north", "box=-180,0,180,90", "north of the equator"),
    ("south", "box=-180,-90,180,0", "south of the equator"),
)
_SPANS = ("December to February", "March to May", "June to August", "September to November")


@dataclass(frozen=True)
class Hemisphere:
    """Rows and places on one side of the equator; those on it count as north.

    Attributes
    ----------
    places : int or None
        Places; None of more than 2^24 rows, whose places are not compared.
    rows : float
        Rows, or what they weigh.
    seasons : dict of str to float
        Rows of each season, whose dates are of that one alone.
    months : dict of str to float
        Rows of each month, likewise.
    """

    places: int | None
    rows: float
    seasons: dict[str, float]
    months: dict[str, float]

    def share(self, season: str) -> float:
        """Share of a season among the rows that are of one."""
        return self.seasons[season] / max(sum(self.seasons.values()), 1e-300)

    @property
    def largest(self) -> str:
        """The season of most rows."""
        return max(self.seasons, key=self.seasons.__getitem__)


@dataclass(frozen=True)
class Time(Statistic):
    """Seasons, months and years of rows with dates; None where there are no dates.

    Attributes
    ----------
    north, south : Hemisphere
    years : dict of str to float
        Rows of each year, whose dates are of that one alone.
    rows_dated : float
        Rows of one season, or of one year.
    rows_other : float
        Rows without a date, or of several seasons and years.
    places, all_seasons : int or None
        Places, and those that have rows of all four seasons; None of more than 2^24 rows, and the
        latter where each row is a place of its own.
    """

    name = "time"
    section = Section(
        "time",
        "Time",
        "Time",
        head=("hemisphere", "places", "rows", *SEASONS, "no season"),
        legend="Winter is December to February north of the equator, June to August south of it, "
        "in the tropics too. Shares are among rows whose dates are of one season.",
    )

    north: Hemisphere
    south: Hemisphere
    years: dict[str, float]
    rows_dated: float
    rows_other: float
    places: int | None
    all_seasons: int | None
    #: What the columns made of dates are called.
    columns: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally of seasons, months and years, where rows have dates."""
        columns = dated(asked.pool)
        if not set(TIME) <= set(columns):
            return []
        return [
            TimeTally({role: (columns[role], asked.pool.labels(columns[role])) for role in TIME})
        ]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[TimeTally]) -> Self | None:
        """Sum up, and look for the places that have all seasons."""
        if not counted:
            return None
        (tally,) = counted
        sides = _places(asked, tally)
        codes = {role: labels for role, (_, labels) in tally.columns.items()}
        north, south = (
            Hemisphere(
                sides[at][0],
                float(tally.rows[at]),
                _by_label(SEASONS, codes["season"], tally.season[at]),
                _by_label(MONTHS, codes["month"], tally.month[at]),
            )
            for at in (0, 1)
        )
        years = dict(zip(codes["year"], tally.year.sum(axis=0).tolist(), strict=True))
        return cls(
            north,
            south,
            {label: rows for label, rows in years.items() if rows},
            float(tally.dated),
            float(tally.rows.sum() - tally.dated),
            sides[0][1],
            sides[0][2],
            dated(asked.pool),
        )

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row for each hemisphere that has rows."""
        return [
            (
                name,
                "–" if side.places is None else f"{side.places:,}",
                f"{side.rows:,.0f}",
                *(percent(side.share(season)) for season in SEASONS),
                f"{side.rows - sum(side.seasons.values()):,.0f}",
            )
            for name, side in self._sides()
            if side.rows
        ]

    def lines(self) -> list[str]:
        """Return the years, and how many places have all seasons."""
        total = max(sum(self.years.values()), 1e-300)
        said = [
            f"{year} {rows:,.0f} ({percent(rows / total)})" for year, rows in self.years.items()
        ]
        lines = [f"rows by year: {', '.join(said)}"] if said else []
        seasons = sum(sum(side.seasons.values()) for _, side in self._sides())
        if other := self.north.rows + self.south.rows - seasons:
            lines.append(f"rows of several seasons, or without a date: {other:,.0f}")
        if self.places is not None and self.all_seasons is not None and seasons:
            lines.append(
                f"{self.all_seasons:,} of {count_of(self.places, 'place')} "
                f"({percent(self.all_seasons / max(self.places, 1))}) have rows of all four seasons"
            )
        return lines

    def notes(self) -> list[str]:
        """Return the same for the page."""
        return [f"{line[0].upper()}{line[1:]}." for line in self.lines()]

    def tables(self) -> list[Table]:
        """Return rows by month and by year."""
        total = max(sum(self.years.values()), 1e-300)
        sums = [max(sum(side.months.values()), 1e-300) for _, side in self._sides()]
        months = [
            (
                month,
                *(
                    text
                    for (_, side), all_rows in zip(self._sides(), sums, strict=True)
                    for text in (
                        f"{side.months[month]:,.0f}",
                        percent(side.months[month] / all_rows),
                    )
                ),
            )
            for month in MONTHS
        ]
        years = [(year, f"{rows:,.0f}", percent(rows / total)) for year, rows in self.years.items()]
        head = ("month", "rows north", "share", "rows south", "share")
        return [
            Table("Rows by month", head, months, folded=True),
            Table("Rows by year", ("year", "rows", "share"), years, folded=True),
        ]

    def layers_shown(self) -> Sequence[str]:
        """Return the layers that tell the growing season."""
        return ("temperature", "precipitation") if GROWING in self.columns else ()

    def drawings(self) -> list[Drawing]:
        """Return rows by month on both sides of the equator."""
        caption = "Rows of each month whose dates are of that month alone, by hemisphere."
        return [Drawing("months", "Rows by month", caption, self._draw)]

    def findings(self, commands: Commands) -> list[Finding]:
        """Find rows of one season or of one year, and seasons that a hemisphere has none of."""
        total = max(self.rows_dated + self.rows_other, 1e-300)
        found = []
        told = [
            at
            for at, (_, side) in enumerate(self._sides())
            if (side.rows if side.places is None else side.places) >= FEWEST
            and sum(side.seasons.values()) >= FEWEST
        ]
        one = [at for at in told if self._side(at).share(self._side(at).largest) >= MOST]
        if one:
            sides = [self._side(at) for at in one]
            said = " and ".join(
                f"{percent(side.share(side.largest))} of {sum(side.seasons.values()):,.0f} rows "
                f"{SIDES[at][2]} are of {_when(side.largest, at)}"
                for at, side in zip(one, sides, strict=True)
            )
            share = sum(side.seasons[side.largest] for side in sides) / total
            other = all(min(side.seasons.values()) > 0 for side in sides)
            text, command = self._remedy("season", one, other, commands)
            only = len({side.largest for side in sides}) == 1
            head = f"{sides[0].largest.capitalize()} only" if only else "One season"
            found.append(Finding("one-season", share, f"{head}: {said}. {text}", command))
        for at in sorted(set(told) - set(one)):
            side, (where, _, lying) = self._side(at), SIDES[at]
            rows, few = sum(side.seasons.values()), [s for s in SEASONS if side.share(s) < HARDLY]
            if not few or rows / total <= LEAST:
                continue
            none = [f"{'hardly any' if side.seasons[s] else 'no'} {s}" for s in few]
            said = ", ".join(f"{side.seasons[s]:,.0f} are of {_when(s, at)}" for s in few)
            text, command = self._remedy("season", [at], False, commands)
            text = (
                f"The {where} has {' and '.join(none)}: of {rows:,.0f} rows {lying} {said}. {text}"
            )
            found.append(Finding(f"{where}-lacks-season", rows / total, text, command))
        rows = sum(self.years.values())
        year = max(self.years, key=self.years.__getitem__, default="")
        if rows >= FEWEST and self.years[year] >= MOST * rows:
            every = len(self.years) > 1
            text, command = self._remedy("year", [0, 1], every, commands)
            share = self.years[year] / total
            said = f"One year: {percent(self.years[year] / rows)} of {rows:,.0f} rows are of {year}"
            found.append(Finding("one-year", share, f"{said}. {text}", command))
        return found

    def _remedy(
        self, role: str, sides: Sequence[int], other: bool, commands: Commands
    ) -> tuple[str, str]:
        """Say what helps: a draw where there are other rows, else places to fetch these for."""
        box = SIDES[sides[0]][1] if len(sides) == 1 else ""
        if other:
            if box and not commands.within:
                commands = replace(commands, within=box, outside=True)
            sampler = f"stratified:layer={self.columns[role]},short=cap"
            where = " there" if box else ""
            text = f"The command draws as many{where} from each {role}, or as there are."
            return text, commands.draw(sampler, f"by-{role}")
        name = f"{SIDES[sides[0]][0]}-places" if box else "places"
        text = f"The command writes {'these' if box else 'the'} places, to fetch other {role}s of."
        return text, commands.once(box, name)

    def _side(self, at: int) -> Hemisphere:
        return self.south if at else self.north

    def _sides(self) -> list[tuple[str, Hemisphere]]:
        return [(SIDES[at][0], self._side(at)) for at in (0, 1)]

    def _draw(self, ax: Axes) -> None:
        at = np.arange(12)
        for (name, side), aside, color in zip(
            self._sides(), (-0.2, 0.2), (OURS, REFERENCE), strict=True
        ):
            ax.bar(at + aside, [side.months[m] for m in MONTHS], 0.4, color=color, label=name)
        ax.set_xticks(at, MONTHS, size=8)
        bare(ax)
        ax.grid(axis="x", visible=False)
        ax.set_ylabel("rows", size=8)
        ax.legend(frameon=False, fontsize=8)


class TimeTally(Sums):
    """Weight of the rows of each season, month and year, north (0) and south (1) of the equator.

    `columns` are, of each of these, the column and its labels.
    """

    sums = ("rows", "season", "month", "year", "dated")
    by_row = True

    def __init__(self, columns: dict[str, tuple[str, tuple[str, ...]]]) -> None:
        self.columns = columns
        self.ask = Ask(codes=tuple(name for name, _ in columns.values()))
        self.rows, self.dated = np.zeros(2), 0.0
        sizes = {role: len(labels) for role, (_, labels) in columns.items()}
        self.season, self.month, self.year = (np.zeros((2, sizes[role])) for role in TIME)

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Count a batch."""
        each = np.ones(len(batch)) if weight is None else weight
        south = (batch.lat < 0).astype(np.int64)
        self.rows += np.bincount(south, each, minlength=2)
        codes = {role: batch.codes[name] for role, (name, _) in self.columns.items()}
        for role, code in codes.items():
            table = getattr(self, role)
            some = code >= 0
            at = south[some] * table.shape[1] + code[some]
            table += np.bincount(at, each[some], minlength=table.size).reshape(table.shape)
        self.dated += float(each[(codes["season"] >= 0) | (codes["year"] >= 0)].sum())


def _places(asked: Asked, tally: TimeTally) -> list[tuple[int | None, int | None, int | None]]:
    """Count places north and south, each with all of them and those that have all seasons."""
    if len(asked.pool) > IN_MEMORY:
        return [(None, None, None)] * 2
    name, labels = tally.columns["season"]
    batches = list(asked.pool.batches(Ask(codes=(name,))))
    lat, code = (
        np.concatenate(each)
        for each in zip(*((b.lat, b.codes[name]) for b in batches), strict=True)
    )
    counts = np.ones(len(lat), bool) if asked.weights is None else asked.weights > 0.0
    found = grouped(asked.pool, asked.place)
    first, place = (np.arange(len(lat)),) * 2 if found is None else (found.first, found.place)
    has = np.zeros((len(SEASONS), len(first)), dtype=np.bool_)
    for at, label in enumerate(labels):
        if label in SEASONS:
            has[SEASONS.index(label), place[counts & (code == at)]] = True
    there = np.zeros(len(first), dtype=np.bool_)
    there[place[counts]] = True
    south = lat[first] < 0
    all_seasons = None if found is None else int(has.all(axis=0).sum())
    sides = (int((there & ~south).sum()), int((there & south).sum()))
    return [(side, int(there.sum()), all_seasons) for side in sides]


def _by_label(names: Sequence[str], labels: Sequence[str], rows: Floats) -> dict[str, float]:
    """Bring rows of labels into the order of names."""
    given = dict(zip(labels, rows.tolist(), strict=True))
    return {name: given.get(name, 0.0) for name in names}


def _when(season: str, side: int) -> str:
    """Write a season with its months."""
    return f"{season} ({_SPANS[(SEASONS.index(season) + 2 * side) % 4]})"
