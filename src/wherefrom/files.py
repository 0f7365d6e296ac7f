"""Files that a full disk, a killed process or a decaying disk cannot falsify."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import platform
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from wherefrom.errors import MachineError, WherefromError, of_the_system

__all__ = [
    "atomic",
    "atomic_folder",
    "disk_errors",
    "in_place_of",
    "in_place_of_numbers",
    "refuse_target",
    "seal",
    "sha256_of",
    "unsealed",
    "walked",
]

#: An address such as s3://bucket/file, of which a path keeps one slash.
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
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
            raise MachineError(
                f"disk full while writing {path}; nothing was lost: free some space and run the "
                "same command again"
            ) from err
        if said := _cut_short(err):
            raise MachineError(
                f"cannot write {path}: {said}; nothing was lost: lift the limit and run the same "
                "command again"
            ) from err
        if isinstance(err, OSError) and (said := of_the_system(err)):
            raise MachineError(f"cannot write {path}: {said}") from err
        if isinstance(err, OSError) and (err.errno in _REFUSED or _takes_no_file(err, path)):
            what = "a shorter name" if err.errno == errno.ENAMETOOLONG else "another folder"
            why = "its folder takes no file" if err.errno == errno.ENOENT else err.strerror
            raise MachineError(f"cannot write {path}: {why}; choose {what}") from err
        raise


def _is_full(err: Exception, path: Path) -> bool:
    """Tell whether an error comes from a full disk."""
    if "No space left" in str(err):
        return True
    if isinstance(err, OSError) and err.errno is not None:
        return err.errno in (errno.ENOSPC, errno.EDQUOT)
    # NumPy and torch drop errno and the system's words ("16 requested and 8 written").
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    return isinstance(err, OSError | RuntimeError) and shutil.disk_usage(folder).free < 2**16


def _takes_no_file(err: OSError, path: Path) -> bool:
    """Tell whether a folder that is there takes no file or folder of ours, as /proc."""
    made, path = Path(err.filename or "").absolute(), path.absolute()
    ours = made in path.parents or (made.parent == path.parent and made.name.startswith("."))
    return err.errno == errno.ENOENT and ours and made.parent.is_dir()


def _cut_short(err: Exception) -> str:
    """Say why the system takes a part of a file alone, if an error comes from that."""
    if isinstance(err, OSError) and err.errno == errno.EFBIG:
        return "the system allows no file of that size (ulimit -f)"
    # What NumPy and torch say of a write that ended early, whatever the cause.
    words = ("requested and", "PytorchStreamWriter failed writing")
    if isinstance(err, OSError | RuntimeError) and any(text in str(err) for text in words):
        return "the write was cut short by a quota or a limit of file sizes (ulimit -f)"
    return ""


def refuse_target(path: Path) -> None:
    """Refuse to write where a file cannot be, or where the rename would replace a device."""
    if ADDRESS.match(str(path)):
        raise WherefromError(
            f"cannot write {path}: it is an address, and files are written to disks alone: name a "
            "file, and copy it there"
        )
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

    The old file, if any, stays whole until the rename, and the new one is on the disk by then, so
    that not even a loss of power leaves half of it. The folder is made if absent; of a link, the
    file it points to is replaced and the link stays. What killed writers of the same file left
    beside it goes.

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
        prefix = _prefix(path.parent, path.stem)
        # Keeps the suffix, since writers such as matplotlib choose the format by it.
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
        os.close(fd)
        tmp = Path(name)
        try:
            # Judged before the temporary file goes: its removal makes room again.
            with disk_errors(path):
                yield tmp
                _settle(tmp)
            tmp.chmod(0o666 & ~_umask())
            tmp.replace(path)
            _settle(path.parent)
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
        tmp = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path.parent, path.name)))
        try:
            with disk_errors(path):
                yield tmp
                for item in (*tmp.rglob("*"), tmp):
                    _settle(item)
            tmp.chmod(0o777 & ~_umask())
            try:
                tmp.rename(path)
            except OSError:
                if not path.is_dir():
                    raise
            _settle(path.parent)
        finally:
            shutil.rmtree(tmp, ignore_errors=True)


def _settle(path: Path) -> None:
    """Wait until the disk holds a file, or the names in a folder."""
    folder = path.is_dir()
    if folder and os.name == "nt":
        return  # where a folder cannot be opened
    fd = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(fd)
    except OSError as err:
        # Some file systems know no such wait for folders.
        if not (folder and err.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(fd)


def _prefix(folder: Path, name: str) -> str:
    """Begin the name of a temporary file by its target's, this machine and this process.

    What processes that are no more left of the same target is removed.
    """
    ours = f".{name}.{zlib.crc32(platform.node().encode()):08x}-"
    for left in folder.glob(f"{glob.escape(ours)}*"):
        pid = left.name.removeprefix(ours).partition("-")[0]
        if pid.isdigit() and not _lives(int(pid)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
    return f"{ours}{os.getpid()}-"


def _lives(pid: int) -> bool:
    if os.name == "nt":
        return True  # a signal would end it there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def seal(path: Path) -> None:
    """Append to a file the SHA-256 of what it holds, by which `unsealed` knows damage."""
    digest = bytes.fromhex(sha256_of(path))
    with path.open("ab") as stream:
        stream.write(digest)


def unsealed(path: Path) -> memoryview:
    """Return what a sealed file holds.

    Raises
    ------
    ValueError
        If the file is not as it was sealed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = file.write_text("whole")
    >>> seal(file)
    >>> bytes(unsealed(file))
    b'whole'
    """
    content = memoryview(path.read_bytes())
    held, digest = content[:-32], content[-32:]
    if hashlib.sha256(held).digest() != digest:
        raise ValueError("it is not as it was written")
    return held


def in_place_of(path: Path) -> str:
    """Name what a download often leaves in place of a file, with the remedy; else empty.

    Examples
    --------
    >>> file = Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = file.write_text("version https://git-lfs.github.com/spec/v1")
    >>> in_place_of(file)
    'a Git LFS pointer, not the file: fetch it with `git lfs pull`'
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(512).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError:  # whoever reads it says why it cannot be
        return ""
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a Git LFS pointer, not the file: fetch it with `git lfs pull`"
    if re.match(rb"[./][^\s,;]*annex/objects/", head):
        return "a git-annex pointer, not the file: fetch it with `git annex get`"
    if re.match(rb"<([?!]|(html|head|body|error)\b)", head, re.IGNORECASE):
        return "a web page (HTML or XML), not the file: download the file that the page is about"
    return ""


def in_place_of_numbers(path: Path) -> str:
    """Name what lies in place of a file of numbers, with the remedy; empty if it may be that."""
    if path.is_dir():
        return "a folder: name the file in it"
    if known := in_place_of(path):
        return known
    with path.open("rb") as stream:
        head = stream.read(512)
    if not head:
        return "empty: download it again"
    text = head.decode("utf-8", errors="replace").replace("\n", " ")[:60]
    readable = text.isprintable() and "\ufffd" not in text
    return f"text ({text!r}), not the file: download it again" if readable else ""


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def walked(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder, at any depth, by name; none that are hidden, or in such folders.

    Links to folders are followed, but not into a folder that they lie in.

    Raises
    ------
    WherefromError
        If a folder cannot be listed, or a name is no UTF-8.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("b.tif", "a.tif", ".hidden"):
    ...     _ = (folder / name).write_text("")
    >>> (folder / "again").symlink_to(folder)
    >>> [path.name for path in walked(folder)]
    ['a.tif', 'b.tif']
    """

    def refuse(err: OSError) -> NoReturn:
        raise WherefromError(
            of_the_system(err) or f"{err.filename}: cannot be read: {err.strerror}"
        ) from err

    for top, below, names in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(top)
        if here.is_symlink() and here.resolve() in (up.resolve() for up in here.parents):
            below.clear()
            continue
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            try:
                name.encode()
            except UnicodeEncodeError:
                raise WherefromError(
                    f"{here}: the name of {os.fsencode(name)!r} is no UTF-8: rename the file"
                ) from None
            yield here / name


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
