"""CropHarvest as published: crop or not by continent, and its three country tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError, unknown
from wherefrom.pool.series import PixelSeries
from wherefrom.pool.series.harvest_files import FEBRUARY, Files, Label
from wherefrom.pool.series.units import said_of
from wherefrom.tasks.base import TaskSpec
from wherefrom.tasks.labelled import LabelledSeries
from wherefrom.tasks.table import label_series
from wherefrom.tasks.task import SPLITS, Task

if TYPE_CHECKING:
    from wherefrom.pool import Pool

__all__ = [
    "COUNTRIES", "Country", "CropHarvest", "country_rows", "cropharvest", "cropharvest_country",
]  # fmt: skip


class CropHarvest(TaskSpec):
    """Tell crop from non-crop on CropHarvest's labelled pixel series, by continent."""

    sources: ClassVar[tuple[str, ...]] = ("cropharvest", "cropharvest-features")
    layer_fields: ClassVar[tuple[str, ...]] = ("region_layer",)
    own_series: ClassVar[bool] = True

    region_layer: str = "continent"

    @property
    def regions_by(self) -> str:
        """The layer of regions."""
        return self.region_layer

    @property
    def label(self) -> str:
        """The same for every study."""
        return "cropharvest"

    @property
    def places(self) -> int:
        """Rows with both label and series, as published."""
        return 70_213

    def make(self, pool: Pool | None) -> LabelledSeries:
        """Read the published files."""
        return cropharvest(region_layer=self.region_layer, seed=self.seed)


@dataclass(frozen=True)
class Country:
    """One of the country tasks of Tseng et al. (2021): the positive class is `crop`, any if empty.

    Its training places lie in the box, in degrees. Of its test files `tests` are the beginnings of
    the names; `sizes` are the published numbers of training places, and all of them is a further
    one.
    """

    name: str
    crop: str
    south: float
    north: float
    west: float
    east: float
    tests: tuple[str, ...]
    sizes: tuple[int, ...]

    def holds(self, label: Label) -> bool:
        """Say whether a place lies in the box."""
        inside = self.south <= label.lat <= self.north
        return inside and self.west <= label.lon <= self.east


_KENYA_SIZES = (20, 32, 64, 96, 128, 160, 192, 224, 256)
_TOGO_SIZES = (20, 50, 126, 254, 382, 508, 636, 764, 892, 1020, 1148)
COUNTRIES = {
    "kenya": Country(
        "Kenya_1_maize", "maize", -4.692, 5.492, 33.900, 41.884,
        ("Kenya_maize_2020_0", "Kenya_maize_2020_1"), _KENYA_SIZES,
    ),
    "brazil": Country(
        "Brazil_0_coffee", "coffee", -33.742, 5.258, -74.002, -34.805,
        ("Brazil_coffee_2020_0", "Brazil_coffee_2021_0"), (),
    ),
    "togo": Country(
        "Togo_crop", "", 6.089, 11.116, -0.090, 1.778, ("togo-eval",), _TOGO_SIZES
    ),
}  # fmt: skip


def cropharvest(
    folder: Path | str | None = None,
    region_layer: str = "continent",
    seed: int = 0,
    block_km: float | None = None,
) -> LabelledSeries:
    """Read CropHarvest as a crop or not crop task with its series.

    Takes the places that have a series and are not kept for the tests of the country tasks.

    Parameters
    ----------
    folder : path, optional
        Folder with ``labels.geojson`` and ``features.tar.gz``, or the latter unpacked to
        ``features``. By default the catalog's, fetched if they are not on this machine.
    region_layer : str
        Layer whose labels are the regions, or ``"all"`` for one region that holds every place.
    seed : int
        Seed of the split into train, test and the two for tuning (`from_table`).
    block_km : float, optional
        Split cells of about this size instead of places.

    Returns
    -------
    LabelledSeries
        12 steps from February; in the order of ``labels.geojson``. Dynamic World absent but where
        ``features/dynamic_world_arrays`` has it. Regions without crops are in the task;
        `plan_episodes` reports them.

    Raises
    ------
    WherefromError
        If h5py is not installed, a file is absent, torn or of another shape, or no series belongs
        to a label.

    Notes
    -----
    NDVI is computed of B8 and B4: the stored one is (B7 - B3) / (B7 + B3), since it was computed
    before B1 was removed (openmapflow, pull request 129).
    """
    files = Files.of(folder)
    labels = [label for label in files.labels() if not label.is_test]
    arrays = files.arrays({label.file for label in labels})
    kept = [label for label in labels if label.file in arrays]
    if not kept:
        raise WherefromError(
            f"{files.features}: none of its series belongs to a place of {files.geojson}"
        )
    series = files.series(arrays, [label.file for label in kept])
    crop = np.array([label.is_crop for label in kept])
    about = {"made": "of CropHarvest", "without_series": len(labels) - len(kept)}
    return label_series("cropharvest", series, crop, "crop", region_layer, seed, about, block_km)


def cropharvest_country(country: str, folder: Path | str | None = None) -> LabelledSeries:
    """Read one of CropHarvest's three country tasks, in the published order.

    Parameters
    ----------
    country : {"kenya", "brazil", "togo"}
        Maize in Kenya, coffee in Brazil, crop in Togo.
    folder : path, optional
        As of `cropharvest`, with ``test_features.tar.gz``, or that unpacked to ``test_features``.

    Returns
    -------
    LabelledSeries
        One region. Split train: all positives, then all negatives, each in the order of
        ``labels.geojson``; of Kenya and Brazil the other crops are repeated until they are as many
        as the places without crop, then come those. Split test: the places of the test files that
        are labelled. `country_rows` gives the published few-shot samples.

    Raises
    ------
    WherefromError
        As of `cropharvest`; or for another country.

    Notes
    -----
    Tseng et al. (2021), *CropHarvest*, NeurIPS Datasets and Benchmarks, and the evaluation of
    Presto (arXiv:2304.14065), of which places and order are reproduced.
    """
    if country not in COUNTRIES:
        raise unknown("country task of CropHarvest", country, COUNTRIES)
    about = COUNTRIES[country]
    files = Files.of(folder, tests=True)
    labels = [label for label in files.labels() if not label.is_test and about.holds(label)]
    arrays = files.arrays({label.file for label in labels})
    labels = [label for label in labels if label.file in arrays]
    positives, negatives = _ordered(about, labels)
    for what, places in (("positive", positives), ("negative", negatives)):
        if not places:
            raise WherefromError(
                f"{files.features}: no {what} training place of {about.name} has a series"
            )
    train = files.series(arrays, [label.file for label in (*positives, *negatives)])
    test, truth = _tests(files, about.tests)
    labelled = PixelSeries.concatenate([train, test])
    positive = np.concatenate([np.arange(len(train)) < len(positives), truth == 1])
    split = np.repeat([SPLITS.index("train"), SPLITS.index("test")], [len(train), len(test)])
    task = Task(
        name=about.name,
        lon=labelled.lon,
        lat=labelled.lat,
        label=positive.astype(np.int32),
        classes=("other", about.crop or "crop"),
        region=np.zeros(len(labelled), dtype=np.int16),
        regions=(country,),
        split=split.astype(np.int8),
        label_layer=about.crop or "crop",
        positive=1,
        provenance={"made": "of CropHarvest", "sizes": list(about.sizes)},
    )
    return LabelledSeries(task, labelled)


def country_rows(task: Task, size: int | None = None) -> NDArray[np.int64]:
    """Return the rows of a published few-shot sample of a country task.

    Parameters
    ----------
    task : Task
        Of `cropharvest_country`.
    size : int, optional
        Training places; by default all.

    Returns
    -------
    (size,) int64 array
        The first ``size // 2`` positives, then the first ``size // 2`` negatives.

    Raises
    ------
    WherefromError
        If a class has fewer places.

    Examples
    --------
    >>> task = Task("demo", np.zeros(6), np.zeros(6), np.array([1, 1, 1, 0, 0, 1]), ("other", "x"),
    ...             np.zeros(6), ("togo",), np.array([0, 0, 0, 0, 0, 1]), "x", positive=1)
    >>> country_rows(task, 4).tolist(), country_rows(task).tolist()
    ([0, 1, 3, 4], [0, 1, 2, 3, 4])
    """
    rows = task.rows(0, "train")
    if size is None:
        return rows
    classes = [rows[task.label[rows] == code] for code in (1, 0)]
    for name, members in zip(("positive", "negative"), classes, strict=True):
        if len(members) < size // 2:
            raise WherefromError(
                f"task {task.name!r} has {len(members):,} {name} training places, fewer than half "
                f"of {size:,}"
            )
    return np.concatenate([members[: size // 2] for members in classes])


def _ordered(country: Country, places: list[Label]) -> tuple[list[Label], list[Label]]:
    """Return the positives and the negatives in the published order."""
    if not country.crop:
        return [p for p in places if p.is_crop], [p for p in places if not p.is_crop]
    positives = [p for p in places if p.label == country.crop]
    others = [p for p in places if p.is_crop and p.label not in ("", country.crop)]
    without = [p for p in places if not p.is_crop]
    repeats = max(1, math.ceil(len(without) / len(others))) if others else 1
    return positives, others * repeats + without


def _tests(files: Files, beginnings: Iterable[str]) -> tuple[PixelSeries, NDArray[np.int64]]:
    """Return the labelled series of a country's test files, one file after the other."""
    parts, truths = [], []
    for test in (test for beginning in beginnings for test in files.tests(beginning)):
        labelled = test.y != -1
        with said_of(test.name, [f"of x {row}" for row in np.flatnonzero(labelled)]):
            whole = PixelSeries.from_array(
                test.x[labelled], test.lon[labelled], test.lat[labelled], FEBRUARY,
                test.dynamic_world[labelled],
            )  # fmt: skip
        parts.append(whole)
        truths.append(test.y[labelled])
    return PixelSeries.concatenate(parts), np.concatenate(truths)
