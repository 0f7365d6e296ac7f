"""Results about a user's own places: test places weighted as these lie, as one more results table.

The test places of each label count as the label's share of the target places does
(`wherefrom.evidence.recut`), and what comes out is a results table of one region with the variance
of its test places: all that is made of a study's results is made of it too, with the same code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.evidence.cut import REGION, Cut, Target
from wherefrom.evidence.places import Sample, covariance, population, trained_on, units_of
from wherefrom.evidence.recut import FEWEST, pooled, weights_to
from wherefrom.evidence.recut_rows import Group, score_of, within_strata
from wherefrom.evidence.scores import COLUMNS, Key
from wherefrom.pool.columns import label_layer
from wherefrom.study.predictions import Saved

__all__ = ["Aimed", "aimed", "shares_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Labels without a test place that are named, of many.
_NAMED = 5


@dataclass(frozen=True, eq=False)
class Aimed:
    """Results about a target, and how they would vary over other test places (`PlaceVariance`).

    Attributes
    ----------
    results : pyarrow.Table
        As a study's, of one region: the target.
    region : str
    left_out : list of str
        What of the target no test place stands for.
    """

    results: pa.Table
    region: str
    left_out: list[str]
    _group: Group
    _unit: Ints
    _about: str
    _influence: dict[Key, Floats] = field(default_factory=dict)

    @property
    def population(self) -> str:
        """Which places a verdict is about, in words that follow "about"."""
        return self._about

    def covariance(
        self, keys: Sequence[Key], region: str, among: Sequence[str] | None = None
    ) -> tuple[Floats, float] | None:
        """Return the covariance of the weighted scores of rows, and its degrees of freedom."""
        if region != self.region or any(key not in self._influence for key in keys):
            return None
        own = np.stack([self._influence[key] for key in keys])
        return covariance([Sample(own, self._unit, self._group.weights)])


def shares_of(
    lon: Floats, lat: Floats, file: str, cut: Cut, layer: str
) -> tuple[Target, list[str]]:
    """Count a user's places by the labels of a cut.

    Parameters
    ----------
    lon, lat : (P,) float64 array
        Degrees.
    file : str
        What the places are called.
    cut : Cut
        Of the task, by the labels of `layer`, or by its regions, which are such labels.
    layer : str
        A categorical layer.

    Returns
    -------
    target : Target
        Shares of the places with a label of the cut; they add up to 1.
    left_out : list of str
        How many of the places have none.

    Raises
    ------
    WherefromError
        If none has one.
    """
    known = label_layer(layer, (REGION,))
    codes = known.codes(lon, lat)
    labels = [known.labels[code] if code >= 0 else "no label" for code in codes.tolist()]
    counts = Counter(labels)
    there = {label: counts[label] for label in cut.labels if counts[label]}
    others = {label: count for label, count in counts.most_common() if label not in there}
    named = ", ".join(f"{label}: {count:,}" for label, count in [*others.items()][:_NAMED])
    if not there:
        what = "in a tested region" if cut.name == REGION else f"at a label of {layer!r}"
        raise WherefromError(
            f"{file}: none of its places lies {what} of the task "
            f"({', '.join(cut.labels[:8])}); they lie at {named}: are longitude and latitude "
            "exchanged (--lon, --lat)?"
        )
    total = sum(there.values())
    target = Target(
        file, {label: count / total for label, count in there.items()}, f"the places of {file}"
    )
    left = len(lon) - total
    return target, [f"{left:,} of {len(lon):,} places of {file} have no label that was tested "
                    f"({named})"] if left else []  # fmt: skip


def aimed(
    predictions: Sequence[Saved],
    n: int,
    metric: str,
    cut: Cut,
    target: Target,
    *,
    fewest: int = FEWEST,
    block_km: float | None = None,
) -> Aimed:
    """Score every row with its test places weighted to a target; arguments as of `recut.weighted`.

    Raises
    ------
    WherefromError
        As `wherefrom.evidence.recut.weighted`.
    """
    tests = pooled(predictions, n)
    group, left_out = weights_to(target, cut, tests, fewest)
    work = partial(score_of, n=n, metric=metric, tests=tests, groups=[group])
    region, factor = f"the places of {target.name}", trained_on(tests.task)
    rows: list[tuple[object, ...]] = []
    influence: dict[Key, list[Floats]] = {}
    for one, ((values, own),) in zip(predictions, parallel.here(work, predictions), strict=True):
        key = Key(one.model, one.composition, one.task, n, one.head, metric)
        block = one.run[0] if one.composition else -1
        axes = one.model, one.composition, block, one.task, region, n, one.head
        rows += [(*axes, seed, metric, float(value)) for seed, value in enumerate(values)]
        influence.setdefault(key, []).append(within_strata(factor * own, group.strata))
    about = f"{population(block_km)}, weighted by {cut.name} as {target.about} lie"
    return Aimed(
        pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))),
        region,
        left_out,
        group,
        units_of(tests.task, block_km)[tests.rows[group.at]],
        about,
        {key: np.mean(found, axis=0) for key, found in influence.items()},
    )
