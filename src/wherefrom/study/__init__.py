"""A study: a grid of stages that is planned, run in local processes, and resumed."""

from wherefrom.study.plan import Plan, Stage, changes, plan
from wherefrom.study.results import collect
from wherefrom.study.run import Outcome, run
from wherefrom.study.spec import Study, load
from wherefrom.study.store import Store

__all__ = [
    "Outcome",
    "Plan",
    "Stage",
    "Store",
    "Study",
    "changes",
    "collect",
    "load",
    "plan",
    "run",
]
