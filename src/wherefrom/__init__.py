"""Where on Earth should pre-training data come from? Evidence, not opinion.

The names below are what most programs need; each is imported when it is first used, so that
``import wherefrom`` takes no time and needs no torch. The rest lies in the rooms `earth`, `pool`,
`compose`, `auditing`, `models`, `tasks`, `train`, `study`, `evidence` and `report`.

Examples
--------
>>> import wherefrom
>>> pool = wherefrom.Pool.build(1000, seed=0)
>>> wherefrom.draw(pool, "uniform", n=100, seed=0).size
100
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

#: Read off the installed package when it is first asked for.
__version__: str

__all__ = [
    "Audit",
    "Card",
    "Composition",
    "FineTune",
    "LocationEncoder",
    "PixelSeries",
    "Pool",
    "PoolScan",
    "Presto",
    "PrestoConfig",
    "PretrainSettings",
    "SatCLIPConfig",
    "SphericalHarmonics",
    "Study",
    "Task",
    "WherefromError",
    "__version__",
    "audit",
    "cities",
    "cropland",
    "draw",
    "earth_series",
    "ecoregions",
    "embed",
    "embed_places",
    "embed_series",
    "episodes",
    "estimator",
    "from_table",
    "head",
    "layer",
    "load",
    "load_study",
    "open_pool",
    "pretrain",
    "sampler",
]

if TYPE_CHECKING:
    from wherefrom.auditing.audit import Audit
    from wherefrom.compose import Composition, sampler
    from wherefrom.compose.card import Card
    from wherefrom.earth import cities, layer
    from wherefrom.errors import WherefromError
    from wherefrom.frames import audit, draw
    from wherefrom.gfms.presto import embed_series
    from wherefrom.gfms.satclip import embed_places
    from wherefrom.models.masked import PrestoConfig
    from wherefrom.models.named import load
    from wherefrom.models.presto import Presto
    from wherefrom.models.satclip import LocationEncoder, SatCLIPConfig, SphericalHarmonics
    from wherefrom.pool import Pool, PoolScan, open_pool
    from wherefrom.pool.series import PixelSeries
    from wherefrom.pool.series.earth import earth_series
    from wherefrom.study import Study
    from wherefrom.study import load as load_study
    from wherefrom.tasks import Task, ecoregions, episodes, from_table
    from wherefrom.tasks.cropland import cropland
    from wherefrom.train.embed import embed
    from wherefrom.train.heads import head
    from wherefrom.train.heads.estimator import estimator
    from wherefrom.train.heads.finetune import FineTune
    from wherefrom.train.pretrain import PretrainSettings, pretrain

#: Module -> those of the names that it has.
_NAMES = {
    "wherefrom.auditing.audit": ("Audit",),
    "wherefrom.compose": ("Composition", "sampler"),
    "wherefrom.compose.card": ("Card",),
    "wherefrom.earth": ("cities", "layer"),
    "wherefrom.errors": ("WherefromError",),
    "wherefrom.frames": ("audit", "draw"),
    "wherefrom.gfms.presto": ("embed_series",),
    "wherefrom.gfms.satclip": ("embed_places",),
    "wherefrom.models.masked": ("PrestoConfig",),
    "wherefrom.models.named": ("load",),
    "wherefrom.models.presto": ("Presto",),
    "wherefrom.models.satclip": ("LocationEncoder", "SatCLIPConfig", "SphericalHarmonics"),
    "wherefrom.pool": ("Pool", "PoolScan", "open_pool"),
    "wherefrom.pool.series": ("PixelSeries",),
    "wherefrom.pool.series.earth": ("earth_series",),
    "wherefrom.study": ("Study",),
    "wherefrom.tasks": ("Task", "ecoregions", "episodes", "from_table"),
    "wherefrom.tasks.cropland": ("cropland",),
    "wherefrom.train.embed": ("embed",),
    "wherefrom.train.heads": ("head",),
    "wherefrom.train.heads.estimator": ("estimator",),
    "wherefrom.train.heads.finetune": ("FineTune",),
    "wherefrom.train.pretrain": ("PretrainSettings", "pretrain"),
}
#: Name -> module that has it; under another name there if one follows a colon.
_HOME = {name: module for module, names in _NAMES.items() for name in names}
_HOME["load_study"] = "wherefrom.study:load"
_TRAIN_EXTRA = ("torch", "safetensors", "sklearn")

# Hidden from type checkers, which would otherwise take any misspelt name for an object.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "__version__":
            return importlib.import_module("importlib.metadata").version("wherefrom")
        if name not in _HOME:
            raise AttributeError(f"module 'wherefrom' has no attribute {name!r}")
        module, _, other = _HOME[name].partition(":")
        try:
            found = getattr(importlib.import_module(module), other or name)
        except ModuleNotFoundError as err:
            if err.name is None or err.name.partition(".")[0] not in _TRAIN_EXTRA:
                raise
            raise ImportError(
                f'wherefrom.{name} needs {err.name}: pip install "wherefrom[train]"', name=err.name
            ) from err
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted(__all__)
