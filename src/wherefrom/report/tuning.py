"""What ``wherefrom study tune`` prints: the options that were chosen, and what they gain."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wherefrom.report.style import number, signed
from wherefrom.study import Study
from wherefrom.study.fitting import default_of
from wherefrom.study.tuned import Tried, groups
from wherefrom.train.scores import METRICS

__all__ = ["render"]


def render(study: Study, tried: Iterable[Tried]) -> RenderableType:
    """Show a line for each row, task and head: what was chosen, its score, and the gain.

    The gain is over the options that hold where nothing was tuned; none where these are not among
    what was tried.
    """
    tables: dict[str, Table] = {}
    for (_, task, row, head), lines in groups(tried).items():
        chosen = next(line for line in lines if line.chosen)
        if task not in tables:
            said = f"{task}: chosen by {chosen.metric} on the tuning places, n = {chosen.n}"
            tables[task] = _begun(said)
        scores = {line.options: line.score for line in lines}
        before = scores.get(default_of(study, head))
        gain = None if before is None else METRICS[chosen.metric].sign * (chosen.score - before)
        tables[task].add_row(
            *map(Text, (row, head, chosen.options, number(chosen.score), number(chosen.se, 4))),
            signed(gain) if gain is not None and len(lines) > 1 else "",
        )
    return Group(*tables.values())


def _begun(title: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 1, 0, 0))
    for column in ("row", "head", "chosen"):
        table.add_column(column, overflow="fold")
    for column in ("score", "± s.e.", "gain"):
        table.add_column(column, justify="right", no_wrap=True)
    return table
