"""Whether the contenders of `peers.py` are right: each check gives one cell of the tables."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
import shapely
from peers_contenders import LAYERS
from peers_inputs import SOURCES, Array, Inputs
from scipy import stats

if TYPE_CHECKING:
    from wherefrom.earth import Layer

#: Name of a call -> its answers in all rounds.
Answers = dict[str, list[Array]]
BAND, ARCTIC, BLOCKS, HEAVY = 5.0, 60.0, 100, 0.5
#: Eccentricity squared.
WGS84 = 0.00669437999014


def polygons(source: str, given: Inputs, found: dict[str, Answers]) -> dict[str, str]:
    """Compare all with the answers of PolygonIndex, and layers by their labels."""
    index = found["wherefrom, PolygonIndex"]
    cells = {}
    for name, answers in found.items():
        if name == "wherefrom, layer":
            cells[name] = "; ".join(layers(source, given, answers, index["points"][0]))
            continue
        wrong = {call: int((answers[call][0] != index[call][0]).sum()) for call in index}
        of = {call: len(index[call][0]) for call in index}
        cells[name] = (
            f"{wrong['points']} of {of['points']:,} random and {wrong['borders']:,} of "
            f"{of['borders']:,} border places differ from PolygonIndex"
        )
    return cells


def layers(source: str, given: Inputs, answers: Answers, polygon: Array) -> list[str]:
    """Say where layers differ from the column of the file that they come from, and why."""
    from wherefrom.earth import layer

    columns = {"ecoregion": "ECO_NAME", "biome": "BIOME_NAME", "country": "ADMIN"}
    lines = []
    for name, call in zip(LAYERS[source], ("points", "other"), strict=True):
        column = columns.get(name, "CONTINENT")
        values = given.polygons(source, column)[column].fillna("").replace("N/A", "")
        plain = np.append(values.to_numpy(dtype=str), "")[polygon]
        ours = np.array([*cast("Layer", layer(name)).labels, ""])[answers[call][0]]
        differs = ours != plain
        gap = int((differs & (polygon < 0)).sum())
        mended = int(differs.sum()) - gap
        lines.append(f"{name}: {gap} on the map's rim, {mended} relabelled, the others as {column}")
    return lines


def height(lat: Array, square: float) -> Array:
    """Area south of a latitude less that north of it, as a share of all; e squared is given."""
    s = np.sin(np.radians(lat))
    if not square:
        return np.asarray(s)
    e = np.sqrt(square)
    area = s / (1.0 - square * s**2) + np.arctanh(e * s) / e
    return np.asarray(area / (1.0 / (1.0 - square) + np.arctanh(e) / e))


def land_area(given: Inputs, square: float) -> Array:
    """Shares of land without Antarctica by bands of latitude, on the sphere or an ellipsoid."""
    frame = given.polygons(SOURCES[1], "CONTINENT")
    shapes = frame.geometry[frame["CONTINENT"] != "Antarctica"].to_numpy()
    # Longitude and this height are an equal-area plane; short edges stay nearly straight.
    dense = shapely.segmentize(shapely.union_all(shapely.make_valid(shapes)), 0.1)
    plane = shapely.transform(
        dense, lambda xy: np.stack([xy[:, 0], height(xy[:, 1], square)], axis=1)
    )
    edges = height(np.arange(-90.0, 90.0 + BAND, BAND), square)
    strips = [shapely.clip_by_rect(plane, -180, low, 180, high) for low, high in pairwise(edges)]
    return np.asarray(shapely.area(strips) / plane.area)


def land(given: Inputs, found: dict[str, Answers]) -> dict[str, str]:
    """Shares by latitude beside those of land, on the sphere and on the ellipsoid of WGS 84."""
    figures = {"sphere": land_area(given, 0.0), "ellipsoid": land_area(given, WGS84)}
    north = np.arange(-90.0, 90.0, BAND) >= ARCTIC
    cells = {}
    for name, answers in found.items():
        draws = [draw for call in answers.values() for draw in call]
        lat = np.concatenate(draws)[:, 1]
        seen = np.bincount(((lat + 90.0) // BAND).astype(int), minlength=len(north))
        beside = []
        for figure, shares in figures.items():
            expected = shares * len(lat)
            # The test asks for more than a few in each band: those with hardly any land are one.
            few = expected < 10
            counts, wanted = (np.append(x[~few], x[few].sum()) for x in (seen, expected))
            counts, wanted = counts[wanted > 0], wanted[wanted > 0]
            fit = stats.chisquare(counts, wanted * counts.sum() / wanted.sum())
            beside.append(f"{shares[north].sum():.2%} of the {figure}'s land, p = {fit.pvalue:.2g}")
        cells[name] = (
            f"{(lat >= ARCTIC).mean():.2%} north of 60° ({'; '.join(beside)}); "
            f"{exactly(given, draws)}, {sum(map(repeated, draws))} repeated"
        )
    return cells


def exactly(given: Inputs, draws: list[Array]) -> str:
    right = sum(len(draw) == given.about["draw"] for draw in draws)
    return f"n exact in {right} of {len(draws)} draws"


def repeated(draw: Array) -> int:
    return len(draw) - len(np.unique(draw, axis=0))


def strata(given: Inputs, found: dict[str, Answers], equal: bool = True) -> dict[str, str]:
    """Sizes of strata, repeats, and whether all rows of a stratum are drawn alike."""
    codes = given.array("biome") if equal else np.zeros(len(given.array("id")), dtype=np.int32)
    sizes = np.bincount(codes[codes >= 0])
    each = np.where(sizes > 0, given.about["each"] if equal else given.about["draw"], 0)
    block = np.arange(len(codes)) * BLOCKS // len(codes)
    cells = {}
    for name, answers in found.items():
        draws = [draw for call in answers.values() for draw in call]
        exact = sum(
            np.array_equal(np.bincount(codes[draw], minlength=len(sizes)), each)
            and bool((codes[draw] >= 0).all())
            for draw in draws
        )
        twice, rows, statistic, freedom = sum(map(repeated, draws)), np.concatenate(draws), 0.0, 0
        for code in np.flatnonzero(sizes):
            inside = codes == code
            places = np.bincount(block[inside], minlength=BLOCKS)
            seen = np.bincount(block[rows[codes[rows] == code]], minlength=BLOCKS)
            share = each[code] / sizes[code]
            expected = len(draws) * share * places
            # Without replacement counts vary less, by the share that is left.
            there = expected > 0
            excess = (seen - expected)[there] ** 2 / expected[there]
            statistic += float(excess.sum() / (1.0 - share))
            freedom += int(there.sum()) - 1
        p = stats.chi2.sf(statistic, freedom)
        cells[name] = (
            f"sizes exact in {exact} of {len(draws)} draws, {twice} repeated, inclusion in "
            f"{BLOCKS} blocks of rows p = {p:.2f}"
        )
    return cells


def weighted(given: Inputs, found: dict[str, Answers]) -> dict[str, str]:
    """Whether heavy places are drawn as often as their weights say."""
    weight = given.array("weight")
    wanted = in_proportion(weight, given.about["draw"])
    heavy = wanted >= HEAVY
    cells = {}
    for name, answers in found.items():
        draws = [draw for call in answers.values() for draw in call]
        taken = np.mean([heavy[draw].sum() for draw in draws]) / heavy.sum()
        cells[name] = (
            f"of the {heavy.sum():,} heaviest {taken:.1%} drawn (in proportion: "
            f"{wanted[heavy].mean():.1%}); {exactly(given, draws)}, "
            f"{sum(map(repeated, draws))} repeated"
        )
    return cells


def in_proportion(weight: Array, size: int) -> Array:
    """Inclusion probabilities in proportion to weights, at most 1, that sum to the size."""
    certain = np.zeros(len(weight), dtype=bool)
    while True:
        free = weight[~certain].sum()
        wanted: Array = np.where(certain, 1.0, (size - certain.sum()) * weight / free)
        if not (wanted > 1.0).any():
            return wanted
        certain |= wanted > 1.0


def check(group: str, given: Inputs, found: dict[str, Answers]) -> dict[str, str]:
    if group in SOURCES:
        return polygons(group, given, found)
    checks: dict[str, Callable[[Inputs, dict[str, Answers]], dict[str, str]]] = {
        "land": land,
        "strata": strata,
        "uniform": lambda given, found: strata(given, found, equal=False),
        "weighted": weighted,
    }
    return checks[group](given, found)
