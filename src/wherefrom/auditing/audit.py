"""The audit of a pool, a composition or a table of coordinates: every number, and what is amiss."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from wherefrom import files
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.entropy import Entropy
from wherefrom.auditing.faults import LEFT_OUT, Axes, Zeros
from wherefrom.auditing.findings import WHOLE, Commands, Finding, percent, ranked, title
from wherefrom.auditing.lattice import COARSE
from wherefrom.auditing.leakage import Leakage
from wherefrom.auditing.mapped import PlacesMap
from wherefrom.auditing.realised import Realised
from wherefrom.auditing.seasons import Time
from wherefrom.auditing.shares import Layers
from wherefrom.auditing.space.counts import Counts
from wherefrom.auditing.space.coverage import Coverage
from wherefrom.auditing.space.density import Densities
from wherefrom.auditing.space.duplicates import Duplicates
from wherefrom.auditing.space.effective import Effective
from wherefrom.auditing.space.footprints import Footprints
from wherefrom.auditing.space.latitude import Latitude
from wherefrom.auditing.space.nearest import Nearest
from wherefrom.auditing.space.region import Region
from wherefrom.auditing.space.ripley import Ripley
from wherefrom.auditing.space.striping import Striping
from wherefrom.auditing.statistic import Section, Statistic
from wherefrom.auditing.tally import Tally, run_distinct
from wherefrom.errors import WherefromError
from wherefrom.pool.check import DRAWN
from wherefrom.shown import count_of, html

__all__ = ["STATISTICS", "Audit", "audited", "measured"]

Results = dict[type[Statistic], Statistic | None]

#: All statistics, in the order of the page and its tables. Simulations share a stream of random
#: numbers in this order: one that is added at the end leaves the numbers of the others as they are.
STATISTICS: tuple[type[Statistic], ...] = (
    PlacesMap,
    Layers,
    Counts,
    Coverage,
    Nearest,
    Ripley,
    Densities,
    Latitude,
    Duplicates,
    Striping,
    Effective,
    Axes,
    Zeros,
    Region,
    Entropy,
    Leakage,
    Realised,
    Footprints,
    Time,
)

#: Findings whose names are no words.
WORDS = {
    "antarctica": "places in Antarctica",
    "duplicate-id": "repeated ids",
    "duplicates": "repeated places",
    "elsewhere": "places elsewhere",
    "near-copies": "near copies of places",
    "near-duplicates": "places within 1 km of another",
    "null-island": "places at 0° E 0° N",
    "rounded": "rounded coordinates",
    "sea": "places at sea",
    "swapped": "exchanged rows",
    "zero-lat": "latitudes of 0",
    "zero-lon": "longitudes of 0",
}
#: Findings that a card or a page of text names.
_FINDINGS = 4
#: Characters in a line of text.
WIDTH = 100


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """Every number about a set of places, and what is amiss in plain words.

    Made by :func:`wherefrom.audit`. What a statistic found is an attribute of its name, such as
    ``layers``, ``map`` and ``leakage`` (None if there is none); those of one group are together,
    such as ``space.coverage``.

    Attributes
    ----------
    about : dict
        Plain values: ``name``, ``key``, ``origin``, ``places`` (with repetition), ``rows``,
        ``distinct`` (places, by the column ``place`` if one is named), ``against``,
        ``reference``, ``antarctica``, ``within``, ``where``, ``seed``, ``version`` and ``notes``.
    findings : tuple of Finding
        Largest first, but consequences after their cause; none if nothing is amiss.
    faults : tuple of Finding
        Those among them that are about faulty rows of the table.
    results : dict of type to Statistic or None
        What each statistic found, by its class.

    Examples
    --------
    >>> from wherefrom.pool import Pool
    >>> found = audited(Asked(Pool.build(3000, seed=0), wanted=["continent"]))
    >>> found.findings, found.about["places"], found.layers["continent"].tv < 0.03
    ((), 3000, True)
    """

    about: dict[str, Any]
    findings: tuple[Finding, ...]
    faults: tuple[Finding, ...]
    results: Results

    def __getattr__(self, name: str) -> Any:
        results = self.__dict__.get("results", {})
        group = {k.name: found for k, found in results.items() if k.section.group == name}
        if group:
            return SimpleNamespace(**group)
        for kind, found in results.items():
            if kind.name == name and not kind.section.group:
                return found
        raise AttributeError(f"an audit has no {name!r}")

    @property
    def counted(self) -> str:
        """How many rows of how many places these are; of a composition, places it repeats."""
        about = self.about
        rows, places = about["places"], count_of(about["distinct"], "place")
        if about["distinct"] == rows:
            return places
        if about["rows"] == rows:
            return f"{count_of(rows, 'row')} of {places}"
        return f"{count_of(rows, 'place')} ({about['distinct']:,} distinct)"

    @property
    def causes(self) -> tuple[Finding, ...]:
        """Findings that follow from no other one."""
        return tuple(finding for finding in self.findings if not finding.follows)

    def consequences(self, cause: Finding) -> str:
        """Say in one sentence which findings follow from one; empty without."""
        found = [each for each in self.findings if each.follows == cause.name]
        if not found:
            return ""
        said = ", ".join(
            f"{WORDS.get(each.name, title(each.name))} ({percent(each.size)})" for each in found
        )
        if cause.name in WHOLE:
            return f"From this follow: {said}."
        return f"From this may follow: {said}."

    def sections(self) -> dict[Section, list[Statistic]]:
        """Return what was found by section, in the order of the page."""
        sections: dict[Section, list[Statistic]] = {}
        for kind, found in self.results.items():
            if found is not None:
                sections.setdefault(kind.section, []).append(found)
        return sections

    def lines(self, most: int | None = None) -> list[str]:
        """Write the findings in plain text with their commands, the first ones if `most` are named.

        Lines of text are 100 characters at most, commands as long as they are.
        """
        against = self.about["against"]
        lines = [f"{self.about['name']}: {self.counted} against {against}, key {self.about['key']}"]
        causes = self.causes[:most]
        if not causes:
            return [*lines, "", f"nothing amiss against {against}"]
        lines += ["", "findings, by the share of the places that each concerns"]
        for number, finding in enumerate(causes, 1):
            head = f"{number:>2}. {percent(finding.size):>6}  "
            lines += textwrap.wrap(
                f"{finding.text} {self.consequences(finding)}".strip(),
                WIDTH,
                initial_indent=head,
                subsequent_indent=" " * len(head),
            )
            lines += [f"{' ' * len(head)}$ {finding.command}"] if finding.command else []
            lines += [f"{' ' * len(head)}({finding.keeps})"] if finding.keeps else []
        if more := len(self.causes) - len(causes):
            lines.append(f"and {more} more in .findings; every number is in .to_dict()")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines(_FINDINGS))

    def __repr__(self) -> str:
        found = count_of(len(self.findings), "finding")
        name, against = self.about["name"], self.about["against"]
        return f"<Audit of {name}: {self.counted} against {against}, {found}>"

    def to_dict(self) -> dict[str, Any]:
        """Return every number as plain values, ready for JSON; None for what there is not."""
        plain: dict[str, Any] = {
            "about": self.about,
            "findings": [finding.to_dict() for finding in self.findings],
        }
        for kind, found in self.results.items():
            group = kind.section.group
            entries = {kind.name: None} if found is None else found.entries()
            (plain.setdefault(group, {}) if group else plain).update(entries)
        return plain

    def to_json(self) -> str:
        """Write `to_dict` as JSON text; the same places give the same text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def write_json(self, path: Path | str) -> None:
        """Write `to_json` to a file.

        Raises
        ------
        WherefromError
            If the disk is full or the folder cannot be written.
        """
        with files.atomic(path) as tmp:
            tmp.write_text(self.to_json() + "\n", encoding="utf-8")

    def _repr_html_(self) -> str:
        """Write the largest findings and what statistics show at a glance, without scripts."""
        against = html(str(self.about["against"]))
        lines = "".join(
            f"<li><b>{percent(finding.size)}</b> {html(finding.text)}</li>"
            for finding in self.causes[:_FINDINGS]
        )
        if len(self.causes) > _FINDINGS:
            lines += f"<li>and {len(self.causes) - _FINDINGS} more</li>"
        said = f"<p style='margin:4px 0'>Nothing amiss against {against}.</p>"
        if lines:
            said = f"<ol style='margin:4px 0;padding-left:22px'>{lines}</ol>"
        glances = "".join(found.glance() for found in self.results.values() if found is not None)
        return (
            "<div style='font:13px/1.45 system-ui,sans-serif;max-width:960px'>"
            f"<b>{html(str(self.about['name']))}</b>: {self.counted} against "
            f"{against}<div style='display:flex;flex-wrap:wrap;gap:8px 24px;align-items:center'>"
            f"{glances}</div>{said}</div>"
        )


def audited(asked: Asked, faults: Sequence[Finding] = ()) -> Audit:
    """Audit a pool in one pass over it; :func:`wherefrom.audit` takes whatever holds places.

    `faults` are of rows that were left out before, see
    :func:`wherefrom.auditing.faults.without_faults`.

    Raises
    ------
    WherefromError
        If there are fewer than 2 places, a layer is unknown, or its data cannot be had.

    Examples
    --------
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> from wherefrom.pool import Pool
    >>> rng = np.random.default_rng(0)
    >>> cluster = pa.table({"lon": rng.normal(10, 1, 500), "lat": rng.normal(50, 1, 500)})
    >>> found = audited(Asked(Pool.from_table(cluster), wanted=["continent"]))
    >>> {"continent", "latitude", "clusters"} <= {finding.name for finding in found.findings}
    True
    >>> [finding.name for finding in found.causes][0]
    'region'
    """
    pool, named = asked.pool, asked.named
    if len(pool) < 2:
        raise WherefromError(f"{named.file} has 1 place: an audit needs at least 2")
    results = measured(asked, STATISTICS)
    sample, seen = asked.sample, asked.seen
    region, repeated = results[Region], results[Duplicates]
    # At least a point of the lattice: how near neighbours are by chance depends on it.
    share = max(region.land_share, 1.0 / COARSE) if isinstance(region, Region) else 1.0
    rows = len(pool) if seen.rows is None else sample.seen
    commands = Commands(
        named,
        round(sample.weight_sum),
        rows,
        bool(faults),
        asked.by_land,
        share,
        "" if asked.within is None else asked.within.text,
        asked.ground.finer,
        asked.pool.extended,
        asked.reference,
        asked.n,
        asked.outside,
    )
    axes, right = results[Axes], commands
    if isinstance(axes, Axes) and axes.exchanged:
        # What else is to be mended is mended in the exchanged table, and nothing is cleaned.
        commands = replace(commands, named=replace(named, cleaned=None))
        right = commands.exchanged()
        faults = [
            replace(fault, command=right.clean()) if fault.command else fault for fault in faults
        ]
    findings = [*faults]
    for found in results.values():
        own = commands if found is axes else right
        findings += [] if found is None else found.findings(own)
    zeros, nowhere = results[Zeros], isinstance(repeated, Duplicates) and repeated.all_at_zero
    if nowhere or (isinstance(zeros, Zeros) and zeros.all):  # cleaning leaves nothing
        findings = [
            replace(each, command="", text=each.text.removesuffix(LEFT_OUT))
            if "--clean" in each.command
            else each
            for each in findings
        ]
    if isinstance(axes, Axes):
        findings = [axes.doubted(finding, commands) for finding in findings]
    findings = [right.told(finding) for finding in findings]
    remarks = () if asked.entropy is None else asked.entropy.notes
    about = {
        "name": named.file,
        "key": pool.key,
        "origin": pool.origin,
        "places": round(sample.weight_sum if seen.weight is None else seen.weight),
        "rows": sample.seen if seen.rows is None else seen.rows,
        "distinct": sample.seen
        if asked.place is not None or not isinstance(repeated, Duplicates)
        else repeated.apart,
        "against": asked.beside,
        "reference": asked.reference,
        "antarctica": asked.antarctica,
        "place": asked.place,
        "where": next(iter(named.only("--where")[1:]), None),
        "within": None if asked.within is None else asked.within.text,
        "seed": asked.seed,
        "version": version("wherefrom"),
        "notes": [
            *asked.notes,
            *seen.said,
            *(note.removesuffix(DRAWN) for note in pool.notes),
            *remarks,
        ],
    }
    return Audit(about, ranked(findings), tuple(faults), results)


def measured(asked: Asked, statistics: Sequence[type[Statistic]]) -> Results:
    """Count what statistics need in one pass over the places, and sum it up.

    Raises
    ------
    WherefromError
        If no place counts, or data cannot be had.
    """
    needed = {
        kind: kind.tallies(asked) for kind in statistics if not (kind.of_land and asked.ground.none)
    }
    tallies: list[Tally] = [asked.sample, *(tally for each in needed.values() for tally in each)]
    counted: list[Any] = run_distinct(asked.pool, tallies, asked.seen, weights=asked.weights)
    asked.sample = counted[0]
    if not asked.sample.seen:
        raise WherefromError("there are no places to audit: every row has weight 0")
    rest = iter(counted[1:])
    found = {kind: kind.of(asked, list(islice(rest, len(each)))) for kind, each in needed.items()}
    return {kind: found.get(kind) for kind in statistics}
