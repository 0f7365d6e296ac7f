"""CropHarvest as published: its order, its boxes and its wrong NDVI, read from small files."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.pool.series import BANDS, NO_CLASS
from wherefrom.tasks import country_rows, cropharvest, cropharvest_country, plan_episodes

h5py = pytest.importorskip("h5py", reason="CropHarvest needs the extra cropharvest")

ELEVATION, NDVI = BANDS.index("elevation"), BANDS.index("NDVI")


def values(number: int) -> NDArray[np.float64]:
    """Make a series whose elevation is its number, with a stored NDVI that is wrong."""
    raw = np.full((12, 18), 500.0)
    raw[:, :2], raw[:, 13], raw[:, 14], raw[:, 16] = -12.0, 290.0, 0.003, 2.0
    raw[:, BANDS.index("B8")] = 1500.0
    raw[:, ELEVATION], raw[:, NDVI] = number, 0.123
    return raw


# index, lon, lat, is_crop, label, is_test, in the order of the file.
PLACES: list[tuple[int, float, float, int, str | None, bool]] = [
    (7, 36.0, 0.0, 1, "maize", False),
    (3, 36.1, 0.1, 0, None, False),
    (9, 36.2, 0.2, 1, "sorghum", False),
    (1, 36.3, 0.3, 1, "maize", False),
    (2, 36.4, 0.4, 0, None, False),
    (4, 36.5, 0.5, 1, None, False),  # a crop of unknown kind: in neither class
    (5, 36.6, 0.6, 0, None, False),
    (6, 36.7, 0.7, 1, "wheat", False),
    (8, 36.8, 0.8, 0, None, False),
    (10, 36.9, 0.9, 0, None, False),
    (11, 1.0, 8.0, 1, None, False),  # Togo
    (12, 1.1, 8.1, 0, None, False),
    (13, 1.2, 8.2, 1, "maize", False),
    (14, 1.3, 8.3, 0, None, True),  # kept for the tests
    (15, -50.0, -10.0, 0, None, False),  # Brazil, without coffee
    (16, 36.2, 0.9, 1, "maize", False),  # without a series
]
WITHOUT = 16


def write_h5(path: Path, arrays: dict[str, Any], **attributes: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs.update(attributes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write labels.geojson, features and test_features as they are when unpacked."""
    root = tmp_path / "cropharvest"
    root.mkdir()
    features = []
    for index, lon, lat, is_crop, label, is_test in PLACES:
        properties = {
            "index": index, "dataset": "demo", "lon": lon, "lat": lat, "is_crop": is_crop,
            "label": label, "is_test": is_test, "collection_date": "2020-04-01T00:00:00",
            "export_end_date": "2021-02-01T00:00:00", "externally_contributed_dataset": False,
        }  # fmt: skip
        point = {"type": "Point", "coordinates": [lon, lat]}
        features.append({"type": "Feature", "properties": properties, "geometry": point})
        if index == WITHOUT:
            continue
        place = {"instance_lon": lon + 0.0001, "instance_lat": lat, "label_lon": lon}
        write_h5(
            root / "features" / "arrays" / f"{index}_demo.h5", {"array": values(index)}, **place
        )
    collection = {"type": "FeatureCollection", "features": features}
    (root / "labels.geojson").write_text(json.dumps(collection))
    write_h5(root / "features" / "normalizing_dict.h5", {"mean": np.zeros(18), "std": np.ones(18)})
    for name, first, y in (
        ("Kenya_maize_2020_0_b", 100, [1, 0, -1]),
        ("Kenya_maize_2020_1_a", 200, [0, 1]),
        ("togo-eval", 300, [1, 0]),
        ("china-crop", 400, [1, 1]),
    ):
        write_h5(
            root / "test_features" / f"{name}.h5",
            {
                "x": np.stack([values(first + i) for i in range(len(y))]),
                "y": np.array(y),
                "lats": np.linspace(0, 1, len(y)),
                "lons": np.linspace(35, 36, len(y)),
            },
        )
    return root


def packed(root: Path) -> Path:
    """Pack the folders as they are published."""
    for name in ("features", "test_features"):
        with tarfile.open(root / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(root / name, arcname=name)
        for path in sorted((root / name).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (root / name).rmdir()
    return root


def numbers(made: Any, rows: Any = slice(None)) -> list[int]:
    found: list[int] = made.series.raw[rows, 0, ELEVATION].astype(int).tolist()
    return found


def test_crop_or_not_takes_places_with_a_series_that_are_kept_for_no_test(folder: Path) -> None:
    made = cropharvest(folder)
    expected = [p for p in PLACES if p[0] != WITHOUT and not p[5]]
    assert numbers(made) == [p[0] for p in expected]
    assert (made.task.label == made.task.positive).tolist() == [p[3] == 1 for p in expected]
    np.testing.assert_allclose(made.series.lon, [p[1] + 0.0001 for p in expected])
    np.testing.assert_allclose(made.series.lat, [p[2] for p in expected])
    assert made.task.provenance["without_series"] == 1
    regions = np.array(made.task.regions)[made.task.region]
    assert regions.tolist() == ["Africa"] * 13 + ["South America"]
    assert cropharvest(folder, "all").task.regions == ("all",)


def test_series_begin_in_february_and_the_stored_ndvi_is_not_used(folder: Path) -> None:
    series = cropharvest(folder).series
    assert (series.month == (1 + np.arange(12)) % 12).all()
    assert (series.raw[:, :, NDVI] == 0.5).all()
    assert (series.dynamic_world == NO_CLASS).all()


def test_archives_read_as_the_unpacked_folders(folder: Path) -> None:
    unpacked = cropharvest(folder), cropharvest_country("kenya", folder)
    packed(folder)
    assert not (folder / "features").exists()
    again = cropharvest(folder), cropharvest_country("kenya", folder)
    assert [m.key for m in again] == [m.key for m in unpacked]


def test_dynamic_world_is_read_where_it_is_there(folder: Path) -> None:
    there = folder / "features" / "dynamic_world_arrays"
    there.mkdir()
    np.save(there / "7_demo.npy", np.array([4, 5, 6], np.uint8))
    np.save(there / "3_demo.npy", np.arange(14) % 9)
    write_h5(folder / "test_dynamic_world_features" / "togo-eval.h5", {"x": np.full((2, 12), 1)})
    series = cropharvest(folder).series
    # Short ones are filled up by the first step (presto.md 1.4), long ones cut.
    assert series.dynamic_world[0].tolist() == [4, 5, 6] + [4] * 9
    assert series.dynamic_world[1].tolist() == (np.arange(12) % 9).tolist()
    assert (series.dynamic_world[2:] == NO_CLASS).all()
    togo = cropharvest_country("togo", folder)
    assert (togo.series.dynamic_world[togo.task.rows(0, "test")] == 1).all()


def test_kenya_has_the_published_order_and_balance(folder: Path) -> None:
    made = cropharvest_country("kenya", folder)
    train = made.task.rows("kenya", "train")
    # Positives in file order; then other crops, repeated ceil(5 / 2) = 3 times; then no crops.
    assert numbers(made, train) == [7, 1, *[9, 6] * 3, 3, 2, 5, 8, 10]
    assert made.task.label[train].tolist() == [1, 1] + [0] * 11
    test = made.task.rows("kenya", "test")
    assert numbers(made, test) == [100, 101, 200, 201]  # -1 is no label
    assert made.task.label[test].tolist() == [1, 0, 0, 1]
    assert made.task.classes == ("other", "maize")
    assert made.task.name == "Kenya_1_maize"


def test_a_few_shot_sample_is_the_first_of_each_class(folder: Path) -> None:
    made = cropharvest_country("kenya", folder)
    assert numbers(made, country_rows(made.task, 4)) == [7, 1, 9, 6]
    assert len(country_rows(made.task)) == 13
    with pytest.raises(WherefromError, match="2 positive training places, fewer than half of 20"):
        country_rows(made.task, 20)


def test_togo_is_crop_of_any_kind_within_its_box(folder: Path) -> None:
    made = cropharvest_country("togo", folder)
    assert numbers(made, made.task.rows(0, "train")) == [11, 13, 12]
    assert made.task.provenance["sizes"] == [
        20, 50, 126, 254, 382, 508, 636, 764, 892, 1020, 1148
    ]  # fmt: skip


def test_a_country_without_positives_is_refused(folder: Path) -> None:
    with pytest.raises(WherefromError, match="no positive training place of Brazil_0_coffee"):
        cropharvest_country("brazil", folder)


def test_a_continent_without_crops_is_reported(folder: Path) -> None:
    drawn, problems = plan_episodes(cropharvest(folder).task, ["Africa", "South America"], 4, [0])
    assert [d.region for d in drawn] == ["Africa"]
    assert [p.region for p in problems] == ["South America"]


def edit(root: Path, row: int, **properties: Any) -> None:
    whole = json.loads((root / "labels.geojson").read_text())
    whole["features"][row]["properties"] |= properties
    (root / "labels.geojson").write_text(json.dumps(whole))


ARRAY = "features/arrays/9_demo.h5"
FAULTS: dict[str, tuple[Any, str]] = {
    "torn h5": (
        lambda f: (f / ARRAY).write_bytes((f / ARRAY).read_bytes()[:900]),
        r"arrays/9_demo\.h5 is no whole HDF5 file",
    ),
    "no h5": (lambda f: (f / ARRAY).write_bytes(b"nothing"), "is no whole HDF5 file"),
    "no dataset": (
        lambda f: write_h5(f / ARRAY, {"arr": values(9)}),
        "lacks the dataset 'array'; it has arr",
    ),
    "no place": (
        lambda f: write_h5(f / ARRAY, {"array": values(9)}, instance_lon=1.0),
        "lacks the attribute 'instance_lat'",
    ),
    "bands": (
        lambda f: write_h5(f / ARRAY, {"array": values(9)[:, :17]}),
        r"array has shape \(12, 17\), not 12 steps x 18 bands \(VV, VH",
    ),
    "steps": (
        lambda f: write_h5(f / ARRAY, {"array": values(9)[:11]}),
        r"array has shape \(11, 18\)",
    ),
    "empty series": (
        lambda f: write_h5(
            f / ARRAY, {"array": np.full((12, 18), np.nan)}, instance_lon=1.0, instance_lat=1.0
        ),
        r"row 2 \(9_demo\) has no value in any band",
    ),
    "torn labels": (
        lambda f: (f / "labels.geojson").write_text('{"features": [{"prop'),
        "is no whole GeoJSON",
    ),
    "no labels": (lambda f: (f / "labels.geojson").unlink(), r"no such file: .*labels\.geojson"),
    "other json": (lambda f: (f / "labels.geojson").write_text("[1]"), "is no whole GeoJSON"),
    "label": (lambda f: edit(f, 2, is_crop=2), "row 2: is_crop is 2, neither 0 nor 1"),
    "label text": (lambda f: edit(f, 2, is_crop="yes"), "is_crop is 'yes', neither"),
    "no label": (lambda f: edit(f, 4, is_crop=None), "row 4 lacks 'is_crop'"),
    "lon": (lambda f: edit(f, 4, lon="east"), "row 4: lon, lat and index must be numbers"),
    "class": (
        lambda f: (
            (f / "features" / "dynamic_world_arrays").mkdir(),
            np.save(f / "features" / "dynamic_world_arrays" / "7_demo.npy", np.full(12, 11)),
        ),
        r"dynamic_world of row 0 \(7_demo\), step 0 is 11",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_named(fault: str, folder: Path) -> None:
    damage, message = FAULTS[fault]
    damage(folder)
    with pytest.raises(WherefromError, match=message) as caught:
        cropharvest(folder)
    assert "\n" not in str(caught.value)


def test_one_series_in_another_unit_is_told_by_its_file(folder: Path) -> None:
    raw = values(9)
    raw[:, BANDS.index("B8")] = 0.15
    write_h5(folder / ARRAY, {"array": raw}, instance_lon=36.2, instance_lat=0.2)
    said = (
        r"features: band B8: 1 of 14 rows look like reflectance of 0 to 1, first row 2 \(9_demo\)"
    )
    with pytest.raises(WherefromError, match=said):
        cropharvest(folder)
    test = folder / "test_features" / "togo-eval.h5"
    raw = np.stack([raw, values(301)])
    write_h5(test, {"x": raw, "y": [1, 0], "lats": [0.0, 1.0], "lons": [35.0, 36.0]})
    write_h5(folder / ARRAY, {"array": values(9)}, instance_lon=36.2, instance_lat=0.2)
    with pytest.raises(WherefromError, match=r"togo-eval: band B8: 1 of 2 .* row 0 \(of x 0\)"):
        cropharvest_country("togo", folder)


def test_columns_in_another_order_are_refused(folder: Path) -> None:
    for path in (folder / "features" / "arrays").glob("*.h5"):
        with h5py.File(path, "r+") as file:
            file["array"][...] = file["array"][...][:, ::-1]
    with pytest.raises(WherefromError, match="order of the bands"):
        cropharvest(folder)


@pytest.mark.slow
def test_an_archive_torn_anywhere_is_one_clear_error(folder: Path) -> None:
    path = packed(folder) / "features.tar.gz"
    whole = path.read_bytes()
    for kept in np.linspace(30, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:kept])
        with pytest.raises(WherefromError, match=r"features\.tar\.gz is a torn archive"):
            cropharvest(folder)


def test_an_archive_that_is_none_is_one_clear_error(folder: Path) -> None:
    path = packed(folder) / "features.tar.gz"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(WherefromError, match="is a torn archive"):
        cropharvest(folder)


TESTS = {"x": np.zeros((2, 12, 18)), "y": np.zeros(2), "lats": np.zeros(2), "lons": np.zeros(2)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (TESTS | {"y": np.array([0, 2])}, "y of row 1 is 2; labels are 1, 0 and -1"),
        (TESTS | {"x": np.zeros((2, 12, 17))}, r"x has shape \(2, 12, 17\)"),
        ({k: v for k, v in TESTS.items() if k != "lons"}, "lacks the dataset 'lons'"),
        (TESTS | {"lats": np.full(2, 91.0)}, "togo-eval: "),
    ],
)
def test_faulty_test_files_are_named(arrays: dict[str, Any], message: str, folder: Path) -> None:
    write_h5(folder / "test_features" / "togo-eval.h5", arrays)
    with pytest.raises(WherefromError, match=message):
        cropharvest_country("togo", folder)


def test_a_missing_second_test_file_does_not_pass_unnoticed(folder: Path) -> None:
    (folder / "test_features" / "Kenya_maize_2020_1_a.h5").unlink()
    with pytest.raises(WherefromError, match=r"no test file Kenya_maize_2020_1\*\.h5"):
        cropharvest_country("kenya", folder)


def test_an_unknown_country_is_named_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(WherefromError, match="'kenia': did you mean 'kenya'"):
        cropharvest_country("kenia", folder)


def test_without_h5py_the_error_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(WherefromError, match=r'pip install "wherefrom\[cropharvest\]"'):
        cropharvest(folder)


def test_without_a_folder_the_catalogs_files_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = cropharvest(folder).key
    monkeypatch.setenv("WHEREFROM_DATA", str(packed(folder)))
    assert cropharvest().key == expected
