"""The size axis as tables: each composition of some size beside the reference at its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wherefrom.evidence.records import OfView
from wherefrom.evidence.scores import COLUMNS, PlaceVariance, Scores, View
from wherefrom.study.sizes import Size

__all__ = ["ITSELF", "SizeRow", "tables_of"]

#: What the reference is called where it is compared, at another size, with itself.
ITSELF = "reference at this size"


@dataclass(frozen=True, kw_only=True)
class SizeRow(OfView):
    """A composition of some size in one region, and its difference to the reference at its own.

    `budget` is empty at the study's own size, which is the same under each. `low` and `high` hold
    at once over all that is compared in the region, or in all single regions.
    """

    region: str
    composition: str
    size: int
    budget: str
    reference: str
    reference_size: int
    mean: float
    difference: float
    low: float | None
    high: float | None
    compared: int
    blocks: int
    finetune_seeds: int
    note: str


def tables_of(
    results: pa.Table,
    view: View,
    reference: str,
    size: int,
    places: Mapping[Size, PlaceVariance] | None = None,
) -> dict[Size, list[Scores]]:
    """Divide the table of the size axis by size and budget, the reference at its own in each.

    Parameters
    ----------
    results : pyarrow.Table
        With the columns of `wherefrom.study.results.SIZED`; every row has the places that it says.
    view : View
        Rows of others are left out.
    reference : str
    size : int
        The study's own, at which the reference is.
    places : mapping of Size to PlaceVariance, optional
        Test places as a sample, in which the reference at another size is called `ITSELF`.

    Returns
    -------
    dict of Size to list of Scores
        The study's own size, under no budget, comes first. In a second table, of two compositions,
        the reference is set against itself: both have the same design, and what of a pre-training
        seed is of that design is theirs alone.
    """
    asked = {name: getattr(view, name) for name in View._fields}
    mine = results.filter(pc.equal(results["model"], asked.pop("model")))
    for name, value in asked.items():
        mine = mine.filter(pc.equal(mine[name], value))
    own = mine.filter(pc.is_in(mine["size"], pa.array([0, size])))
    budgets = mine["budget"].unique().to_pylist()
    if budgets:
        own = own.filter(pc.equal(own["budget"], budgets[0]))
    known, made = dict(places or {}), {}
    if own.num_rows:
        at = Size(size)
        made[at] = [Scores(own.select(list(COLUMNS)), places=known.get(at))]
    first = own.filter(
        pc.or_(pc.equal(own["composition"], reference), pc.equal(own["size"], 0))
    ).select(list(COLUMNS))
    for budget in budgets:
        part = mine.filter(pc.equal(mine["budget"], budget))
        for count in sorted(set(part["size"].to_pylist()) - {0, size}):
            at = Size(count, budget)
            rows = part.filter(pc.equal(part["size"], count)).select(list(COLUMNS))
            is_reference = pc.equal(rows["composition"], reference)
            others, same = rows.filter(pc.invert(is_reference)), rows.filter(is_reference)
            column = rows.column_names.index("composition")
            same = same.set_column(
                column, "composition", pa.array([ITSELF] * len(same), pa.string())
            )
            same_first = first.filter(pc.equal(first["composition"], reference))
            made[at] = [
                Scores(pa.concat_tables(tables), places=known.get(at))
                for tables in ((first, others), (same_first, same))
                if len(tables[1])
            ]
    return made
