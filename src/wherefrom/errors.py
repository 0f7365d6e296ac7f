"""One clear error for a user's mistake: what, where, and the remedy."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = [
    "MachineError", "UnknownNameError", "WherefromError", "of_the_system", "phrased",
    "speaking_flags", "unknown",
]  # fmt: skip

#: What helps where memory is short.
MEMORY = (
    "not enough memory: use fewer workers, lift a limit (ulimit -v), or take a machine with more"
)
#: What the system says when it lacks something -> the remedy.
_LACKS = {
    (errno.EMFILE, errno.ENFILE): "too many files are open: allow more (ulimit -n 4096), or use "
    "fewer workers",
    (errno.EFBIG,): "the system allows no file of that size: lift the limit (ulimit -f)",
    (errno.ENOSPC, errno.EDQUOT): "the disk is full: free some space and run the same command "
    "again",
    (errno.ENOMEM,): MEMORY,
    (errno.EAGAIN,): "the system allows no more processes or threads: use fewer workers "
    "(--workers 1), or allow more (ulimit -u)",
    (errno.EIO,): "the disk cannot be read or written: see what the system says of it",
}
#: The same in the words of libraries, which drop the number.
_WORDS = {
    "can't start new thread": errno.EAGAIN,
    "unable to start thread": errno.EAGAIN,
    "failed to map segment": errno.ENOMEM,
    "cannot allocate memory": errno.ENOMEM,
    "can't allocate memory": errno.ENOMEM,
    "CUDA out of memory": errno.ENOMEM,
    "std::bad_alloc": errno.ENOMEM,
    "Too many open files": errno.EMFILE,
    "File too large": errno.EFBIG,
    "No space left": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
}
#: What stays: commands, in backticks or to the end of their clause, and what Python has not.
_KEPT = r"`[^`]*`|\bwherefrom [a-z][^;)]*|--no-plugins"
#: A flag, perhaps with its value: a word before a sign, another flag or the end alone.
_FLAG = re.compile(
    _KEPT
    + r"""|(?<![\w'"/-])--(?P<flag>[a-z]+(?:-[a-z]+)*)"""
    + r"(?:[ ](?!(?:alone|and|or|out|too)\b)"
    + r"(?P<value>'[^']*'|[^\s;()'-](?:[^\s;()']*[^\s;:,.()'])?)"
    + r"(?=[;:,)]|$|(?P<more>[ ]--)|[.](?:\s|$)|[ ][(]))?"
    + r"|(?<=give )-(?P<short>n)\b"
)
#: Arguments that are called otherwise than their flags.
_CALLED = {"unit": "units"}
#: Whether whoever reads messages gave flags, or arguments.
_flags = False


@contextmanager
def speaking_flags() -> Iterator[None]:
    """Let messages name flags, as the command line has them; outside they name arguments.

    Workers are in it, too: their driver says what they say, to whom it knows.

    Examples
    --------
    >>> err = WherefromError("no column 'lon': give --lon x --lat y")
    >>> str(err)
    "no column 'lon': give lon='x', lat='y'"
    >>> with speaking_flags():
    ...     str(err)
    "no column 'lon': give --lon x --lat y"
    """
    global _flags
    before, _flags = _flags, True
    try:
        yield
    finally:
        _flags = before


def phrased(text: str) -> str:
    """Write a message for whoever reads it: with its flags, or with arguments in their place.

    Flags of commands stay what they are.

    Examples
    --------
    >>> phrased("--folds 5: give --block-km too, or make it with `wherefrom task --folds 5`")
    'folds=5: give block_km= too, or make it with `wherefrom task --folds 5`'
    >>> phrased("name the coordinates with --lon and --lat")
    'name the coordinates with lon= and lat='
    """
    return text if _flags else _FLAG.sub(_as_argument, text)


def _as_argument(found: re.Match[str]) -> str:
    name = found["flag"] or found["short"]
    if name is None:
        return found[0]
    name, value = _CALLED.get(name, name).replace("-", "_"), found["value"] or ""
    plain = not value or value[0] == "'" or re.fullmatch(r"\d+(\.\d+)?", value)
    return f"{name}={value if plain else repr(value)}" + ("," if found["more"] else "")


class WherefromError(Exception):
    """A mistake of input or a lack of the machine that the user can mend.

    The command line prints the message without a traceback and exits with code 2. The message
    names the file, row or field at fault and the remedy: flags there, arguments in Python
    (`speaking_flags`).
    """

    def __str__(self) -> str:
        return phrased(str(self.args[0])) if self.args else ""


class MachineError(WherefromError):
    """What a machine lacks and another may have: room on its disk, a file, a version."""


class UnknownNameError(WherefromError):
    """A name that is not known, and the `kind` of thing that was asked for, e.g. ``"layer"``."""

    def __init__(self, message: str, kind: str = "", name: str = "") -> None:
        super().__init__(message, kind, name)
        self.kind, self.name = kind, name


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


def of_the_system(err: BaseException) -> str:
    """Say what the system lacks and the remedy, if an error or its cause comes from that.

    Examples
    --------
    >>> of_the_system(OSError(errno.EMFILE, "Too many open files", "a.tif"))[:33]
    'a.tif: too many files are open: a'
    >>> of_the_system(ValueError("a mistake"))
    ''
    """
    for one in _causes(err):
        if isinstance(one, WherefromError):
            return ""
        number = one.errno if isinstance(one, OSError) else None
        if isinstance(one, MemoryError):
            number = errno.ENOMEM
        elif number is None and not isinstance(one, ValueError):  # which is about an input
            text = str(one)
            number = next((number for words, number in _WORDS.items() if words in text), None)
        for numbers, remedy in _LACKS.items():
            if number in numbers:
                file = getattr(one, "filename", None)
                return f"{file}: {remedy}" if file else remedy
    return ""


def _causes(err: BaseException | None) -> Iterator[BaseException]:
    while err is not None:
        yield err
        err = err.__cause__ or err.__context__
