"""``wherefrom data``: list, fetch and locate the Earth's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from wherefrom.cli.output import show
from wherefrom.errors import WherefromError
from wherefrom.progress import Screen, say

if TYPE_CHECKING:
    from wherefrom.earth.catalog import Source

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="List, fetch and locate the data that the Earth's layers are made from.",
    epilog=(
        "WHEREFROM_DATA names a folder that is looked at first (for machines without a network); "
        "WHEREFROM_CACHE moves the cache."
    ),
)

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
        f"The cache is {cache_folder()}",
        markup=False,
    )


@app.command(
    "fetch",
    epilog="Examples: wherefrom data fetch | wherefrom data fetch resolve-ecoregions altitude",
)
def fetch_sources(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names as in `data list`; without any, all that the layers need."),
    ] = None,
) -> None:
    """Fetch data into the cache and check it; what is here already is not fetched again."""
    from wherefrom.earth.catalog import source, sources
    from wherefrom.earth.fetch import fetch, find

    asked = list(dict.fromkeys(names or []))
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
