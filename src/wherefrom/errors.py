"""One clear error for a user's mistake: what, where, and the remedy."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator

__all__ = ["MachineError", "UnknownNameError", "WherefromError", "of_the_system", "unknown"]

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


class WherefromError(Exception):
    """A mistake of input or a lack of the machine that the user can mend.

    The command line prints the message without a traceback and exits with code 2. The message
    names the file, row or field at fault and the remedy.
    """


class MachineError(WherefromError):
    """What a machine lacks and another may have: room on its disk, a file, a version."""


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
