"""Where a run stands: a bar for who started it, notes in the store for everybody else."""

from __future__ import annotations

import json
import os
import platform
import time
from contextlib import suppress
from typing import Any

from wherefrom.errors import WherefromError
from wherefrom.progress import TELLS, console, progress
from wherefrom.shown import time_of
from wherefrom.study.stage import Plan, Stage
from wherefrom.study.store import Store
from wherefrom.study.worker import Told

__all__ = ["BEAT", "PROBES", "RUNNING", "STALE", "Board", "is_dead", "read_note", "sweep"]

#: The notes of a store that say what each call is doing now.
RUNNING = "running"
#: Those by which it is seen that the nodes of a cluster share it, named by the call that asks.
PROBES = "probe"
_DAY = 86_400.0
#: Seconds between two notes, and from which on a note that did not change is of a dead call.
BEAT, STALE = 10.0, 45.0


class Board:
    """A bar over expected seconds, fed by workers; plain lines where nobody watches.

    What earlier calls did is done on it; how long the rest takes is told by this call alone.

    Now and then it notes in the store how long this call has worked (so that a kill loses seconds
    of it), what it runs and what has failed. By the notes of others it knows what they run.
    """

    def __init__(self, todo: list[Stage], store: Store, plan: Plan, cluster: str | None) -> None:
        self.store, self.plan = store, plan
        self.call = f"{time.time_ns()}-{platform.node()}-{os.getpid()}"
        keys = {stage.key for stage in todo}
        self.before = sum(stage.cost for stage in plan.stages if stage.key not in keys)
        self.total = sum(stage.cost for stage in todo)
        self.finished, self.began = 0.0, time.perf_counter()
        self.said = self.noted = self.began
        self.first: float | None = None  # when a worker first told something
        self.running: dict[str, Told] = {}
        self.since: dict[str, float] = {}
        self.claimed: set[str] = set()
        self.shares: dict[str, float] = {}
        self.failed: list[str] = []
        self.lines: set[str] = set()
        self.others: dict[str, tuple[str, float]] = {}
        self.about = {
            "plan": plan.key,
            "study": plan.study.name,
            "scale": plan.study.scale,
            "host": platform.node(),
            "pid": os.getpid(),
            "cluster": cluster or "",
            "began": time.time(),
            "stages": len(plan.stages),
        }
        self.bar = progress()

    def __enter__(self) -> Board:
        sweep(self.store)
        self.look()
        self.note()
        self.bar.start()
        whole = max(1, round(self.before + self.total))
        self.row = self.bar.add_task("study", total=whole, completed=round(self.before), left=None)
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        self.running.clear()
        self.note(spent=True)
        self.store.forget(RUNNING, self.call)

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self.bar.console.print(text, soft_wrap=True)

    def fail(self, message: str) -> None:
        """Say that a stage failed."""
        self.failed.append(message)
        self.say(f"failed: {message}")

    def hear(self, told: Told | str) -> None:
        """Take what a worker tells: how far a stage is, or a line, which is said once."""
        if isinstance(told, str):
            if told not in self.lines:  # another worker may have said it
                self.say(told)
            self.lines.add(told)
            return
        self.first = self.first or time.perf_counter()
        before = self.shares.get(told.key, 0.0)
        self.since.setdefault(told.key, time.time())
        if told.share >= 1.0:
            self.running.pop(told.key, None)
        else:
            self.running[told.key] = told
        # What is begun again after a worker died is counted once.
        self.finished += told.cost * (max(told.share, before) - before)
        self.shares[told.key] = max(told.share, before)
        left = self._left()
        many = f" and {len(self.running) - 1} more" if len(self.running) > 1 else ""
        what = f"{told.label:<{44 - len(many)}.{44 - len(many)}}{many}"
        done = self.before + self.finished
        self.bar.update(self.row, completed=done, description=what, left=left)
        now = time.perf_counter()
        if not console.is_terminal and now - self.said > 15 and left is not None:
            self.said = now
            self.say(f"{self._share():4.0%}  about {time_of(round(left))} left  {told.label}{many}")

    def claim(self, bundles: list[list[Stage]]) -> list[list[Stage]]:
        """Note that bundles are begun; return those that no other call has claimed before."""
        own = [{stage.key for stage in bundle} for bundle in bundles]
        self.claimed.update(*own)
        if not self.others or not bundles:
            return bundles
        # Either of two sees the other's claim, for each writes before it reads.
        self.note()
        self.look()
        theirs = {key for key, call in self.held().items() if call < self.call}
        given_up = [keys for keys in own if keys & theirs]
        self.claimed.difference_update(*given_up)
        return [bundle for bundle, keys in zip(bundles, own, strict=True) if not keys & theirs]

    def leave(self, bundle: list[Stage]) -> None:
        """Note that a bundle is through, whatever came of it."""
        for stage in bundle:
            self.running.pop(stage.key, None)
            self.claimed.discard(stage.key)

    def through(self, bundle: list[Stage]) -> None:
        """Note that others have done a bundle."""
        for stage in bundle:
            self.hear(Told(stage.kind, stage.key, stage.label, stage.cost, 1.0, ""))

    def _share(self) -> float:
        """Return which share of the plan is done, by expected seconds."""
        whole = self.before + self.total
        return (self.before + self.finished) / whole if whole else 1.0

    def _left(self) -> float | None:
        """Tell the seconds that are left, at the rate of this call; None before that is known."""
        done = self.finished / self.total if self.total else 1.0
        if done <= TELLS:
            return None
        return (time.perf_counter() - (self.first or self.began)) * max(0.0, 1 - done) / done

    def beat(self) -> None:
        """Note where the run stands, if it is time to, and see what others run."""
        if time.perf_counter() - self.noted >= BEAT:
            self.note(spent=True)
            self.look()

    def note(self, *, spent: bool = False) -> None:
        """Note where the run stands, and which stages it has begun."""
        self.noted = time.perf_counter()
        running = [*self.running.values()]
        now = {
            "at": time.time(),
            "share": self._share(),
            "left": self._left(),
            "running": [told._asdict() | {"since": self.since[told.key]} for told in running],
            "claimed": sorted(self.claimed),
            "failed": self.failed,
        }
        # A disk that is full, or closed to us, is the stages' to report, not the notes'.
        with suppress(WherefromError):
            self.store.note(RUNNING, self.call, json.dumps(self.about | now))
            if spent:
                self.store.spend(self.plan.key, self.call, self.noted - self.began)

    def look(self) -> None:
        """Read the notes of others that share the store."""
        found = {k: v for k, v in self.store.notes(RUNNING).items() if k != self.call}
        now = time.monotonic()
        seen = {call: (text, now) for call, text in found.items()}
        for call, (text, since) in self.others.items():
            if found.get(call) == text:
                seen[call] = (text, since)
        self.others = seen

    def held(self) -> dict[str, str]:
        """Return the keys of the stages that others are computing, and by which call each is."""
        now = time.monotonic()
        return {
            key: call
            for call, (text, since) in self.others.items()
            if now - since < STALE and not is_dead(note := read_note(text))
            for key in note.get("claimed", ())
        }


def sweep(store: Store) -> None:
    """Take away the notes of calls that were killed: on this machine, or a day ago."""
    live = []
    for call, text in store.notes(RUNNING).items():
        note = read_note(text)
        if is_dead(note) or time.time() - note.get("at", 0) > _DAY:
            store.forget(RUNNING, call)
        else:
            live.append(call)
    for name in store.notes(PROBES):
        if not name.startswith(tuple(live)):
            store.forget(PROBES, name)


def read_note(text: str) -> dict[str, Any]:
    """Read a note of a call; a torn one says nothing."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_dead(note: dict[str, Any]) -> bool:
    """Tell whether a call was of this machine and is no more."""
    if note.get("host") != platform.node():
        return False
    try:
        os.kill(int(note["pid"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, KeyError, ValueError, TypeError):
        return False
    return False
