"""The contenders of `peers.py`: one of them in this process, which prints what it cost as JSON.

Each has a loading part (reading polygons, building indexes, making tables and geometries) and
calls, the first of which is the claim. Modules are imported before any clock starts. Seconds are
the processor's, over all threads: the process is bound to one core, so other work on the machine
counts for little. This file runs in environments without wherefrom, so it imports it late.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from peers_inputs import SOURCES, Array, Inputs

if TYPE_CHECKING:
    from wherefrom.earth import Layer

#: From a seed to whatever the contender returns; questions about places ignore the seed.
Call = Callable[[int], Any]
LAYERS = {SOURCES[0]: ("ecoregion", "biome"), SOURCES[1]: ("country", "continent")}
EQUAL_AREA = "EPSG:6933"


def layers(source: str, given: Inputs) -> dict[str, Call]:
    from wherefrom.earth import layer

    main, other = (cast("Layer", layer(name)) for name in LAYERS[source])
    places = given.places(source)
    main.codes([0.0], [0.0])
    return {
        "points": lambda _: main.codes(*places["points"]),
        "borders": lambda _: main.codes(*places["borders"]),
        "other": lambda _: other.codes(*places["points"]),
    }


def index(source: str, given: Inputs) -> dict[str, Call]:
    from wherefrom.earth.lookup import PolygonIndex

    found = PolygonIndex(given.polygons(source).geometry.to_numpy())
    places = given.places(source)
    return {
        "points": lambda _: found.query(*places["points"]),
        "borders": lambda _: found.query(*places["borders"]),
    }


def sjoin(left: str, predicate: str, source: str, given: Inputs) -> dict[str, Call]:
    """Join either way round: geopandas prepares what it asks with, not what it asks for."""
    polygons = given.polygons(source)[["polygon", "geometry"]]
    # Trees are built by the first question, which is not part of the joins.
    polygons.sindex.query(polygons.geometry.iloc[0].representative_point())

    def join(points: Any, _: int) -> Any:
        one, other = (points, polygons) if left == "points" else (polygons, points)
        return one.sjoin(other, predicate=predicate)

    points = given.points(source, polygons.crs)
    return {name: partial(join, frame) for name, frame in points.items()}


def sedonadb(settings: Iterable[str], source: str, given: Inputs) -> dict[str, Call]:
    import sedonadb as sedona  # type: ignore[import-not-found]

    context = sedona.connect()
    polygons = given.polygons(source)[["polygon", "geometry"]]
    frames = {"polygons": polygons, **given.points(source, polygons.crs)}
    for name, frame in frames.items():
        context.create_data_frame(frame).to_memtable().to_view(name)
    for setting in settings:
        context.sql(f"SET {setting}").to_arrow_table()

    def join(name: str, _: int) -> Any:
        return context.sql(
            f"SELECT {name}.at, polygons.polygon FROM {name} JOIN polygons "
            f"ON ST_Intersects(polygons.geometry, {name}.geometry)"
        ).to_arrow_table()

    return {name: partial(join, name) for name in ("points", "borders")}


def land_wherefrom(given: Inputs) -> dict[str, Call]:
    from wherefrom.pool import Pool

    def build(seed: int) -> Array:
        pool = Pool.build(given.about["draw"], seed=seed)
        return np.stack([pool.lon, pool.lat], axis=1)

    build(0)  # opens the layers
    return {"first": build, "again": build}


def land_geopandas(way: str, given: Inputs) -> dict[str, Call]:
    import geopandas

    size = given.about["draw"]
    polygons = given.polygons(SOURCES[1], "CONTINENT")
    polygons = polygons[polygons["CONTINENT"] != "Antarctica"].geometry
    areas = polygons.to_crs(EQUAL_AREA).area.to_numpy()
    if way != "countries":
        polygons = geopandas.GeoSeries([polygons.union_all()], crs=polygons.crs)
    if way == "equal-area":
        polygons = polygons.to_crs(EQUAL_AREA)

    def sample(seed: int) -> Array:
        rng = np.random.default_rng(seed)
        sizes = rng.multinomial(size, areas / areas.sum()) if way == "countries" else size
        points = polygons.sample_points(sizes, rng=rng).explode().to_crs("EPSG:4326")
        return np.stack([points.x, points.y], axis=1)

    return {"first": sample, "again": sample}


def drawn(spec: str, column: str | None, given: Inputs) -> dict[str, Call]:
    import wherefrom

    pool = given.pool(*filter(None, [column]))
    size = given.about["equal" if column == "biome" else "draw"]

    def draw(seed: int) -> Array:
        return np.asarray(wherefrom.draw(pool, spec, size, seed).ids)

    return {"first": draw, "again": draw}


def drawn_frame(given: Inputs) -> dict[str, Call]:
    import wherefrom

    frame, size = given.frame(), given.about["equal"]

    def draw(seed: int) -> Array:
        found = wherefrom.draw(frame, "stratified:layer=biome", size, seed, id="id")
        return np.asarray(found["id"])

    return {"first": draw, "again": draw}


def by_pandas(strata: bool, given: Inputs) -> dict[str, Call]:
    frame, about = given.frame(), given.about

    def sample(seed: int) -> Array:
        if strata:
            groups = frame.groupby("biome", observed=True)
            found = groups.sample(n=about["each"], random_state=seed)
        else:
            found = frame.sample(n=about["draw"], random_state=seed)
        return np.asarray(found["id"])

    return {"first": sample, "again": sample}


def by_numpy(way: str, given: Inputs) -> dict[str, Call]:
    """Draw ids by Generator.choice, with no table around them."""
    ids, about = given.array("id"), given.about
    codes = given.array("biome") if way == "strata" else np.zeros(0)
    weight = given.array("weight") if way == "weighted" else np.zeros(0)

    def choose(seed: int) -> Array:
        rng = np.random.default_rng(seed)
        if way == "strata":
            rows = (np.flatnonzero(codes == code) for code in range(len(about["labels"])))
            chosen = [rng.choice(row, about["each"], replace=False) for row in rows if len(row)]
            return np.asarray(ids[np.concatenate(chosen)])
        shares = weight / weight.sum() if way == "weighted" else None
        return np.asarray(ids[rng.choice(len(ids), about["draw"], replace=False, p=shares)])

    return {"first": choose, "again": choose}


OURS = ("wherefrom.frames", "wherefrom.compose.card", "pandas", "pyogrio", "shapely")
GEO = ("geopandas", "pyogrio", "shapely")
GEOS = ("sedona.spatial_join.spatial_library='geos'",)
#: Group -> contender -> modules to import, loading. The first of a group is ours.
CONTENDERS: dict[str, dict[str, tuple[tuple[str, ...], Callable[[Inputs], dict[str, Call]]]]] = {
    source: {
        "wherefrom, layer": (("wherefrom.earth", *OURS), partial(layers, source)),
        "wherefrom, PolygonIndex": ((*OURS, *GEO), partial(index, source)),
        "points.sjoin(polygons), intersects": (GEO, partial(sjoin, "points", "intersects", source)),
        "points.sjoin(polygons), within": (GEO, partial(sjoin, "points", "within", source)),
        "polygons.sjoin(points), intersects": (
            GEO,
            partial(sjoin, "polygons", "intersects", source),
        ),
        "SedonaDB": (("sedonadb", *GEO), partial(sedonadb, (), source)),
        "SedonaDB, spatial_library=geos": (("sedonadb", *GEO), partial(sedonadb, GEOS, source)),
    }
    for source in SOURCES
}
CONTENDERS["land"] = {
    "wherefrom, Pool.build": (OURS, land_wherefrom),
    "sample_points, land in degrees": (GEO, partial(land_geopandas, "degrees")),
    "sample_points, countries by area": (GEO, partial(land_geopandas, "countries")),
    "sample_points, equal-area projection": (GEO, partial(land_geopandas, "equal-area")),
}
CONTENDERS["strata"] = {
    "wherefrom, pool in memory": (OURS, partial(drawn, "stratified:layer=biome", "biome")),
    "wherefrom, DataFrame in and out": (OURS, drawn_frame),
    "pandas groupby.sample": (("pandas",), partial(by_pandas, True)),
    "numpy choice in each label": ((), partial(by_numpy, "strata")),
}
CONTENDERS["uniform"] = {
    "wherefrom, pool in memory": (OURS, partial(drawn, "uniform", None)),
    "pandas sample": (("pandas",), partial(by_pandas, False)),
    "numpy choice": ((), partial(by_numpy, "uniform")),
}
CONTENDERS["weighted"] = {
    "wherefrom, pool in memory": (OURS, partial(drawn, "entropy:column=weight", "weight")),
    "numpy choice, p=weights": ((), partial(by_numpy, "weighted")),
}


def lowest(pairs: Any, size: int) -> Array:
    """Of each point the lowest polygon among a join's pairs, -1 for none."""
    at, polygon = (np.asarray(pairs[name]) for name in ("at", "polygon"))
    found = np.full(size, np.iinfo(np.int32).max, dtype=np.int32)
    np.minimum.at(found, at, polygon.astype(np.int32))
    return np.where(found == np.iinfo(np.int32).max, -1, found)


def memory(field: str) -> int:
    """Bytes of this process: VmRSS now, or VmHWM at the worst since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def run(group: str, name: str, folder: Path, round_: int) -> dict[str, Any]:
    modules, load = CONTENDERS[group][name]
    for module in modules:
        importlib.import_module(module)
    given = Inputs.of(folder)
    start = time.process_time()
    calls = load(given)
    found: dict[str, Any] = {"load": time.process_time() - start, "seconds": {}, "peaks": {}}
    gc.collect()
    loaded, found["total"] = memory("VmRSS"), memory("VmHWM")
    order = list(CONTENDERS[group]).index(name)
    for turn, (call, ask) in enumerate(calls.items()):
        forget_peak()
        start = time.process_time()
        answer = ask(2 * round_ + turn)
        found["seconds"][call] = time.process_time() - start
        peak = memory("VmHWM")
        found["peaks"][call], found["total"] = peak - loaded, max(peak, found["total"])
        if not isinstance(answer, np.ndarray):
            answer = lowest(answer, given.places(group)[call].shape[1])
        np.save(folder / f"{group}-{order}-{call}-{round_}.npy", answer)
    return found


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
