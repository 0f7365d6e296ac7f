"""Tasks: content survives the file; codes without a name and foreign files are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom.errors import WherefromError
from wherefrom.tasks import SPLITS, Task


def demo() -> Task:
    return Task(
        name="demo",
        lon=np.array([10.0, 20.0, -179.5, 0.1]),
        lat=np.array([0.0, 5.0, 60.25, -0.1]),
        label=np.array([0, 1, 1, 0]),
        classes=("crop", "other"),
        region=np.array([0, 1, -1, 1]),
        regions=("Africa", "Asia", "Oceania"),
        split=np.array([0, 1, 2, 3]),
        label_layer="cover",
        positive=0,
        provenance={"seed": 3},
    )


def test_written_task_is_read_back_changed(tmp_path: Path) -> None:
    task = demo()
    task.write(tmp_path / "task.parquet")
    again = Task.read(tmp_path / "task.parquet")
    for field in dataclasses.fields(Task):
        ours, theirs = getattr(task, field.name), getattr(again, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs)
        else:
            assert ours == theirs
    assert again.key == task.key


def test_file_needs_our_code_to_be_understood(tmp_path: Path) -> None:
    demo().write(tmp_path / "task.parquet")
    columns = pq.read_table(tmp_path / "task.parquet").to_pydict()
    assert columns["label"] == ["crop", "other", "other", "crop"]
    assert columns["region"] == ["Africa", "Asia", None, "Asia"]
    assert columns["split"] == list(SPLITS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"label": np.array([0, 1, 1, 1])},
        {"split": np.array([0, 1, 2, 2])},
        {"lat": np.array([0.0, 5.0, 60.25, -0.2])},
        {"classes": ("crops", "other")},
        {"positive": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_content_keeps_the_key(change: dict[str, object]) -> None:
    assert dataclasses.replace(demo(), **change).key != demo().key
    assert dataclasses.replace(demo(), provenance={"seed": 4}).key == demo().key


def test_counts_lose_a_place() -> None:
    counts = demo().counts()
    assert counts.shape == (3, 2, 4)
    assert counts.sum() == 3  # the place in no region is not counted
    assert counts[1, 0].tolist() == [0, 0, 0, 1]


def test_content_changes_after_it_was_hashed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        demo().label[0] = 1


def test_codes_without_a_name_are_kept() -> None:
    with pytest.raises(WherefromError, match="label code 2 of row 1 has no name"):
        dataclasses.replace(demo(), label=np.array([0, 2, 1, 0]))
    with pytest.raises(WherefromError, match="lat has shape"):
        dataclasses.replace(demo(), lat=np.zeros(3))
    with pytest.raises(WherefromError, match="exactly two classes"):
        dataclasses.replace(demo(), classes=("a", "b", "c"))


def test_foreign_file_is_taken_for_a_task(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="no such file"):
        Task.read(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("lon,lat")
    with pytest.raises(WherefromError, match="not a readable Parquet file"):
        Task.read(tmp_path / "text.parquet")
    pq.write_table(pa.table({"lon": [1.0]}), tmp_path / "table.parquet")
    with pytest.raises(WherefromError, match="is not a task"):
        Task.read(tmp_path / "table.parquet")
