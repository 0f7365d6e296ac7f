"""Labelled places and the few-shot episodes drawn from them."""

from wherefrom.tasks.episodes import EpisodeProblem, Episodes, episodes, plan_episodes
from wherefrom.tasks.task import SPLITS, Task

__all__ = ["SPLITS", "EpisodeProblem", "Episodes", "Task", "episodes", "plan_episodes"]
