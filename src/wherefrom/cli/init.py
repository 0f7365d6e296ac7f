"""``wherefrom init``: write a first study file of one's own table of places, labels, or both."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from wherefrom.cli.output import check_target, note, show
from wherefrom.cli.pool import IdColumn, LatColumn, LonColumn
from wherefrom.errors import WherefromError
from wherefrom.files import atomic
from wherefrom.progress import noted

if TYPE_CHECKING:
    from wherefrom.pool import Pool
    from wherefrom.study.pools import PoolSpec
    from wherefrom.tasks import Task

T = TypeVar("T")

__all__ = ["Models", "init"]

Models = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="KIND[,KIND]",
        help="Kinds of model (`wherefrom list gfms`). [default: the first of them]",
    ),
]


def init(
    pool: Annotated[
        Path | None,
        typer.Option(help="Your candidates of pre-training. [default: places on all land]"),
    ] = None,
    task: Annotated[
        Path | None,
        typer.Option(
            help="Your labelled places, a table or what `wherefrom task` wrote. [default: the "
            "built-in task of the model]"
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column of labels, of a table.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Column of numbers to tell, in the place of labels.")
    ] = None,
    unit: Annotated[str, typer.Option(help="Unit of the numbers, e.g. degC.")] = "",
    positive: Annotated[
        str | None, typer.Option(help="Positive class of two; its F1 is reported as well.")
    ] = None,
    model: Models = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the study. [default: that of the tables]")
    ] = None,
    out: Annotated[Path, typer.Option(help="Study file to write.")] = Path("study.yaml"),
    force: Annotated[
        bool, typer.Option("--force", help="Write over files that are there.")
    ] = False,
    id_column: IdColumn = None,
    lon: LonColumn = "lon",
    lat: LatColumn = "lat",
) -> None:
    """Write a first study file, complete and commented: `wherefrom study plan` then passes.

    Its numbers fit the size of your table, the labels of each region and the
    cores of this machine; what could not be as usual is said, with the regions
    that are the reason. Scale debug takes seconds, laptop some 20 minutes.

    A table of labels is split as `wherefrom task from-table` does, into
    task.parquet beside the study file; make the task with that command where
    another split, region or block is due, and name what it wrote.

    --id is of the pool; --lon and --lat are of both tables, or of the one that
    has such columns. On a terminal, what is missing is asked for.

    For example:

        wherefrom init --pool tiles.csv --id tile --lon x --lat y

        wherefrom init --pool tiles.csv --task fields.csv --label crop --positive yes

        wherefrom init --task task.parquet --out mine/study.yaml
    """
    from wherefrom import tasks
    from wherefrom.study import starter
    from wherefrom.study.pools import PoolSpec
    from wherefrom.tasks.task import is_task

    if pool is None and task is None:
        pool = _asked("Table of candidate places (empty: places on all land)")
        task = _asked("Table of labelled places (empty: the built-in task)")
    raw = task is not None and not is_task(task)
    if raw and label is None and target is None:
        column = _asked("Column of labels")
        if column is None:
            raise WherefromError(
                f"--task {task}: name its column of labels (--label), or of numbers (--target)"
            )
        label = str(column)
    about = {"--label": label, "--target": target, "--unit": unit, "--positive": positive}
    given = [flag for flag, value in about.items() if value]
    if given and not raw:
        why = "no table of labels is named by --task" if task is None else f"{task} is a task"
        raise WherefromError(f"{given[0]} is about a table of labels, and {why}: leave it out")
    if id_column is not None and pool is None:
        raise WherefromError("--id is the column of a table of candidates: name it (--pool)")
    if out.suffix not in (".yaml", ".yml"):
        raise WherefromError(f"--out {out}: a study file is YAML; name it .yaml")
    written = out.with_name("task.parquet") if raw else task
    inputs = {"the pool": pool, "the table of labels": task}
    for path in (out, written) if raw and written is not None else (out,):
        check_target("--out", path, {said: file for said, file in inputs.items() if file})
        if path.exists() and not force:
            raise WherefromError(
                f"{path} is there already: name another --out, or write over it with --force"
            )
    models = starter.startable(() if model is None else [one.strip() for one in model.split(",")])
    with noted():
        sure, spec, own, made = (lon, lat) != ("lon", "lat"), None, None, None
        if pool is not None:

            def opened(lon: str, lat: str) -> tuple[PoolSpec, Pool]:
                spec = PoolSpec(file=str(pool), id=id_column, lon=lon, lat=lat)
                return spec, spec.open()

            spec, own = _named(opened, pool, lon, lat, sure)
        if task is not None and raw:

            def labelled(lon: str, lat: str) -> Task:
                return tasks.from_table(
                    task, label, lon, lat, positive=positive, target=target, units=unit
                )

            made = _named(labelled, task, lon, lat, sure and pool is None)
        elif task is not None:
            made = tasks.Task.read(task)
        called = name or "-".join(file.stem for file in (pool, task) if file is not None) or "mine"
        fits, told = starter.fitted(
            starter.name_of(called), models, spec, own, made, str(written or "")
        )
        fits, more = starter.checked(fits)
    if raw and made is not None and written is not None:
        made.write(written)
    with atomic(out) as tmp:
        tmp.write_text(fits.text(), encoding="utf-8")
    for text in (*told, *more):
        note(text)
    if raw:
        show(f"{written}: the labels, split for training and testing")
    show(f"{out}: study {fits.name}")
    show(f"next: wherefrom study plan {out} --scale laptop")
    show(f"      wherefrom study run {out} --scale debug")


def _asked(what: str) -> Path | None:
    """Ask for it where somebody can answer; nothing is None."""
    if not sys.stdin.isatty():
        return None
    answer = typer.prompt(what, default="", show_default=False).strip()
    return Path(answer) if answer else None


def _named(read: Callable[[str, str], T], file: Path, lon: str, lat: str, sure: bool) -> T:
    """Read a table by columns of coordinates, or by those that are most likely theirs.

    Columns that were named (`sure`) are those, or the table is refused.
    """
    from wherefrom.pool.tables import NoColumnError

    try:
        return read(lon, lat)
    except NoColumnError as err:
        if sure or err.near is None:
            raise
        note(f"{file}: coordinates are in {err.near[0]!r} and {err.near[1]!r}")
        return read(*err.near)
