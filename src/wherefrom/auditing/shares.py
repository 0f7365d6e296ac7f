"""Shares of a layer's labels in a pool, beside those of a reference."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.auditing import divergence
from wherefrom.pool.batches import Ask, Batch

if TYPE_CHECKING:
    from wherefrom.auditing.reference import Reference
    from wherefrom.auditing.tally import Weights

__all__ = ["DEFAULT_LAYERS", "LabelShare", "LayerShares", "LayerTally", "default_layers"]

Floats = NDArray[np.float64]

#: What an audit looks at unless told otherwise.
DEFAULT_LAYERS = (
    "continent",
    "country",
    "biome",
    "ecoregion",
    "climate_zone",
    "land_cover",
    "city_distance_band",
    "elevation_band",
)


def default_layers() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the layers an audit looks at here, and what it leaves out and why.

    Biomes and ecoregions take a download of 150 MB, which an audit does not start by itself;
    climate zones are the nearest to biomes that there is without it.

    Returns
    -------
    layers : tuple of str
        Those of `DEFAULT_LAYERS` whose data are on this machine or small.
    notes : tuple of str

    Examples
    --------
    >>> layers, notes = default_layers()
    >>> "climate_zone" in layers, ("biome" in layers) != bool(notes)
    (True, True)
    """
    absent = [name for name in ("biome", "ecoregion") if not earth.available(name)]
    if not absent:
        return DEFAULT_LAYERS, ()
    note = (
        f"{' and '.join(absent)} left out, climate_zone stands in: the ecoregions are not on this "
        "machine; get them with `wherefrom data fetch resolve-ecoregions`"
    )
    return tuple(name for name in DEFAULT_LAYERS if name not in absent), (note,)


class LayerTally:
    """Places of each label of one layer.

    Parameters
    ----------
    name : str
        Categorical layer or label column.
    labels : tuple of str
        The pool's ``labels(name)``.

    Attributes
    ----------
    places : ndarray of float64, shape (K,)
        Weight of the places of each label.
    none : float
        Weight of the places without a label.

    Examples
    --------
    >>> tally = LayerTally("use", ("crop", "forest"))
    >>> codes = np.array([0, 0, 1, -1], np.int32)
    >>> tally.update(Batch(0, np.zeros(4), np.zeros(4), codes={"use": codes}))
    >>> tally.places.tolist(), tally.none
    ([2.0, 1.0], 1.0)
    """

    def __init__(self, name: str, labels: tuple[str, ...]) -> None:
        self.name = name
        self.labels = labels
        self.places: Floats = np.zeros(len(labels))
        self.none = 0.0
        self._squares = 0.0

    @property
    def ask(self) -> Ask:
        """The layer's codes."""
        return Ask(codes=(self.name,))

    @property
    def effective_size(self) -> float:
        """Labelled places that count as independent, (sum w)**2 / sum w**2 (Kish 1965)."""
        return float(self.places.sum() ** 2 / self._squares) if self._squares else 0.0

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Count a batch; see `Tally.update`."""
        codes = batch.codes[self.name]
        # Code -1 becomes 0, so that none is counted in the same go.
        found = np.bincount(codes + 1, weights=weight, minlength=len(self.labels) + 1)
        self.none += float(found[0])
        self.places += found[1:]
        labelled = codes >= 0
        self._squares += float(labelled.sum() if weight is None else (weight[labelled] ** 2).sum())

    def merge(self, other: LayerTally) -> None:
        """Add what another tally of the same layer counted."""
        self.places += other.places
        self.none += other.none
        self._squares += other._squares

    def result(self, reference: Reference | None = None) -> LayerShares:
        """Hold the shares against a reference.

        Parameters
        ----------
        reference : Reference, optional
            Of the same layer; default none, for shares and diversity alone.

        Returns
        -------
        LayerShares
        """
        # The labels of both, in the pool's order: a column of the pool may lack some of the
        # reference's, or have others.
        labels = list(self.labels)
        if reference is not None:
            labels += sorted(set(reference.labels) - set(labels))
        places = np.concatenate([self.places, np.zeros(len(labels) - len(self.places))])
        total = float(places.sum())
        shares = places / total if total else places
        shannon = divergence.shannon(shares) if total else None
        alone: dict[str, Any] = {
            "layer": self.name,
            "places": total,
            "effective_places": self.effective_size,
            "none": self.none,
            "shannon": shannon,
            "effective": float(np.exp(shannon)) if shannon is not None else None,
        }
        if reference is None:
            rows = [
                LabelShare(label, float(count), float(share))
                for label, count, share in zip(labels, places, shares, strict=True)
                if count
            ]
            return LayerShares(rows=tuple(rows), **alone)
        return _beside(reference, labels, places, shares, alone)


@dataclass(frozen=True)
class LabelShare:
    """One label's share.

    Attributes
    ----------
    label : str
    places : float
        Weight of the pool's places that have it; their number where all count once.
    share : float
        Among the pool's labelled places.
    reference_share : float or None
        Among the reference's; None without reference. 0 of land may also be less area than a
        point of the lattice stands for; a note names such labels.
    ratio : float or None
        ``share / reference_share``; None where the reference has none of it.
    z : float or None
        Difference of the shares in standard deviations of two independent samples of these sizes:
        within 3 for nearly all labels of a pool that was drawn from the reference.
    """

    label: str
    places: float
    share: float
    reference_share: float | None = None
    ratio: float | None = None
    z: float | None = None


@dataclass(frozen=True)
class LayerShares:
    """Shares of a layer's labels in a pool, beside a reference.

    Attributes
    ----------
    layer : str
    rows : tuple of LabelShare
        Every label that the pool or the reference has, in the layer's order.
    places, none : float
        Weight of the places with and without a label. Shares are among those with one.
    effective_places : float
        Labelled places that count as independent: fewer than there are if they have weights.
    shannon, effective : float or None
        Entropy of the shares in nats, and how many equal labels would have it; None without places.
    reference : str
        What the pool is held against; empty for nothing. What follows is then None or empty.
    reference_none : float or None
        Share of the reference, area or places, that has no label.
    empty : tuple of str
        Labels of the reference with no place in the pool, the largest first.
    kl, js, tv : float or None
        Kullback-Leibler of the pool from the reference and Jensen-Shannon divergence, both in
        nats, and total variation. `kl` is None where it is infinite: the pool has a label
        that the reference has not. A label too small for the lattice of land counts half a point
        of it.
    reference_shannon, reference_effective : float or None
    p : float or None
        Of a chi-square test that both are samples of one population. A lattice has less error
        than the random sample it is taken for here, so the test is on the safe side.
    notes : tuple of str
        What a reader must know to read the figures.

    Examples
    --------
    >>> tally = LayerTally("use", ("crop", "forest"))
    >>> tally.places[:] = 3, 1
    >>> shares = tally.result()
    >>> shares.rows[0].share, round(shares.shannon, 4)
    (0.75, 0.5623)
    """

    layer: str
    rows: tuple[LabelShare, ...]
    places: float
    none: float
    effective_places: float
    shannon: float | None
    effective: float | None
    reference: str = ""
    reference_none: float | None = None
    empty: tuple[str, ...] = ()
    kl: float | None = None
    js: float | None = None
    tv: float | None = None
    reference_shannon: float | None = None
    reference_effective: float | None = None
    p: float | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them.

        Examples
        --------
        >>> LayerTally("use", ("crop",)).result().to_dict()["places"]
        0.0
        """
        plain = asdict(self)
        return plain | {name: list(plain[name]) for name in ("rows", "empty", "notes")}


def _beside(
    reference: Reference,
    labels: list[str],
    places: Floats,
    shares: Floats,
    alone: dict[str, Any],
) -> LayerShares:
    """Put shares of these labels beside those of the reference."""
    where = {label: i for i, label in enumerate(reference.labels)}
    at = np.array([where.get(label, -1) for label in labels], dtype=np.int64)
    other = np.append(reference.shares, 0.0)[at]
    unresolved = set(reference.unresolved)
    small = np.array([label in unresolved for label in labels], dtype=np.bool_)
    n, m = alone["effective_places"], reference.size
    notes = _notes(reference, labels, places, other, small)
    found: dict[str, Any] = {"reference": reference.name, "notes": notes}
    everything = reference.counts.sum() + reference.none
    if everything:
        found["reference_none"] = float(reference.none / everything)
    if reference.counts.any():
        found["reference_shannon"] = divergence.shannon(other)
        found["reference_effective"] = divergence.effective(other)
    if reference.counts.any() and places.any():
        half = np.where(small & (places > 0), reference.resolution / 2.0, other)
        kl = divergence.kullback_leibler(shares, half / half.sum())
        found["kl"] = kl if np.isfinite(kl) else None
        found["js"] = divergence.jensen_shannon(shares, other)
        found["tv"] = divergence.total_variation(shares, other)
        found["p"] = divergence.homogeneity(shares, n, other, m)
    z = _z(shares, n, other, m)
    rows = tuple(
        LabelShare(
            label,
            float(places[i]),
            float(shares[i]),
            float(other[i]),
            float(shares[i] / other[i]) if other[i] and places.any() else None,
            None if np.isnan(z[i]) else float(z[i]),
        )
        for i, label in enumerate(labels)
        if places[i] or other[i]
    )
    missing = np.flatnonzero((places == 0.0) & (other > 0.0))
    missing = missing[np.argsort(-other[missing], kind="stable")]
    return LayerShares(rows=rows, empty=tuple(labels[i] for i in missing), **alone, **found)


def _z(shares: Floats, n: float, other: Floats, m: float) -> Floats:
    """Differences in standard deviations; NaN where there is nothing to tell."""
    if not (n > 0 and m > 0):
        return np.full(len(shares), np.nan)
    pooled = (n * shares + m * other) / (n + m)
    deviation = np.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m))
    z = np.full(len(shares), np.nan)
    np.divide(shares - other, deviation, out=z, where=deviation > 0.0)
    return z


def _notes(
    reference: Reference,
    labels: list[str],
    places: Floats,
    other: Floats,
    small: NDArray[np.bool_],
) -> tuple[str, ...]:
    notes = []
    if not places.any():
        notes.append("no place has a label of this layer")
    if not reference.counts.any():
        notes.append(f"{reference.name} has no label of this layer")
    lost = np.flatnonzero((places > 0.0) & (other == 0.0) & ~small)
    if len(lost) and reference.counts.any():
        lost = lost[np.argsort(-places[lost], kind="stable")]
        named = ", ".join(labels[i] for i in lost[:3]) + (", ..." if len(lost) > 3 else "")
        notes.append(
            f"{reference.name} has none of {named}: the Kullback-Leibler divergence is infinite"
        )
    tiny = np.flatnonzero((places > 0.0) & small)
    if len(tiny):
        named = ", ".join(labels[i] for i in tiny[:3]) + (", ..." if len(tiny) > 3 else "")
        notes.append(f"too small for the lattice that measures land: {named}")
    return tuple(notes)
