"""What a plan costs: core hours, GPU hours and bytes, as measured where something was measured.

A figure is that of the stage itself where it is finished; else what it is expected to take, times
what finished stages of the same model and head took beside what was expected of them; else what
the study file states (`Gfm.gpu_hours_per_run`); else what is expected (`wherefrom.study.cost`). A
GPU hour that nobody stated or measured is unknown, and the stage is priced on a core.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from wherefrom.errors import WherefromError
from wherefrom.payload.base import Payload
from wherefrom.study import cost
from wherefrom.study.stage import TRAINED, Plan, Stage
from wherefrom.study.store import Store

__all__ = [
    "BESIDE", "ESTIMATED", "MEASURED", "SHARED", "STATED", "Item", "Job", "Ledger",
    "Line", "Price", "Rate", "Wall", "priced", "simulate", "wall",
]  # fmt: skip

#: Groups beside the compositions: what all of them need, and rows without a composition.
SHARED, BESIDE = "shared", "baselines, published"
#: Where a figure is from.
MEASURED, STATED, ESTIMATED = "measured", "stated", "estimated"
CORE, GPU = "core", "gpu"
#: What counts as no longer than with any number of workers.
NEAR = 1.05

Group = tuple[object, ...]


@dataclass(frozen=True)
class Item:
    """What one stage takes.

    Attributes
    ----------
    stage : Stage
    core : float
        Seconds on one core.
    gpu : float or None
        Seconds on one GPU, where they are stated or measured: then it is priced there.
    unknown : bool
        It would run on a GPU, and nobody knows how long.
    source : str
        Of the figure that it is priced by: `MEASURED`, `STATED` or `ESTIMATED`.
    read : int
        Bytes of the user's data, and of those of payloads and tasks; layers of the Earth aside.
    stored : int
        Bytes that it leaves in the store.
    memory : int
        Peak bytes of its process.
    done : bool
    """

    stage: Stage
    core: float
    gpu: float | None
    unknown: bool
    source: str
    read: int
    stored: int
    memory: int
    done: bool

    @property
    def group(self) -> str:
        """The composition that it is of, or `SHARED`, or `BESIDE`."""
        name = self.stage.axes.get("composition")
        if name is None:
            return SHARED
        return str(name) or BESIDE

    @property
    def seconds(self) -> float:
        """Seconds where it is priced."""
        return self.core if self.gpu is None else self.gpu


@dataclass(frozen=True)
class Line:
    """A line of a price: sums over some stages.

    Examples
    --------
    >>> one = Line(stages=2, core=7200.0, gpu=0.0, unknown=2)
    >>> one.core_hours, one.gpu_hours, (one + Line(1, 0.0, 3600.0)).gpu_hours
    (2.0, None, 1.0)
    >>> (one + Line(1, 0.0, 3600.0)).money(2.5, 0.03)
    2.56
    """

    stages: int = 0
    #: Seconds of those that are priced on cores, and on GPUs.
    core: float = 0.0
    gpu: float = 0.0
    #: How many of those on cores would run on a GPU, for an unknown time.
    unknown: int = 0
    read: int = 0
    stored: int = 0
    #: Where the figures are from.
    sources: frozenset[str] = frozenset()

    def __add__(self, other: Line) -> Line:
        """Sum up two lines."""
        return Line(
            self.stages + other.stages,
            self.core + other.core,
            self.gpu + other.gpu,
            self.unknown + other.unknown,
            self.read + other.read,
            self.stored + other.stored,
            self.sources | other.sources,
        )

    @property
    def core_hours(self) -> float:
        """Hours of one core."""
        return self.core / 3600

    @property
    def gpu_hours(self) -> float | None:
        """Hours of one GPU; None if they are unknown of all that would run on one."""
        return None if self.unknown and not self.gpu else self.gpu / 3600

    def money(self, gpu: float | None, core: float | None) -> float | None:
        """Return what it costs at a price of a GPU hour, and one of a core hour.

        None where that is not known: GPU hours without a price, or unknown ones while cores have
        no price either. Cores without a price are not counted.
        """
        hours = self.gpu_hours
        if gpu is None and hours:
            return None
        if core is None and hours is None:
            return None
        return (hours or 0.0) * (gpu or 0.0) + self.core_hours * (core or 0.0)


class Rate(NamedTuple):
    """What finished stages took, over what was expected; how many they were, and on what."""

    ratio: float
    stages: int
    devices: tuple[str, ...]
    #: All that they took.
    seconds: float


@dataclass(frozen=True)
class Price:
    """What the stages of a plan take, one by one and summed up.

    Attributes
    ----------
    plan : Plan
    items : tuple of Item
        In the plan's order.
    rates : mapping
        What was measured, by kind of work and `CORE` or `GPU`.
    """

    plan: Plan
    items: tuple[Item, ...]
    rates: Mapping[tuple[Group, str], Rate] = field(default_factory=dict)

    @property
    def missing(self) -> list[Item]:
        """What is not finished."""
        return [item for item in self.items if not item.done]

    @cached_property
    def whole(self) -> dict[str, Line]:
        """By composition: `SHARED` first, the study's in its order, `BESIDE` last."""
        return self._lines(self.items)

    @cached_property
    def left(self) -> dict[str, Line]:
        """The same of what is not finished; groups that are finished have empty lines."""
        return self._lines(self.missing)

    @cached_property
    def in_all(self) -> Line:
        """All stages together."""
        return sum(self.whole.values(), Line())

    @cached_property
    def in_all_left(self) -> Line:
        """All that are not finished."""
        return sum(self.left.values(), Line())

    def _lines(self, items: Iterable[Item]) -> dict[str, Line]:
        there = {item.group for item in self.items}
        names = [SHARED, *self.plan.study.compositions, BESIDE]
        found = {name: Line() for name in names if name in there}
        for item in items:
            found[item.group] += _line(item)
        return found


def _line(item: Item) -> Line:
    on_gpu = item.gpu is not None
    return Line(
        1,
        0.0 if on_gpu else item.core,
        item.gpu or 0.0,
        int(item.unknown),
        item.read,
        item.stored,
        frozenset({item.source}),
    )


def priced(plan: Plan, store: Store) -> Price:
    """Price a plan by what a store measured of it.

    Parameters
    ----------
    plan : Plan
    store : Store
        With the plan's finished stages, if there are any.

    Examples
    --------
    >>> import tempfile
    >>> from wherefrom.study import load, plan
    >>> steps = plan(load("studies/purohit2025", "debug"))
    >>> price = priced(steps, Store(Path(tempfile.mkdtemp())))
    >>> price.in_all.stages == len(steps.stages), price.in_all.gpu_hours  # nobody measured any
    (True, None)
    """
    return Ledger(plan, store).price(plan)


class Ledger:
    """What a store measured of a plan, by which it and others like it are priced.

    Each stage is looked up once.

    Parameters
    ----------
    plan : Plan
    store : Store
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self.store = store
        self._noted: dict[str, dict[str, Any] | None] = {}
        self._bytes: dict[str, int] = {}
        self.rates: dict[tuple[Group, str], Rate] = {}
        self._stored: dict[Group, float] = {}
        self._peaks: dict[Group, int] = {}
        self._measure(plan)

    def price(self, plan: Plan) -> Price:
        """Price a plan."""
        totals: dict[str, int] = {}
        for stage in plan.stages:  # places of the pool in all the parts of a payload
            if stage.kind == "payload" and "pool" in stage.inputs:
                name = stage.axes["payload"]
                totals[name] = totals.get(name, 0) + stage.spec["count"]
        items = [self._item(stage, totals) for stage in plan.stages]
        return Price(plan, tuple(items), self.rates)

    def memory(self, stage: Stage) -> int:
        """Return the peak bytes that a stage's process needs: measured of like ones, or estimated.

        A worker notes its peak over all that it computed: the least among like ones is nearest.
        """
        peak = self._peaks.get(_alike(stage))
        return cost.memory(stage) if peak is None else peak

    def _env(self, stage: Stage) -> dict[str, Any] | None:
        """Return what was noted of a finished stage; None if it is not there."""
        if stage.key not in self._noted:
            done = self.store.done(stage.kind, stage.key)
            self._noted[stage.key] = self.store.env(stage.kind, stage.key) if done else None
        return self._noted[stage.key]

    def _measure(self, plan: Plan) -> None:
        spent: dict[tuple[Group, str], tuple[float, float, int, dict[str, None]]] = {}
        left: dict[Group, tuple[float, float]] = {}
        for stage in plan.stages:
            env = self._env(stage)
            if env is None:
                continue
            seconds, device = _number(env.get("seconds")), _device(env)
            for group in _groups(stage) if seconds is not None else ():
                key = group, CORE if device == "cpu" else GPU
                took, due, count, devices = spent.get(key, (0.0, 0.0, 0, {}))
                added = took + (seconds or 0.0), due + stage.cost, count + 1
                spent[key] = (*added, devices | {device: None})
            if (size := _number(env.get("bytes"))) is not None:
                for group in _groups(stage):
                    took, due = left.get(group, (0.0, 0.0))
                    left[group] = took + size, due + cost.stored(stage)
            if (peak := _number(env.get("peak_bytes"))) is not None:
                alike = _alike(stage)
                self._peaks[alike] = min(int(peak), self._peaks.get(alike, int(peak)))
        self.rates = {
            key: Rate(took / due, count, tuple(devices), took)
            for key, (took, due, count, devices) in spent.items()
            if due > 0
        }
        self._stored = {group: took / due for group, (took, due) in left.items() if due > 0}

    def _rate(self, stage: Stage, on: str) -> Rate | None:
        found = (self.rates.get((group, on)) for group in _groups(stage))
        return next((rate for rate in found if rate is not None), None)

    def _item(self, stage: Stage, totals: Mapping[str, int]) -> Item:
        env = self._env(stage)
        there = env or {}
        seconds = _number(there.get("seconds"))
        made_on = None if seconds is None else CORE if _device(there) == "cpu" else GPU
        rate = self._rate(stage, CORE)
        core = stage.cost * rate.ratio if rate else stage.cost
        source = MEASURED if rate else ESTIMATED
        if made_on == CORE and seconds is not None:
            core, source = seconds, MEASURED
        gpu = None
        # Initial weights are written without any training.
        trains = stage.kind in TRAINED and not _empty(stage)
        if made_on == GPU:
            gpu, source = seconds, MEASURED
        elif trains and made_on is None:
            stated = stage.of.gpu_hours_per_run if stage.kind == "pretrain" else None
            if on_gpu := self._rate(stage, GPU):
                gpu, source = stage.cost * on_gpu.ratio, MEASURED
            elif stated:
                gpu, source = stated * 3600, STATED
        grown = (self._stored[group] for group in _groups(stage) if group in self._stored)
        stored = _number(there.get("bytes"))
        if stored is None:
            stored = cost.stored(stage) * next(grown, 1.0)
        return Item(
            stage=stage,
            core=core,
            gpu=gpu,
            unknown=trains and gpu is None,
            source=source,
            read=self._read(stage, totals),
            stored=round(stored),
            memory=self.memory(stage),
            done=env is not None,
        )

    def _read(self, stage: Stage, totals: Mapping[str, int]) -> int:
        """Return the bytes of data that a stage reads: stated ones, else those of the files."""
        if stage.kind == "payload":
            places = stage.spec["count"] or cost.places_of(stage)
            files = sum(stage.bytes.values())
            if each := _each(stage.of):
                return min(each * places, files) if files else each * places
            # A part of the pool reads its part of the files; a task all of them, at most.
            share = places / totals[stage.axes["payload"]] if stage.spec["count"] else 1.0
            return round(files * share)
        if stage.kind == "pretrain":
            places = cost.places_of(stage)
            return sum(_each(payload) * places for payload in stage.payloads)
        if stage.kind in ("pool", "task"):
            return sum(map(self._size, stage.files))
        return 0

    def _size(self, file: str) -> int:
        if file not in self._bytes:
            path = Path(file)
            inner = path.rglob("*") if path.is_dir() else [path]
            try:
                self._bytes[file] = sum(one.stat().st_size for one in inner if one.is_file())
            except OSError as err:
                raise WherefromError(f"{file}: cannot be read: {err.strerror}") from err
        return self._bytes[file]


def _groups(stage: Stage) -> Iterator[Group]:
    """Yield what a stage's throughput is measured with, the most alike first."""
    axes, kind = stage.axes, stage.kind
    if kind == "task":
        yield kind, stage.of.label
    elif kind == "payload":
        yield kind, axes["payload"], "task" in stage.inputs
        yield kind, axes["payload"]
    elif kind == "draw":
        yield kind, axes["composition"]
        yield kind, "", stage.of.empty
    elif kind == "pretrain":
        yield kind, axes["model"], _empty(stage)
    elif kind in ("fewshot", "tune"):
        yield kind, axes["model"], axes["head"], axes["task"]
        yield kind, axes["model"], axes["head"]
    else:
        yield (kind,)


def _alike(stage: Stage) -> Group:
    """Return what stages that need the same memory have in common."""
    return (*next(_groups(stage)), None if stage.size is None else stage.size.places)


def _empty(stage: Stage) -> bool:
    """Tell whether a pre-training has no places: its initial weights are written."""
    return stage.kind == "pretrain" and bool(stage.inputs["draw"].of.empty)


def _each(payload: Payload) -> int:
    """Return the bytes that a place takes, here or in the payload that it is made of."""
    inner = (value for _, value in payload if isinstance(value, Payload))
    return payload.bytes_per_place or sum(map(_each, inner))


def _number(value: Any) -> float | None:
    """Return a noted number; None if it is none, or was noted by something else."""
    return float(value) if isinstance(value, int | float) and value >= 0 else None


def _device(env: Mapping[str, Any]) -> str:
    """Return the device of a stage; before it was noted, no GPU was measured."""
    return str(env.get("device", "cpu"))


# How long it takes on several.


class Job(NamedTuple):
    """Work of one worker after some other (positions in the list): a bundle of stages."""

    seconds: float
    gpu: bool
    needs: frozenset[int]
    name: str = ""


@dataclass(frozen=True)
class Wall:
    """Wall time on some workers: simulated, and what it cannot fall below.

    Attributes
    ----------
    cores, gpus : int
        Workers of each kind.
    seconds : float
        Of a list schedule in a run's own order.
    path : float
        Of the longest chain of bundles, each of which needs the one before.
    work : float
        Of all work divided by the workers that can do it; the larger of cores and GPUs.
    chain : tuple of str
        The bundles of the longest chain.
    enough : int
        So many GPUs (of cores alone: cores) come within five per cent (`NEAR`) of as many as there
        is work for.
    least : float
        Seconds with as many as there is work for.
    """

    cores: int
    gpus: int
    seconds: float
    path: float
    work: float
    chain: tuple[str, ...]
    enough: int
    least: float


def wall(
    price: Price, *, cores: int = 1, gpus: int = 0, overhead: float = 0.0, whole: bool = False
) -> Wall:
    """Simulate a run of what is missing, or of the whole plan, on some cores and GPUs.

    As a run does: the stages of a bundle go one after the other on one worker, a bundle begins when
    all that it reads is finished, and the costly ones first. With GPUs, a bundle that has a stage
    with GPU hours takes a GPU (and its core) for the whole of it, and `cores` others do the rest.
    Without, all is done on cores.

    Parameters
    ----------
    price : Price
    cores, gpus : int
    overhead : float
        Seconds that each bundle takes besides its stages.
    whole : bool
        As if nothing was finished.

    Raises
    ------
    ValueError
        If there is no core, or a negative number of GPUs.

    Examples
    --------
    >>> import tempfile
    >>> from wherefrom.study import load, plan
    >>> steps = plan(load("studies/purohit2025", "paper"))
    >>> price = priced(steps, Store(Path(tempfile.mkdtemp())))
    >>> few, many = (wall(price, cores=k, gpus=k) for k in (10, 1000))
    >>> round(few.seconds / 86400), round(many.seconds / 86400, 1), many.enough
    (12, 2.0, 60)
    """
    if cores < 1 or gpus < 0:
        raise ValueError(f"{cores} cores and {gpus} GPUs: at least one core is needed")
    jobs = _jobs(price.items if whole else price.missing, gpus > 0, overhead)
    lengths, chain = _chain(jobs)
    work = _work(jobs, cores, gpus)
    most = sum(job.gpu for job in jobs) if gpus else len(jobs)

    def on(count: int) -> float:
        return simulate(jobs, cores, count) if gpus else simulate(jobs, count, 0)

    least = on(max(1, most))
    low, enough = 0, max(1, most)
    while enough - low > 1:
        middle = (low + enough) // 2
        low, enough = (low, middle) if on(middle) <= NEAR * least else (middle, enough)
    return Wall(
        cores=cores,
        gpus=gpus,
        seconds=on(gpus or cores),
        path=max(lengths, default=0.0),
        work=work,
        chain=chain,
        enough=enough,
        least=least,
    )


def simulate(jobs: Sequence[Job], cores: int, gpus: int) -> float:
    """Return the end of a list schedule: whoever is free takes the longest job that is ready.

    Examples
    --------
    >>> jobs = [Job(3.0, False, frozenset()), Job(2.0, False, frozenset()),
    ...         Job(4.0, False, frozenset({0}))]
    >>> simulate(jobs, 1, 0), simulate(jobs, 2, 0)
    (9.0, 7.0)
    """
    waits = [len(job.needs) for job in jobs]
    after: dict[int, list[int]] = {}
    for at, job in enumerate(jobs):
        for need in job.needs:
            after.setdefault(need, []).append(at)
    ready: dict[bool, list[tuple[float, int]]] = {False: [], True: []}
    free = {False: cores, True: gpus}
    running: list[tuple[float, int]] = []
    for at, job in enumerate(jobs):
        if not waits[at]:
            heapq.heappush(ready[job.gpu], (-job.seconds, at))
    now = 0.0
    while True:
        for kind, queue in ready.items():
            while queue and free[kind]:
                _, at = heapq.heappop(queue)
                free[kind] -= 1
                heapq.heappush(running, (now + jobs[at].seconds, at))
        if not running:
            return now
        now, at = heapq.heappop(running)
        free[jobs[at].gpu] += 1
        for other in after.get(at, ()):
            waits[other] -= 1
            if not waits[other]:
                heapq.heappush(ready[jobs[other].gpu], (-jobs[other].seconds, other))


def _jobs(items: Iterable[Item], with_gpus: bool, overhead: float) -> list[Job]:
    """Group stages into the bundles of a run, with the bundles that each must wait for."""
    bundles: dict[str, list[Item]] = {}
    for item in items:
        bundles.setdefault(item.stage.bundle, []).append(item)
    names = list(bundles)
    where = {item.stage.key: at for at, name in enumerate(names) for item in bundles[name]}
    made = []
    for at, name in enumerate(names):
        own = bundles[name]
        needs = {where.get(i.key, at) for item in own for i in item.stage.inputs.values()} - {at}
        on_gpu = with_gpus and any(item.gpu is not None for item in own)
        seconds = sum(item.seconds if on_gpu else item.core for item in own)
        made.append(Job(seconds + overhead, on_gpu, frozenset(needs), name))
    return made


def _chain(jobs: Sequence[Job]) -> tuple[list[float], tuple[str, ...]]:
    """Return when each job could end at the earliest, and the names along the longest chain."""
    ends: list[float] = [-1.0] * len(jobs)
    before: list[int | None] = [None] * len(jobs)
    stack = list(range(len(jobs)))
    while stack:
        at = stack[-1]
        if ends[at] >= 0:
            stack.pop()
            continue
        if lacking := [need for need in jobs[at].needs if ends[need] < 0]:
            stack += lacking
            continue
        last = max(jobs[at].needs, key=lambda need: ends[need], default=None)
        before[at] = last
        ends[at] = jobs[at].seconds + (0.0 if last is None else ends[last])
        stack.pop()
    names: list[str] = []
    current = max(range(len(jobs)), key=lambda one: ends[one], default=None)
    while current is not None:
        names.append(jobs[current].name)
        current = before[current]
    return ends, tuple(reversed(names))


def _work(jobs: Sequence[Job], cores: int, gpus: int) -> float:
    """Return the seconds of all work, shared out evenly among those who can do it."""
    on_gpus = sum(job.seconds for job in jobs if job.gpu)
    on_cores = sum(job.seconds for job in jobs if not job.gpu)
    return max(on_cores / cores, on_gpus / gpus if gpus else 0.0)
