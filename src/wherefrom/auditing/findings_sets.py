"""Findings about two sets of places: training and test, planned and realised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherefrom.auditing.findings import LEAST, Commands, Finding
from wherefrom.auditing.wording import kilometres, percent, title

if TYPE_CHECKING:
    from wherefrom.auditing.leakage import Leakage
    from wherefrom.auditing.realised import LabelLoss, Realised

__all__ = ["SAME_PLACE", "leakage_findings", "realised_findings"]

#: Kilometres within which a training place and a test place are the same to an image of either.
SAME_PLACE = 1.0
#: Chance of a label's losses, were they blind to it, below which it is named.
RARE = 1e-4
NAMED = 3


def leakage_findings(leakage: Leakage, commands: Commands) -> list[Finding]:
    """Find whether test places are training places, to within 1 km; one finding or none.

    Parameters
    ----------
    leakage : Leakage
    commands : Commands

    Returns
    -------
    list of Finding

    Examples
    --------
    >>> from wherefrom.auditing.leakage import LeakageTally
    >>> from wherefrom.pool.batches import Batch
    >>> import numpy as np
    >>> tally = LeakageTally(np.array([10.0, 60.0]), np.array([50.0, 50.0]))
    >>> tally.update(Batch(0, np.array([10.0]), np.array([50.001])))
    >>> found = leakage_findings(tally.result(), Commands("places.csv", (), 1, 1))
    >>> found[0].name, found[0].size
    ('leakage', 0.5)
    """
    near = [row for row in leakage.within if row.km <= SAME_PLACE]
    if not near or near[-1].share <= LEAST:
        return []
    shares = [f"{percent(row.share)} within {row.km:g} km" for row in leakage.within[1:]]
    first, share = leakage.within[0], percent(leakage.within[0].share)
    text = f"Leakage: {share} of the test places have a training place within {first.km:g} km"
    text += "".join(f", {other}" for other in shares)
    pair = leakage.nearest[0]
    text += (
        f" (by chance {percent(near[-1].by_chance)} within {near[-1].km:g} km); the nearest is "
        f"{kilometres(pair.km)} away, test row {pair.row}."
    )
    return [Finding("leakage", near[-1].share, text, commands.clean())]


def realised_findings(realised: Realised, commands: Commands, planned: str) -> list[Finding]:
    """Find what share of the planned places was lost, and which labels lost more than theirs.

    Parameters
    ----------
    realised : Realised
    commands : Commands
    planned : str
        File of the planned places.

    Returns
    -------
    list of Finding
        One or none.
    """
    if realised.share <= LEAST:
        return []
    text = (
        f"Losses: {realised.lost:,.0f} of {realised.planned:,} planned places are not there "
        f"({percent(realised.share)})"
    )
    uneven = _uneven(realised)
    if uneven:
        text += "; more of " + ", ".join(
            f"{row.label} ({percent(row.share)}, {title(row.layer)})" for row in uneven
        )
    layer = uneven[0].layer if uneven else next(iter(realised.layers), "continent")
    command = commands.match(planned, layer, "as-planned")
    return [Finding("losses", realised.share, f"{text}.", command)]


def _uneven(realised: Realised) -> list[LabelLoss]:
    """Return the labels that lost clearly more than their part, one for each layer."""
    tests = sum(len(layer.rows) for layer in realised.layers.values())
    rows: list[LabelLoss] = []
    for row in realised.largest:
        clear = row.p is not None and row.p * tests < RARE and row.share > realised.share
        if clear and row.layer not in {known.layer for known in rows}:
            rows.append(row)
    return rows[:NAMED]
