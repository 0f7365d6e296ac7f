"""Where a source's file lies on this machine; fetching and checking it when it is not there."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wherefrom.earth.catalog import Source, source
from wherefrom.earth.transfer import BrokenDownloadError, Meter, UnreachableError, transfer
from wherefrom.errors import WherefromError
from wherefrom.files import atomic, disk_errors, sha256_of
from wherefrom.keys import key_of
from wherefrom.progress import progress, say

__all__ = ["absent", "cache_folder", "checksum", "digest_of", "fetch", "find", "path_of"]

#: (path, size, mtime in ns) -> sha256; stamps on disk do the same across processes.
_KNOWN: dict[tuple[str, int, int], str] = {}


def cache_folder() -> Path:
    """Return the folder of fetched files: ``WHEREFROM_CACHE`` or the system's cache folder."""
    named = os.environ.get("WHEREFROM_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    import pooch  # slow to import, and needed for this default alone

    return Path(pooch.os_cache("wherefrom"))


def path_of(name: str, *, download: bool = True) -> Path:
    """Return the path of a source's principal file, fetching it if need be.

    Looked for in the folder that ``WHEREFROM_DATA`` names (at its top and one folder deep), then
    in the cache (``WHEREFROM_CACHE``, or the system's cache folder), then fetched: data wheels
    with pip or uv, official files with pooch. Further files of a source lie beside the first.

    Parameters
    ----------
    name : str
        A name of the catalog.
    download : bool
        May the network be used?

    Returns
    -------
    Path
        The file; its checksum was verified once for this size and time of change.

    Raises
    ------
    WherefromError
        If the name is unknown, a file is not what the catalog states, or it is nowhere and
        cannot be fetched; the message names the file to place, the folder and the address.

    Examples
    --------
    >>> path_of("koeppen-geiger").name
    'kmz_int_reshape.png'
    """
    wanted = source(name)
    path, fault = _look(wanted)
    if path is not None:
        return path
    if not download:
        raise WherefromError(fault or f"{name} is not on this machine: {_how_to_place(wanted)}")
    if fault:
        say(f"{fault}; fetching it again")
    problem = fetch([name]).get(name)
    if problem:
        raise WherefromError(problem)
    path, fault = _look(wanted)
    if path is None:
        raise WherefromError(fault or f"{name} vanished from {cache_folder()}: fetch it again")
    return path


def find(name: str) -> Path | None:
    """Return the path of a source's principal file if it can be had without a network.

    Raises
    ------
    WherefromError
        If the name is unknown or a file in ``WHEREFROM_DATA`` is not what the catalog states.
    """
    return _look(source(name))[0]


def absent(*names: str) -> str:
    """Say what to fetch or to place where if sources are not on this machine; else nothing."""
    missing = [source(name) for name in names if find(name) is None]
    if not missing:
        return ""
    titles = "; ".join(known.title for known in missing)
    files = ", ".join(map(_first_file, missing))
    return (
        f"{titles}: not on this machine (wherefrom data fetch "
        f"{' '.join(known.name for known in missing)}, or place {files} in the folder that "
        "WHEREFROM_DATA names)"
    )


def digest_of(name: str) -> str:
    """Return a checksum of all files of a source that is on this machine (hexadecimal).

    Raises
    ------
    WherefromError
        If it is not on this machine.
    """
    folder = path_of(name, download=False).parent
    files = source(name).files
    if len(files) == 1:
        return checksum(folder / files[0].name)
    return key_of([checksum(folder / file.name) for file in files])


def fetch(names: Iterable[str]) -> dict[str, str]:
    """Fetch sources that are not on this machine yet, showing progress and remaining time.

    Returns, for each source that could not be had, why, and what to place where.

    Raises
    ------
    WherefromError
        If a name is unknown or a disk is full.
    """
    missing = [item for item in map(source, names) if _look(item)[0] is None]
    problems: dict[str, str] = {}
    with progress() as bar:
        task = bar.add_task("", total=0)
        meter = Meter(bar, task, sum(item.size for item in missing))
        for item in missing:
            bar.update(task, description=f"fetching {item.name} (MB)")
            meter.start(item)
            try:
                _fetch_twice(item, meter)
            except (BrokenDownloadError, UnreachableError) as err:
                problems[item.name] = (
                    f"{item.name} could not be fetched: {err}; {_how_to_place(item)}"
                )
    return problems


def _fetch_twice(wanted: Source, meter: Meter) -> None:
    """Fetch into the cache; a broken download is fetched once more, then refused."""
    if wanted.kind == "own" or not wanted.reader:
        raise UnreachableError("wherefrom does not fetch it")
    try:
        _fetch_once(wanted, meter)
    except BrokenDownloadError as err:
        say(f"broken download: {err}; fetching it once more")
        try:
            _fetch_once(wanted, meter)
        except BrokenDownloadError as again:
            raise BrokenDownloadError(
                f"it arrived broken twice, so it is refused: {again}"
            ) from again


def _fetch_once(wanted: Source, meter: Meter) -> None:
    cache = cache_folder()
    with disk_errors(cache):
        folder = cache / wanted.name
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(cache)
        # Beside the target, so that the rename is atomic; several processes may do this at once.
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as work:
            sums = transfer(wanted, Path(work), meter)
            for file in wanted.files:
                facts = (Path(work) / file.name).stat()
                (Path(work) / file.name).replace(folder / file.name)
                _remember(folder / file.name, facts, sums[file.name])
        with atomic(folder / "sha256.json") as tmp:
            tmp.write_text(json.dumps(sums, indent=1))


def _remove_abandoned(cache: Path) -> None:
    """Remove what killed fetches left; a day is longer than any fetch that is still alive."""
    for work in cache.glob(".fetch-*"):
        try:
            newest = max(path.stat().st_mtime for path in (work, *work.rglob("*")))
        except FileNotFoundError:
            continue  # its owner is just finishing
        if time.time() - newest > 86_400:
            shutil.rmtree(work, ignore_errors=True)


def _look(wanted: Source) -> tuple[Path | None, str]:
    """Return the verified path, or None and what is wrong with the cached file, if anything."""
    given = _given(wanted)
    if given is not None:
        return given, ""
    folder = cache_folder() / wanted.name
    paths = [folder / file.name for file in wanted.files]
    if not all(path.is_file() for path in paths):
        return None, ""
    recorded = _noted(folder / "sha256.json")
    for file, path in zip(wanted.files, paths, strict=True):
        stated, noted = file.sha256, recorded.get(file.name, "")
        fault = _fault(path, stated) or ("" if len(stated) == 64 else _fault(path, noted))
        if fault:
            return None, f"{wanted.name} in the cache is broken: {fault}"
    return paths[0], ""


def _given(wanted: Source) -> Path | None:
    """Return the file in the user's own folder, if it is there."""
    named = os.environ.get("WHEREFROM_DATA")
    if not named:
        return None
    top = Path(named).expanduser().absolute()
    if not top.is_dir():
        raise WherefromError(
            f"WHEREFROM_DATA names {top}, which is not a folder: correct or unset it"
        )
    for folder in [top, *sorted(entry for entry in top.iterdir() if entry.is_dir())]:
        first = folder / wanted.files[0].name
        if not first.is_file():
            continue
        for file in wanted.files:
            path = folder / file.name
            if not path.is_file():
                raise WherefromError(
                    f"{first} lacks {file.name} beside it: place that file there too "
                    f"(official address: {wanted.address})"
                )
            fault = _fault(path, file.sha256)
            if fault:
                raise WherefromError(f"{path} is not {wanted.name}: {fault}; replace or remove it")
        return first
    return None


def _fault(path: Path, expected: str) -> str:
    """Say what is wrong with a file, or nothing."""
    found = checksum(path)
    if not found.startswith(expected):
        size = path.stat().st_size
        return f"{path}: expected sha256 {_stated(expected)}, found {found} ({size} bytes)"
    return ""


def checksum(path: Path) -> str:
    """Return the sha256 of a file, read anew only if its size or time of change differ."""
    facts = path.stat()
    known = (str(path), facts.st_size, facts.st_mtime_ns)
    if known not in _KNOWN:
        noted = _noted(_stamp(path))
        if (noted.get("size"), noted.get("mtime_ns")) == known[1:]:
            _KNOWN[known] = noted["sha256"]
        else:
            # By its size and time of before: another process may be replacing it.
            _remember(path, facts, sha256_of(path))
    return _KNOWN[known]


def _noted(path: Path) -> dict[str, Any]:
    """Read a note of ours; a torn or absent one says nothing, and costs the hashing again."""
    try:
        noted = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _remember(path: Path, facts: os.stat_result, sha256: str) -> None:
    _KNOWN[str(path), facts.st_size, facts.st_mtime_ns] = sha256
    note = {"size": facts.st_size, "mtime_ns": facts.st_mtime_ns, "sha256": sha256}
    try:
        with atomic(_stamp(path)) as tmp:
            tmp.write_text(json.dumps(note | {"path": str(path)}))
    except (WherefromError, OSError):
        # A cache that cannot be written costs the hashing again in the next process, no more.
        return


def _stamp(path: Path) -> Path:
    return cache_folder() / "stamps" / f"{key_of(str(path))}.json"


def _stated(digits: str) -> str:
    """Show a checksum, or that only its first digits are known."""
    return digits if len(digits) == 64 else f"{digits}..."


def _first_file(wanted: Source) -> str:
    """Describe the file to place: its name, and what is known of it."""
    file = wanted.files[0]
    size = f"{file.bytes:,} bytes" if file.bytes else ""
    digits = f"sha256 {_stated(file.sha256)}" if file.sha256 else ""
    of = f"of {wanted.url}" if wanted.kind == "official" else ""
    known = ", ".join(filter(None, (size, digits, of)))
    return f"{file.name} ({known})" if known else file.name


def _how_to_place(wanted: Source) -> str:
    names = ", ".join(
        file.name + (f" (sha256 {_stated(file.sha256)})" if file.sha256 else "")
        for file in wanted.files
    )
    given = os.environ.get("WHEREFROM_DATA") or "not set now"
    carrier = f"; carried by the {wanted.where_from}" if wanted.kind == "wheel" else ""
    return (
        f"place {names} in the folder that WHEREFROM_DATA names ({given}) or in "
        f"{cache_folder() / wanted.name}; official address: {wanted.url or wanted.address}{carrier}"
    )
