"""A store in object storage, read through a cache of this machine: nothing is ever renamed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from wherefrom.earth.fetch import cache_folder
from wherefrom.errors import WherefromError
from wherefrom.files import atomic, atomic_folder
from wherefrom.keys import key_of
from wherefrom.remote import Remote, at_once, is_address, remote, split
from wherefrom.study import store as local
from wherefrom.study.stage import Stage
from wherefrom.study.store import DONE, Keyed, Store, complete
from wherefrom.study.usage import Meter

__all__ = ["CHECKPOINTS", "ObjectStore", "opened"]

#: Seconds between two looks for a checkpoint to upload.
CHECKPOINTS = 20.0
#: Bytes up to which a stage is fetched, and its hashes held against its files, when it is checked.
#: Of a larger one the sizes are looked at; its hashes are when it is fetched where it is read.
CHECKED = 64_000_000
#: Limit of the cache, and the variable that changes it.
LIMIT, LIMIT_NAME = "50GB", "WHEREFROM_STORE_CACHE"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
#: How often a stage is looked at anew that another driver has written meanwhile.
_TRIES = 3


def opened(address: str | Path) -> Store:
    """Return the store at an address, or in a folder.

    Parameters
    ----------
    address : str or Path
        A folder, or an address of object storage (`wherefrom.remote.KINDS`):
        ``s3://bucket/path``, ``gs://bucket/path``, ``az://container/path`` or
        ``abfs://container@account.dfs.core.windows.net/path``. Nothing is asked of it yet.

    Raises
    ------
    WherefromError
        If the address is of no kind that is known, or names no bucket.

    Examples
    --------
    >>> opened("runs/store")
    Store(root=PosixPath('runs/store'))
    >>> str(opened("s3://bucket/studies/"))
    's3://bucket/studies'
    """
    text = str(address)
    if not is_address(text):
        return Store(Path(address))
    scheme = text.partition(":")[0]
    kind, rest = split(text)
    whole = f"{scheme}://{rest}"
    name = hashlib.sha256(f"{whole} {kind.endpoint()}".encode()).hexdigest()[:16]
    return ObjectStore(cache_folder() / "stores" / name, whole)


class _Listing(NamedTuple):
    """What a ``done`` object says of a stage: the folder of its files, and their hash and size."""

    attempt: str
    files: dict[str, tuple[str, int]]

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.files.values())

    @classmethod
    def of(cls, folder: Path, hashes: dict[str, str]) -> _Listing:
        found = {name: (digest, (folder / name).stat().st_size) for name, digest in hashes.items()}
        return cls(_attempt(_lines(found)), found)

    @classmethod
    def read(cls, text: str) -> _Listing | None:
        """Read it; None if it is not as it was written."""
        first, _, rest = text.partition("\n")
        files = {}
        for line in rest.splitlines():
            if not (found := re.fullmatch(r"([0-9a-f]{64})  (\d+)  (\S.*)", line)):
                return None
            if Path(found[3]).is_absolute() or ".." in Path(found[3]).parts:
                return None
            files[found[3]] = found[1], int(found[2])
        same = first == f"attempt {_attempt(rest)}" and "spec.json" in files
        return cls(_attempt(rest), files) if same else None

    def text(self) -> str:
        return f"attempt {self.attempt}\n{_lines(self.files)}"


def _lines(files: dict[str, tuple[str, int]]) -> str:
    return "".join(f"{digest}  {size}  {name}\n" for name, (digest, size) in sorted(files.items()))


def _attempt(lines: str) -> str:
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


class _LostError(Exception):
    """Another driver has finished the stage first."""


@dataclass
class _Here:
    """What this process knows of a store, and uses of its cache."""

    #: Stages that are known to be there: they change by being dropped alone.
    done: set[tuple[str, str]] = field(default_factory=set)
    env: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    #: Stages that this process holds in the cache: how many blocks do so.
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    blocks: list[list[tuple[str, str]]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.RLock)
    locks: int = -1
    #: Bytes of the cache when it was last looked through, and fetched since.
    size: int = -1
    since: int = 0
    said: bool = False


_HERE: dict[tuple[int, Path], _Here] = {}


@dataclass(frozen=True)
class ObjectStore(Store):
    """A store whose stages are objects, with a cache in `root`.

    Under the address lie ``<kind>/<key>/<attempt>/<files>`` and, written last, one small object
    ``done/<kind>/<key>`` with the name of the attempt and hash, size and name of each of its files:
    by it a stage is whole or not there. All lie together, so that a request lists 1,000 stages. The
    attempt is named by the hash of that list, so that drivers that finish a stage at once never mix
    their files: whoever finds ``done`` leaves it, and takes its own files away.

    Stages that are read are fetched into the cache, held against their hashes, and stay there as
    far as ``WHEREFROM_STORE_CACHE`` allows. Checkpoints lie under ``partial/<kind>-<key>/``.

    Parameters
    ----------
    root : Path
        Folder of the cache, of this machine.
    address : str
        As `opened` takes it.
    """

    address: str

    def __str__(self) -> str:
        return self.address

    def __reduce__(self) -> tuple[Any, ...]:
        # Another machine has a cache of its own, unless this one is of a particular folder.
        if opened(self.address) == self:
            return opened, (self.address,)
        return ObjectStore, (self.root, self.address)

    @property
    def name(self) -> str:
        """Its address."""
        return self.address

    @property
    def threads(self) -> int | None:
        """Threads that check stages at once, which wait for the network."""
        return 16

    @property
    def _remote(self) -> Remote:
        return remote(self.address, split(self.address)[0].endpoint())

    @property
    def _here(self) -> _Here:
        return _HERE.setdefault((os.getpid(), self.root), _Here())

    def ready(self) -> None:
        """Find out, before any work, whether the store can be written to, read and tidied.

        Raises
        ------
        WherefromError
            If it cannot, or the cache has no limit that can be read.
        """
        limit()
        self._remote.ready()

    def done(self, kind: str, key: str) -> bool:
        """Tell whether a stage's result is there: a request, unless it is known to be."""
        known = self._here.done
        if (kind, key) not in known and self._remote.stat(f"{DONE}/{kind}/{key}") is not None:
            known.add((kind, key))
        return (kind, key) in known

    def finished(self, stages: Iterable[Keyed]) -> set[str]:
        """Return the keys of the stages whose results are there: a listing of each kind."""
        asked = {(stage.kind, stage.key) for stage in stages}
        known = self._here.done
        unknown = asked - known
        if len(unknown) <= 2:
            return {key for kind, key in asked if self.done(kind, key)}
        for kind in {kind for kind, _ in unknown}:
            known |= {(kind, key) for key in self._remote.listed(f"{DONE}/{kind}")}
        return {key for kind, key in asked & known}

    def fault(self, kind: str, key: str) -> str:
        """Say in what a finished stage is not as it was written; empty if it is sound.

        If it is in the cache, that is looked at, and fetched again if it is damaged there. A small
        one is fetched; of a large one that is not in the cache the sizes are compared, and its
        hashes when it is fetched to be read.
        """
        if self._cached(kind, key):
            return ""
        for listing in self._listings(kind, key):
            if isinstance(listing, str):
                return listing
            if listing.bytes <= CHECKED:
                return self._fetched(kind, key)
            at = f"{kind}/{key}/{listing.attempt}"
            found = self._remote.listed(at)
            for name, (_, size) in listing.files.items():
                if name not in found:
                    fault = f"{self.address}/{at}/{name} is gone"
                    break
                if found[name].size != size:
                    fault = f"{self.address}/{at}/{name} is not as it was written"
                    break
            else:
                return ""
        return fault

    def sound(self, stage: Stage) -> Path:
        """Return the folder of a finished stage in the cache, fetched if need be.

        It stays there until the block of `using` ends in which it was asked for, or the process.

        Raises
        ------
        WherefromError
            If the stage is damaged, and thereby counts as missing from now on.
        """
        kind, key = stage.kind, stage.key
        self._hold(kind, key)
        if not self._cached(kind, key) and (fault := self._fetched(kind, key)):
            self.drop(kind, key)
            raise WherefromError(
                f"{stage.label}: {fault}; run the study again, which computes it anew"
            )
        folder = self.folder(kind, key)
        with suppress(OSError):  # when it was last used: for who makes room
            os.utime(folder)
        return folder

    @contextmanager
    def using(self) -> Iterator[None]:
        """Give a block to whose end the stages stay in the cache that are found `sound` in it."""
        here = self._here
        mine: list[tuple[str, str]] = []
        with here.lock:
            here.blocks.append(mine)
        try:
            yield
        finally:
            with here.lock:
                here.blocks.remove(mine)
                for one in mine:
                    here.held[one] -= 1
                    if not here.held[one]:
                        del here.held[one]
                        self._unlock(*one)

    def drop(self, kind: str, key: str) -> None:
        """Remove a stage that is damaged: first what says that it is there."""
        self._here.done.discard((kind, key))
        self._here.env.pop((kind, key), None)
        self._remote.remove(f"{DONE}/{kind}/{key}")
        self._remote.remove_all(f"{kind}/{key}")
        super().drop(kind, key)

    @contextmanager
    def checkpoints(self, kind: str, key: str) -> Iterator[Path]:
        """Give the folder for checkpoints of a stage, with those that any machine has left.

        Within the block they are uploaded every `CHECKPOINTS` seconds, and once more when it is
        left by an exception, such as that of a machine that is about to be taken away.
        """
        upload = _Checkpoints(self.partial(kind, key), self._remote, f"partial/{kind}-{key}")
        upload.fetch()
        upload.start()
        try:
            yield upload.folder
        except BaseException:
            upload.end(last=True)
            raise
        upload.end(last=False)

    def reached(self, kind: str, key: str) -> str:
        """Tell how far an unfinished stage has come, by the checkpoints that were uploaded."""
        try:
            found = self._remote.listed(f"partial/{kind}-{key}")
        except WherefromError:  # cannot be told now
            return ""
        return " ".join(f"{name} {one.time} {one.size}" for name, one in sorted(found.items()))

    @contextmanager
    def write(self, kind: str, key: str, spec: dict[str, Any]) -> Iterator[Path]:
        """Give a temporary folder for the payload; it is uploaded when the block succeeds.

        It stays in the cache, too. Then the stage's checkpoints go, and what killed or slower
        drivers left of it.
        """
        meter = Meter()
        folder = self.folder(kind, key)
        if os.path.lexists(folder):  # of a stage that was dropped since
            super().drop(kind, key)
        with suppress(_LostError), self._room_on_disk(), atomic_folder(folder) as tmp:
            yield tmp
            listing = _Listing.of(tmp, complete(tmp, spec, meter.read(tmp)))
            self._room(listing.bytes, f"{kind}/{key}")
            if not self._publish(kind, key, tmp, listing):
                raise _LostError
        self._here.done.add((kind, key))
        self.tidy(kind, key)

    def tidy(self, kind: str, key: str) -> None:
        """Remove what is left of computing a stage that is done: attempts, and checkpoints."""
        super().tidy(kind, key)
        with suppress(OSError):
            _synced(self.partial(kind, key)).unlink()
        there = {name.partition("/")[0] for name in self._remote.listed(f"{kind}/{key}")}
        if len(there) > 1 and (listing := self._listing(kind, key)):
            for attempt in there - {listing.attempt}:
                self._remote.remove_all(f"{kind}/{key}/{attempt}")
        if self._remote.listed(f"partial/{kind}-{key}"):
            self._remote.remove_all(f"partial/{kind}-{key}")

    def env(self, kind: str, key: str) -> dict[str, Any]:
        """Return what was noted of how a stage was made; empty if it is not there, or damaged.

        Nothing else of a stage is fetched for it.
        """
        known = self._here.env
        if (kind, key) not in known:
            found = super().env(kind, key)
            if not found and (listing := self._listing(kind, key)):
                with suppress(FileNotFoundError, ValueError):
                    read = self._remote.read(f"{kind}/{key}/{listing.attempt}/env.json")
                    found = json.loads(read)
            if not (found and isinstance(found, dict)):
                return {}
            known[kind, key] = found
        return known[kind, key]

    def note(self, folder: str, name: str, text: str) -> None:
        """Write a short text for whoever shares the store; a later one replaces an earlier."""
        self._remote.write(f"{folder}/{name}", text.encode())

    def notes(self, folder: str) -> dict[str, str]:
        """Read the notes of a folder by name, but for those that are gone or no text."""

        def read(name: str) -> tuple[str, str] | None:
            with suppress(ValueError, FileNotFoundError):
                return name, self._remote.read(f"{folder}/{name}").decode()
            return None

        names = sorted(name for name in self._remote.listed(folder) if "/" not in name)
        return dict(filter(None, at_once(read, names)))

    def forget(self, folder: str, name: str) -> None:
        """Take a note away."""
        with suppress(WherefromError):  # as of a folder
            self._remote.remove(f"{folder}/{name}")

    # What follows is about one stage's objects.

    def _listing(self, kind: str, key: str) -> _Listing | None:
        """Read what says that a stage is done; None if it is not, or that is damaged."""
        with suppress(FileNotFoundError, UnicodeDecodeError):
            return _Listing.read(self._remote.read(f"{DONE}/{kind}/{key}").decode())
        return None

    def _listings(self, kind: str, key: str) -> Iterator[_Listing | str]:
        """Yield a stage's listing again as long as it is another, or in what it is damaged.

        Another driver may have put its own attempt in the place of the one that we read.
        """
        last = ""
        for _ in range(_TRIES):
            listing = self._listing(kind, key)
            if listing is None:
                self._here.done.discard((kind, key))
                is_not = "is gone, or is not as it was written"
                yield f"{self.address}/{DONE}/{kind}/{key} {is_not}"
                return
            if listing.attempt == last:
                return
            last = listing.attempt
            yield listing

    def _publish(self, kind: str, key: str, folder: Path, listing: _Listing) -> bool:
        """Upload a stage and say that it is done; False if another driver was first."""
        at, names = f"{kind}/{key}/{listing.attempt}", list(listing.files)
        there = self._remote
        for _ in range(_TRIES):
            at_once(lambda name: there.send(folder / name, f"{at}/{name}"), names)
            if (other := self._listing(kind, key)) and other.attempt != listing.attempt:
                self._remote.remove_all(at)
                return False
            self._remote.write(f"{DONE}/{kind}/{key}", listing.text().encode())
            # A driver that was first may have swept our files before it saw that line.
            sizes = {name: one.size for name, one in there.listed(at).items()}
            names = [name for name, (_, size) in listing.files.items() if sizes.get(name) != size]
            if not names:
                if (other := self._listing(kind, key)) is None:
                    continue
                return other.attempt == listing.attempt
        raise WherefromError(
            f"{self.address}/{at}: files that are uploaded do not stay: see who removes them"
        )

    # What follows is about the cache.

    def _cached(self, kind: str, key: str) -> bool:
        """Tell whether a stage is whole in the cache; a damaged one is taken out of it."""
        folder = self.folder(kind, key)
        if not os.path.lexists(folder):
            return False
        if not super().fault(kind, key):
            return True
        if os.path.lexists(folder):
            super().drop(kind, key)
        return False

    def _fetched(self, kind: str, key: str) -> str:
        """Fetch a stage into the cache, and say what keeps it from that; empty if nothing does."""
        fault = ""
        with self._alone(kind, key):
            if self._cached(kind, key):  # another process of this machine was first
                return ""
            for listing in self._listings(kind, key):
                if isinstance(listing, str):
                    return listing
                if not (fault := self._fetch(kind, key, listing)):
                    return ""
        return fault

    def _fetch(self, kind: str, key: str, listing: _Listing) -> str:
        at, folder = f"{kind}/{key}/{listing.attempt}", self.folder(kind, key)
        self._room(listing.bytes, f"{kind}/{key}")
        faults: list[str] = []

        def fetch(name: str) -> None:
            if faults:
                return
            try:
                if self._remote.fetch(f"{at}/{name}", tmp / name) != listing.files[name][0]:
                    faults.append(f"{self.address}/{at}/{name} is not as it was written")
            except FileNotFoundError:
                faults.append(f"{self.address}/{at}/{name} is gone")

        with suppress(_LostError), self._room_on_disk(), atomic_folder(folder) as tmp:
            at_once(fetch, listing.files)
            if not faults and key != (other := _key(tmp)):
                faults.append(f"{self.address}/{at} holds the files of another stage, {other}")
            if faults:
                raise _LostError
            lines = [f"{digest}  {name}\n" for name, (digest, _) in sorted(listing.files.items())]
            (tmp / DONE).write_text("".join(lines))
        if faults:
            return faults[0]
        # Held against its hashes while it was fetched: not to be read once more for that.
        local._SOUND[folder] = local._looks(folder)
        return ""

    @contextmanager
    def _room_on_disk(self) -> Iterator[None]:
        try:
            yield
        except WherefromError as err:
            if not str(err).startswith("disk full"):
                raise
            raise WherefromError(
                f"{err} (it is the cache of {self.address}: WHEREFROM_CACHE moves it, "
                f"{LIMIT_NAME} limits it)"
            ) from err

    def _room(self, need: int, what: str) -> None:
        """Make room in the cache by taking away what was not used for longest, and by no one."""
        here, allowed = self._here, limit()
        with here.lock:
            here.since += need
            if here.size >= 0 and here.since < allowed / 20 and here.size + here.since <= allowed:
                return
            every = sorted(self._entries())
            here.size, here.since = sum(size for _, size, _ in every), need
            for _, size, (kind, key) in every:
                if here.size + need <= allowed:
                    break
                if (kind, key) not in here.held and self._lock(kind, key, fcntl.LOCK_EX):
                    super().drop(kind, key)
                    self._unlock(kind, key)
                    here.size -= size
            if here.size + need > allowed and not here.said:
                here.said = True
                warnings.warn(
                    f"the cache of {self.address} holds {(here.size + need) / 1e9:.3g} GB, more "
                    f"than {allowed / 1e9:.3g} GB, since {what} and what else is in use need it: "
                    f"more is allowed by {LIMIT_NAME}",
                    stacklevel=2,
                )

    def _entries(self) -> Iterator[tuple[int, int, tuple[str, str]]]:
        """Yield when a stage of the cache was last used, its bytes, kind and key."""
        for done in self.root.glob(f"*/[!.]*/{DONE}"):
            folder = done.parent
            with suppress(OSError):  # another process may be taking it away
                size = sum(file.stat().st_size for file in folder.rglob("*"))
                yield folder.stat().st_mtime_ns, size, (folder.parent.name, folder.name)

    def _hold(self, kind: str, key: str) -> None:
        """Keep a stage in the cache until the block of `using` ends, or this process."""
        here = self._here
        with here.lock:
            if (kind, key) not in here.held:
                self._lock(kind, key, fcntl.LOCK_SH)
                here.held[kind, key] = 0
            here.held[kind, key] += 1
            if here.blocks:
                here.blocks[-1].append((kind, key))

    @contextmanager
    def _alone(self, kind: str, key: str) -> Iterator[None]:
        """Let one process of this machine fetch a stage, for all that wait for it."""
        self._lock(kind, key, fcntl.LOCK_EX, of_fetching=True)
        try:
            yield
        finally:
            self._unlock(kind, key, of_fetching=True)

    # One byte of one file stands for a stage: locks of bytes are the process's, so that the system
    # takes them away when it dies, and leave no file behind that somebody may be about to lock.

    def _lock(self, kind: str, key: str, how: int, *, of_fetching: bool = False) -> bool:
        here = self._here
        try:
            with here.lock:
                if here.locks < 0:
                    self.root.mkdir(parents=True, exist_ok=True)
                    here.locks = os.open(self.root / "locks", os.O_RDWR | os.O_CREAT, 0o666)
            waits = of_fetching or how == fcntl.LOCK_SH
            fcntl.lockf(
                here.locks, how | (0 if waits else fcntl.LOCK_NB), 1, _byte(kind, key, of_fetching)
            )
        except (BlockingIOError, PermissionError) as err:
            if isinstance(err, PermissionError) and here.locks < 0:
                raise WherefromError(_no_cache(self.root, err)) from err
            return False
        except OSError as err:
            raise WherefromError(_no_cache(self.root, err)) from err
        return True

    def _unlock(self, kind: str, key: str, *, of_fetching: bool = False) -> None:
        fcntl.lockf(self._here.locks, fcntl.LOCK_UN, 1, _byte(kind, key, of_fetching))


def _byte(kind: str, key: str, of_fetching: bool) -> int:
    number = int(hashlib.sha256(f"{kind} {key}".encode()).hexdigest()[:15], 16)
    return 2 * number + of_fetching


def _no_cache(root: Path, err: OSError) -> str:
    return (
        f"{root}: the cache of a store cannot be there ({err.strerror}): name a folder of a local "
        "disk by WHEREFROM_CACHE"
    )


def _key(folder: Path) -> str:
    try:
        return key_of(local._spec(folder)["document"])
    except ValueError:
        return "by a spec.json that is none"


def limit() -> int:
    """Return how many bytes the cache of a store may take.

    Raises
    ------
    WherefromError
        If ``WHEREFROM_STORE_CACHE`` is no number of bytes.

    Examples
    --------
    >>> limit()
    50000000000
    """
    text = os.environ.get(LIMIT_NAME) or LIMIT
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", text, re.IGNORECASE)
    if not found:
        raise WherefromError(f"{LIMIT_NAME} is {text!r}: write a number of bytes, such as 50GB")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def _synced(folder: Path) -> Path:
    """Name the file that says which checkpoints in a folder are those of the storage."""
    return folder.with_name(f".{folder.name}.synced")


class _Checkpoints:
    """Keeps a folder of checkpoints and the objects of a stage alike."""

    def __init__(self, folder: Path, there: Remote, prefix: str) -> None:
        self.folder, self.there, self.prefix = folder, there, prefix
        #: Of each object the time at which it was uploaded or fetched, by the storage's clock, and
        #: how the file looked.
        self.known: dict[str, tuple[int, int, int]] = {}
        self.stop = threading.Event()
        self.said = False

    def fetch(self) -> None:
        """Take what another machine has uploaded since this one did."""
        with suppress(OSError, ValueError, TypeError):
            held = json.loads(_synced(self.folder).read_text())
            self.known = {name: (int(a), int(b), int(c)) for name, (a, b, c) in held.items()}
        found = self.there.listed(self.prefix)
        new = [name for name, one in found.items() if self.known.get(name, (0,))[0] != one.time]
        for name in new:
            with suppress(FileNotFoundError), atomic(self.folder / name) as tmp:
                self.there.fetch(f"{self.prefix}/{name}", tmp)
            with suppress(FileNotFoundError):
                self._know(name, found[name].time, (self.folder / name).stat())
        self.known = {name: one for name, one in self.known.items() if name in found}
        self._keep()

    def start(self) -> None:
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def end(self, *, last: bool) -> None:
        self.stop.set()
        self.thread.join()
        if last:
            self.upload()

    def upload(self) -> None:
        """Upload what has changed; what keeps us from it is said, and tried again later."""
        try:
            for path in local._files(self.folder) if self.folder.is_dir() else []:
                name = path.relative_to(self.folder).as_posix()
                if any(part.startswith(".") for part in path.relative_to(self.folder).parts):
                    continue  # being written
                with suppress(FileNotFoundError):
                    now = path.stat()
                    if self.known.get(name, (0,))[1:] == (now.st_mtime_ns, now.st_size):
                        continue
                    self.there.send(path, f"{self.prefix}/{name}")
                    if (one := self.there.stat(f"{self.prefix}/{name}")) is not None:
                        self._know(name, one.time, now)
            self._keep()
        except (WherefromError, OSError) as err:
            if not self.said:
                self.said = True
                warnings.warn(f"a checkpoint could not be uploaded: {err}", stacklevel=2)

    def _watch(self) -> None:
        while not self.stop.wait(CHECKPOINTS):
            self.upload()

    def _know(self, name: str, when: int, looks: os.stat_result) -> None:
        self.known[name] = when, looks.st_mtime_ns, looks.st_size

    def _keep(self) -> None:
        if self.known or _synced(self.folder).exists():
            with atomic(_synced(self.folder)) as tmp:
                tmp.write_text(json.dumps(self.known))
