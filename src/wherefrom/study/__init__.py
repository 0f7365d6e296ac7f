"""A study: a grid of stages that is planned, run in local processes, and resumed."""

from wherefrom.study.objects import opened
from wherefrom.study.plan import plan
from wherefrom.study.reading import load
from wherefrom.study.results import collect
from wherefrom.study.run import Outcome, run
from wherefrom.study.spec import Study
from wherefrom.study.stage import Plan, Stage
from wherefrom.study.store import Store

__all__ = [
    "Outcome",
    "Plan",
    "Stage",
    "Store",
    "Study",
    "collect",
    "load",
    "opened",
    "plan",
    "run",
]
