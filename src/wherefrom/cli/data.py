"""``wherefrom data``: list, fetch and locate the Earth's data."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from wherefrom.cli.output import check_out, show
from wherefrom.errors import WherefromError
from wherefrom.progress import Screen, say

if TYPE_CHECKING:
    from wherefrom.earth.catalog import Source
    from wherefrom.pool.known import Known

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="List, fetch and locate the data that the Earth's layers are made from.",
    epilog=(
        "WHEREFROM_DATA names a folder that is looked at first (for machines without a network); "
        "WHEREFROM_CACHE moves the cache."
    ),
)

#: Tables that are generated into the folder where the command runs.
SAMPLE = "sample"
#: What a study does without the ecoregions; said wherever they cannot be had.
STAND_IN = "a study uses the climate zone instead of the biome, and says so"


@app.command("list", epilog="Examples: wherefrom data list | wherefrom data list --citations")
def list_sources(
    citations: Annotated[
        bool, typer.Option("--citations", help="Print what to cite instead of the table.")
    ] = False,
) -> None:
    """Show every source: what it is, its size and licence, and whether it is on this machine."""
    from wherefrom.earth.catalog import sources
    from wherefrom.earth.fetch import cache_folder

    out = Screen(soft_wrap=True)
    if citations:
        for item in sources().values():
            out.print(f"{item.name}: {item.citation} [{item.licence}]")
        return
    out.print(f"{'name':24}{'size':>7}  {'here':10}licence", style="bold")
    for item in sources().values():
        facts = f"{item.name:24}{_size(item.size):>7}  {_state(item):10}{item.licence}"
        out.print(facts, style="bold" if item.default else "")
        out.print(f"  {item.title}\n  from {_origin(item)}", style="dim")
    default = [item for item in sources().values() if item.default]
    out.print(
        f"\n`wherefrom data fetch` gets the {len(default)} bold ones: "
        f"{_size(sum(item.size for item in default))} and the official ecoregions. "
        f"The cache is {cache_folder()}\n"
        f"`wherefrom data fetch {SAMPLE}` writes generated tiles and fields into this folder",
        markup=False,
    )


@app.command(
    "fetch",
    epilog="Examples: wherefrom data fetch | wherefrom data fetch resolve-ecoregions altitude | "
    "wherefrom data fetch sample",
)
def fetch_sources(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names as in `data list`; without any, all that the layers need."),
    ] = None,
) -> None:
    """Fetch data into the cache and check it; what is here already is not fetched again.

    The name sample writes generated tables into this folder, to try commands
    on: 5,000 tiles with faults (tiles.parquet, .csv, .geoparquet, and
    tiles-raw.csv) and 4,000 labelled fields (fields.csv).
    """
    from wherefrom.earth.catalog import source, sources
    from wherefrom.earth.fetch import fetch, find

    asked = list(dict.fromkeys(names or []))
    if SAMPLE in asked:
        from wherefrom.pool.sample import write_sample

        for path in write_sample(Path()):
            show(f"{SAMPLE}\t{path}")
        asked.remove(SAMPLE)
        if not asked:
            return
    wanted = asked or [item.name for item in sources().values() if item.default]
    problems = fetch(wanted)
    # Without a network the ecoregions cannot be had, and the climate zone stands in for them.
    excused = {} if asked else {n: p for n, p in problems.items() if source(n).kind == "official"}
    for problem in excused.values():
        say(f"warning: {problem}. Until then {STAND_IN}")
    faults = [problem for name, problem in problems.items() if name not in excused]
    for name in wanted:
        if name not in problems:
            show(f"{name}\t{find(name)}")
    if faults:
        raise WherefromError("\n".join(faults))


@app.command("path", epilog="Example: wherefrom data path resolve-ecoregions")
def path(
    name: Annotated[str, typer.Argument(help="A name as in `data list`.")],
) -> None:
    """Print where a source's file lies on this machine; never uses the network."""
    from wherefrom.earth.fetch import path_of

    show(str(path_of(name, download=False)))


@app.command(
    "known",
    epilog="Examples: wherefrom data known | wherefrom data known ssl4eo-s12-v1.1 | "
    "wherefrom data known mmearth --table data_1M_v001_tile_info.json --out mmearth.parquet",
)
def known(
    name: Annotated[str | None, typer.Argument(help="One of them; without it, all.")] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its file of places, to make a table of.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file to write, with --table.")] = None,
) -> None:
    """Show known pre-training pools and benchmarks, and how to audit the file of one."""
    from wherefrom.pool.known import entries, entry

    if (table is None) != (out is None) or (table is not None and name is None):
        raise WherefromError("--table goes with a NAME and --out: name all three")
    if table is not None and out is not None:
        _convert(entry(str(name)), table, out)
        return
    screen = Screen(soft_wrap=True)
    if name is not None:
        _show_known(screen, entry(name))
        return
    screen.print(f"{'name':26}{'kind':11}{'places':26}licence", style="bold")
    for item in entries().values():
        screen.print(f"{item.name:26}{item.kind:11}{item.count:26}{item.licence}", markup=False)
        screen.print(f"  {item.title}\n  {item.address}", style="dim", markup=False)


def _convert(item: Known, table: Path, out: Path) -> None:
    """Write the table of an entry's file of places."""
    import pyarrow.parquet as pq

    from wherefrom.files import atomic
    from wherefrom.pool.known import table_of
    from wherefrom.shown import count_of

    check_out(out, "a table", {"--table": table})
    made = table_of(item, table)
    with atomic(out) as path:
        pq.write_table(made, path)
    show(f"{out}: {count_of(made.num_rows, 'row')}")


def _show_known(screen: Screen, item: Known) -> None:
    """Print what is known of one pool or benchmark, and the commands that audit it."""
    facts = {
        "kind": item.kind,
        "address": item.address,
        "format": item.format,
        "places": item.count,
        "licence": item.licence,
        "cite": item.citation,
        **{
            f"{field} column": getattr(item.reads, field)
            for field in ("id", "lon", "lat", "geometry", "place", "time")
        },
        "grid": f"{item.reads.grid}, column {item.reads.cell}" if item.reads.grid else "",
        "not verified": ", ".join(item.unverified),
    }
    screen.print(f"{item.name}: {item.title}", style="bold", markup=False)
    for label, text in facts.items():
        if text:
            screen.print(f"  {label:16}{text}", markup=False)
    for label, texts in (("note", item.caveats), ("source", item.source)):
        for text in texts:
            screen.print(f"  {label:16}{text}", markup=False)
    for line in _commands(item):
        screen.print(f"  {line}", markup=False)


def _commands(item: Known) -> list[str]:
    """Return the commands that audit an entry's file, with the options that `audit` has."""
    from wherefrom.cli.audit import audit

    if item.reads.layout == "none":
        return []
    file, lines = item.file, []
    if item.reads.layout != "table":
        file = f"{item.name}.parquet"
        lines = [f"wherefrom data known {item.name} --table {item.file} --out {file}"]
    own = typer.Typer()
    own.command()(audit)
    flags = {flag for param in typer.main.get_command(own).params for flag in param.opts}
    words = [word for pair in item.reads.options.items() if pair[0] in flags for word in pair]
    return [*lines, shlex.join(["wherefrom", "audit", file, *words])]


def _size(count: int) -> str:
    if not count:
        return "?"
    return f"{count / 1e6:.1f} MB" if count < 9.95e6 else f"{count / 1e6:.0f} MB"


def _origin(item: Source) -> str:
    if item.kind == "wheel":
        return f"{item.package} {item.version}"
    return urlsplit(item.url or item.address).netloc


def _state(item: Source) -> str:
    from wherefrom.earth.fetch import find

    if find(item.name) is not None:
        return "yes"
    return "no" if item.reader else "not used"
