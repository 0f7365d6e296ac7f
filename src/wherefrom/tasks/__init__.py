"""Labelled places and the few-shot episodes drawn from them."""

from wherefrom.tasks.cropharvest import country_rows, cropharvest, cropharvest_country
from wherefrom.tasks.cropland import cropland
from wherefrom.tasks.ecoregion import ecoregions
from wherefrom.tasks.episode import EpisodeProblem, Episodes, episodes, plan_episodes
from wherefrom.tasks.labelled import LabelledSeries
from wherefrom.tasks.table import from_table, label_series
from wherefrom.tasks.task import SPLITS, Task
from wherefrom.tasks.value import values
from wherefrom.tasks.worldcereal import worldcereal

__all__ = [
    "SPLITS",
    "EpisodeProblem",
    "Episodes",
    "LabelledSeries",
    "Task",
    "country_rows",
    "cropharvest",
    "cropharvest_country",
    "cropland",
    "ecoregions",
    "episodes",
    "from_table",
    "label_series",
    "plan_episodes",
    "values",
    "worldcereal",
]
