"""``wherefrom study``: plan, tune, run and report a study."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wherefrom.cli.output import check_target, note, show
from wherefrom.progress import Screen, say
from wherefrom.shown import count_of

if TYPE_CHECKING:
    from wherefrom.study import Plan, Store, Study

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Plan, tune, run and report a study: every composition, model, head and region of a study "
        "file.\n\nScales: debug (under a minute), laptop (minutes), paper (the published sizes; "
        "plan it to see what it would take)."
    ),
)
StudyPath = Annotated[
    Path, typer.Argument(help="A study file or its folder, e.g. studies/purohit2025.")
]
Scale = Annotated[str, typer.Option(help="debug, laptop or paper, as the study file has them.")]
Models = Annotated[
    str | None,
    typer.Option(
        help="Models to plan and run, with commas between. [default: all but those that the study "
        "file has on request]"
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder of the store, results and report. [default: runs/NAME-SCALE]"),
]
Stages = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help="Folder of finished stages, which several studies may share. [default: OUT/store]",
    ),
]
Task = Annotated[
    str | None, typer.Option(help="Task, as in the results; needed if there are several.")
]
Head = Annotated[
    str | None, typer.Option(help="Head; by default that of the task's first headline.")
]
Metric = Annotated[
    str | None, typer.Option(help="Metric; by default that of the task's first headline.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes. [default: one per GPU, else one per core]")
]


@app.command("plan", epilog="Example: wherefrom study plan studies/purohit2025 --scale paper")
def plan_(
    study: StudyPath,
    scale: Scale = "laptop",
    models: Models = None,
    out: Out = None,
    stages: Stages = None,
) -> None:
    """Show the stages: what is cached, what is missing and why, and what it will cost."""
    from wherefrom.report.plan import render

    steps, store, _ = _prepare(study, scale, models, out, stages)
    Screen(soft_wrap=True).print(render(steps, store))


@app.command(
    "run", epilog="Example: wherefrom study run studies/purohit2025 --scale debug --out runs/debug"
)
def run_(
    study: StudyPath,
    scale: Scale = "laptop",
    models: Models = None,
    out: Out = None,
    stages: Stages = None,
    workers: Workers = None,
) -> None:
    """Run what is missing, then print the table and the path of the HTML report.

    Killed at any moment and called again, it goes on; called once more, it only prints.
    """
    from wherefrom import study as studies
    from wherefrom.report.study import refuse_other

    steps, store, folder = _prepare(study, scale, models, out, stages)
    _refuse_unready(steps.study, scale)
    refuse_other(steps.study.name, folder)
    outcome = studies.run(steps, store, workers)
    _report(steps, store, folder, study)
    if outcome.computed:
        say(
            f"{count_of(outcome.computed, 'stage')} in {outcome.seconds / 60:.1f} min, peak memory "
            f"at most {outcome.peak_bytes / 2**30:.1f} GiB"
        )


@app.command("tune", epilog="Example: wherefrom study tune studies/purohit2025 --rows raw-lonlat")
def tune_(
    study: StudyPath,
    scale: Scale = "laptop",
    models: Models = None,
    rows: Annotated[
        str | None,
        typer.Option(
            help="Models, baselines and published rows to tune, with commas between. [default: all]"
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="The table. [default: tuned.csv beside the study file]"),
    ] = None,
    out: Out = None,
    stages: Stages = None,
    workers: Workers = None,
) -> None:
    """Choose the options of heads, for models and baselines alike, on places that no score uses.

    A head's grid stands in the study file: heads: {logistic: {grid: {C: [0.1, 1, 10]}}}.

    Every row tries all of it on the tuning places of its tasks, over the same few-shot seeds.

    A model is pre-trained once on each composition for it, and one choice holds for all of them.

    `study run` takes the table beside the study file, in which lines about other rows stay.

    Killed at any moment and called again, it goes on.
    """
    from wherefrom import study as studies
    from wherefrom.report.tuning import render
    from wherefrom.study import tuned, tuning
    from wherefrom.study.reading import declared

    names = _names(models)
    spec = declared(study, scale, names)
    table = to or (study if study.is_dir() else study.parent) / tuned.NAME
    check_target("--to", table, {"the study file": study})
    old = tuned.read(table, spec.name)
    steps = tuning.tuning_plan(studies.load(study, scale, names), _names(rows))
    _refuse_unready(steps.study, scale)
    store = studies.Store(stages or (out or Path("runs") / f"{spec.name}-{scale}") / "store")
    steps, outcome = tuning.tune(steps, store, workers)
    made, problems = tuning.collect(steps, store, spec)
    tuned.write(tuned.replaced(old, made), table)
    for problem in problems:
        note(f"not tuned on: {problem}")
    Screen(soft_wrap=True).print(render(spec, made))
    if outcome.computed:
        say(f"{count_of(outcome.computed, 'stage')} in {outcome.seconds / 60:.1f} min")
    show(f"table: {table}")


@app.command("report", epilog="Example: wherefrom study report studies/purohit2025 --scale debug")
def report_(
    study: StudyPath,
    scale: Scale = "laptop",
    models: Models = None,
    out: Out = None,
    stages: Stages = None,
) -> None:
    """Write tables, figures, maps and the HTML page again, from finished stages."""
    from wherefrom.report.study import refuse_other

    steps, store, folder = _prepare(study, scale, models, out, stages)
    refuse_other(steps.study.name, folder)
    _report(steps, store, folder, study, again=True)


def _refuse_unready(study: Study, scale: str) -> None:
    """Refuse to run what lacks data or packages."""
    from wherefrom.errors import WherefromError

    if study.missing:
        needs = "; ".join(study.missing)
        raise WherefromError(
            f"scale {scale!r} can be planned, and run when what it reads is there: {needs}"
        )
    refuse_untrainable()


def refuse_untrainable() -> None:
    """Refuse to run a study without the packages that train."""
    from wherefrom.errors import WherefromError

    if not all(importlib.util.find_spec(name) for name in ("torch", "safetensors", "sklearn")):
        raise WherefromError(
            'running a study needs torch and scikit-learn: pip install "wherefrom[train]"'
        )


def _names(listed: str | None) -> list[str] | None:
    return None if listed is None else [name.strip() for name in listed.split(",")]


def _prepare(
    study: Path, scale: str, models: str | None, out: Path | None, stages: Path | None
) -> tuple[Plan, Store, Path]:
    from wherefrom import study as studies

    spec = studies.load(study, scale, _names(models))
    folder = out or Path("runs") / f"{spec.name}-{scale}"
    return studies.plan(spec), studies.Store(stages or folder / "store"), folder


def _report(steps: Plan, store: Store, folder: Path, study: Path, again: bool = False) -> None:
    from wherefrom.report.study import write

    table, page = write(steps, store, folder, study, again=again)
    Screen(soft_wrap=True).print(table)
    show(f"report: {page}")
