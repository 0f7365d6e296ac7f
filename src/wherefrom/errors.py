"""One clear error for a user's mistake: what, where, and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["UnknownNameError", "WherefromError", "unknown"]


class WherefromError(Exception):
    """A mistake of input or a lack of the machine that the user can mend.

    The command line prints the message without a traceback and exits with code 2. The message
    names the file, row or field at fault and the remedy.
    """


class UnknownNameError(WherefromError):
    """A name that is not known, and the `kind` of thing that was asked for, e.g. ``"layer"``."""

    def __init__(self, message: str, kind: str = "", name: str = "") -> None:
        super().__init__(message, kind, name)
        self.kind, self.name = kind, name

    def __str__(self) -> str:
        return str(self.args[0])


def unknown(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Build the error for a name that is not known, with the nearest valid one.

    Examples
    --------
    >>> str(unknown("layer", "bimoe", ["biome", "continent"]))
    "unknown layer 'bimoe': did you mean 'biome'? Known: biome, continent"
    """
    options = list(known)
    near = difflib.get_close_matches(str(name), options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    message = f"unknown {kind} {str(name)!r}: {hint}Known: {', '.join(options)}"
    return UnknownNameError(message, kind, str(name))
