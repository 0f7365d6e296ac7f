"""What commands have in common: where they write, judged before any work, and their notes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer

from wherefrom.errors import WherefromError
from wherefrom.files import disk_errors, refuse_target
from wherefrom.progress import note
from wherefrom.shown import terminal

__all__ = ["check_out", "check_target", "note", "show"]


def show(text: str) -> None:
    """Print a result on stdout, as text that steers no terminal."""
    typer.echo(terminal(text))


def check_out(
    out: Path, what: str, inputs: Mapping[str, Path] | None = None, flag: str = "--out"
) -> None:
    """Refuse an output that is no Parquet file, cannot be one, or is one of the inputs.

    `what` is written, e.g. ``"a pool"``; inputs go by their names in the message.
    """
    if out.suffix != ".parquet":
        raise WherefromError(f"{flag} {out}: {what} is a Parquet file; name it .parquet")
    check_target(flag, out, inputs or {})


def check_target(flag: str, path: Path, inputs: Mapping[str, Path]) -> None:
    """Refuse a file that cannot be written or is one of the inputs."""
    with disk_errors(path):
        refuse_target(path)
    for name, given in inputs.items():
        if path.resolve() == given.resolve():
            raise WherefromError(f"{flag} {path} is {name} itself; name another file")
