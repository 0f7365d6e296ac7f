"""Payloads: the contract, what is kept of them, and numbers of a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.payload import Lost, Modality, Payload, Piece, Sought
from wherefrom.payload.base import checked
from wherefrom.payload.columns import Columns
from wherefrom.payload.content import content_of
from wherefrom.payload.matching import Rows
from wherefrom.payload.stored import Stored, gathered, keep, refuse_many

IDS = np.array([f"tile-{i:03}" for i in range(40)])
VALUES = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


def sought(ids: Any = IDS, *, labelled: bool = False) -> Sought:
    places = np.linspace(0, 1, len(ids))
    return Sought(np.asarray(ids), places, places, labelled)


class Numbers(Payload):
    """Gives each place a number, in the way that a test asks for."""

    modality: ClassVar[Modality] = "features"

    way: str = ""

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        rows = np.arange(len(places))
        if self.way == "lacking":
            lost.add("tile-003", "is cut short")
            rows = np.delete(rows, 3)
        values = VALUES[rows]
        if self.way == "none":
            return
        if self.way == "other names":
            yield rows, {"numbers": values}
        elif self.way == "fewer":
            yield rows, {"features": values[1:]}
        elif self.way == "twice":
            yield rows, {"features": values}
            yield rows[:1], {"features": values[:1]}
        elif self.way == "others":
            yield rows + 1, {"features": values}
        elif self.way == "another width":
            yield rows[:3], {"features": values[:3]}
            yield rows[3:], {"features": values[3:, 1:]}
        else:
            order = np.random.default_rng(1).permutation(len(rows))
            for part in np.array_split(order, 5):
                yield rows[part], {"features": values[part]}


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("other names", r"gives \['numbers'\], due are \['features'\]"),
        ("fewer", "gives 39 features of 40 places"),
        ("twice", "gives a place twice"),
        ("others", "gives rows that were not sought"),
    ],
)
def test_records_of_another_place_pass(way: str, message: str) -> None:
    with pytest.raises(WherefromError, match=message):
        list(checked(Numbers(kind="numbers", way=way), sought(), Lost()))


def test_what_is_kept_in_parts_is_not_what_was_read(tmp_path: Path) -> None:
    folders = []
    for rows in (slice(0, 17), slice(17, 40)):

        class Part(Numbers):
            def read(self, places: Sought, lost: Lost, first: int = rows.start) -> Iterator[Piece]:
                yield np.arange(len(places)), {"features": VALUES[first : first + len(places)]}

        folders.append(tmp_path / str(rows.start))
        folders[-1].mkdir()
        keep(Part(kind="part"), sought().take(rows), folders[-1])
    stored = Stored("features", tuple(folders))
    rows_ = np.array([39, 0, 16, 17, 17, 3])
    np.testing.assert_array_equal(stored.take(rows_)["features"], VALUES[rows_])
    mean, std = stored.moments
    np.testing.assert_allclose(mean, VALUES.mean(0, np.float64), rtol=1e-6)
    np.testing.assert_allclose(std, VALUES.std(0, dtype=np.float64), rtol=1e-6)
    assert stored.there.all()
    assert not stored.lost


def test_a_place_without_a_payload_is_served_as_zeros(tmp_path: Path) -> None:
    payload = Numbers(kind="numbers", way="lacking", most_missing=0.1)
    keep(payload, sought(), tmp_path)
    stored = Stored("features", (tmp_path,))
    assert np.flatnonzero(~stored.there).tolist() == [3]
    assert str(stored.lost) == "tile-003 is cut short"
    np.testing.assert_allclose(stored.moments[0], np.delete(VALUES, 3, 0).mean(0), rtol=1e-5)
    refuse_many(payload, stored.there, IDS, stored.lost, labelled=False)
    strict = payload.model_copy(update={"most_missing": 0.01})
    with pytest.raises(WherefromError, match=r"1 of 40 places are without, first tile-003 \("):
        refuse_many(strict, stored.there, IDS, stored.lost, labelled=False)


def test_a_labelled_place_without_a_payload_is_scored(tmp_path: Path) -> None:
    payload = Numbers(kind="numbers", way="lacking", most_missing=0.5)
    with pytest.raises(WherefromError, match="take these rows out of the task's table"):
        keep(payload, sought(labelled=True), tmp_path)


@pytest.mark.parametrize(
    ("way", "message"),
    [("none", "40 of 40 places are without"), ("another width", "after \\(6,\\)")],
)
def test_records_that_are_none_or_of_two_sizes_are_kept(
    way: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(WherefromError, match=message):
        keep(Numbers(kind="numbers", way=way), sought(labelled=True), tmp_path)


def test_a_part_without_a_record_ends_a_run(tmp_path: Path) -> None:
    folders = [tmp_path / "none", tmp_path / "all"]
    for folder, way in zip(folders, ("none", ""), strict=True):
        folder.mkdir()
        keep(Numbers(kind="numbers", way=way), sought(), folder)
    stored = Stored("features", tuple(folders))
    assert stored.there.tolist() == [False] * 40 + [True] * 40
    np.testing.assert_array_equal(stored.take(np.array([79, 40]))["features"], VALUES[[39, 0]])
    np.testing.assert_allclose(stored.moments[0], VALUES.mean(0), rtol=1e-5)


def test_a_thousand_reasons_are_said_in_one_line() -> None:
    lost = Lost()
    for number in range(1000):
        lost.add(f"{number}.tif", f"has value {number}")
    lost.add("last.tif", "has value 7")
    assert str(lost) == (
        "7.tif has value 7, and 1 more; 0.tif has value 0; 1.tif has value 1; and 997 for other "
        "reasons"
    )


@given(
    st.lists(st.integers(0, 12), max_size=30),
    st.lists(st.integers(0, 15), unique=True, max_size=16),
)
def test_an_id_reaches_another_place(ids: list[int], there: list[int]) -> None:
    rows, found = Rows(np.array(ids, dtype=np.int64), Lost()), {}
    names = np.array(there, dtype=np.int64).astype(str)
    for part in np.array_split(np.arange(len(names)), 2):
        at, which = rows.find(names[part], "a table")
        values = names[part][at].astype(np.int64)
        for places, records in rows.spread(which, {"features": values}):
            found |= dict(zip(places.tolist(), records["features"].tolist(), strict=True))
    assert found == {row: one for row, one in enumerate(ids) if one in there}


# Columns of a table.

NUMBERS = pa.list_(pa.float32())


def table(folder: Path, **columns: Any) -> Path:
    order = np.random.default_rng(2).permutation(40)
    made = {"tile": IDS[order]} | {f"A{i:02}": VALUES[order, i] for i in range(6)}
    pq.write_table(pa.table(made | columns), folder / "embeddings.parquet", row_group_size=7)
    return folder / "embeddings.parquet"


def read(payload: Columns, places: Sought) -> tuple[Any, Any, Lost]:
    there, records = gathered(payload, places, lost := Lost())
    return there, records["features"], lost


def columns(path: Path, **fields: Any) -> Columns:
    return Columns(**{"kind": "columns", "file": str(path), "id": "tile"} | fields)


def test_numbers_of_another_row_are_read(tmp_path: Path) -> None:
    path = table(tmp_path, name=["x"] * 40)
    ids = np.concatenate([IDS[5:20], IDS[7:8], ["unknown"]])
    there, values, lost = read(columns(path, columns=("A*",)), sought(ids))
    assert there.tolist() == [True] * 16 + [False]
    assert not lost
    np.testing.assert_array_equal(values, VALUES[[*range(5, 20), 7]])
    pq.read_table(path).to_pandas().to_csv(tmp_path / "e.csv", index=False)
    _, of_text, _ = read(columns(tmp_path / "e.csv", columns=("A00", "A05")), sought(IDS))
    np.testing.assert_allclose(of_text, VALUES[:, [0, 5]], rtol=1e-6)


def test_an_array_is_read_in_another_order_than_its_table(tmp_path: Path) -> None:
    path = table(tmp_path)
    order = np.random.default_rng(2).permutation(40)
    np.save(tmp_path / "e.npy", VALUES[order].astype(np.float16))
    there, values, _ = read(columns(path, array=str(tmp_path / "e.npy")), sought(IDS[::-1]))
    assert there.all()
    np.testing.assert_array_equal(values, VALUES[::-1].astype(np.float16).astype(np.float32))
    for rows in (39, 41):
        np.save(tmp_path / "e.npy", np.zeros((rows, 3)))
        with pytest.raises(WherefromError, match=f"has {rows} rows, .* has other"):
            read(columns(path, array=str(tmp_path / "e.npy")), sought())


@pytest.mark.parametrize("fixed", [True, False])
def test_lists_of_numbers_are_no_numbers(tmp_path: Path, fixed: bool) -> None:
    order = np.random.default_rng(2).permutation(40)
    lists: list[Any] = VALUES[order].tolist()
    lists[4] = None
    kind = pa.list_(pa.float32(), 6) if fixed else pa.list_(pa.float32())
    path = table(tmp_path, embedding=pa.array(lists, kind))
    there, values, lost = read(columns(path, columns=("embedding",)), sought())
    assert np.flatnonzero(~there).tolist() == [order[4]]
    np.testing.assert_array_equal(values, np.delete(VALUES, order[4], 0))
    assert str(lost) == f"id {IDS[order[4]]} has a number that is missing or not finite"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"columns": ("B*",)}, "unknown column of .*embeddings.parquet 'B\\*'"),
        ({"columns": ("A*",), "id": "tilde"}, "did you mean 'tile'"),
        ({"columns": ("name",)}, "column 'name' is string, not numbers"),
        ({"columns": ("A*",), "file": "nowhere.parquet"}, "no such file or folder: nowhere"),
        ({"columns": ("uneven",)}, "lists of column 'uneven' have 1 numbers, and 2 elsewhere"),
        ({"array": "nowhere.npy"}, "no such file: nowhere.npy"),
    ],
)
def test_a_mistake_in_a_table_of_numbers_ends_in_a_traceback(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    uneven = pa.array([[1.0]] * 2 + [[1.0, 2.0]] * 38)
    path = table(tmp_path, name=["x"] * 40, uneven=uneven)
    with pytest.raises(WherefromError, match=message):
        read(columns(path, **fields), sought())


def parted(folder: Path, **of_the_second: Any) -> Path:
    """Write two files of ten rows, of which the second has other columns."""
    folder.mkdir()
    for at, columns in enumerate(({"A0": [1.0] * 10, "A1": [2.0] * 10}, of_the_second)):
        ids = [f"{10 * at + row}" for row in range(10)]
        pq.write_table(pa.table({"tile": ids, **columns}), folder / f"{at}.parquet")
    return folder


def test_columns_of_files_in_another_order_are_mixed_up(tmp_path: Path) -> None:
    folder = parted(tmp_path / "f", A1=[2.0] * 10, A0=[1.0] * 10)
    ids = Sought(np.array(["3", "17"]), np.zeros(2), np.zeros(2))
    assert read(columns(folder, columns=("A*",)), ids)[1].tolist() == [[1.0, 2.0]] * 2


@pytest.mark.parametrize(
    ("second", "fields", "message"),
    [
        ({"A0": [1.0] * 10}, {"columns": ("A*",)}, "some of its files have a column 'A1', others"),
        ({"A0": [1.0] * 10, "A2": [2.0] * 10}, {"columns": ("A*",)}, "have a column 'A1'"),
        (
            {"A0": [[1.0, 2.0]] * 10},
            {"columns": ("A0",)},
            "have 1 numbers in all, and 2 at id '17'",
        ),
        ({}, {"array": "e.npy"}, "e.npy has 10 rows, .* has other"),
    ],
    ids=["a column less", "another column", "longer lists", "an array of the first file alone"],
)
def test_files_of_a_folder_that_differ_are_read_as_one(
    tmp_path: Path, second: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    np.save(tmp_path / "e.npy", np.zeros((10, 2)))
    if "array" in fields:
        fields = {"array": str(tmp_path / "e.npy")}
    ids = Sought(np.array(["3", "17"]), np.zeros(2), np.zeros(2))
    with pytest.raises(WherefromError, match=message):
        read(columns(parted(tmp_path / "f", **second), **fields), ids)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((40, 0)), r"shape \(40, 0\): numbers of shape \(rows, D\) are due"),
        (np.array([[{}]] * 40), "is no whole .npy: .*Python objects"),
        (np.zeros(40), r"shape \(40,\)"),
        (None, "holds several arrays: save the one of embeddings as .npy"),
    ],
)
def test_an_array_that_is_no_table_of_numbers_ends_in_a_traceback(
    tmp_path: Path, array: NDArray[Any] | None, message: str
) -> None:
    with (tmp_path / "e.npy").open("wb") as stream:
        if array is None:
            np.savez(stream, a=np.zeros(3))
        else:
            np.save(stream, array, allow_pickle=True)
    with pytest.raises(WherefromError, match=message):
        read(columns(table(tmp_path), array=str(tmp_path / "e.npy")), sought())


def test_rows_of_nulls_alone_end_in_a_traceback(tmp_path: Path) -> None:
    path = table(tmp_path, empty=pa.nulls(40, pa.float32()), lists=pa.array([[]] * 40, NUMBERS))
    with pytest.raises(WherefromError, match="missing or not finite, and 39 more"):
        read(columns(path, columns=("A00", "empty")), sought())
    with pytest.raises(WherefromError, match="lists of column 'lists' are empty"):
        read(columns(path, columns=("lists",)), sought())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.parquet", b"PAR1 torn", r"b\.parquet is a torn Parquet file"),
        ("b.parquet", b"", r"b\.parquet is empty \(0 bytes\)"),
        ("b.parquet", "tile", "unknown column of .*'A\\*'"),
        ("notes.txt", b"no table", ""),
    ],
)
def test_another_file_beside_tables_ends_in_a_traceback(
    tmp_path: Path, name: str, content: Any, message: str
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    table(tmp_path).rename(folder / "a.parquet")
    if content == "tile":
        pq.write_table(pa.table({"tile": ["other"]}), folder / name)
    else:
        (folder / name).write_bytes(content)
    payload = columns(folder, columns=("A*",))
    if not message:
        assert read(payload, sought())[0].all()
        return
    with pytest.raises(WherefromError, match=message):
        read(payload, sought())


def test_ids_that_begin_with_zeros_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("tile,A0\n007,1\n008,2\n")
    there, values, _ = read(columns(tmp_path / "e.csv", columns=("A0",)), sought(["008", "007"]))
    assert there.all()
    assert values.tolist() == [[2], [1]]
    (tmp_path / "e.csv").write_text("tile,A0,A0\n007,1,2\n")
    with pytest.raises(WherefromError, match="several columns 'A0': rename or drop one"):
        read(columns(tmp_path / "e.csv", columns=("A0",)), sought(["007"]))


def test_ids_of_other_data_are_not_said_to_be(tmp_path: Path) -> None:
    payload = columns(table(tmp_path), columns=("A*",))
    keep(payload, sought([name.upper() for name in IDS]), tmp_path)
    assert Stored("features", (tmp_path,)).lost.such in IDS


def test_two_rows_of_one_id_are_one_place(tmp_path: Path) -> None:
    path = table(tmp_path)
    one = pq.read_table(path)
    pq.write_table(pa.concat_tables([one, one.slice(3, 1)]), path)
    with pytest.raises(WherefromError, match="more than once"):
        read(columns(path, columns=("A*",)), sought())


def test_other_content_of_the_same_files_is_served_from_the_cache(tmp_path: Path) -> None:
    folder = tmp_path / "tiles"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a.tif").write_bytes(b"one")
    first = content_of(folder)
    assert content_of(folder) == first
    (folder / "inner" / "a.tif").rename(folder / "b.tif")
    moved = content_of(folder)
    (folder / "b.tif").write_bytes(b"two")
    assert len({first, moved, content_of(folder)}) == 3
    with pytest.raises(WherefromError, match="no such file or folder"):
        content_of(tmp_path / "nowhere")
