"""``wherefrom study``: plan, tune, run and report a study."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wherefrom.cli.output import check_target, note, show
from wherefrom.files import atomic
from wherefrom.progress import Screen, say
from wherefrom.shown import count_of

if TYPE_CHECKING:
    from wherefrom.study import Plan, Store, Study
    from wherefrom.study.status import Status

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Plan, tune, run and report a study: every composition, model, head and region of a study "
        "file.\n\nScales: debug (under a minute), laptop (minutes), paper (the published sizes; "
        "plan it to see what it would take)."
    ),
)
StudyPath = Annotated[
    Path,
    typer.Argument(
        help="A study file, its folder, e.g. studies/purohit2025, or the name of a built-in study "
        "(wherefrom study list)."
    ),
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
    str | None,  # a Path would swallow a slash of an address
    typer.Option(
        "--store",
        metavar="FOLDER|ADDRESS",
        help="Where finished stages are, which several studies may share: a folder, or an address "
        "of object storage: s3://BUCKET/PATH, gs://, az:// (docs/scale.md). [default: OUT/store]",
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
    int | None,
    typer.Option(
        min=1,
        help="Processes, or on a cluster bundles of stages at a time. [default: one per GPU, else "
        "one per core; all that a cluster has room for]",
    ),
]
Devices = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="GPUs, or processes, of each pre-training. [default: "
        "$WHEREFROM_DEVICES_PER_RUN, else 1]",
    ),
]
OnCluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Compute on a Ray cluster: HOST:PORT of its head, auto (that of this machine) or "
        "local (one for this command).",
    ),
]
Patience = Annotated[
    float,
    typer.Option(
        min=0,
        help="On a cluster: minutes that a stage may tell nothing, or 20 times its planned time "
        "if that is longer, before it is begun again elsewhere.",
    ),
]


RunPath = Annotated[
    str, typer.Argument(help="The folder of a run (--out), or its store (--store).")
]

#: File in the folder of a run that says which plan it is of, and where its store is.
RUN = "run.json"


@app.command("list", epilog="Example: wherefrom study list")
def list_() -> None:
    """List the studies that come with wherefrom, by the names that commands take.

    To change one, copy its folder and name the copy.
    """
    from rich.table import Table

    from wherefrom.study.built_in import built_in, outline

    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in ("name", "scales", "title"):
        table.add_column(heading, no_wrap=heading != "title", overflow="fold")
    found = built_in()
    for name, folder in found.items():
        title, scales = outline(folder)
        table.add_row(name, ", ".join(scales), title)
    Screen().print(table)
    show(f"they lie in {next(iter(found.values())).parent}")


@app.command("plan", epilog="Example: wherefrom study plan studies/purohit2025 --scale paper")
def plan_(
    study: StudyPath,
    scale: Scale = "laptop",
    models: Models = None,
    out: Out = None,
    stages: Stages = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="Say how long it takes on GPUs.")] = None,
    cores: Annotated[
        int | None,
        typer.Option(min=1, help="On cores, or those beside the GPUs. [default: one per GPU]"),
    ] = None,
    price: Annotated[float | None, typer.Option(help="Price of a GPU hour.")] = None,
    core_price: Annotated[float | None, typer.Option(help="Price of a core hour.")] = None,
    currency: Annotated[str, typer.Option(help="In which you pay.")] = "EUR",
    budget: Annotated[
        str | None,
        typer.Option(help="Propose what fits 200gpuh, 500coreh or an amount such as 1000eur."),
    ] = None,
) -> None:
    """Show the stages: what is cached, what is missing and why, and what it will cost.

    With --gpus, --cores, a price or a budget: hours, bytes and money by composition, from what
    finished stages took where there are some, the wall time, and what of the study fits.
    """
    from wherefrom.report import price as pricing
    from wherefrom.report.plan import render

    # Refused before a study is read.
    asked = pricing.asked(gpus, cores, price, core_price, currency, budget)
    steps, store, _ = _prepare(study, scale, models, out, stages)
    screen = Screen(soft_wrap=True)
    screen.print(render(steps, store))
    if asked.any:
        screen.print(pricing.render(steps, store, asked, study))
    else:
        screen.print(pricing.brief(steps, store))


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
    devices: Devices = None,
    cluster: OnCluster = None,
    patience: Patience = 30,
) -> None:
    """Run what is missing, then print the table and the path of the HTML report.

    Killed at any moment and called again, it goes on; called once more, it only prints.

    Several calls with one --store, on one machine or on many, share the work.
    """
    from wherefrom import study as studies
    from wherefrom.parallel import refuse_silent
    from wherefrom.report.study import refuse_other
    from wherefrom.study import Store
    from wherefrom.train import ranks

    steps, store, folder = _prepare(study, scale, models, out, stages)
    _refuse_unready(steps.study, scale)
    refuse_other(steps.study.name, folder)
    if cluster is not None:
        refuse_silent(cluster)
    store.ready()
    # A folder that holds its store may be moved, or lie elsewhere on another machine.
    where = None if store.name == Store(folder / "store").name else store.name
    said, file = json.dumps({"store": where, "plan": steps.key}), folder / RUN
    if not file.is_file() or file.read_text(encoding="utf-8", errors="replace") != said:
        with atomic(file) as tmp:
            tmp.write_text(said, encoding="utf-8")
    with ranks.asking(devices):
        outcome = studies.run(steps, store, workers, cluster=cluster, patience=60 * patience)
    _report(steps, store, folder, study)
    if outcome.computed:
        said = f"{count_of(outcome.computed, 'stage')} in {outcome.seconds / 60:.1f} min"
        if outcome.peak_bytes:
            said += f", peak memory at most {outcome.peak_bytes / 2**30:.1f} GiB"
        if outcome.lost:
            said += f"; {count_of(outcome.lost, 'lost worker')} made good"
        say(said)


@app.command("status", epilog="Example: wherefrom study status runs/debug")
def status_(run: RunPath) -> None:
    """Show what is done of a run, what runs where, what failed and why, and the expected end.

    From any machine that sees the folder, or the store, of the run.
    """
    from wherefrom.report.status import render_status

    for status in _statuses(run):
        Screen(soft_wrap=True).print(render_status(status))


@app.command("watch", epilog="Example: wherefrom study watch runs/debug")
def watch_(
    run: RunPath,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks.")] = 10,
) -> None:
    """Show `study status` again and again until all is done; Ctrl-C ends it, not the run."""
    from rich.console import Group
    from rich.live import Live

    from wherefrom.report.status import render_status

    screen = Screen(soft_wrap=True)
    with Live(console=screen, auto_refresh=False) as live:
        while True:
            found = _statuses(run)
            live.update(Group(*map(render_status, found)), refresh=True)
            if all(status.whole for status in found):
                return
            time.sleep(every)


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
    cluster: OnCluster = None,
) -> None:
    """Choose the options of heads, for models and baselines alike, on places that no score uses.

    A head's grid stands in the study file: heads: {logistic: {grid: {C: [0.1, 1, 10]}}}.

    Every row tries all of it on the tuning places of its tasks, over the same few-shot seeds.

    A model is pre-trained once on each composition for it, and one choice holds for all of them.

    `study run` takes the table beside the study file, in which lines about other rows stay.

    Killed at any moment and called again, it goes on.
    """
    from wherefrom import study as studies
    from wherefrom.errors import WherefromError
    from wherefrom.report.tuning import render
    from wherefrom.study import tuned, tuning
    from wherefrom.study.built_in import located
    from wherefrom.study.reading import declared

    names = _names(models)
    _say_which(study)
    spec = declared(study, scale, names)
    if to is None and (folder := located(study)) != study:
        raise WherefromError(
            f"{study} is built in: name the table to write (--to), or copy {folder} and tune the "
            "copy, whose study takes it"
        )
    table = to or (study if study.is_dir() else study.parent) / tuned.NAME
    check_target("--to", table, {"the study file": study})
    old = tuned.read(table, spec.name)
    steps = tuning.tuning_plan(studies.load(study, scale, names), _names(rows))
    _refuse_unready(steps.study, scale)
    _refuse_address(out)
    store = studies.opened(stages or (out or Path("runs") / f"{spec.name}-{scale}") / "store")
    store.ready()
    steps, outcome = tuning.tune(steps, store, workers, cluster=cluster)
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


def _statuses(run: str) -> list[Status]:
    """Read where a run stands, given its folder or its store."""
    from wherefrom.errors import WherefromError
    from wherefrom.remote import is_address
    from wherefrom.study import opened
    from wherefrom.study.status import statuses

    folder = Path(run)
    file, within = folder / RUN, folder / "store"
    if not is_address(run) and not folder.is_dir():
        raise WherefromError(
            f"{run!r} is {'a file' if folder.is_file() else 'not there'}: name the folder of a run "
            "(--out), or its store"
        )
    if not file.is_file():
        return statuses(opened(within if within.is_dir() else run))
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        store, plan = known["store"], known["plan"]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise WherefromError(
            f"{file} is damaged ({err}): name the store of the run in place of its folder"
        ) from None
    return statuses(opened(store or within), plan)


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
    study: Path, scale: str, models: str | None, out: Path | None, stages: str | None
) -> tuple[Plan, Store, Path]:
    from wherefrom import study as studies

    _refuse_address(out)
    _say_which(study)
    spec = studies.load(study, scale, _names(models))
    folder = out or Path("runs") / f"{spec.name}-{scale}"
    return studies.plan(spec), studies.opened(stages or folder / "store"), folder


def _say_which(study: Path) -> None:
    """Say so where a folder of the user's has the name of a built-in study, which it hides."""
    from wherefrom.study.built_in import built_in, located

    found = built_in().get(str(study))
    if found and located(study).resolve() != found:
        note(f"{study}: the study in this folder, not the built-in one of that name")


def _refuse_address(out: Path | None) -> None:
    from wherefrom.errors import WherefromError
    from wherefrom.remote import is_address

    if out is not None and is_address(str(out)):
        raise WherefromError(
            f"--out {str(out).replace(':/', '://', 1)}: results and report go to a folder; name an "
            "address by --store, where the stages go"
        )


def _report(steps: Plan, store: Store, folder: Path, study: Path, again: bool = False) -> None:
    from wherefrom.report.study import write

    table, page = write(steps, store, folder, study, again=again)
    Screen(soft_wrap=True).print(table)
    show(f"report: {page}")
