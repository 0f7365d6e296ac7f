"""Findings: what is amiss in plain words, on one scale, each with the command that remedies it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from wherefrom.auditing.wording import percent, times, title
from wherefrom.compose import spec_text
from wherefrom.compose.samplers.match import Match

if TYPE_CHECKING:
    from wherefrom.auditing.shares import LabelShare, LayerShares

__all__ = [
    "LEAST",
    "SIGMAS",
    "Commands",
    "Finding",
    "chance_tv",
    "layer_findings",
    "ranked",
    "sea_findings",
]

#: Smallest size of a finding: 2 % of the places (or of the land, of the test places, ...).
LEAST = 0.02
#: Standard deviations beyond what chance gives; a clean table passes all layers together with
#: probability above 0.999.
SIGMAS = 4.5
#: Labels that a finding names on each side.
NAMED = 2


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
        Runs as it is, in a shell, and remedies it.

    Examples
    --------
    >>> Finding("duplicates", 0.25, "25 % of the places repeat another one.", "true").size
    0.25
    """

    name: str
    size: float
    text: str
    command: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Commands:
    """The files that commands name, and how their columns are called.

    Attributes
    ----------
    file : str
        The audited table.
    options : sequence of str
        Flags that name its columns, e.g. ``("--id", "tile", "--lon", "x")``.
    places : int
        Its places, with repetition.
    available : int
        Places of the pool that can be drawn from.
    pool : str or None
        That pool, where `file` is a composition; None where it is `file`.
    test : str or None
        Table of test places.
    faulty : bool
        Whether `file` has rows that it is refused for as a pool: draws then start by cleaning it.

    Examples
    --------
    >>> Commands("my tiles.csv", ("--lon", "x"), 500, 500).draw("uniform-area", "even")
    "wherefrom draw 'my tiles.csv' --lon x --sampler uniform-area -n 50 --out even.parquet"
    """

    file: str
    options: Sequence[str]
    places: int
    available: int
    pool: str | None = None
    test: str | None = None
    faulty: bool = False

    @property
    def n(self) -> int:
        """Places to draw: as many as were audited, but a tenth of the pool's at most.

        A draw of most of the candidates is the candidates, whatever the design.
        """
        return max(1, min(self.places, self.available // 10))

    def draw(self, sampler: str, out: str) -> str:
        """Write the command that draws by a sampler to ``OUT.parquet``."""
        table = [self.pool or self.file, *self.options]
        before = ""
        if self.faulty:
            table, before = ["clean.parquet"], f"{self.clean()} && "
        words = ["wherefrom", "draw", *table, "--sampler", sampler]
        return before + shlex.join([*words, "-n", str(self.n), "--out", f"{out}.parquet"])

    def match(self, target: str, layer: str, out: str = "") -> str:
        """Write the command that draws to a target's shares, fewer places where they lack."""
        spec = spec_text(Match(target=target, over=(layer,), short="cap").spec())
        return self.draw(spec, out or f"{re.sub(r'[^A-Za-z0-9_-]+', '-', layer)}-matched")

    def build(self) -> str:
        """Write the command that builds a pool on all land, of ten times as many places."""
        words = ["wherefrom", "pool", "build", "--places", str(10 * self.places)]
        return shlex.join([*words, "--out", "land.parquet"])

    def clean(self) -> str:
        """Write the command that writes the places without faults, repetition and leakage."""
        pool = [] if self.pool is None else ["--pool", self.pool]
        test = [] if self.test is None else ["--test", self.test]
        return self.audit(*self.options, *pool, *test, "--clean", "clean.parquet")

    def audit(self, *words: str) -> str:
        """Write the command that audits the file with other flags."""
        return shlex.join(["wherefrom", "audit", self.file, *words])


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings, the largest first; equal ones by name.

    Examples
    --------
    >>> small, large = Finding("b", 0.1, "", ""), Finding("a", 0.9, "", "")
    >>> [finding.name for finding in ranked([small, large])]
    ['a', 'b']
    """
    return tuple(sorted(findings, key=lambda finding: (-finding.size, finding.name)))


def chance_tv(shares: ArrayLike, n: int) -> tuple[float, float]:
    """Total variation that chance alone gives between a sample and the shares it is drawn by.

    Parameters
    ----------
    shares : array_like of float, shape (K,)
        True shares, summing to 1.
    n : int
        Independent places, at least 1.

    Returns
    -------
    mean, sd : float
        Of the total variation distance. The mean is exact: de Moivre's mean absolute deviation of
        each binomial count (P. Diaconis, S. Zabell, Closed form summation for classical
        distributions, Stat. Sci. 6 (1991) 284-302). The standard deviation takes counts for
        independent, which bounds it from above but for a few labels.

    Examples
    --------
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


def layer_findings(
    layers: Mapping[str, LayerShares],
    sizes: Mapping[str, float],
    commands: Commands,
    *,
    against: str = "land",
    target: str = "land",
) -> list[Finding]:
    """Find the layers whose shares differ from the reference's by more than chance.

    Parameters
    ----------
    layers : mapping of str to LayerShares
    sizes : mapping of str to float
        Of each layer, places or lattice points of the reference that count as independent.
    commands : Commands
    against : str
        What to call the reference in a sentence.
    target : str
        The reference as the sampler ``match`` takes it.

    Returns
    -------
    list of Finding
        A layer is in it if its total variation exceeds what chance gives by `SIGMAS` standard
        deviations and by at least `LEAST`.
    """
    found = []
    for name, layer in layers.items():
        if layer.tv is None or name not in sizes:
            continue
        reference = np.array([row.reference_share or 0.0 for row in layer.rows])
        n, m = layer.effective_places, sizes[name]
        # A reference of M adds its own chance, as if places were N M / (N + M).
        mean, sd = chance_tv(reference / reference.sum(), max(1, round(n * m / (n + m))))
        beyond = layer.tv - mean
        if beyond > max(LEAST, SIGMAS * sd):
            text = _differences(layer, against)
            found.append(Finding(name, beyond, text, _match(layer, commands, target)))
    return found


def sea_findings(layers: Mapping[str, LayerShares], commands: Commands) -> list[Finding]:
    """Find places on no land, where the continents were looked up; one finding or none."""
    layer = layers.get("continent")
    if layer is None or not layer.places + layer.none:
        return []
    share = layer.none / (layer.places + layer.none)
    if share <= LEAST:
        return []
    text = f"{percent(share)} of the places are at sea; shares are of the others."
    return [Finding("sea", share, text, commands.draw("only:layer=land,label=land", "on-land"))]


def _differences(layer: LayerShares, against: str) -> str:
    """Name the labels that differ most, and those that have no place."""
    by_gap = sorted(layer.rows, key=_gap)
    said = [
        f"{row.label} has {percent(row.share)} of the places and "
        f"{percent(row.reference_share or 0.0)} of {against}"
        + (f" ({times(row.ratio)} times)" if row.ratio else "")
        for row in (*by_gap[::-1][:NAMED], *by_gap[:NAMED])
        if abs(_gap(row)) >= LEAST / 4
    ]
    text = f"{title(layer.layer).capitalize()}: " + "; ".join(dict.fromkeys(said))
    if layer.empty:
        names = ", ".join(layer.empty[:NAMED]) + (", ..." if len(layer.empty) > NAMED else "")
        labels = f"{len(layer.empty):,} labels have" if len(layer.empty) > 1 else "1 label has"
        text += f". {labels} no place ({names}), with {percent(_lacking(layer))} of {against}"
    return f"{text}."


def _gap(row: LabelShare) -> float:
    """How much more of the places than of the reference has a label."""
    return row.share - (row.reference_share or 0.0)


def _lacking(layer: LayerShares) -> float:
    """Share of the reference with labels of no place."""
    empty = set(layer.empty)
    return sum(row.reference_share or 0.0 for row in layer.rows if row.label in empty)


def _match(layer: LayerShares, commands: Commands, target: str) -> str:
    """Draw to the reference's shares; from a new pool where this one lacks what it takes."""
    if target == "land" and _lacking(layer) > LEAST:
        return commands.build()
    return commands.match(target, layer.layer)
