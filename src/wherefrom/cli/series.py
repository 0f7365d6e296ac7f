"""``wherefrom task worldcereal`` and ``cropharvest``: labelled places with their own series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wherefrom.cli.shown import show_task
from wherefrom.errors import WherefromError
from wherefrom.files import disk_errors, refuse_target

if TYPE_CHECKING:
    from wherefrom.tasks.labelled import LabelledSeries

__all__ = ["cropharvest", "worldcereal"]

Out = Annotated[Path, typer.Option(help="Folder to write task.parquet and series.npz into.")]
Seed = Annotated[int, typer.Option(help="Seed of the split; the same seed, the same task.")]
RegionLayer = Annotated[
    str,
    typer.Option(help="Layer whose labels are the regions to fine-tune in; or all: one region."),
]


def worldcereal(
    file: Annotated[Path, typer.Argument(help="Parquet of WorldCereal, a row a pixel.")],
    out: Out,
    region_layer: RegionLayer = "continent",
    seed: Seed = 0,
) -> None:
    """Make a crop or not crop task of WorldCereal's labelled pixels.

    A row is a pixel with 12 steps of Sentinel-1 and -2, temperature and
    precipitation, its terrain, and LANDCOVER_LABEL, of which 11 is crop.
    Units are converted to those of pixel series; what is marked 65535 is
    absent.

    For example:

        wherefrom task worldcereal pixels.parquet --out worldcereal

        wherefrom task worldcereal pixels.parquet --region-layer all --out global
    """
    from wherefrom import tasks

    _check(out)
    _finish(tasks.worldcereal(file, region_layer, seed), out)


def cropharvest(
    out: Out,
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder with labels.geojson and the features; default the catalog's."),
    ] = None,
    country: Annotated[
        str | None,
        typer.Option(help="One of the published tasks: kenya (maize), brazil (coffee), togo."),
    ] = None,
    region_layer: RegionLayer = "continent",
    seed: Seed = 0,
) -> None:
    """Make a crop or not crop task of CropHarvest.

    The folder holds labels.geojson and features.tar.gz, or that unpacked to
    features/arrays; for a country also test_features.tar.gz, or that unpacked.
    Without a folder they are fetched from Zenodo (large). NDVI is computed anew,
    since the stored one is wrong. Needs h5py, of the extra "cropharvest".

    For example:

        wherefrom task cropharvest cropharvest-data --out cropharvest

        wherefrom task cropharvest cropharvest-data --country togo --out togo
    """
    from wherefrom import tasks

    _check(out)
    if country is None:
        made = tasks.cropharvest(folder, region_layer, seed)
    elif region_layer != "continent" or seed:
        raise WherefromError(
            f"--country {country}: its region and split are the published ones; leave out "
            "--region-layer and --seed"
        )
    else:
        made = tasks.cropharvest_country(country, folder)
    _finish(made, out)


def _check(out: Path) -> None:
    """Refuse a target before the work."""
    with disk_errors(out):
        refuse_target(out / "task.parquet")
        refuse_target(out / "series.npz")


def _finish(made: LabelledSeries, out: Path) -> None:
    made.write(out)
    show_task(made.task, out / "task.parquet")
    bands = ", ".join(made.series.present)
    typer.echo(f"{out / 'series.npz'}: {made.series.steps} steps of {bands}; key {made.key}")
