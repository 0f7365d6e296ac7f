"""``wherefrom selfcheck``: try the whole instrument on generated worlds with planted truth."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wherefrom.cli.output import show
from wherefrom.cli.study import Workers, refuse_untrainable
from wherefrom.progress import Screen, say

if TYPE_CHECKING:
    from wherefrom.selfcheck.check import Judged

__all__ = ["selfcheck"]


def selfcheck(
    scale: Annotated[
        Literal["small", "full"],
        typer.Option(help="12 worlds, 80 seconds of one core; or 120, some 8 minutes."),
    ] = "small",
    out: Annotated[
        Path | None,
        typer.Option(help="Keep the studies, their results and pages in this folder."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other worlds.")] = 0,
    workers: Workers = None,
) -> None:
    """Try the whole instrument on generated worlds whose truth is known.

    Does it find what is there, and nothing else? Waves are generated on the
    land of the Earth, labels are made of some of them, and a small model
    learns from them what is planted. Everything else is what every study
    runs: pool, samplers, pre-training, episodes, heads, evidence, report.

    content: the useful waves are loud on one continent alone. The composition
    from there must be better than uniform.

    nothing: what the model learns does not depend on which places were drawn.
    No composition may be better or worse than uniform or zero pre-training,
    in any region.

    nearness: the nearer a pre-training place, the sharper the model sees. The
    distance law must say so, and of what a crowded composition loses nothing
    may be left at equal distance.

    Prints a line for each world: what was planted, what was found, whether
    that is right. Exit code 1: the instrument was wrong more often than it may
    be. One family in 20 errs by chance, so that a few worlds of nothing may be
    wrong. With --out, DIR/KIND-NUMBER/study.yaml is the study of a world, and
    report.html the page of the first of each kind; the same command goes on
    where it was stopped.

    For example:

        wherefrom selfcheck

        wherefrom selfcheck --scale full --out runs/selfcheck
    """
    refuse_untrainable()
    from wherefrom.selfcheck import check

    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = check.selfcheck(folder, check.cases(scale, seed), workers)
    _print(found, kept=out is not None)
    for line in check.counted(scale, found):
        show(line)
    if wrong := check.failed(scale, found):
        say(f"the instrument failed on generated worlds: {'; '.join(wrong)}")
        raise typer.Exit(1)


def _print(found: Sequence[Judged], *, kept: bool) -> None:
    from rich.table import Table

    show("Generated worlds: nothing here is about the Earth.")
    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in ("generated world", "planted", "found", "with distance", "right"):
        table.add_column(heading, no_wrap=heading != "found", overflow="fold")
    for one in found:
        table.add_row(one.case.name, one.planted, one.found, one.law, "yes" if one.ok else "NO")
    Screen().print(table)
    for one in found if kept else ():
        if one.page is not None:
            show(f"page of generated world {one.case.name}: {one.page}")
