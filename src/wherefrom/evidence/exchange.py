"""The exchange rate: how many places of a composition are worth those of the reference.

A composition is drawn and pre-trained on at several numbers of places, the reference stays at its
own. At each size the difference of the two is judged as everywhere: blocks paired, each composition
with its own variance, episodes and test places counted (`wherefrom.evidence.frames`). Between two
sizes the difference is taken to be linear in the logarithm of the places, and its interval is
interpolated likewise: by the triangle inequality no combination of two sizes has a larger standard
error than the combination of theirs, however the two are correlated.

The intervals of all compositions, sizes and budgets are one family (single-step max-t,
`wherefrom.evidence.family`), in the region that sums a view up; the single regions are a second
family. So they hold at once at every number of places in the range, and so does what is read off
them: the rate is the smallest number of places at which the composition scores as the reference
does. Its interval begins where the difference is first not decided to be below zero and ends where
it is first decided not to be. Nothing is said beyond the smallest and the largest size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from wherefrom.evidence.family import Design, simulate
from wherefrom.evidence.frames import Column, Frame, pair
from wherefrom.evidence.intervals import ends
from wherefrom.evidence.records import OfView
from wherefrom.evidence.scores import ALL_REGIONS, INITIAL, Key, Scores, View
from wherefrom.evidence.sizes import ITSELF, SizeRow
from wherefrom.evidence.verdict import UNDECIDED
from wherefrom.keys import generator
from wherefrom.study.sizes import Size

__all__ = [
    "AT_LEAST", "AT_MOST", "FEWER", "NEVER", "WORTH", "Exchange", "ExchangeRow", "exchange",
]  # fmt: skip

#: What is said of a rate: it has an interval; it is not below, or not above, some number; even the
#: largest size is below the reference, even the smallest is not.
WORTH, AT_LEAST, AT_MOST, NEVER, FEWER = "worth", "at least", "at most", "never", "fewer"


@dataclass(frozen=True, kw_only=True)
class ExchangeRow(OfView):
    """How many places of a composition score as the reference does at its own size.

    `places` is where the difference first reaches zero, None if nowhere from `smallest` to
    `largest`; `low` and `high` are the ends of its interval, None where that goes beyond these.
    """

    region: str
    composition: str
    budget: str
    reference: str
    reference_size: int
    smallest: int
    largest: int
    places: float | None
    low: float | None
    high: float | None
    verdict: str
    note: str


@dataclass(frozen=True, eq=False)
class Exchange:
    """The size axis of one view: scores at every size, and the rates read off them."""

    view: View
    reference: str
    size: int
    #: The first sums the view up.
    regions: tuple[str, ...]
    points: tuple[SizeRow, ...]
    rates: tuple[ExchangeRow, ...]

    @property
    def compositions(self) -> list[str]:
        """Those that are compared with the reference, which comes last."""
        names = dict.fromkeys(row.composition for row in self.points)
        return [*(name for name in names if name != self.reference), self.reference]

    @property
    def budgets(self) -> list[str]:
        """What is equal between sizes: "samples", "epochs"."""
        return list(dict.fromkeys(row.budget for row in self.rates))

    def curve(self, composition: str, budget: str, region: str = "") -> list[SizeRow]:
        """Return the rows of a composition by size."""
        rows = [
            row
            for row in self.points
            if (row.composition, row.region) == (composition, region or self.regions[0])
            and row.budget in ("", budget)
        ]
        return sorted(rows, key=lambda row: row.size)

    def rate(self, composition: str, budget: str, region: str = "") -> ExchangeRow | None:
        """Return the rate of a composition, or None where it has no scores."""
        about = (composition, budget, region or self.regions[0])
        return next((r for r in self.rates if (r.composition, r.budget, r.region) == about), None)


class _Point(NamedTuple):
    """A composition of some size beside the reference, in one region."""

    at: Size
    composition: str
    region: str
    column: Column
    key: Key
    against: Key

    @property
    def frame(self) -> Frame:
        return self.column.frame([self.key, self.against])[0]


def exchange(
    tables: Mapping[Size, Sequence[Scores]], view: View, reference: str, size: int
) -> Exchange | None:
    """Judge all sizes of a view, and read off how many places are worth those of the reference.

    Parameters
    ----------
    tables : mapping of Size to sequence of Scores
        As `wherefrom.evidence.sizes.tables_of` gives them.
    view : View
    reference : str
    size : int

    Returns
    -------
    Exchange or None
        None where the reference has no scores, or nothing is compared with it.

    Examples
    --------
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> from wherefrom.evidence.scores import COLUMNS
    >>> from wherefrom.evidence.sizes import tables_of
    >>> rng = np.random.default_rng(0)
    >>> means = {("uniform", 1000): 0.5, ("cities", 100): 0.3, ("cities", 1000): 0.4,
    ...          ("cities", 10000): 0.6}
    >>> rows = [("m", c, b, "t", "Asia", 100, "knn", s, "f1_macro", mean + rng.normal() / 999,
    ...          size, "samples") for (c, size), mean in means.items() for b in range(4)
    ...         for s in range(20)]
    >>> results = pa.table(dict(zip([*COLUMNS, "size", "budget"], map(list, zip(*rows)))))
    >>> view = View("m", "t", 100, "knn", "f1_macro")
    >>> found = exchange(tables_of(results, view, "uniform", 1000), view, "uniform", 1000)
    >>> rate = found.rate("cities", "samples")
    >>> rate.verdict, round(rate.places, -2)
    ('worth', 3200.0)
    """
    here = tables.get(Size(size), ())
    if not here or view.key(reference) not in here[0].cells:
        return None
    regions = here[0].regions_of(*here[0].families()[view])
    regions = [regions[-1], *regions[:-1]] if ALL_REGIONS in regions else regions
    first = 1 if ALL_REGIONS in regions else len(regions)
    points = [*_judged(tables, view, reference, size, regions[:first])]
    points += _judged(tables, view, reference, size, regions[first:])
    if all(row.composition == reference for row in points):
        return None
    budgets = list(dict.fromkeys(at.budget for at in tables if at.budget))
    made = Exchange(view, reference, size, tuple(regions), tuple(points), ())
    rates = [
        _rate(made, name, budget, region)
        for region in regions
        for name in made.compositions[:-1]
        for budget in budgets
        if made.curve(name, budget, region)
    ]
    return replace(made, rates=tuple(rates))


def _judged(
    tables: Mapping[Size, Sequence[Scores]],
    view: View,
    reference: str,
    size: int,
    regions: Sequence[str],
) -> list[SizeRow]:
    """Compare every composition and size with the reference, in some regions as one family."""
    points = list(_points(tables, view, reference, regions))
    parts = [one.column.contrasts([pair(one.key, one.against)])[0] for one in points]
    rng = generator("exchange", *view, *regions)
    whole = [one for one, part in zip(points, parts, strict=True) if not part.why]
    family = simulate(_designs(whole), rng)
    estimates = [part.estimate for part in parts]
    made = []
    for one, part, (low, high) in zip(
        points, parts, ends(estimates, family.half_width(parts)), strict=True
    ):
        _, blocks, seeds = one.frame.shape
        made.append(
            SizeRow(
                **view._asdict(),
                region=one.region,
                composition=one.composition,
                size=one.at.places,
                budget=one.at.budget,
                reference=reference,
                reference_size=size,
                mean=one.column.rows[one.key].mean,
                difference=part.estimate,
                low=low,
                high=high,
                compared=family.size,
                blocks=blocks,
                finetune_seeds=seeds,
                note="; ".join(filter(None, (part.why, part.note))),
            )
        )
    return made + _of_reference(tables, view, reference, size, regions)


def _points(
    tables: Mapping[Size, Sequence[Scores]], view: View, reference: str, regions: Iterable[str]
) -> Iterable[_Point]:
    for region in regions:
        for at, several in tables.items():
            for scores in several:
                column = Column(scores, view, region)
                known = {key.composition: key for key in column.compositions}
                for name, key in known.items() if reference in known else ():
                    if name not in (reference, INITIAL):
                        called = reference if name == ITSELF else name
                        yield _Point(at, called, region, column, key, known[reference])


def _of_reference(
    tables: Mapping[Size, Sequence[Scores]],
    view: View,
    reference: str,
    size: int,
    regions: Iterable[str],
) -> list[SizeRow]:
    """Give the reference at its own size: it differs from itself by nothing."""
    made = []
    for region in regions:
        scored = tables[Size(size)][0].scored(view.key(reference), region)
        if scored is not None:
            blocks, seeds = scored.values.shape
            row = SizeRow(**view._asdict(), region=region, composition=reference, size=size,
                          budget="", reference=reference, reference_size=size, mean=scored.mean,
                          difference=0.0, low=0.0, high=0.0, compared=0, blocks=blocks,
                          finetune_seeds=seeds, note="the reference itself")  # fmt: skip
            made.append(row)
    return made


def _designs(points: Sequence[_Point]) -> list[Design]:
    """Return what the family is simulated from, a frame at a time."""
    frames: dict[Frame, list[_Point]] = {}
    for one in points:
        frames.setdefault(one.frame, []).append(one)
    made = []
    for frame, some in frames.items():
        at = {key: i for i, key in enumerate(frame.keys)}
        rows = np.array([(at[one.key], at[one.against]) for one in some], dtype=np.intp)
        made.append(Design(frame, rows))
    return made


def _rate(found: Exchange, composition: str, budget: str, region: str) -> ExchangeRow:
    """Read the rate of a composition off its differences."""
    curve, sign = found.curve(composition, budget, region), found.view.sign
    logs = [float(np.log(row.size)) for row in curve]
    places = _reached(logs, [sign * row.difference for row in curve])
    low = high = None
    notes = list(dict.fromkeys(row.note for row in curve if row.note))
    # Signed, so that more is better.
    around = [sorted((sign * row.low, sign * row.high)) for row in curve
              if row.low is not None and row.high is not None]  # fmt: skip
    verdict = UNDECIDED
    if len(curve) < 2:
        notes.append("one size alone")
    elif len(around) == len(curve):
        low, high = (_reached(logs, [one[side] for one in around]) for side in (1, 0))
        verdict = _verdict(low, high, curve[0].size)
        low = None if verdict in (FEWER, AT_MOST, UNDECIDED) else low
        high = None if verdict == FEWER else high
    return ExchangeRow(
        **found.view._asdict(),
        region=region,
        composition=composition,
        budget=budget,
        reference=found.reference,
        reference_size=found.size,
        smallest=curve[0].size,
        largest=curve[-1].size,
        places=places,
        low=low,
        high=high,
        verdict=verdict,
        note="; ".join(notes),
    )


def _verdict(low: float | None, high: float | None, smallest: int) -> str:
    """Say what the ends of an interval mean: where the reference may and must be reached."""
    if low is None:
        return NEVER
    inside = low > smallest
    if high is None:
        return AT_LEAST if inside else UNDECIDED
    if inside:
        return WORTH
    return AT_MOST if high > smallest else FEWER


def _reached(logs: Sequence[float], values: Sequence[float]) -> float | None:
    """Return the places at which a line through values by log places first is not below zero."""
    if values[0] >= 0:
        return float(round(np.exp(logs[0])))
    for i in range(1, len(logs)):
        if values[i] >= 0:
            share = values[i - 1] / (values[i - 1] - values[i])
            return float(np.exp(logs[i - 1] + share * (logs[i] - logs[i - 1])))
    return None
