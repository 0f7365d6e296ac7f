"""``wherefrom atlas``: pre-training sets beside each other and beside benchmarks."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from wherefrom.cli.output import show
from wherefrom.errors import WherefromError

__all__ = ["atlas"]


def atlas(
    file: Annotated[Path, typer.Argument(help="YAML with pools and tests, as below.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("atlas"),
    seed: Annotated[int, typer.Option(help="Of simulations and samples.")] = 0,
) -> None:
    """Hold pre-training sets beside land, and beside what models are tested on.

    Writes atlas.html, whose table sorts, atlas.csv, atlas.json and atlas.md.
    FILE names sets: a file and its columns (id, lon, lat, geometry, grid, cell;
    those of `wherefrom data known` are recognised), or a known list; paths are
    from FILE on.

        pools:
          ours: {file: tiles.parquet, lon: x, lat: y}
          GeoNames cities: {known: geonames-cities}
        tests:
          fields: {file: fields.csv, lon: x, lat: y, caveat: Kenya alone}

    For example:

        wherefrom atlas atlas.yaml --out atlas
    """
    from wherefrom.auditing.atlas import counted, drawn_up, listed
    from wherefrom.report.atlas import markdown, write_atlas

    if out.exists() and not out.is_dir():
        raise WherefromError(f"--out {out} is a file: name a folder")
    pools, tests = listed(file)
    made = counted(tests, tuple(drawn_up(pools, tests, file.parent, seed)))
    command = shlex.join(["wherefrom", *sys.argv[1:]])
    written = write_atlas(made, out, command)
    show(markdown(made).rstrip())
    for path in written:
        show(str(path))
