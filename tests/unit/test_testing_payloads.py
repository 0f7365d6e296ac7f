"""The checks of a payload find what is broken, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom.errors import WherefromError
from wherefrom.payload import Lost, Modality, Payload, Piece, Sought
from wherefrom.testing import BrokenPromiseError, check_payload


class Sine(Payload):
    """Sines of the coordinates of a place."""

    modality: ClassVar[Modality] = "features"

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        angles = np.radians([places.lon, places.lat]).T
        yield np.arange(len(places)), {"features": np.sin(angles)}


class Centred(Sine):
    """Depends on the other places."""

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        for rows, records in super().read(places, lost):
            values = records["features"]
            yield rows, {"features": values - values.mean(0)}


class Fresh(Sine):
    """Is another at every reading."""

    count: ClassVar[list[int]] = []

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        self.count.append(0)
        for rows, records in super().read(places, lost):
            yield rows, {"features": records["features"] + len(self.count)}


class Lucky(Sine):
    """Draws from a global generator."""

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        np.random.random()  # noqa: NPY002
        yield from super().read(places, lost)


class Partly(Sine):
    """Has the north alone, and is said to have all."""

    kept: ClassVar[bool] = False

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        for rows, records in super().read(places, lost):
            north = places.lat > 0
            yield rows[north], {"features": records["features"][north]}


class Gaps(Sine):
    """Has no number of the north, and does not leave it out."""

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        for rows, records in super().read(places, lost):
            yield rows, {"features": np.where(places.lat[:, None] > 0, np.nan, records["features"])}


class Nameless(Payload):
    """Does not say what its records are."""

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        yield from Sine(kind="sine").read(places, lost)


class Banded(Sine):
    """Names bands that it does not give."""

    @property
    def bands(self) -> tuple[str, ...]:
        return ("red",)


class Located(Sine):
    """Has where its file lies in its settings."""

    file_fields: ClassVar[tuple[str, ...]] = ("path",)
    path: str = "here"

    def settings(self) -> dict[str, Any]:
        return self.model_dump()


@pytest.mark.parametrize("kind", ["earth-series", {"kind": "blue-marble", "filters": 4}])
def test_a_payload_of_ours_breaks_a_promise(kind: Any) -> None:
    check_payload({"kind": kind} if isinstance(kind, str) else kind)


def test_columns_break_a_promise(tmp_path: Path) -> None:
    ids = np.arange(24)
    pq.write_table(pa.table({"id": ids[::-1], "a": ids * 1.5, "b": ids}), tmp_path / "t.parquet")
    check_payload({"kind": "columns", "file": str(tmp_path / "t.parquet"), "columns": ["a", "b"]})


def test_a_sound_payload_breaks_a_promise() -> None:
    check_payload(Sine)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Centred, "gives a place another 'features' when it is read"),
        (Fresh, "gives a place another 'features' when it is read again"),
        (Lucky, "draws from a global random generator"),
        (Partly, "is not kept, so that it must have every place"),
        (Banded, "names 1 bands and gives 2"),
        (Located, "say where 'path' lies"),
    ],
)
def test_a_broken_payload_passes(kind: type[Payload], message: str) -> None:
    with pytest.raises(BrokenPromiseError, match=message):
        check_payload(kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Gaps, "gives features that are missing or not finite, first of place"),
        (Nameless, "has modality None: its class is to say"),
    ],
)
def test_a_payload_that_trains_on_nothing_is_planned(kind: type[Payload], message: str) -> None:
    with pytest.raises((WherefromError, BrokenPromiseError), match=message):
        check_payload(kind)
