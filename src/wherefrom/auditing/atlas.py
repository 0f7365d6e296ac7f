"""The atlas: pre-training sets beside each other and beside what models are tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.audit import measured
from wherefrom.auditing.leakage import Leakage, tally_for
from wherefrom.auditing.shares import Layers
from wherefrom.auditing.space.coverage import Coverage
from wherefrom.auditing.space.effective import JUDGED, Effective
from wherefrom.auditing.tally import run
from wherefrom.earth.addresses import here
from wherefrom.errors import WherefromError, of_the_system
from wherefrom.pool import open_pool, read_table
from wherefrom.pool.batches import AnyPool
from wherefrom.pool.gallery import known_pool
from wherefrom.pool.known import recognised
from wherefrom.pool.tables import is_parquet

__all__ = ["Atlas", "Listed", "Row", "counted", "drawn_up", "listed"]


class Listed(BaseModel):
    """A set of an atlas: a file and its columns, or a known list of places.

    Attributes
    ----------
    file : str
        A table of places, a path from the atlas's file or an address; or empty.
    known : str
        A list of `wherefrom.pool.gallery.KNOWN`; or empty.
    id, lon, lat, geometry, grid, cell : str or None
        Its columns, as in `open_pool`; where none is named, those of a known set by its columns.
    caveat : str
        What to know before the numbers are believed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = ""
    known: str = ""
    id: str | None = None
    lon: str | None = None
    lat: str | None = None
    geometry: str | None = None
    grid: str | None = None
    cell: str | None = None
    caveat: str = ""

    @model_validator(mode="after")
    def _one(self) -> Listed:
        if bool(self.file) == bool(self.known):
            raise ValueError("name one of file and known")
        return self

    def opened(self, folder: Path) -> AnyPool:
        """Open its places."""
        if self.known:
            return known_pool(self.known)
        path = self.file if "://" in self.file else folder / self.file
        columns = {
            name: value
            for name in ("id", "lon", "lat", "geometry", "grid", "cell")
            if (value := getattr(self, name)) is not None
        }
        if not columns and not Path(path).is_dir():
            names = _columns(here(path))
            if known := recognised([*names, "geometry"]):
                reads = known.reads
                named = {"lon": reads.lon, "lat": reads.lat, "geometry": reads.geometry}
                columns = {name: value for name, value in named.items() if value}
                if columns.get("geometry") not in (None, *names):
                    del columns["geometry"]  # of a file that GDAL reads
        return open_pool(path, **columns)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    pools: dict[str, Listed] = Field(min_length=1)
    tests: dict[str, Listed] = {}


@dataclass(frozen=True)
class Row:
    """One pre-training set.

    Attributes
    ----------
    name : str
    rows, places : int
        Rows of its table, and different places.
    continents : dict of str to float
        Share of its places on land, by continent.
    at_sea : float
        Share of its places on no continent.
    median_km, uniform_km : float
        Half of the land is nearer to a place; the same of as many uniform places.
    independent, uniform_independent : float
        Places that it is worth where values are alike over 100 km; those that as many uniform
        places are worth.
    leakage : dict of str to Leakage
        Distances of the places of each benchmark.
    caveat : str
    """

    name: str
    rows: int
    places: int
    continents: dict[str, float]
    at_sea: float
    median_km: float
    uniform_km: float
    independent: float
    uniform_independent: float
    leakage: dict[str, Leakage]
    caveat: str

    def plain(self) -> dict[str, Any]:
        """Return one record of plain numbers."""
        found = {k: v for k, v in vars(self).items() if k not in ("continents", "leakage")}
        found |= {f"share {name}": share for name, share in self.continents.items()}
        for name, leak in self.leakage.items():
            found |= {f"{name} within {row.km:g} km": row.share for row in leak.within}
        return found


@dataclass(frozen=True)
class Atlas:
    """Sets beside benchmarks; `tests` are the benchmarks' places and caveats, by name."""

    rows: tuple[Row, ...]
    tests: Mapping[str, tuple[int, str]]


def listed(path: Path | str) -> tuple[dict[str, Listed], dict[str, Listed]]:
    """Read an atlas's file: YAML with ``pools`` and ``tests``, each a mapping of names to sets.

    Raises
    ------
    WherefromError
        If the file cannot be read, or a set has another field; names it.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        file = _File.model_validate(content)
    except OSError as err:
        raise WherefromError(of_the_system(err) or f"cannot read {path}: {err.strerror}") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        said = " ".join(str(err).split())
        raise WherefromError(f"{path} is not YAML ({said}): mend it") from err
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise WherefromError(f"{path}: {where}: {first['msg']}") from err
    return file.pools, file.tests


def drawn_up(
    pools: Mapping[str, Listed], tests: Mapping[str, Listed], folder: Path, seed: int = 0
) -> Iterator[Row]:
    """Measure each set beside land and beside all benchmarks, one after the other.

    Parameters
    ----------
    pools, tests : mapping of str to Listed
    folder : Path
        From which their files are named.
    seed : int
        Of simulations and samples.

    Yields
    ------
    Row

    Raises
    ------
    WherefromError
        If a set cannot be read: names it.

    Examples
    --------
    >>> [row] = drawn_up({"cities": Listed(known="geonames-cities")}, {}, Path())
    >>> row.places, round(row.continents["Europe"], 2)
    (33957, 0.24)
    """
    beside = {name: _opened(name, one, folder) for name, one in tests.items()}
    for name, one in pools.items():
        pool = _opened(name, one, folder)
        asked = Asked(pool, wanted=["continent"], seed=seed)
        found = measured(asked, (Layers, Coverage, Effective))
        shares, cover = cast("Layers", found[Layers])["continent"], found[Coverage]
        worth = cast("Effective", found[Effective]).sizes[JUDGED]
        assert isinstance(cover, Coverage)
        tallies = run(pool, [tally_for(pool, test) for test in beside.values()]) if beside else []
        yield Row(
            name,
            len(pool),
            asked.sample.seen,
            {row.label: row.share for row in shares.rows if row.places},
            shares.none / max(shares.none + shares.places, 1e-300),
            cover.median_km,
            cover.uniform_median_km,
            worth.effective,
            worth.uniform,
            {test: tally.result() for test, tally in zip(beside, tallies, strict=True)},
            one.caveat,
        )


def _columns(path: Path) -> list[str]:
    """Return the columns of a table; of Parquet its rows are not read."""
    if is_parquet(path):
        return [str(name) for name in pq.read_schema(path).names]
    return [str(name) for name in read_table(path).column_names]


def _opened(name: str, one: Listed, folder: Path) -> AnyPool:
    try:
        return one.opened(folder)
    except WherefromError as err:
        raise WherefromError(f"{name}: {err}") from err


def counted(tests: Mapping[str, Listed], rows: tuple[Row, ...]) -> Atlas:
    """Put rows and benchmarks together."""
    first = rows[0].leakage if rows else {}
    return Atlas(rows, {name: (first[name].n_test, one.caveat) for name, one in tests.items()})
