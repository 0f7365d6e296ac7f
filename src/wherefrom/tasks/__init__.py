"""Labelled places and the few-shot episodes drawn from them."""

from wherefrom.tasks.cropland import cropland
from wherefrom.tasks.ecoregion import ecoregions
from wherefrom.tasks.episode import EpisodeProblem, Episodes, episodes, plan_episodes
from wherefrom.tasks.table import from_table
from wherefrom.tasks.task import SPLITS, Task

__all__ = [
    "SPLITS",
    "EpisodeProblem",
    "Episodes",
    "Task",
    "cropland",
    "ecoregions",
    "episodes",
    "from_table",
    "plan_episodes",
]
