"""One draw that remedies at once what a draw can, and an audit of it that tells what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pydantic import PrivateAttr

from wherefrom.auditing.asked import Asked, pool_rows
from wherefrom.auditing.audit import Audit, audited
from wherefrom.auditing.faults import Opened, cleaned
from wherefrom.auditing.findings import WHOLE, Finding, percent
from wherefrom.auditing.shares import ANTARCTICA, Layers, LayerShares
from wherefrom.compose import Composition, SamplerModel, drawn, sampler, spec_text
from wherefrom.compose.composition import drawn_places
from wherefrom.compose.samplers.match import Match, Target
from wherefrom.earth.surfaces import lies_on
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import AnyPool
from wherefrom.shown import count_of

__all__ = ["Fixed", "fixed"]

#: Findings that a draw with inverse density lessens, where no layer is matched.
UNEVEN = {"clusters", "density", "latitude", "near-duplicates"}


class _Toward(Match):
    """The labels of several layers have the shares that an audit held them against."""

    _target: Target = PrivateAttr()

    def toward(self, pool: AnyPool) -> Target:
        """Return these shares."""
        return self._target


@dataclass(frozen=True, eq=False)
class Fixed:
    """Places that `fixed` drew.

    Attributes
    ----------
    places : Pool
        Rows of the table, with their ids and columns, and ``inclusion_probability``.
    composition : Composition
    removed : dict of str to int
        Rows that were left out before the draw, by reason.
    before, after : Audit
        Of the table and of the drawn places.
    """

    places: Pool
    composition: Composition
    removed: dict[str, int]
    before: Audit
    after: Audit

    @property
    def left(self) -> tuple[Finding, ...]:
        """Findings of the drawn places that follow from no other one."""
        return self.after.causes

    @property
    def remedied(self) -> tuple[Finding, ...]:
        """Findings about the table that are none about the drawn places."""
        names = {finding.name for finding in self.after.findings}
        return tuple(each for each in self.before.findings if each.name not in names)

    def lines(self) -> list[str]:
        """Say what was left out, how the rest was drawn, what that remedied and what it did not."""
        return list(self._lines())

    def _lines(self) -> Iterator[str]:
        gone = "; ".join(f"{count:,} {reason}" for reason, count in self.removed.items() if count)
        yield f"left out first: {gone or 'none'}"
        made = self.composition.provenance
        to = f", to the shares of {made['target']}" if "target" in made else ""
        yield f"drawn from the rest: {spec_text(made['sampler'])}{to}"
        yield from (f"note: {remark}" for remark in made.get("remarks", ()))
        found = ", ".join(f"{each.name} ({percent(each.size)})" for each in self.remedied)
        seen = f"an audit of {count_of(len(self.places), 'place')}"
        yield f"remedied, as far as {seen} can see: {found or 'nothing'}"
        was = {finding.name: finding for finding in self.before.findings}
        for each in self.left:
            before = f"was {percent(was[each.name].size)}" if each.name in was else "was none"
            command = was[each.name].command if each.name in was else ""
            yield f"not remedied: {each.name} ({percent(each.size)}, {before}): {each.text}"
            if command:
                yield f"    of the whole table: $ {command}"
        if not self.left:
            yield f"not remedied: nothing that {seen} can see"


def fixed(
    asked: Asked,
    opened: Opened,
    before: Audit,
    n: int,
    seed: int = 0,
    test: AnyPool | None = None,
) -> Fixed:
    """Draw n rows of an audited table, without faults, to the shares of all layers found off.

    Left out are the rows that `wherefrom.auditing.faults.cleaned` leaves out, and those off the
    surface, or in Antarctica where it does not count, if the audit found such. The rest is drawn by
    ``match`` over the layers whose shares differ, to the shares that the audit held them against;
    where none does but places crowd, by ``uniform-area``; else uniformly.

    Parameters
    ----------
    asked : Asked
        The audit's question.
    opened : Opened
        The table, restricted to the extent of the audit if it has one.
    before : Audit
    n : int
        Places to draw: fewer are drawn where fewer rows can be.
    seed : int
    test : AnyPool, optional
        Test places, near which none is drawn, also from outside the extent.

    Returns
    -------
    Fixed

    Raises
    ------
    WherefromError
        As `cleaned`; or if no row is left to draw.
    """
    pool, removed = cleaned(opened, test, before.findings)
    pool, more = _on_surface(pool, asked, before)
    removed |= more
    layers = before.layers
    assert isinstance(layers, Layers)
    off = [
        layers[finding.name]
        for finding in before.findings
        if finding.name in layers and _by_draw(finding, before)
    ]
    chosen = _sampler(off, asked, {finding.name for finding in before.findings})
    can = _drawable(pool, off)
    if not can:
        raise WherefromError(
            f"--fix: no row has labels of {', '.join(each.layer for each in off)} that the "
            "reference has: audit with fewer --layers"
        )
    composition = drawn(pool, chosen, min(n, can), seed)
    if can < n:
        remarks = composition.provenance.setdefault("remarks", [])
        remarks.append(f"{can:,} rows can be drawn at most, not {n:,}")
    places = _with_probability(drawn_places(composition, pool), composition)
    again = Asked(
        places,
        against=asked.against,
        wanted=asked.wanted,
        test=asked.test,
        antarctica=asked.antarctica,
        within=asked.within,
        reference=asked.reference,
        seed=asked.seed,
        named=asked.named,
        place=asked.place,
    )
    return Fixed(places, composition, removed, before, audited(again))


def _by_draw(finding: Finding, audit: Audit) -> bool:
    """Tell whether a difference is not that of a region, which no draw from it mends."""
    return finding.follows not in WHOLE


def _on_surface(pool: Pool, asked: Asked, audit: Audit) -> tuple[Pool, dict[str, int]]:
    """Leave out rows off the surface, and in Antarctica, if they are findings; count them."""
    names = {finding.name for finding in audit.findings}
    removed: dict[str, int] = {}
    if names & {"sea", "elsewhere"} and not pool.extended:
        there = lies_on(asked.reference, pool.lon, pool.lat)
        removed[f"not on {asked.ground.noun}"] = int((~there).sum())
        pool = pool_rows(pool, there)
    if "antarctica" in names and len(pool):
        codes, labels = pool.codes("continent")
        there = codes != labels.index(ANTARCTICA)
        removed["in Antarctica"] = int((~there).sum())
        pool = pool_rows(pool, there)
    if not len(pool):
        raise WherefromError("--fix: no row is left to draw: every row is at fault")
    return pool, removed


def _sampler(off: list[LayerShares], asked: Asked, names: set[str]) -> SamplerModel:
    if off:
        target = asked.named.against if not isinstance(asked.against, str) else None
        over = tuple(layer.layer for layer in off)
        flags = {"target": target or "land", "over": over, "short": "redistribute"}
        made = _Toward.from_flags(flags)
        shares = {
            layer.layer: {
                row.label: row.reference_share for row in layer.rows if row.reference_share
            }
            for layer in off
        }
        made._target = Target(shares, {"target": asked.beside})
        return made
    if names & UNEVEN:
        size = max(10, round(200 / asked.ground.finer))
        return sampler(f"uniform-area:cell_km={size}")
    return sampler("uniform")


def _drawable(pool: Pool, off: list[LayerShares]) -> int:
    """Count the rows whose labels the reference has in every layer."""
    there = np.ones(len(pool), dtype=np.bool_)
    for layer in off:
        codes, labels = pool.codes(layer.layer)
        due = {row.label for row in layer.rows if row.reference_share}
        known = np.array([label in due for label in labels] + [False])
        there &= known[codes]
    return int(there.sum())


def _with_probability(places: Pool, composition: Composition) -> Pool:
    """Add the inclusion probabilities, by ids."""
    at = np.searchsorted(composition.ids, places.ids)
    name, table = "inclusion_probability", places.table
    column = pa.array(composition.inclusion_probability[at])
    if name in table.column_names:  # of the draw that the table comes from
        table = table.drop_columns([name])
    return Pool(
        places.ids, places.lon, places.lat, table.append_column(name, column), places.origin, None
    )
