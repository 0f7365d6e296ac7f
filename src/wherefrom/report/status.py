"""Where a study stands, as text of at most 80 columns."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wherefrom.shown import time_of
from wherefrom.study.board import STALE
from wherefrom.study.status import Call, Status

__all__ = ["render_status"]


def render_status(status: Status) -> RenderableType:
    """Describe what is done, what runs where, what failed and why, and when the rest is done."""
    title = f"{status.study}, scale {status.scale}: {status.cost:.0%} done"
    if status.whole:
        title = f"{status.study}, scale {status.scale}: all done"
    elif status.left is not None:
        title += f", about {_time(status.left)} left"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("stage")
    for column in ("all", "done", "to do"):
        table.add_column(column, justify="right")
    for part in status.parts:
        table.add_row(part.kind, *map(str, (part.every, part.done, part.every - part.done)))
    lines: list[RenderableType] = [table]
    for call in status.calls:
        lines += _of_call(call)
    if not status.calls and not status.whole:
        lines.append(Text("nobody works on it: run the study again to go on"))
    for text in status.failed:
        label, _, rest = text.partition("\n")
        where, _, _ = rest.partition("\n")
        why = rest.strip().rpartition("\n")[2]
        lines.append(Text(f"failed: {label}" + (f" on {where}: {why}" if where != why else "")))
    return Group(*lines)


def _of_call(call: Call) -> list[RenderableType]:
    on = f" on the Ray cluster {call.cluster}" if call.cluster else ""
    if call.silent >= STALE:
        return [Text(f"{call.where}{on}: silent for {_time(call.silent)}: killed, or cut off")]
    said: list[RenderableType] = [
        Text(f"{call.where}{on}, as of {_time(max(0, call.silent))} ago:")
    ]
    if call.silent < -5:
        said.append(Text(f"  its clock is {_time(-call.silent)} ahead of the one here"))
    said += [
        Text(f"  {one.share:4.0%}  {one.label}  ({one.where}, {_time(one.seconds)})")
        for one in call.running
    ]
    return said if call.running else [*said, Text("  waits for a worker")]


def _time(seconds: float) -> str:
    return time_of(round(seconds))
