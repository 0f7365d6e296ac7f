"""Running the instrument on generated worlds, from pool to page, and holding it to the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from string import Template
from typing import NamedTuple

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.evidence.nearness import Reader
from wherefrom.files import atomic
from wherefrom.report.study import judged, write
from wherefrom.selfcheck.verdicts import PLANTED, Kind, law_of, of_world
from wherefrom.selfcheck.world import World
from wherefrom.study import Plan, Store, load, plan, run

__all__ = ["SCALES", "Case", "Due", "Judged", "cases", "counted", "failed", "selfcheck"]

#: Worlds of one seed.
_WORLDS = 1000


class Due(NamedTuple):
    """How many worlds of a kind are made, and in how many the instrument must be right."""

    worlds: int
    right: int


SCALES: dict[str, dict[Kind, Due]] = {
    "small": {"content": Due(3, 3), "nothing": Due(6, 5), "nearness": Due(3, 2)},
    "full": {"content": Due(10, 9), "nothing": Due(100, 95), "nearness": Due(10, 9)},
}


@dataclass(frozen=True)
class Case:
    """A generated world, what is planted in it, and whether its page is written."""

    kind: Kind
    world: int
    paged: bool = False

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.kind}-{self.world}"


class Judged(NamedTuple):
    """What was found in a world; `law` says whether scores go by distance there, see `law_of`."""

    case: Case
    planted: str
    found: str
    law: str
    ok: bool
    page: Path | None


def cases(scale: str, seed: int = 0) -> list[Case]:
    """Return the worlds of a scale; the first of each kind gets a page.

    Examples
    --------
    >>> [case.name for case in cases("small", seed=2) if case.paged]
    ['content-2000', 'nothing-2000', 'nearness-2000']
    """
    return [
        Case(kind, seed * _WORLDS + number, paged=number == 0)
        for kind, due in SCALES[scale].items()
        for number in range(due.worlds)
    ]


def selfcheck(folder: Path, chosen: Sequence[Case], workers: int | None = None) -> list[Judged]:
    """Run a study of every world, and say what its evidence holds.

    The stages of all studies are run as those of one (`wherefrom.study.run`), in one store: worlds
    with the same home share their draws, while waves, labels, labelled places, lenses and episodes
    are their own. Run again in the same folder, it goes on.

    Parameters
    ----------
    folder : Path
        Gets the store, and for each world a study file, its results and perhaps its page.
    chosen : sequence of Case
    workers : int, optional
        Processes, by default one per core.

    Raises
    ------
    WherefromError
        If a stage failed, or the disk is full.
    """
    plans = [_planned(folder, case) for case in chosen]
    stages = {stage.key: stage for one in plans for stage in one.stages}
    store = Store(folder / "store")
    run(Plan(plans[0].study, tuple(stages.values())), store, workers)
    judge = partial(_judged, folder)
    used = min(workers or parallel.cores(), len(chosen))
    with ProcessPoolExecutor(used, mp_context=parallel.SPAWNED) as pool:
        return list(pool.map(judge, chosen, chunksize=max(1, len(chosen) // (8 * used))))


def failed(scale: str, found: Sequence[Judged]) -> list[str]:
    """Say of which kinds the instrument was right in fewer worlds than it must be."""
    return [line for line, ok in _counted(scale, found) if not ok]


def counted(scale: str, found: Sequence[Judged]) -> list[str]:
    """Say of each kind in how many worlds it was right."""
    return [line for line, _ in _counted(scale, found)]


def _counted(scale: str, found: Sequence[Judged]) -> Iterator[tuple[str, bool]]:
    for kind, due in SCALES[scale].items():
        own = [one.ok for one in found if one.case.kind == kind]
        line = f"{PLANTED[kind]}: right in {sum(own)} of {len(own)} worlds, {due.right} are due"
        yield line, sum(own) >= due.right


def _study(folder: Path, case: Case) -> Path:
    return folder / case.name / "study.yaml"


def _planned(folder: Path, case: Case) -> Plan:
    """Write the study file of a world, and plan it."""
    text = resources.files("wherefrom.selfcheck").joinpath("study.yaml").read_text(encoding="utf-8")
    with atomic(_study(folder, case)) as tmp:
        made = Template(text).substitute(world=case.world, home=World(case.world).home)
        tmp.write_text(made, encoding="utf-8")
    return plan(load(_study(folder, case), case.kind))


def _judged(folder: Path, case: Case) -> Judged:
    """Judge one world whose stages are finished."""
    path = _study(folder, case)
    steps, store = plan(load(path, case.kind)), Store(folder / "store")
    page = write(steps, store, path.parent, path)[1] if case.paged else None
    headline = judged(steps, store, path.parent, path)
    about = headline.view
    near = Reader(steps, store).nearness(
        about.model, about.task, about.n, about.head, steps.study.references[0]
    )
    if near is None:
        raise WherefromError(f"{case.name}: no composition with places was tested")
    found, ok = of_world(case.kind, headline, near)
    return Judged(case, PLANTED[case.kind], found, law_of(near), ok, page)
