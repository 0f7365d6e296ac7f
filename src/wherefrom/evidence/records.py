"""The rows of the evidence, written as tidy tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args, get_type_hints

import pyarrow as pa

from wherefrom.evidence.scores import Key, View
from wherefrom.evidence.verdict import BETTER, WORSE

__all__ = [
    "BudgetRow", "DeviationRow", "DifferenceRow", "LeaderRow", "OfView", "Record",
    "SensitivityDifferenceRow", "SensitivityRow", "SummaryRow", "VarianceRow", "table_of",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row of one of the tables; what could not be estimated is None."""

    def _asdict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class OfView(Record):
    """What is about all compositions of a view."""

    model: str
    task: str
    n: int
    head: str
    metric: str

    @property
    def view(self) -> View:
        """The view that the row is about."""
        return View(self.model, self.task, self.n, self.head, self.metric)


@dataclass(frozen=True, kw_only=True)
class _OfKey(Record):
    """What is about one key in one region."""

    model: str
    composition: str
    task: str
    n: int
    head: str
    metric: str
    region: str

    @property
    def key(self) -> Key:
        """The key that the row is about."""
        return Key(self.model, self.composition, self.task, self.n, self.head, self.metric)


@dataclass(frozen=True, kw_only=True)
class SummaryRow(_OfKey):
    """The mean score of one key in one region; see `wherefrom.evidence.summary`."""

    mean: float
    std_finetune: float | None = None
    std_blocks: float | None = None
    low: float | None = None
    high: float | None = None
    blocks: int
    finetune_seeds: int
    note: str


@dataclass(frozen=True, kw_only=True)
class DifferenceRow(_OfKey):
    """A composition minus its reference in one region; see `wherefrom.evidence.differences`.

    `low`, `high` and `verdict` hold over all that is compared in its view at once; `detectable` is
    the smallest difference that would have been decided with probability 0.8.
    """

    reference: str
    reference_row: str
    difference: float
    low: float | None
    high: float | None
    p_adjusted: float | None
    detectable: float | None
    compared: int
    blocks: int
    finetune_seeds: int
    verdict: str
    note: str

    @property
    def caveat(self) -> str:
        """The side of a difference that is not zero but too small to matter."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return ""
        side = ", yet higher" if self.low > 0 else ", yet lower"
        return "" if self.verdict in (BETTER, WORSE) else side


@dataclass(frozen=True, kw_only=True)
class BudgetRow(_OfKey):
    """What makes the interval of a difference wide; see `wherefrom.evidence.power.more`.

    The variance of the difference in parts, its half-width, and the half-width with one more block,
    100 more episodes or 1,000 more test places in each region (None where these are given). The
    hours are core hours of the model, head and task, where they are known.
    """

    reference: str
    block: float
    episode: float
    place: float
    half_width: float
    one_more_block: float
    more_episodes: float
    more_places: float | None
    block_hours: float | None = None
    episodes_hours: float | None = None
    places_hours: float | None = None


@dataclass(frozen=True, kw_only=True)
class LeaderRow(_OfKey):
    """The row with the best mean; see `wherefrom.evidence.differences.Comparison`.

    Its `model` is that of the view also where a baseline leads.
    """

    best: str
    runner_up: str = ""
    ahead: float | None = None
    decided: bool


@dataclass(frozen=True, kw_only=True)
class VarianceRow(_OfKey):
    """Components of variance of one score; see `wherefrom.evidence.variance_shares`."""

    finetune: float
    block: float
    finetune_share: float | None
    block_share: float | None
    naive_factor: float | None


@dataclass(frozen=True, kw_only=True)
class DeviationRow(_OfKey):
    """A composition minus the mean of all; see `wherefrom.evidence.sensitivity.deviations`."""

    deviation: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class SensitivityRow(OfView):
    """How far a model depends on the composition; see `wherefrom.evidence.sensitivity`."""

    region: str
    compositions: int
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    observed: float | None
    lowest: str
    highest: str
    range: float
    gain: float | None
    gain_low: float | None = None
    gain_high: float | None = None
    share: float | None = None
    share_low: float | None = None
    share_high: float | None = None
    finetune_seeds: int
    note: str


@dataclass(frozen=True, kw_only=True)
class SensitivityDifferenceRow(Record):
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
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    share_difference: float | None = None
    share_low: float | None = None
    share_high: float | None = None


def table_of(rows: Sequence[Record], kind: type[Record]) -> pa.Table:
    """Write rows of one kind as a tidy table; None becomes null.

    Examples
    --------
    >>> table_of([], VarianceRow).schema.field("finetune").type
    DataType(double)
    """
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    arrays = {}
    for name, hint in get_type_hints(kind).items():
        base = next(iter(a for a in get_args(hint) if a is not type(None)), hint)
        arrays[name] = pa.array([getattr(row, name) for row in rows], types[base])
    return pa.table(arrays)
