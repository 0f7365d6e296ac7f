"""The audit of a pool, a composition or a table of coordinates: every number, and what is amiss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wherefrom import __version__, earth, files, keys
from wherefrom.auditing import reference as references
from wherefrom.auditing.entropy import Entropy, SampleEntropy
from wherefrom.auditing.faults import AxesTally
from wherefrom.auditing.findings import Commands, Finding, layer_findings, ranked, sea_findings
from wherefrom.auditing.findings_sets import leakage_findings, realised_findings
from wherefrom.auditing.findings_space import cells_finding, land_findings, row_findings
from wherefrom.auditing.inline import card
from wherefrom.auditing.leakage import Leakage
from wherefrom.auditing.leakage import distances as leakage_of
from wherefrom.auditing.mapped import MapTally, PlacesMap, bands_for
from wherefrom.auditing.realised import Realised, compare
from wherefrom.auditing.shares import LayerShares, LayerTally, default_layers
from wherefrom.auditing.space import Space, SpaceTally
from wherefrom.auditing.tally import Tally, Weights, run
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, PoolScan
from wherefrom.pool.batches import AnyPool

__all__ = ["Audit", "Named", "audit"]

#: Points on land that measure the land in each cell of the map: 121 km2 each.
LATTICE = 1 << 20


@dataclass(frozen=True)
class Named:
    """What the tables of an audit are called, for its sentences and commands.

    Attributes
    ----------
    file : str
        The audited table.
    options : tuple of str
        Flags that name its columns, e.g. ``("--id", "tile", "--lon", "x")``.
    pool : str or None
        Pool that the audited composition was drawn from; None if it is no composition.
    against, test, planned : str or None
        The other tables.
    available : int or None
        Places of `pool`.

    Examples
    --------
    >>> Named("tiles.csv", ("--lon", "x")).commands(10, 10).clean()
    'wherefrom audit tiles.csv --lon x --clean clean.parquet'
    """

    file: str = "places.parquet"
    options: tuple[str, ...] = ()
    pool: str | None = None
    against: str | None = None
    test: str | None = None
    planned: str | None = None
    available: int | None = None

    def commands(self, places: int, rows: int, faulty: bool = False) -> Commands:
        """Return the commands for findings about so many places, in so many rows."""
        available = self.available or rows
        return Commands(self.file, self.options, places, available, self.pool, self.test, faulty)


@dataclass(frozen=True, eq=False)
class Audit:
    """Every number about a set of places, and what is amiss in plain words.

    Made by :func:`audit`.

    Attributes
    ----------
    about : dict
        Plain values: ``name``, ``key``, ``origin``, ``places`` (with repetition), ``rows``,
        ``against``, ``antarctica``, ``seed``, ``version`` and ``notes``.
    findings : tuple of Finding
        Largest first; none if nothing is amiss.
    faults : tuple of Finding
        Those among them that are about faulty rows of the table.
    layers : dict of str to LayerShares
        Shares, divergences and diversity of each layer.
    space : Space
        Spatial statistics, against land.
    places : PlacesMap
        Where the places lie, as maps show it.
    entropy : Entropy or None
        Spectral entropy of the payload.
    leakage : Leakage or None
        Distances from test places.
    realised : Realised or None
        What was planned and is not there.

    Examples
    --------
    >>> from wherefrom.pool import Pool
    >>> found = audit(Pool.build(3000, seed=0), layers=["continent"])
    >>> found.findings, found.about["places"]
    ((), 3000)
    """

    about: dict[str, Any]
    findings: tuple[Finding, ...]
    faults: tuple[Finding, ...]
    layers: dict[str, LayerShares]
    space: Space
    places: PlacesMap
    entropy: Entropy | None = None
    leakage: Leakage | None = None
    realised: Realised | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return every number as plain values, ready for JSON; None for what there is not."""
        return {
            "about": self.about,
            "findings": [finding.to_dict() for finding in self.findings],
            "layers": {name: layer.to_dict() for name, layer in self.layers.items()},
            "space": self.space.to_dict(),
            "map": self.places.to_dict(),
            "entropy": None if self.entropy is None else self.entropy.to_dict(),
            "leakage": None if self.leakage is None else self.leakage.to_dict(),
            "realised": None if self.realised is None else self.realised.to_dict(),
        }

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
        return card(self)


def audit(
    pool: AnyPool,
    *,
    against: AnyPool | Literal["land"] = "land",
    layers: Sequence[str] | None = None,
    weights: Weights | None = None,
    test: AnyPool | None = None,
    planned: AnyPool | None = None,
    entropy: SampleEntropy | None = None,
    antarctica: bool = False,
    seed: int = 0,
    named: Named = Named(),
    faults: Sequence[Finding] = (),
) -> Audit:
    """Audit a set of places: shares, spatial statistics, leakage, losses, and findings.

    Parameters
    ----------
    pool : AnyPool
        The places: a pool in memory or in files. It is passed over once.
    against : AnyPool or "land"
        What shares are compared with: the area of land, or another pool.
    layers : sequence of str, optional
        Categorical layers, or label columns of the pool; default `DEFAULT_LAYERS`.
    weights : ndarray of float64, shape (N,), optional
        How often each place counts, such as a composition's multiplicities; default once.
    test : AnyPool, optional
        Places that a model is to be tested on.
    planned : AnyPool, optional
        Places that were asked for, of which `pool` is what came; matched by id.
    entropy : SampleEntropy, optional
        Of :func:`wherefrom.auditing.payload.entropy_of_tiles` or ``entropy_of_series``.
    antarctica : bool
        Whether Antarctica counts as land; pools built here leave it out.
    seed : int
        Of simulations and samples.
    named : Named
        What the tables are called.
    faults : sequence of Finding
        Of rows that were left out before, see :func:`wherefrom.auditing.faults.without_faults`.

    Returns
    -------
    Audit

    Raises
    ------
    WherefromError
        If there are fewer than 2 places, a layer is unknown, or its data cannot be had.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.pool import Pool
    >>> rng = np.random.default_rng(0)
    >>> cluster = pa.table({"lon": rng.normal(10, 1, 500), "lat": rng.normal(50, 1, 500)})
    >>> found = audit(Pool.from_table(cluster), layers=["continent"])
    >>> {"continent", "latitude", "clusters"} <= {finding.name for finding in found.findings}
    True
    """
    if len(pool) < 2:
        raise WherefromError(f"{named.file} has 1 place: an audit needs at least 2")
    where = "land with Antarctica" if antarctica else "land"
    name = where if isinstance(against, str) else named.against or against.origin or "the reference"
    asked, notes = default_layers() if layers is None else (tuple(dict.fromkeys(layers)), ())
    beside = _references(pool, against, asked, name, antarctica)
    tallies: list[Tally] = [
        SpaceTally(antarctica),
        AxesTally(),
        MapTally(bands_for(len(pool))),
        *(LayerTally(layer, pool.labels(layer)) for layer in beside),
    ]
    space_tally, axes, mapped, *counted = run(pool, tallies, weights=weights)
    assert isinstance(space_tally, SpaceTally)
    assert isinstance(axes, AxesTally)
    assert isinstance(mapped, MapTally)
    space = space_tally.result(keys.generator("audit", seed))
    shares = {
        tally.name: tally.result(beside[tally.name])
        for tally in counted
        if isinstance(tally, LayerTally)
    }
    places = mapped.result(_cells(mapped, against, antarctica))
    leaks = None if test is None else leakage_of(pool, test, weights=weights)
    losses = None
    if planned is not None:
        # A column of the audited table alone says nothing of the places that did not come.
        known = [layer for layer in asked if _of_earth(layer, pool) or _has(planned, layer)]
        losses = compare(planned, pool, known, weights=weights)
    commands = named.commands(round(space.weight), len(pool), bool(faults))
    sizes = {layer: found.size for layer, found in beside.items() if found is not None}
    target = "land" if isinstance(against, str) else named.against or "land"
    found = [*faults, *axes.findings(commands), *row_findings(space, commands)]
    found += layer_findings(shares, sizes, commands, against=name, target=target)
    if isinstance(against, str):
        found += sea_findings(shares, commands)
        found += [*cells_finding(places, commands), *land_findings(space, commands)]
    if leaks is not None:
        found += leakage_findings(leaks, commands)
    if losses is not None:
        found += realised_findings(losses, commands, named.planned or "the plan")
    about = {
        "name": named.file,
        "key": pool.key,
        "origin": pool.origin,
        "places": round(space.weight),
        "rows": space.places,
        "against": name,
        "antarctica": antarctica,
        "seed": seed,
        "version": __version__,
        "notes": [*notes, *pool.notes, *(() if entropy is None else entropy.notes)],
    }
    return Audit(
        about,
        ranked(found),
        tuple(faults),
        shares,
        space,
        places,
        None
        if entropy is None
        else entropy.result([name for name in asked if _of_earth(name, pool)]),
        leaks,
        losses,
    )


def _references(
    pool: AnyPool,
    against: AnyPool | str,
    layers: Sequence[str],
    name: str,
    antarctica: bool,
) -> dict[str, references.Reference | None]:
    """Return what each layer is compared with; None for a column that land does not have."""
    if not isinstance(against, str):
        return dict(references.of(against, layers, name=name))
    return {
        layer: references.land(layer, antarctica) if _of_earth(layer, pool) else None
        for layer in layers
    }


def _of_earth(layer: str, pool: AnyPool) -> bool:
    """Tell whether a layer is one of the Earth, or of a plug-in, and not the pool's own column."""
    return layer in earth.CATEGORICAL or not _has(pool, layer)


def _has(pool: AnyPool, column: str) -> bool:
    return isinstance(pool, Pool | PoolScan) and column in pool.columns


def _cells(mapped: MapTally, against: AnyPool | str, antarctica: bool) -> NDArray[np.float64]:
    """Return the share of the reference in each cell of the map."""
    if isinstance(against, str):
        lon, lat = references.land_lattice(LATTICE, antarctica)
        count = np.bincount(mapped.cells.cell(lon, lat), minlength=mapped.cells.count)
        return np.asarray(count / count.sum())
    (other,) = run(against, [MapTally(mapped.n_bands)])
    share: NDArray[np.float64] = other.count / other.count.sum()
    return share
