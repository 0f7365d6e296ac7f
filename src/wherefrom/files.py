"""Writing files so that a full disk or a killed process loses nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wherefrom.errors import WherefromError

__all__ = ["atomic", "atomic_folder", "disk_errors", "refuse_target", "sha256_of"]

_REFUSED = (
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a refused write under `path` into one clear error."""
    try:
        yield
    except WherefromError:
        raise
    except Exception as err:
        if _is_full(err, path):
            raise WherefromError(
                f"disk full while writing {path}; nothing was lost: free some space and run the "
                "same command again"
            ) from err
        if isinstance(err, OSError) and err.errno in _REFUSED:
            what = "a shorter name" if err.errno == errno.ENAMETOOLONG else "another folder"
            raise WherefromError(f"cannot write {path}: {err.strerror}; choose {what}") from err
        raise


def _is_full(err: Exception, path: Path) -> bool:
    """Tell whether an error comes from a full disk."""
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if "No space left" in str(err):
        return True
    # NumPy and torch drop errno and the system's words ("16 requested and 8 written").
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    return isinstance(err, OSError | RuntimeError) and shutil.disk_usage(folder).free < 2**16


def refuse_target(path: Path) -> None:
    """Refuse to write where a file cannot be, or where the rename would replace a device."""
    if path.is_dir():
        raise WherefromError(f"cannot write {path}: it is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise WherefromError(f"cannot write {path}: it is a device, no file; name a file")
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise WherefromError(
                f"cannot write {path}: {parent} is a file, no folder; choose another folder"
            )


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block succeeds.

    The old file, if any, stays whole until the rename. The folder is made if absent; of a link, the
    file it points to is replaced and the link stays.

    Raises
    ------
    WherefromError
        If the disk is full, the folder cannot be written, or `path` is a folder or a device.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic(target) as tmp:
    ...     _ = tmp.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    with disk_errors(path):
        refuse_target(path)
        if path.is_symlink():
            path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        # Keeps the suffix, since writers such as matplotlib choose the format by it.
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        os.close(fd)
        tmp = Path(name)
        try:
            # Judged before the temporary file goes: its removal makes room again.
            with disk_errors(path):
                yield tmp
            tmp.chmod(0o666 & ~_umask())
            tmp.replace(path)
        finally:
            tmp.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Give an empty folder beside `path`; rename it to `path` when the block succeeds, as `atomic`.

    If another process finished the same folder first, its result stays and ours is dropped:
    equal keys mean equal contents.
    """
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        tmp = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            with disk_errors(path):
                yield tmp
            tmp.chmod(0o777 & ~_umask())
            try:
                tmp.rename(path)
            except OSError:
                if not path.is_dir():
                    raise
        finally:
            shutil.rmtree(tmp, ignore_errors=True)


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
