"""The rows of the evidence: plain named tuples, written as tidy tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args, get_type_hints

import pyarrow as pa

from wherefrom.evidence.scores import Key, View

__all__ = [
    "DeviationRow",
    "DifferenceRow",
    "LeaderRow",
    "SensitivityDifferenceRow",
    "SensitivityRow",
    "SummaryRow",
    "VarianceRow",
    "table_of",
]


class SummaryRow(NamedTuple):
    """The mean score of one key in one region; see `wherefrom.evidence.summary`."""

    model: str
    composition: str
    task: str
    n: int
    head: str
    metric: str
    region: str
    mean: float
    std_finetune: float | None
    std_runs: float | None
    low: float | None
    high: float | None
    draws: int
    pretrain_seeds: int
    runs: int
    finetune_seeds: int
    note: str

    @property
    def key(self) -> Key:
        """The key that the row is about."""
        return Key(*self[:6])


class DifferenceRow(NamedTuple):
    """A composition minus its reference in one region; see `wherefrom.evidence.differences`."""

    model: str
    composition: str
    task: str
    n: int
    head: str
    metric: str
    region: str
    reference: str
    reference_row: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    p_equivalence_holm: float | None
    compared: int
    finetune_seeds: int
    verdict: str
    note: str

    @property
    def key(self) -> Key:
        """The key of the composition."""
        return Key(*self[:6])


class LeaderRow(NamedTuple):
    """The row with the highest mean; see `wherefrom.evidence.differences.leaders`."""

    model: str
    composition: str
    task: str
    n: int
    head: str
    metric: str
    region: str
    best: str
    runner_up: str
    ahead: float | None
    decided: bool

    @property
    def view(self) -> View:
        """The view in which it leads."""
        return View(self.model, *self[2:6])


class VarianceRow(NamedTuple):
    """Components of variance of one score; see `wherefrom.evidence.variance`."""

    model: str
    composition: str
    task: str
    n: int
    head: str
    metric: str
    region: str
    finetune: float
    pretrain: float | None
    draw: float | None
    finetune_share: float | None
    pretrain_share: float | None
    draw_share: float | None
    naive_factor: float | None

    @property
    def key(self) -> Key:
        """The key that the row is about."""
        return Key(*self[:6])


class SensitivityRow(NamedTuple):
    """How far a model depends on the composition; see `wherefrom.evidence.sensitivity`."""

    model: str
    task: str
    n: int
    head: str
    metric: str
    region: str
    compositions: int
    spread: float | None
    low: float | None
    high: float | None
    p: float | None
    observed: float | None
    lowest: str
    highest: str
    range: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    share: float | None
    share_low: float | None
    share_high: float | None
    finetune_seeds: int
    note: str

    @property
    def view(self) -> View:
        """The view that the row is about."""
        return View(*self[:5])


class DeviationRow(NamedTuple):
    """A composition minus the mean of all; see `wherefrom.evidence.sensitivity.deviations`."""

    model: str
    composition: str
    task: str
    n: int
    head: str
    metric: str
    region: str
    deviation: float
    low: float | None
    high: float | None

    @property
    def key(self) -> Key:
        """The key of the composition."""
        return Key(*self[:6])


class SensitivityDifferenceRow(NamedTuple):
    """The sensitivity of one model minus that of another; see `wherefrom.evidence.sensitivity`."""

    model: str
    task: str
    head: str
    other_model: str
    other_task: str
    other_head: str
    n: int
    metric: str
    region: str
    difference: float | None
    low: float | None
    high: float | None
    share_difference: float | None
    share_low: float | None
    share_high: float | None


Row = (
    SummaryRow | DifferenceRow | LeaderRow | VarianceRow | SensitivityRow | SensitivityDifferenceRow
)


def table_of(rows: Sequence[Row], kind: type[Row]) -> pa.Table:
    """Write rows of one kind as a tidy table; None becomes null.

    Examples
    --------
    >>> table_of([], VarianceRow).schema.field("finetune").type
    DataType(double)
    """
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    hints = get_type_hints(kind)
    fields = []
    for name in kind._fields:
        base = next(iter(a for a in get_args(hints[name]) if a is not type(None)), hints[name])
        fields.append(pa.field(name, types[base]))
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [[] for _ in fields]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, fields, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))
