"""Findings: what is amiss in plain words, on one scale, each with the command that remedies it."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wherefrom.compose import spec_text
from wherefrom.compose.samplers.match import Match
from wherefrom.earth.file_layers import file_name_of
from wherefrom.earth.surfaces import SURFACES, Surface, Words
from wherefrom.pool.geometry import Cells
from wherefrom.pool.seasons import GROWING, SPAN, TIME

__all__ = [
    "CAUSES",
    "LEAST",
    "PAIRED",
    "RARE",
    "SIGMAS",
    "SPREAD",
    "WHOLE",
    "Commands",
    "Finding",
    "Named",
    "chance",
    "chance_tv",
    "decimals",
    "degrees",
    "kilometres",
    "options_of",
    "percent",
    "ranked",
    "times",
    "title",
]

#: Smallest size of a finding: 2 % of the places (or of the land, of the test places, ...).
LEAST = 0.02
#: Standard deviations beyond what chance gives; a clean table passes all layers together with
#: probability above 0.999.
SIGMAS = 4.5
#: Chance below which a test of one statistic counts, so that all of them together rarely err.
RARE = 1e-4
#: What other findings may follow from, the first cause first. Those of `WHOLE` explain any
#: difference, the others one of no more places than they concern, or any if they concern `ALL`.
#: Places at sea are a cause in that case alone.
CAUSES = (
    "colatitude", "swapped-axes", "sea", "region", "zero-lon", "zero-lat", "antarctica",
    "duplicates", "near-duplicates",
)  # fmt: skip
#: What a difference of where the places lie may follow from.
SPREAD = CAUSES[:-2]
#: What a difference of how far places lie apart may follow from.
PAIRED = (*SPREAD, "near-duplicates")
#: Layers of a table's dates, which another table has as columns alone.
OF_DATES = (*TIME, SPAN, GROWING)
WHOLE = ("colatitude", "swapped-axes", "region")
ALL = 0.98


@dataclass(frozen=True)
class Finding:
    """One thing that is amiss.

    Attributes
    ----------
    name : str
        Of the layer or the statistic, e.g. ``"continent"``, ``"duplicates"``.
    size : float
        Share in [0, 1] of the places that are concerned: those that would have to lie elsewhere
        to agree with the reference (total variation beyond what chance gives), or that repeat
        others; for leakage the share of the test places, for coverage that of the land, for
        losses that of the planned places.
    text : str
        One or two sentences.
    command : str
        Runs as it is, in a shell, and remedies it; empty where none does.
    follows : str
        Name of the finding that it follows from, or may: mend that first, and audit again.
    may_follow : tuple of str
        Those of `CAUSES` that it follows from where they are found.
    explained : bool
        Whether nothing is amiss once the places of those causes are left out: then it follows from
        them though it is larger than they are.
    keeps : str
        Which rows of the table stay by the command; empty without one.
    """

    name: str
    size: float
    text: str
    command: str
    follows: str = ""
    may_follow: tuple[str, ...] = ()
    explained: bool = False
    keeps: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        plain = asdict(self)
        del plain["may_follow"], plain["explained"]
        return plain


def options_of(
    id: str | None,
    lon: str,
    lat: str,
    time: str | None = None,
    place: str | None = None,
    where: str | None = None,
) -> tuple[str, ...]:
    """Return the flags that name a table's columns, and which of its rows.

    >>> options_of("tile", "x", "lat"), options_of(None, "center", "center", "date")
    (('--id', 'tile', '--lon', 'x'), ('--geometry', 'center', '--time', 'date'))
    """
    points = lon == lat
    cells = lon if isinstance(lon, Cells) else None
    flags = {
        "--id": id,
        "--grid": None if cells is None else cells.grid,
        "--cell": None if cells is None or cells in (id, "id") else str(cells),
        "--geometry": lon if points and cells is None else None,
        "--lon": None if points or lon == "lon" else lon,
        "--lat": None if points or lat == "lat" else lat,
        "--time": time,
        "--place": place,
        "--where": where,
    }
    return tuple(word for flag, name in flags.items() if name is not None for word in (flag, name))


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
    parted : bool
        Whether `test` is rows of `file` itself, which no draw may take.
    points : bool
        Whether its places are those of a column of points, so that no flag exchanges their axes.
    turned : bool
        Whether its longitudes and latitudes are called by each other's name, for they look
        exchanged.
    cleaned : str or None
        File that the audit writes the cleaned table to: no command cleans it again.
    """

    file: str = "places.parquet"
    options: tuple[str, ...] = ()
    pool: str | None = None
    against: str | None = None
    test: str | None = None
    planned: str | None = None
    available: int | None = None
    parted: bool = False
    points: bool = False
    turned: bool = False
    cleaned: str | None = None

    def but(self, *flags: str) -> tuple[str, ...]:
        """Return the options without some flags."""
        pairs = zip(self.options[::2], self.options[1::2], strict=True)
        return tuple(word for pair in pairs if pair[0] not in flags for word in pair)

    def only(self, flag: str) -> tuple[str, ...]:
        """Return one of the options, if it is there."""
        at = self.options[::2].index(flag) if flag in self.options[::2] else len(self.options)
        return self.options[2 * at : 2 * at + 2]

    def new(self, name: str) -> str:
        """Name a Parquet file to write that is none of these tables.

        >>> Named("clean.parquet").new("clean"), Named("a.csv").new("clean")
        ('clean-new.parquet', 'clean.parquet')
        """
        taken = {self.file, self.pool, self.against, self.test, self.planned, self.cleaned}
        while f"{name}.parquet" in taken:
            name += "-new"
        return f"{name}.parquet"


@dataclass(frozen=True)
class Commands:
    """Commands that remedy findings about so many places.

    Attributes
    ----------
    named : Named
    places : int
        Those audited, with repetition.
    rows : int
        Rows of the audited table.
    faulty : bool
        Whether it has rows that it is refused for as a pool: draws then start by cleaning it.
    by_land : bool
        Whether the places are held against land.
    land_share : float
        Share of the land that is in the region of the places; 1 if they are in none.
    within : str
        The extent whose land alone counts; empty for all land.
    reference : str
        The surface that counts as land does.
    finer : float
        How many times cells are finer than on all land.
    extended : bool
        Whether the places are the middles of footprints.
    wanted : int or None
        Places that the user means to draw.
    outside : bool
        Whether some of the table's rows lie outside the extent.

    Examples
    --------
    >>> commands = Commands(Named("my tiles.csv", ("--lon", "x")), 500, 500)
    >>> commands.draw("uniform-area", "even")
    "wherefrom draw 'my tiles.csv' --lon x --sampler uniform-area -n 50 --out even.parquet"
    """

    named: Named
    places: int
    rows: int
    faulty: bool = False
    by_land: bool = True
    land_share: float = 1.0
    within: str = ""
    finer: float = 1.0
    extended: bool = False
    reference: Surface = "land"
    wanted: int | None = None
    outside: bool = True

    @property
    def ground(self) -> Words:
        """What the surface is called."""
        return SURFACES[self.reference]

    @property
    def target(self) -> str:
        """What the places are held against, as the sampler ``match`` takes it."""
        return "land" if self.by_land else self.named.against or "land"

    @property
    def n(self) -> int:
        """Places to draw: those wanted, else those audited, but a tenth of the pool's at most.

        A draw of most of the candidates is the candidates, whatever the design.
        """
        if self.wanted is not None:
            return self.wanted
        return max(1, min(self.places, (self.named.available or self.rows) // 10))

    def draw(self, sampler: str, out: str) -> str:
        """Write the command that draws by a sampler to ``OUT.parquet``."""
        table = [self.named.pool or self.named.file, *self.named.but("--place")]
        before = ""
        if self.named.cleaned is not None and self.named.pool is None:
            table = [self.named.cleaned]
        elif self.faulty or self.named.parted or (self.within and self.outside):
            table, before = [self.named.new("clean")], f"{self._cleaned(self.named.pool)} && "
        words = ["wherefrom", "draw", *table, "--sampler", sampler]
        return before + shlex.join([*words, "-n", str(self.n), "--out", self.named.new(out)])

    def even(self) -> str:
        """Write the command that draws evenly from cells."""
        size = max(10, round(200 / self.finer))
        return self.draw(f"uniform-area:cell_km={size}" if self.within else "uniform-area", "even")

    def match(self, target: str, layer: str, out: str = "") -> str:
        """Write the command that draws to a target's shares, fewer places where they lack."""
        before = ""
        dates = self.named.only("--time") if layer in OF_DATES else ()
        if (self.within or self.reference != "land") and target == "land":
            target, before = self.named.new(self.ground.noun), f"{self.build()} && "
        elif self.within or dates:
            new = self.named.new("target")
            words = ["wherefrom", "audit", target, *dates, *self._on, "--clean", new]
            target, before = new, f"{shlex.join(words)} && "
        spec = spec_text(Match(target=target, over=(layer,), short="cap").spec())
        name = out or f"{re.sub(r'[^A-Za-z0-9_-]+', '-', layer)}-matched"
        return before + self.draw(spec, name)

    def build(self) -> str:
        """Write the command that builds a pool on the land, of ten times as many places."""
        words = ["wherefrom", "pool", "build", "--places", str(10 * (self.wanted or self.places))]
        return shlex.join([*words, *self._on, "--out", self.named.new(self.ground.noun)])

    def clean(self) -> str:
        """Write the command that writes the places without faults, repetition and leakage."""
        return self._cleaned(None)

    def once(self, box: str, name: str) -> str:
        """Write the command that writes each place, within a box or all, once for all its dates."""
        within = ("--within", box) if box and not self.within else ()
        words = [*self.named.but("--time", "--place"), *within, "--clean", self.named.new(name)]
        # Those of test places too, which cleaning leaves out.
        return replace(self, named=replace(self.named, test=None))._audit(None, words)

    def told(self, finding: Finding) -> Finding:
        """Say which rows stay by a finding's command; take that away if it was done already."""
        done, last = self.named.cleaned, finding.command.rpartition(" && ")[2]
        if not last.startswith("wherefrom "):  # none, or one of a plug-in's
            return finding
        here = self, replace(self, within="", reference="land")  # faults know of no extent
        if done is not None and finding.command in [each.clean() for each in here]:
            text = re.sub(r"\b[Tt]he command (leaves|keeps|writes)", r"--clean \1", finding.text)
            return replace(finding, text=text, command="", keeps=f"done by --clean {done}")
        words = shlex.split(last)
        rows = "your rows" if self.named.pool is None else f"the rows of {self.named.pool}"
        if words[1] == "pool":
            keeps = f"new places: none of {rows} is among them"
        elif words[1] == "draw" and "--places" not in words:
            of = self.named.available or self.rows
            keeps = f"keeps {min(self.n, of):,} of {of:,} places, by their ids; the file stays"
        elif "--clean" in words:
            keeps = "keeps all other rows, with their ids; the file stays"
        else:
            keeps = f"{rows} stay as they are"
        return replace(finding, keeps=keeps)

    def exchanged(self) -> Commands:
        """Return the commands for the table with longitude and latitude exchanged."""
        named = self.named
        if named.turned:
            return self
        if named.points or named.pool is not None:  # no flags of an audit exchange these
            turned = replace(named, file=named.new("points"), pool=None, available=None)
            turned = replace(turned, options=("--lon", "lat", "--lat", "lon"), turned=True)
            return replace(self, named=turned, rows=named.available or self.rows)
        flags = dict(zip(named.options[::2], named.options[1::2], strict=True))
        lon, lat = flags.get("--lon", "lon"), flags.get("--lat", "lat")
        options = (*named.but("--lon", "--lat"), "--lon", lat, "--lat", lon)
        return replace(self, named=replace(named, options=options, turned=True))

    def exchange(self) -> str:
        """Write the command that audits the table with longitude and latitude exchanged."""
        turned = self.exchanged()
        named, again = self.named, turned.audit(*turned.named.options)
        if turned.named.file == named.file:
            return again
        table = ["wherefrom", "draw", named.pool or named.file, *named.but("--place")]
        every = ["--sampler", "uniform", "-n", str(turned.rows), "--places"]
        every += ["--out", turned.named.file]
        return f"{shlex.join([*table, *every])} && {again}"

    def audit(self, *words: str) -> str:
        """Write the command that audits the file with other flags, beside the same test places."""
        return self._audit(None, words)

    def _cleaned(self, instead: str | None) -> str:
        return self._audit(instead, [*self.named.options, "--clean", self.named.new("clean")])

    def _audit(self, instead: str | None, words: Iterable[str]) -> str:
        """Write the command that audits the file, or another one `instead`."""
        words = [*words]
        if self.wanted is not None and "--clean" not in words:
            words += ["-n", str(self.wanted)]
        pool = None if instead else self.named.pool
        beside = {"--pool": pool, "--test": self.named.test}
        kept = [word for flag, name in beside.items() if name is not None for word in (flag, name)]
        table = [instead or self.named.file, *kept, *self._on]
        return shlex.join(["wherefrom", "audit", *table, *words])

    @property
    def _on(self) -> list[str]:
        """Flags of the extent and the surface."""
        within = ["--within", self.within] if self.within else []
        return within + ([] if self.reference == "land" else ["--reference", self.reference])


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings, the largest first and equal ones by name, but causes before consequences.

    What follows from another finding comes right after it, and names it in `follows`.

    >>> gaps = Finding("gaps", 0.5, "", "", may_follow=SPREAD)
    >>> swapped = Finding("swapped-axes", 0.3, "", "")
    >>> [(finding.name, finding.follows) for finding in ranked([gaps, swapped])]
    [('swapped-axes', ''), ('gaps', 'swapped-axes')]
    """
    found = sorted(findings, key=lambda finding: (-finding.size, finding.name))
    sizes = {
        finding.name: finding.size
        for finding in reversed(found)
        if finding.name in CAUSES and (finding.name != "sea" or finding.size >= ALL)
    }

    def cause(finding: Finding) -> str:
        for name in CAUSES:
            whole = name in WHOLE or finding.explained or sizes.get(name, 0.0) >= ALL
            most = 1.0 if whole else sizes.get(name, 0.0) + LEAST
            if (
                name in sizes
                and name != finding.name
                and name in finding.may_follow
                and finding.size <= most
            ):
                return name
        return ""

    found = [replace(finding, follows=cause(finding)) for finding in found]
    roots = {finding.name: finding.follows for finding in found if finding.name in CAUSES}
    found = [replace(each, follows=roots.get(each.follows) or each.follows) for each in found]
    first = [finding for finding in found if not finding.follows]
    first.sort(key=lambda finding: finding.name not in WHOLE)
    return tuple(
        each
        for finding in first
        for each in (finding, *(one for one in found if one.follows == finding.name))
    )


def chance_tv(shares: ArrayLike, n: int) -> tuple[float, float]:
    """Total variation that chance alone gives between n independent places and their true shares.

    Returns its mean and standard deviation. The mean is exact: de Moivre's mean absolute deviation
    of each binomial count (P. Diaconis, S. Zabell, Closed form summation for classical
    distributions, Stat. Sci. 6 (1991) 284-302). The standard deviation takes counts for
    independent, which bounds it from above but for a few labels.

    >>> mean, sd = chance_tv([0.5, 0.5], 1)  # one place: always half away
    >>> mean, round(chance_tv(np.full(100, 0.01), 10_000)[0], 3)
    (0.5, 0.04)
    """
    from scipy.stats import binom  # slow to import

    p = np.asarray(shares, dtype=np.float64)
    floor = np.floor(n * p)
    deviation = 2 * (1 - p) * (floor + 1) * binom.pmf(floor + 1, n, p)
    spread = np.maximum(n * p * (1 - p) - deviation**2, 0.0)
    return float(deviation.sum() / (2 * n)), float(np.sqrt(spread.sum()) / (2 * n))


def percent(share: float) -> str:
    """Write a share in per cent with two digits that matter.

    >>> percent(0.3821), percent(0.0153), percent(0.0), percent(0.00004), percent(1.0)
    ('38 %', '1.5 %', '0 %', '< 0.01 %', '100 %')
    """
    value = 100 * share
    if 0 < value < 0.01:
        return "< 0.01 %"
    if 99.5 <= value < 100:
        return "> 99 %"
    return f"{value:.2g} %" if value < 9.95 else f"{value:.0f} %"


def times(ratio: float | None) -> str:
    """Write how many times a share is that of the reference; a dash where that has none.

    >>> times(5.23), times(0.068), times(12.6), times(0.0), times(0.00002), times(None)
    ('5.2', '0.068', '13', '0', '< 0.001', '–')
    """
    if ratio is None or not math.isfinite(ratio):
        return "–"
    if 0 < ratio < 0.001:
        return "< 0.001"
    return f"{ratio:,.0f}" if ratio >= 9.95 else f"{ratio:.2g}"


def kilometres(km: float) -> str:
    """Write a distance.

    >>> kilometres(1234.5), kilometres(12.34), kilometres(0.2113), kilometres(0.0)
    ('1,234 km', '12 km', '211 m', '0 km')
    """
    if 0 < km < 0.9995:
        return f"{1000 * km:.0f} m" if km >= 0.00995 else f"{max(1000 * km, 0.1):.1f} m"
    return f"{km:,.0f} km" if km >= 9.95 else f"{km:.2g} km"


def degrees(value: float) -> str:
    """Write a coordinate to a metre.

    >>> degrees(-179.151234567), degrees(10.0), degrees(1e-5)
    ('-179.15123', '10', '0.00001')
    """
    return np.format_float_positional(round(value, 5) + 0.0, trim="-")


def title(layer: str) -> str:
    """Name a layer or column for people.

    >>> title("climate_zone"), title("data/zones.gpkg:zone_name"), title("population.tif")
    ('climate zone', 'zone name of zones.gpkg', 'population.tif')
    """
    file = file_name_of(layer)
    if file is None:
        return layer.replace("_", " ")
    of = "band " * file.part.isdecimal() + file.part.replace("_", " ")
    return f"{of} of {file.path.name}" if of else file.path.name


def decimals(value: float | None, digits: int) -> str:
    """Write a number with so many decimals; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}"


def chance(p: float | None) -> str:
    """Write a probability of a test; a dash for none.

    >>> chance(0.1234), chance(1e-9), chance(None)
    ('0.12', '< 0.001', '–')
    """
    if p is None:
        return "–"
    return f"{p:.2g}" if p >= 0.001 else "< 0.001"
