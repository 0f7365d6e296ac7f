"""Places for a task: uniform by area in every region, told of by a layer, apart from a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wherefrom import earth
from wherefrom.earth.sphere import chord, uniform_on_sphere, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.keys import generator
from wherefrom.pool import Pool
from wherefrom.progress import progress
from wherefrom.tasks.task import SPLITS, Task

__all__ = ["numbers_of", "place"]

# Fixed, because it decides which random numbers make which place.
CHUNK = 262_144
# Draws on the sphere after which a region counts as full: 0.004 % of the sphere, some 20,000 km²
# without a pool place nearby, still gives 2,000 places.
MOST_DRAWS = 200 * CHUNK

#: A place in degrees, with the codes of its label and of its region.
PLACE = np.dtype([("lon", "f8"), ("lat", "f8"), ("label", "f8"), ("region", "i4")])
Places = NDArray[np.void]
Told = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[Any]]


def place(
    name: str,
    pool: Pool,
    layer: str,
    region_layer: str,
    sizes: tuple[int, int, int, int],
    min_distance_km: float,
    seed: int,
    positive: str | None = None,
    numbers: bool = False,
    ladder: tuple[str, ...] = (),
) -> Task:
    """Draw labelled places uniformly by area in every region, apart from a pool.

    See `wherefrom.tasks.ecoregions`. `name` is the task's, with which its errors begin; `sizes` are
    the places per region of each of `SPLITS`. With a `positive` label, the classes are all of the
    layer's labels; without, those that occur. `numbers` are the values of a layer of numbers, of
    monthly ones the mean over the months. Places have a label of every layer of a `ladder`, and
    follow it, not `layer`.
    """
    if min(sizes[:2]) < 1 or min(sizes) < 0 or not min_distance_km >= 0:
        raise WherefromError(
            f"task {name}: train and test places per region must be at least 1, tuning places "
            f"and distance not negative; got {sizes} and {min_distance_km} km"
        )
    told = numbers_of(layer) if numbers else earth.layer(layer)
    areas = earth.layer(region_layer)
    if not ((numbers or isinstance(told, earth.Layer)) and isinstance(areas, earth.Layer)):
        value = region_layer if numbers or isinstance(told, earth.Layer) else layer
        raise WherefromError(
            f"layer {value!r} holds values, not labels; choose of {', '.join(earth.CATEGORICAL)}"
        )
    asked = told.codes if isinstance(told, earth.Layer) else _values_of(told)
    regions = earth.CONTINENTS if region_layer == "continent" else areas.labels
    if ladder and layer not in ladder:
        raise WherefromError(f"task {name}: its ladder lacks {layer!r}, which it tells: add it")
    # Every rung, its own too, in one order: the same random numbers make the same places.
    rungs = [_labels_of(rung) for rung in ladder]
    rng = generator("ladder", *ladder, seed) if ladder else generator("task", layer, seed)
    candidates = _candidates(asked, areas, len(regions), rng, rungs)
    avoid = unit_vectors(pool.lon, pool.lat)
    parts: list[Places] = []
    splits: list[NDArray[np.int8]] = []
    # Test before train, so that a longer list of training places leaves the test as it is.
    for first, second, what in ((1, 0, "reported"), (3, 2, "tuning")):
        wanted = sizes[first] + sizes[second]
        if not wanted:
            continue
        found = _fill(name, candidates, regions, wanted, avoid, min_distance_km, what)
        parts.append(found[np.argsort(found["region"], kind="stable")])
        one = np.repeat(np.array([first, second], np.int8), (sizes[first], sizes[second]))
        splits.append(np.tile(one, len(regions)))
        avoid = np.concatenate([avoid, unit_vectors(found["lon"], found["lat"])])
    places = np.concatenate(parts)
    label = places["label"]
    names: tuple[str, ...] = ()
    if isinstance(told, earth.Layer):
        kept = np.unique(label) if positive is None else np.arange(len(told.labels))
        names = tuple(told.labels[int(code)] for code in kept)
        label = np.searchsorted(kept, label).astype(np.int32)
    return Task(
        name=name,
        lon=places["lon"],
        lat=places["lat"],
        label=label,
        classes=names,
        positive=None if positive is None else names.index(positive),
        region=places["region"].astype(np.int16),
        regions=tuple(regions),
        split=np.concatenate(splits),
        label_layer=layer,
        provenance={
            "made": "uniform by area in each region",
            "layer": layer,
            "layer_key": told.key,
            "region_layer": region_layer,
            "region_layer_key": areas.key,
            "sources": [s.citation for s in (*told.source, *areas.source)],
            "pool_key": pool.key,
            "pool_places": len(pool),
            "min_distance_km": min_distance_km,
            "per_region": dict(zip(SPLITS, sizes, strict=True)),
            "seed": seed,
        }
        | ({"ladder": list(ladder)} if ladder else {}),
        units=told.units if isinstance(told, earth.ValueLayer) else None,
    )


def numbers_of(layer: str) -> earth.ValueLayer:
    """Open a layer of numbers; one of labels is refused."""
    found = earth.layer(layer)
    if isinstance(found, earth.ValueLayer):
        return found
    raise WherefromError(
        f"layer {layer!r} holds labels, not values; choose of {', '.join(earth.VALUES)}"
    )


def _labels_of(layer: str) -> Told:
    """Return the codes of a layer of labels, a rung of a ladder."""
    found = earth.layer(layer)
    if isinstance(found, earth.Layer):
        return found.codes
    raise WherefromError(
        f"ladder: layer {layer!r} holds values, not labels; choose of "
        f"{', '.join(earth.CATEGORICAL)}"
    )


def _values_of(layer: earth.ValueLayer) -> Told:
    """Return the values of a layer, averaged over the months where it has one a month."""

    def values(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
        found = layer(lon, lat).astype(np.float64)
        return np.asarray(found.mean(axis=1)) if found.ndim > 1 else found

    return values


def _candidates(
    told: Told,
    areas: earth.Layer,
    regions: int,
    rng: np.random.Generator,
    rungs: Sequence[Told] = (),
) -> Iterator[Places]:
    """Give chunks of places, uniform by area, that have a region and a label or a number.

    And a label of every rung.
    """
    for _ in range(0, MOST_DRAWS, CHUNK):
        lon, lat = uniform_on_sphere(CHUNK, rng)
        region = areas.codes(lon, lat)
        keep = (region >= 0) & (region < regions)
        lon, lat, region = lon[keep], lat[keep], region[keep]
        label = told(lon, lat)
        known = label >= 0 if label.dtype.kind == "i" else np.isfinite(label)
        for rung in rungs:
            known &= rung(lon, lat) >= 0
        yield np.rec.fromarrays([lon, lat, label, region], dtype=PLACE)[known]


def _fill(
    name: str,
    candidates: Iterator[Places],
    regions: Sequence[str],
    wanted: int,
    avoid: NDArray[np.float64],
    min_distance_km: float,
    what: str,
) -> Places:
    """Take the first `wanted` places of every region that keep their distance."""
    # Candidates beside a dense pool are many, the pool's places are more: the tree is the pool's.
    tree = cKDTree(avoid, balanced_tree=False, compact_nodes=False)
    limit = chord(min_distance_km)
    missing = np.full(len(regions), wanted)
    kept: list[Places] = []
    with progress() as bar:
        shown = bar.add_task(f"{what} places", total=int(missing.sum()))
        while missing.any():
            chunk = next(candidates, None)
            if chunk is None:
                lacking = ", ".join(
                    f"{short} has {wanted - lack:,}"
                    for short, lack in zip(regions, missing, strict=True)
                    if lack
                )
                raise WherefromError(
                    f"task {name}: no room for {wanted:,} {what} places per region at least "
                    f"{min_distance_km:g} km from the pool: {lacking}; ask for fewer places, a "
                    "smaller distance or a smaller pool"
                )
            chunk = chunk[missing[chunk["region"]] > 0]
            if min_distance_km > 0:
                vectors = unit_vectors(chunk["lon"], chunk["lat"])
                chunk = chunk[tree.query(vectors, distance_upper_bound=limit)[0] >= limit]
            region = chunk["region"]
            # The turn of each place in its region tells whether it is still wanted.
            order = np.argsort(region, kind="stable")
            counts = np.bincount(region, minlength=len(regions))
            starts = np.cumsum(counts) - counts
            turn = np.empty(region.size, dtype=np.int64)
            turn[order] = np.arange(region.size) - starts[region[order]]
            kept.append(chunk[turn < missing[region]])
            missing = np.maximum(missing - counts, 0)
            bar.update(shown, completed=int(wanted * len(regions) - missing.sum()))
    return np.concatenate(kept)
