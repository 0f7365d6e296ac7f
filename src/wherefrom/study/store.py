"""The content-addressed store: a finished stage is a folder named by the hash of its spec."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from wherefrom.errors import WherefromError, of_the_system
from wherefrom.files import atomic, atomic_folder, disk_errors, sha256_of
from wherefrom.keys import key_of
from wherefrom.study.stage import Stage
from wherefrom.study.usage import Meter

__all__ = ["Keyed", "Store", "versions"]

#: File that tells that a stage is whole: lines of ``sha256sum`` for each other file.
DONE = "done"
#: Folders whose files this process has seen to be as they were written, and how they looked then.
_SOUND: dict[Path, object] = {}


class Keyed(Protocol):
    """A stage, as far as it can be found in a store."""

    @property
    def kind(self) -> str:
        """The folder."""
        ...

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits."""
        ...


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in ("wherefrom", "numpy", "scipy", "pyarrow", "torch", "scikit-learn"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


@dataclass(frozen=True)
class Store:
    """``root/<stage>/<key>/`` with spec.json, env.json, the payload, and their hashes in ``done``.

    A stage is written to a temporary folder and renamed, so that a folder either is whole or is
    not there, and any number of processes may share the store without locks. Processes that
    compute the same stage get the same result; the first to finish it wins. Before its files are
    read they are held against the hashes; a stage that is damaged counts as missing.

    Parameters
    ----------
    root : Path
        The store's folder, made when it is first written to.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> with store.write("pool", "0123", {"label": "a pool"}) as folder:
    ...     _ = (folder / "places.txt").write_text("here")
    >>> store.done("pool", "0123"), store.done("pool", "4567")
    (True, False)
    """

    root: Path

    @property
    def name(self) -> str:
        """Where it is, for people and for another process that opens it."""
        return str(self.root.absolute())

    def __str__(self) -> str:
        """Say where the store is, for people."""
        return str(self.root)

    @property
    def threads(self) -> int | None:
        """Threads that check stages at once; None: one per core."""
        return None

    def ready(self) -> None:
        """Find out, before any work, whether the store can be written to.

        A folder is made when it is first written to, and says then what keeps it from that.
        """

    @contextmanager
    def using(self) -> Iterator[None]:
        """Give a block to whose end the stages stay that are found `sound` in it."""
        yield

    def folder(self, kind: str, key: str) -> Path:
        """Return where a stage's result lies or will lie."""
        return self.root / kind / key

    def done(self, kind: str, key: str) -> bool:
        """Tell whether a stage's result is there."""
        try:
            return (self.folder(kind, key) / DONE).exists()
        except OSError as err:
            raise WherefromError(_refused(err)) from err

    def finished(self, stages: Iterable[Keyed]) -> set[str]:
        """Return the keys of the stages whose results are there."""
        return {stage.key for stage in stages if self.done(stage.kind, stage.key)}

    def fault(self, kind: str, key: str) -> str:
        """Say in what a finished stage is not as it was written; empty if it is sound.

        Its files are read once in a process, when they are first asked for, and again only if
        they look otherwise since (time, size). That they were written for another stage is a fault
        of theirs; that they may not be read is none.

        Raises
        ------
        WherefromError
            If the system does not let them be read.
        """
        folder = self.folder(kind, key)
        try:
            looks = _looks(folder)
            if folder in _SOUND and _SOUND[folder] == looks:
                return ""
            lines = [line.split("  ", 1) for line in (folder / DONE).read_text().splitlines()]
            due = {name: digest for digest, name in lines}
            found = _hashes(folder)
            for name in sorted(due.keys() | found.keys()):
                if due.get(name) != found.get(name):
                    is_not = "is gone" if name not in found else "is not as it was written"
                    is_not = is_not if name in due else "is not among what was written"
                    return f"{folder / name} {is_not}"
            if "spec.json" not in due:
                return f"{folder / DONE} is not as it was written"
            if key != (other := key_of(_spec(folder)["document"])):
                return f"{folder} holds the files of another stage, {other}"
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError) as err:
            return f"{folder} cannot be read ({err})"
        except OSError as err:
            raise WherefromError(_refused(err)) from err
        _SOUND[folder] = looks
        return ""

    def sound(self, stage: Stage) -> Path:
        """Return the folder of a finished stage, whose files are as they were written.

        Raises
        ------
        WherefromError
            If they are not.
        """
        if fault := self.fault(stage.kind, stage.key):
            raise WherefromError(
                f"{stage.label}: {fault}; run the study again, which computes it anew"
            )
        return self.folder(stage.kind, stage.key)

    def drop(self, kind: str, key: str) -> None:
        """Remove a stage that is damaged."""
        folder = self.folder(kind, key)
        # First out of the way of those who share the store.
        away = folder.with_name(f".{key}.damaged-{time.time_ns()}")
        with suppress(FileNotFoundError), disk_errors(folder):
            folder.rename(away)
            _SOUND.pop(folder, None)
        _remove(away)

    def partial(self, kind: str, key: str) -> Path:
        """Return the folder for checkpoints of a stage under way."""
        return self.root / "partial" / f"{kind}-{key}"

    @contextmanager
    def checkpoints(self, kind: str, key: str) -> Iterator[Path]:
        """Give the folder for checkpoints of a stage, with those that an earlier try has left."""
        yield self.partial(kind, key)

    def reached(self, kind: str, key: str) -> str:
        """Tell how far an unfinished stage has come: another text for another checkpoint."""
        folder = self.partial(kind, key)
        try:
            found = [(path.name, path.stat()) for path in _files(folder)]
        except OSError:  # none yet, or replaced while we look
            return ""
        return " ".join(f"{name} {now.st_mtime_ns} {now.st_size}" for name, now in found)

    @contextmanager
    def write(self, kind: str, key: str, spec: dict[str, Any]) -> Iterator[Path]:
        """Give a temporary folder for the payload; it takes its place when the block succeeds.

        Then the stage's checkpoints go, and what killed or slower processes left of it.
        """
        meter = Meter()
        folder = self.folder(kind, key)
        if os.path.lexists(folder) and not self.done(kind, key):
            self.drop(kind, key)
        with atomic_folder(folder) as tmp:
            yield tmp
            complete(tmp, spec, meter.read(tmp))
        self.tidy(kind, key)

    def tidy(self, kind: str, key: str) -> None:
        """Remove what is left of computing a stage that is done."""
        for left in (self.partial(kind, key), *(self.root / kind).glob(f".{key}.*")):
            _remove(left)

    def env(self, kind: str, key: str) -> dict[str, Any]:
        """Return what was noted of how a stage was made; empty if it is not there, or damaged."""
        try:
            env = json.loads((self.folder(kind, key) / "env.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return env if isinstance(env, dict) else {}

    def seconds(self, kind: str, key: str) -> float | None:
        """Return how long a finished stage took; None where it is not there, or damaged."""
        try:
            return float(self.env(kind, key)["seconds"])
        except (ValueError, KeyError, TypeError):
            return None

    def spend(self, plan: str, call: str, seconds: float) -> None:
        """Note how long a call has worked on a plan so far; a later note replaces an earlier."""
        self.note(f"clock/{plan}", call, f"{seconds:.1f}")

    def spent(self, plan: str) -> float:
        """Return the seconds that all calls together have worked on a plan, killed ones too."""
        total = 0.0
        for text in self.notes(f"clock/{plan}").values():
            with suppress(ValueError):  # a damaged note costs its own seconds alone
                total += float(text)
        return total

    def note(self, folder: str, name: str, text: str) -> None:
        """Write a short text for whoever shares the store; a later one replaces an earlier."""
        with atomic(self.root / folder / name) as tmp:
            tmp.write_text(text, encoding="utf-8")

    def notes(self, folder: str) -> dict[str, str]:
        """Read the notes of a folder by name, but for those that cannot be read."""
        found = {}
        for file in sorted((self.root / folder).glob("[!.]*")):
            with suppress(ValueError, OSError):
                found[file.name] = file.read_text(encoding="utf-8")
        return found

    def forget(self, folder: str, name: str) -> None:
        """Take a note away, and its folder with the last one."""
        with suppress(OSError):
            (self.root / folder / name).unlink()
            (self.root / folder).rmdir()

    def changes(self, stage: Stage) -> list[str]:
        """Say in which fields a missing stage differs from a finished one of the same label.

        Returns
        -------
        list of str
            ``field: old -> new``, against the one that differs in the fewest fields; empty if
            there is none.
        """
        folder = self.root / stage.kind
        if not folder.is_dir():
            return []
        new = _flat(json.loads(json.dumps(stage.document)))  # as it is read back
        different = []
        for key, spec in _specs(folder, folder.stat().st_mtime_ns):
            if key != stage.key and spec["label"] == stage.label:
                old = _flat(spec["document"])
                different.append(
                    [
                        f"{name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
                        for name in sorted(old.keys() | new.keys())
                        if old.get(name) != new.get(name)
                    ]
                )
        return min(different, key=len, default=[])


def complete(folder: Path, spec: dict[str, Any], used: dict[str, Any]) -> dict[str, str]:
    """Write beside a payload its spec, what it took, and the hashes of all; return these."""
    env = {**used, **versions()}
    for name, content in (("spec.json", spec), ("env.json", env)):
        text = json.dumps(content, indent=1, sort_keys=True)
        (folder / name).write_text(text, encoding="utf-8")
    found = _hashes(folder)
    lines = [f"{digest}  {name}\n" for name, digest in found.items()]
    (folder / DONE).write_text("".join(lines))
    return found


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return flat


@lru_cache(maxsize=8)
def _specs(folder: Path, _: int) -> list[tuple[str, dict[str, Any]]]:
    """Read key and spec of all finished stages of a kind, anew when the folder has changed."""
    found = []
    for file in sorted(folder.glob("[!.]*/spec.json")):
        with suppress(ValueError, OSError):  # damaged: the stage itself will count as missing
            found.append((file.parent.name, _spec(file.parent)))
    return found


def _spec(folder: Path) -> dict[str, Any]:
    """Read the label and the document of a stage; a ValueError says that they are damaged."""
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    if not (isinstance(spec, dict) and {"label", "document"} <= spec.keys()):
        raise ValueError("spec.json is none of a stage")
    return spec


def _looks(folder: Path) -> object:
    """Tell how the files of a folder look from outside, by which a later change is seen."""
    found = ((path, path.lstat()) for path in _files(folder))
    return [(path, now.st_mtime_ns, now.st_size, now.st_ino, now.st_mode) for path, now in found]


def _files(folder: Path) -> list[Path]:
    """List all files of a folder, or raise what keeps us from it."""

    def refuse(err: OSError) -> None:
        raise err

    walked = os.walk(folder, onerror=refuse)
    return sorted(Path(at) / name for at, _, names in walked for name in names)


def _refused(err: OSError) -> str:
    return of_the_system(err) or (
        f"{err.filename}: cannot be read: {err.strerror}; allow it, or choose another folder"
    )


def _remove(path: Path) -> None:
    """Remove what lies at a path, as far as the system lets us."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _hashes(folder: Path) -> dict[str, str]:
    """Hash every file of a stage but the one that holds the hashes."""
    files = [path for path in _files(folder) if path.is_file() and path.name != DONE]
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
