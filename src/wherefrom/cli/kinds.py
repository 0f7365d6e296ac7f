"""``wherefrom list``: which kinds of layers, samplers, payloads, GFMs, ... there are."""

from __future__ import annotations

from typing import Annotated

import typer

from wherefrom.plugins import Group, kinds
from wherefrom.progress import Screen

__all__ = ["list_"]


def list_(
    group: Annotated[
        Group,
        typer.Argument(help="What to list.", show_default=False),
    ],
) -> None:
    """List the kinds that study files and commands can name, with one line each.

    Besides ours, installed packages offer kinds of their own (docs/extending.md);
    they stand in the same list. Whatever is not installed as a package is
    named by where it lies, MODULE:NAME.

    For example:

        wherefrom list samplers

        wherefrom list gfms
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in ("name", "from", "what"):
        table.add_column(heading, no_wrap=heading == "name", overflow="fold")
    for name, entry in kinds(group).items():
        table.add_row(name, entry.package, entry.title())
    Screen().print(table)
