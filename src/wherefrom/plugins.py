"""Kinds by name: one lazy table for each group, ours and other packages' alike.

`BUILT_IN` is ours. An installed package joins the same tables through entry points, under the names
that users write::

    [project.entry-points."wherefrom.samplers"]
    latitude-bands = "mypackage.bands:LatitudeBands"

What is not installed as a package is named by where it is: ``mypackage.bands:LatitudeBands``. Its
module may lie in the folder that one works in, so that it is said whose code runs. Nothing is
imported before it is asked for; with `NO_PLUGINS` set, nothing but what is ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import operator
import os
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Literal, TypeAlias

from wherefrom.errors import WherefromError, unknown
from wherefrom.progress import say

__all__ = ["ADDRESS", "BUILT_IN", "NO_PLUGINS", "Group", "Kind", "kind", "kinds"]

Group: TypeAlias = Literal[
    "layers", "grids", "samplers", "payloads", "gfms", "published", "tasks", "heads"
]

#: ``module:name``; the module may have dots, the name may not.
ADDRESS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

#: Kinds that no table lists, since they are of no Earth, by the beginning of their address.
_GENERATED = "wherefrom.selfcheck."

#: A variable of the environment; set, no code but ours is imported.
NO_PLUGINS = "WHEREFROM_NO_PLUGINS"

#: Group -> name -> where it lies. A new kind of ours is one file and one line here.
BUILT_IN: dict[Group, dict[str, str]] = {
    "layers": {
        "land": "wherefrom.earth.polygons:LAND",
        "continent": "wherefrom.earth.polygons:CONTINENT",
        "country": "wherefrom.earth.polygons:COUNTRY",
        "land_cover": "wherefrom.earth.cover:LAND_COVER",
        "forest": "wherefrom.earth.cover:FOREST",
        "cropland": "wherefrom.earth.cover:CROPLAND",
        "climate_zone": "wherefrom.earth.climate:CLIMATE_ZONE",
        "biome": "wherefrom.earth.polygons:BIOME",
        "ecoregion": "wherefrom.earth.polygons:ECOREGION",
        "elevation_band": "wherefrom.earth.bands:ELEVATION_BAND",
        "city_distance_band": "wherefrom.earth.bands:CITY_DISTANCE_BAND",
        "elevation": "wherefrom.earth.terrain:ELEVATION",
        "slope": "wherefrom.earth.terrain:SLOPE",
        "temperature": "wherefrom.earth.climate:TEMPERATURE",
        "precipitation": "wherefrom.earth.climate:PRECIPITATION",
        "city_distance": "wherefrom.earth.cities:CITY_DISTANCE",
        "blue_marble_entropy": "wherefrom.earth.variety:BLUE_MARBLE_ENTROPY",
    },
    "grids": {
        "mgrs": "wherefrom.earth.grids.mgrs:Mgrs",
        "majortom": "wherefrom.earth.grids.majortom:MajorTom",
        "h3": "wherefrom.earth.grids.h3:H3",
        "s2": "wherefrom.earth.grids.s2:S2",
        "geohash": "wherefrom.earth.grids.geohash:Geohash",
        "worldcover": "wherefrom.earth.grids.worldcover:WorldCover",
    },
    "samplers": {
        "none": "wherefrom.compose.samplers.plain:NoPretraining",
        "uniform": "wherefrom.compose.samplers.plain:Uniform",
        "uniform-area": "wherefrom.compose.samplers.stratified:UniformArea",
        "stratified": "wherefrom.compose.samplers.stratified:Stratified",
        "clustered": "wherefrom.compose.samplers.cities:CLUSTERED",
        "only": "wherefrom.compose.samplers.plain:Only",
        "grid": "wherefrom.compose.samplers.grid:Grid",
        "spread": "wherefrom.compose.samplers.spread:Spread",
        "kmeans": "wherefrom.compose.samplers.spread:KMeans",
        "gaussian-cities": "wherefrom.compose.samplers.cities:GaussianCities",
        "entropy": "wherefrom.compose.samplers.entropy:Entropy",
        "entropy-matched": "wherefrom.compose.samplers.controls:EntropyMatched",
        "geography-matched": "wherefrom.compose.samplers.controls:GEOGRAPHY_MATCHED",
        "balanced": "wherefrom.compose.samplers.stratified:Balanced",
        "match": "wherefrom.compose.samplers.match:Match",
        "mixture": "wherefrom.compose.samplers.mixture:Mixture",
        "ids": "wherefrom.compose.samplers.plain:Ids",
    },
    "payloads": {
        "blue-marble": "wherefrom.payload.earth:BlueMarble",
        "earth-series": "wherefrom.payload.earth:EarthSeries",
        "columns": "wherefrom.payload.columns:Columns",
        "series": "wherefrom.payload.series:Series",
        "tower": "wherefrom.gfms.tower:TowerFeatures",
        "tiles": "wherefrom.payload.tiles:Tiles",
        "rasters": "wherefrom.payload.rasters:Rasters",
    },
    "gfms": {
        "satclip": "wherefrom.gfms.satclip:SatCLIP",
        "satclip-images": "wherefrom.gfms.satclip:SatCLIPImages",
        "satmae": "wherefrom.gfms.satmae:SatMAE",
        "presto": "wherefrom.gfms.presto:Presto",
    },
    "published": {
        "presto": "wherefrom.gfms.presto:PublishedPresto",
        "galileo": "wherefrom.gfms.galileo:PublishedGalileo",
        "satclip": "wherefrom.gfms.satclip:PublishedSatCLIP",
        "geoclip": "wherefrom.gfms.geoclip:PublishedGeoCLIP",
        "features": "wherefrom.gfms.published:Features",
    },
    "tasks": {
        "ecoregions": "wherefrom.tasks.ecoregion:Ecoregions",
        "cropland": "wherefrom.tasks.cropland:Cropland",
        "cropharvest": "wherefrom.tasks.cropharvest:CropHarvest",
        "values": "wherefrom.tasks.value:Values",
        "table": "wherefrom.tasks.table:Table",
    },
    "heads": {
        "logistic": "wherefrom.train.heads.logistic:Logistic",
        "logistic-balanced": "wherefrom.train.heads.logistic:BalancedLogistic",
        "ridge-classifier": "wherefrom.train.heads.ridge_classifier:RidgeClassifier",
        "mlp": "wherefrom.train.heads.mlp:MLP",
        "forest": "wherefrom.train.heads.forest:Forest",
        "knn": "wherefrom.train.heads.knn:KNN",
        "majority": "wherefrom.train.heads.majority:Majority",
        "ridge": "wherefrom.train.heads.ridge:Ridge",
        "knn-regression": "wherefrom.train.heads.knn:KNNRegression",
        "mean": "wherefrom.train.heads.majority:Mean",
        "finetune": "wherefrom.train.heads.finetune:FineTune",
    },
}


@dataclass(frozen=True)
class Kind:
    """An entry of a table: its name, its address ``module:name``, and who offers it."""

    group: Group
    name: str
    address: str
    package: str

    def load(self) -> object:
        """Import it; what cannot be imported is refused with the reason."""
        module, _, attribute = self.address.partition(":")
        if self.package != "wherefrom":
            if os.environ.get(NO_PLUGINS):
                raise WherefromError(
                    f"{self.name!r} is code of other people's, {self.address}, which --no-plugins "
                    f"({NO_PLUGINS}) refuses"
                )
            if not self.package:
                _say_whose(module)
        try:
            imported = importlib.import_module(module)
        except (Exception, SystemExit) as err:  # a module may end the process as it is imported
            if self.package == "wherefrom":
                raise
            said = f"({type(err).__name__}: {' '.join(str(err).split())})"
            if not self.package:
                raise WherefromError(
                    f"{self.address}: module {module!r} cannot be imported {said}; is its folder "
                    "on PYTHONPATH?"
                ) from err
            raise WherefromError(
                f"{self.name!r} of package {self.package} cannot be loaded from {self.address} "
                f"{said}: mend or remove the package"
            ) from err
        try:
            loaded: object = operator.attrgetter(attribute)(imported)
        except AttributeError:
            raise WherefromError(
                f"{self.address}: module {module!r} has no {attribute!r}"
            ) from None
        return loaded

    def title(self) -> str:
        """Say in a line what it is, or why it cannot be used."""
        try:
            loaded = self.load()
        except ImportError as err:
            return f'needs {err.name}: pip install "wherefrom[train]"'
        except WherefromError as err:
            return str(err)
        first = loaded[0] if isinstance(loaded, tuple) else loaded
        said = getattr(first, "about", None) or first.__doc__ or ""
        return " ".join(str(said).strip().split("\n\n")[0].split())


@lru_cache(maxsize=256)
def _say_whose(module: str) -> None:
    """Say once which file a name without a package runs; the workers of a study say nothing."""
    if module in sys.modules or multiprocessing.parent_process() is not None:
        return
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # of a package around it, or a name without a module: told when imported
        return
    if spec is not None:
        say(f"note: {module} is code of {spec.origin}, which runs now; --no-plugins refuses it")


def kinds(group: Group) -> dict[str, Kind]:
    """Return a group's table: ours in their order, then other packages' by name.

    Examples
    --------
    >>> kinds("samplers")["uniform"].package
    'wherefrom'
    """
    return dict(_table(group, tuple(sys.path)))


def kind(group: Group, name: object, what: str = "") -> Kind:
    """Look a name, or an address ``module:name``, up in a group's table.

    A message calls it `what`; by default the group's name in the singular.

    Raises
    ------
    WherefromError
        If nothing has this name (with the nearest valid one), or two packages offer it.

    Examples
    --------
    >>> kind("heads", "knn").load().name
    'knn'
    """
    what = what or group.removesuffix("s")
    if isinstance(name, str) and ADDRESS.fullmatch(name):
        return Kind(group, name, name, "wherefrom" if name.startswith(_GENERATED) else "")
    table = kinds(group)
    if not isinstance(name, str) or name not in table:
        raise unknown(what, name, table)
    offers = [*_others(group, tuple(sys.path)).get(name, ())]
    if name in BUILT_IN[group]:
        offers.append(table[name])
    if len(offers) > 1:
        packages = ", ".join(sorted(offer.package for offer in offers))
        raise WherefromError(
            f"{len(offers)} packages offer {name!r} among their {group}: {packages}; remove one"
        )
    return table[name]


@lru_cache(maxsize=16)
def _table(group: Group, path: tuple[str, ...]) -> dict[str, Kind]:
    ours = {name: Kind(group, name, at, "wherefrom") for name, at in BUILT_IN[group].items()}
    others = {name: offers[0] for name, offers in _others(group, path).items()}
    return ours | {name: kind for name, kind in others.items() if name not in ours}


@lru_cache(maxsize=16)
def _others(group: Group, path: tuple[str, ...]) -> dict[str, tuple[Kind, ...]]:
    """Read what installed packages offer; anew where Python looks for packages elsewhere."""
    # A package found twice on the path, as in an editable installation, is one.
    found = {
        Kind(
            group,
            point.name,
            f"{point.module}:{point.attr}",
            point.dist.name if point.dist else "unknown",
        )
        for point in entry_points(group=f"wherefrom.{group}")
    }
    names = sorted({offer.name for offer in found})
    return {
        name: tuple(sorted((o for o in found if o.name == name), key=lambda o: o.package))
        for name in names
    }
