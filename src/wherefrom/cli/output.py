"""Where a command writes: judged before any work is done, so that no input is lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wherefrom.errors import WherefromError
from wherefrom.files import disk_errors, refuse_target

__all__ = ["check_out"]


def check_out(out: Path, what: str, inputs: Mapping[str, Path] | None = None) -> None:
    """Refuse an ``--out`` that is no Parquet file, cannot be one, or is an input of the command.

    Parameters
    ----------
    out : Path
        What the user gave.
    what : str
        What is written, e.g. ``"a pool"``.
    inputs : dict of str to Path, optional
        What the command reads, each under its name in the message.

    Raises
    ------
    WherefromError
        Says which it is.
    """
    if out.suffix != ".parquet":
        raise WherefromError(f"--out {out}: {what} is a Parquet file; name it .parquet")
    with disk_errors(out):
        refuse_target(out)
    for name, path in (inputs or {}).items():
        if out.resolve() == path.resolve():
            raise WherefromError(f"--out {out} is {name} itself; name another file")
