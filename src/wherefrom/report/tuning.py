"""What ``wherefrom study tune`` prints: the options that were chosen, and what they gain."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from wherefrom.report.style import number, signed
from wherefrom.study import Study
from wherefrom.study.fitting import default_of
from wherefrom.study.tuned import Tried, groups
from wherefrom.train.scores import METRICS

__all__ = ["render"]


def render(study: Study, tried: Iterable[Tried]) -> Table:
    """Show a line for each row, task and head: what was chosen, its score, and the gain.

    The gain is over the options that hold where nothing was tuned; none where these are not among
    what was tried.
    """
    table = Table(title=Text("Chosen on the tuning places"), title_justify="left", box=None)
    for column in ("task", "row", "head", "chosen", "of", "score", "± s.e.", "gain"):
        right = column in ("of", "score", "± s.e.", "gain")
        table.add_column(column, justify="right" if right else "left")
    for (_, task, row, head), lines in groups(tried).items():
        chosen = next(line for line in lines if line.chosen)
        scores = {line.options: line.score for line in lines}
        before = scores.get(default_of(study, head))
        gain = None if before is None else METRICS[chosen.metric].sign * (chosen.score - before)
        table.add_row(
            *map(Text, (task, row, head, chosen.options, str(len(lines)), number(chosen.score))),
            number(chosen.se, 4),
            signed(gain) if gain is not None and len(lines) > 1 else "",
        )
    return table
