"""Image tiles by id: the right pixels of the right tile, and a line for each that is left out."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.gfms.tower import TowerFeatures
from wherefrom.payload import tiles as tiles_module
from wherefrom.payload.base import Lost, Sought, checked
from wherefrom.payload.matching import plain
from wherefrom.payload.stored import Stored, gathered, keep, refuse_many
from wherefrom.payload.tiles import BANDS, Tiles, geotiff, members
from wherefrom.plugins import kind
from wherefrom.study.stages import _of_no_place
from wherefrom.testing import check_payload

RNG = np.random.default_rng(0)
NAMES = ("red", "green", "blue")
OF_THREE = {"holds": NAMES, "size": 32}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path / "cache"))


def pixels(bands: int = 3, side: int = 32, dtype: str = "uint16") -> NDArray[Any]:
    return RNG.integers(1, 200, (bands, side, side)).astype(dtype)


def tif(values: NDArray[Any], names: Sequence[str] = (), **more: Any) -> bytes:
    count, height, width = values.shape
    about = {"crs": "EPSG:32633", "transform": from_origin(5e5, 4e6, 10, 10), "compress": "lzw"}
    about |= {"predictor": 2, "interleave": "pixel", **more}
    with MemoryFile() as file:
        with file.open(driver="GTiff", count=count, height=height, width=width,
                       dtype=values.dtype, **about) as out:  # fmt: skip
            out.write(values)
            if names:
                out.descriptions = names
        return bytes(file.read())


def tar(path: Path, content: Mapping[str, bytes] | Sequence[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, held in content.items() if isinstance(content, Mapping) else content:
            about = tarfile.TarInfo(name)
            about.size = len(held)
            archive.addfile(about, io.BytesIO(held))
    return path


def sought(ids: Sequence[Any], labelled: bool = False) -> Sought:
    zeros = np.zeros(len(ids))
    return Sought(np.array(ids), zeros, zeros, labelled)


def tiles(path: Path, **fields: Any) -> Tiles:
    return Tiles(kind="tiles", path=str(path), **(OF_THREE | fields))


def read(payload: Tiles, ids: Sequence[Any]) -> tuple[dict[Any, NDArray[Any]], Lost]:
    """Read by the contract; the last of ids that repeat."""
    found, lost = {}, Lost()
    for rows, records in checked(payload, sought(ids), lost):
        found |= {ids[row]: values for row, values in zip(rows, records["images"], strict=True)}
    return found, lost


@pytest.fixture
def three() -> dict[str, NDArray[Any]]:
    return {f"patch_{n}": pixels() for n in (3, 1, 20)}


def packed(values: Mapping[str, NDArray[Any]], under: str = "images/") -> dict[str, bytes]:
    return {f"{under}{name}.tif": tif(one) for name, one in values.items()}


def folder_of(path: Path, content: Mapping[str, bytes]) -> Path:
    for name, held in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(held)
    return path


def test_tiles_are_a_kind_of_payload() -> None:
    assert kind("payloads", "tiles").load() is Tiles


def test_the_contract_of_payloads_is_kept(tmp_path: Path, three: dict[str, NDArray[Any]]) -> None:
    path = tar(tmp_path / "a.tar", {**packed(three), "images/torn.tif": b"II*"})
    check_payload(tiles(path), places=sought([*three, "torn", "none"]))


# What is decoded.


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "int32"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"predictor": 1},
        {"compress": None, "predictor": 1},
        {"compress": "deflate"},
        {"compress": "zstd"},
        {"interleave": "band"},
        {"tiled": True, "blockxsize": 512, "blockysize": 512},
        {"tiled": True, "blockxsize": 16, "blockysize": 32},
        {"tiled": True, "blockxsize": 64, "blockysize": 16, "predictor": 1},
        {"blockysize": 7},
        {"BIGTIFF": "YES"},
        {"ENDIANNESS": "BIG"},
        {"nodata": 7},
    ],
)
def test_a_tile_is_decoded_as_gdal_decodes_it(dtype: str, more: dict[str, Any]) -> None:
    if (
        dtype == "float32"
        and more.get("predictor", 2) == 2
        and more.get("compress", "") is not None
    ):
        more = more | {"predictor": 3}
    values = RNG.integers(0, 250, (5, 45, 37)).astype(dtype)
    values[:, 3:9] *= 250 if dtype not in ("uint8", "int16") else 1  # differences that overflow
    content = tif(values, ("a", "b", "c&d", "e", "f"), **more)
    tile = geotiff.decode(content)
    for sides in ((45, 37), (20, 31)):
        given = np.zeros((5, *sides), values.dtype)
        for band in range(5):
            tile.give(band, given[band])
        top, left = (45 - sides[0]) // 2, (37 - sides[1]) // 2
        centre = values[:, top : top + sides[0], left : left + sides[1]]
        np.testing.assert_array_equal(given, centre)
    assert tile.pixels.dtype == values.dtype
    assert tile.names == ("a", "b", "c&d", "e", "f")
    assert tile.nodata == more.get("nodata")


@pytest.mark.parametrize("cut", [0, 1, 4, 9, 100, 600, -900, -20])
def test_a_torn_tile_is_damaged_and_no_error_of_another_kind(cut: int) -> None:
    content = tif(pixels(4, 64), tiled=True, blockxsize=512, blockysize=512)
    with pytest.raises(geotiff.DamagedError, match="torn" if cut else "empty"):
        geotiff.decode(content[:cut])


def test_what_gdal_makes_of_an_odd_description_is_taken() -> None:
    values = pixels()
    content = tif(values, ("a", "b", "c"), nodata=7)
    for old, new in ((b'sample="2"', b'sample="7"'), (b"\x007\x00", b"\x00x\x00")):
        tile = geotiff.decode(content.replace(old, new))
        assert tile.names[:2] == ("a", "b")
        given = np.zeros((32, 32), np.uint16)
        tile.give(2, given)
        np.testing.assert_array_equal(given, values[2])


def test_a_predictor_means_nothing_where_nothing_is_compressed() -> None:
    values = pixels()
    content = tif(values, compress=None, predictor=1)
    planar = (284).to_bytes(2, "little") + b"\3\0\1\0\0\0\1\0"
    assert content.count(planar) == 1
    content = content.replace(planar, (317).to_bytes(2, "little") + b"\3\0\1\0\0\0\2\0")
    with MemoryFile(content) as file, file.open() as official:
        np.testing.assert_array_equal(official.read(), values)
    given = np.zeros((32, 32), np.uint16)
    geotiff.decode(content).give(1, given)
    np.testing.assert_array_equal(given, values[1])


@pytest.mark.parametrize("seed", range(40))
def test_a_scrambled_header_is_damaged_and_no_error_of_another_kind(seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(tif(pixels(3, 16)))
    start = int.from_bytes(content[4:8], "little")
    for at in rng.integers(start, min(start + 250, len(content)), 3):
        content[at] = rng.integers(256)
    with contextlib.suppress(geotiff.DamagedError):
        geotiff.decode(bytes(content))


def test_the_official_tiles_are_read_as_rasterio_reads_them_from_folder_and_tar(
    reference_data: Path, tmp_path: Path
) -> None:
    folder = reference_data / "satclip" / "ssl4eo_example" / "images"
    files = sorted(folder.glob("*.tif"))
    content = {f"images/{file.name}": file.read_bytes() for file in files}
    archive = tar(tmp_path / "shard-00000.tar", content)
    ids = [file.stem for file in files]
    for path in (folder, archive):
        payload = Tiles(kind="tiles", path=str(path), holds="sentinel-2-l2a", zeros=("B10",),
                        channels=BANDS["sentinel-2-l1c"])  # fmt: skip
        found, lost = read(payload, ids)
        assert len(found) == 20
        assert not lost
        for file in files:
            with rasterio.open(file) as official:
                expected = official.read()
            values = found[file.stem]
            np.testing.assert_array_equal(np.delete(values, 10, axis=0), expected)
            assert not values[10].any()


def test_another_crs_or_none_is_fine_for_tiles_are_by_id(tmp_path: Path) -> None:
    values = pixels()
    content = {
        "a.tif": tif(values, crs="EPSG:4326", transform=from_origin(10, 50, 1, 1)),
        "b.tif": tif(values, crs=None, transform=rasterio.Affine(0, 1, 3, 1, 0, 4)),
        "c.tif": tif(values, crs=None, transform=rasterio.Affine.identity(), interleave="band"),
    }
    found, lost = read(tiles(folder_of(tmp_path / "in", content)), ["a", "b", "c"])
    assert not lost
    for name in "abc":
        np.testing.assert_array_equal(found[name], values)


# Which tile is whose.


@pytest.mark.parametrize("way", ["folder", "tar", "tars"])
@pytest.mark.parametrize("ids", ["patch_{}", "patch_{}.tif", "images/patch_{}.tif"])
def test_an_id_is_a_tiles_name_with_or_without_its_suffix_or_folder(
    tmp_path: Path, three: dict[str, NDArray[Any]], way: str, ids: str
) -> None:
    content = packed(three)
    path = tmp_path / "in"
    path.mkdir()
    if way == "folder":
        folder_of(path, content)
    elif way == "tar":
        path = tar(path / "a.tar", {f"./{name}": held for name, held in content.items()})
    else:
        for n, one in enumerate(content.items()):
            tar(path / f"{n}.tar", [one, ("notes.json", b"{}"), ("images/._patch_3.tif", b"x")])
    wanted = [ids.format(n) for n in (20, 3, 1, 3)]
    found, lost = read(tiles(path), wanted)
    assert not lost
    assert found.keys() == set(wanted)
    for n in (1, 3, 20):
        np.testing.assert_array_equal(found[ids.format(n)], three[f"patch_{n}"])


def test_numbers_name_tiles_by_a_pattern(tmp_path: Path, three: dict[str, NDArray[Any]]) -> None:
    path = folder_of(tmp_path / "in", packed(three))
    found, _ = read(tiles(path, name="patch_{id}"), [1, 20])
    np.testing.assert_array_equal(found[20], three["patch_20"])
    with pytest.raises(ValueError, match=r"hold \{id\} once"):
        tiles(path, name="patch")
    with pytest.raises(ValueError, match=r"hold \{id\} once"):
        tiles(path, name="{id.__class__}")
    with pytest.raises(WherefromError, match="makes no name of a tile"):
        read(tiles(path, name="{id:03d}"), ["a"])


def test_each_place_that_shares_a_tile_has_it_and_tiles_of_no_place_do_not_matter(
    tmp_path: Path, three: dict[str, NDArray[Any]]
) -> None:
    path = tar(tmp_path / "a.tar", packed(three))
    there, records = gathered(tiles(path), sought(["patch_3", "x", "patch_1", "patch_3"]), Lost())
    assert there.tolist() == [True, False, True, True]
    for row, name in enumerate(["patch_3", "patch_1", "patch_3"]):
        np.testing.assert_array_equal(records["images"][row], three[name])
    there, records = gathered(tiles(path), sought([]), Lost())
    assert records["images"].shape == (0, 3, 32, 32)


def test_the_number_of_threads_and_of_tiles_at_a_time_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {f"p{n}": pixels() for n in range(50)}
    path = tar(tmp_path / "a.tar", {**packed(values), "images/p7.tif": b"II*"})
    ids = [f"p{n}" for n in RNG.permutation(50)] + ["p9"]
    seen = []
    for threads, at_once in ((1, 1 << 24), (4, 20_000)):
        monkeypatch.setattr(parallel, "cores", lambda threads=threads: threads)
        monkeypatch.setattr("wherefrom.payload.tiles._AT_ONCE", at_once)
        found, lost = read(tiles(path), ids)
        seen.append((found, str(lost)))
    assert seen[0][1] == seen[1][1] == f"{path}: images/p7.tif is torn, or no GeoTIFF"
    assert len(seen[0][0]) == 49
    for name, image in seen[0][0].items():
        np.testing.assert_array_equal(image, seen[1][0][name])
        np.testing.assert_array_equal(image, values[name])


def test_two_tiles_of_one_id_are_refused_with_both_names(tmp_path: Path) -> None:
    one = tif(pixels())
    for content, both in (
        ([("a/x.tif", one), ("b/x.tif", one)], r"a\.tar: a/x.tif and .*a\.tar: b/x.tif"),
        ([("x.tif", one), ("x.tif", one)], r"a\.tar: x.tif and .*a\.tar: x.tif"),
        ([("x.tif", one), ("x.TIFF", one)], r"x.tif and .*x.TIFF"),
    ):
        path = tar(tmp_path / "a.tar", [*content, ("y.tif", one)])
        with pytest.raises(WherefromError, match=rf"two tiles are called 'x': .*{both}"):
            read(tiles(path), ["x"])
        assert read(tiles(path), ["y"])[0].keys() == {"y"}
    tar(tmp_path / "a.tar", [("a/x.tif", one), ("b/x.tif", one)])
    assert read(tiles(path, name="b/{id}.tif"), ["x"])[0].keys() == {"x"}


def test_a_table_gives_the_tile_of_each_id(tmp_path: Path, three: dict[str, NDArray[Any]]) -> None:
    folder_of(tmp_path / "in", packed(three))
    path = tmp_path / "in" / "table.csv"
    path.write_text("id,path\n007,images/patch_3.tif\n8,images/patch_1.tif\n9,images/none.tif\n")
    payload = tiles(path)
    found, lost = read(payload, ["007", "8", "9"])
    assert found.keys() == {"007", "8"}
    np.testing.assert_array_equal(found["007"], three["patch_3"])
    assert str(lost).endswith("none.tif: 9 cannot be read (No such file or directory)")
    assert payload.files == (str(tmp_path / "in"),)
    assert tiles(tmp_path / "in").files == (str(tmp_path / "in"),)
    for text, said in (
        ("id,file\n1,a.tif\n", r"no column 'path' \(it has id, file\)"),
        ("id,path\n1,../a.tif\n", r"path '\.\./a\.tif' in row 0"),
        (f"id,path\n1,{tmp_path}/a.tif\n", "in row 0 is no GeoTIFF .* below"),
        ("id,path\n1,a.tif\n2,a.png\n", "'a.png' in row 1"),
    ):
        path.write_text(text)
        with pytest.raises(WherefromError, match=said):
            read(payload, [1])


# What is damaged.


def test_a_torn_tar_is_named_with_how_many_members_were_whole(
    tmp_path: Path, three: dict[str, NDArray[Any]]
) -> None:
    path = tar(tmp_path / "a.tar", packed(three))
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        last = archive.getmembers()[2]
    for cut in (last.offset_data + 100, last.offset_data, last.offset + 100, last.offset):
        path.write_bytes(whole[:cut])
        found, lost = read(tiles(path), list(three))
        assert found.keys() == {"patch_3", "patch_1"}, cut
        assert "a.tar is cut short" in str(lost)
        assert "after 2 whole members" in str(lost)
    header = bytearray(whole)
    header[last.offset + 150] ^= 1  # of its checksum
    path.write_bytes(header)
    assert "is damaged after 2 whole members" in str(read(tiles(path), list(three))[1])
    path.write_bytes(whole + whole)
    assert "goes on after its end" in str(read(tiles(path), list(three))[1])
    path.write_bytes(whole)
    assert not read(tiles(path), list(three))[1]


def test_a_tile_that_bytes_are_gone_from_is_read_as_if_whole(tmp_path: Path) -> None:
    plain = {f"patch_{n}.tif": tif(pixels(3), compress="none") for n in (1, 2, 3)}
    path = tar(tmp_path / "a.tar", plain)
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        inside = archive.getmembers()[1].offset_data + 600
    path.write_bytes(whole[:inside] + whole[inside + 100 :])
    found, lost = read(tiles(path), ["patch_1", "patch_2", "patch_3"])
    assert found.keys() == {"patch_1"}
    assert str(lost) == f"{path} is damaged after 1 whole members"


def test_a_torn_tar_among_whole_ones_costs_its_own_tiles_alone(
    tmp_path: Path, three: dict[str, NDArray[Any]]
) -> None:
    content = list(packed(three).items())
    folder = tmp_path / "in"
    folder.mkdir()
    tar(folder / "b.tar", content[1:])
    path = tar(folder / "a.tar", content[:1])
    path.write_bytes(path.read_bytes()[:700])
    found, lost = read(tiles(folder), list(three))
    assert found.keys() == {"patch_1", "patch_20"}
    assert str(lost) == f"{path} is cut short after 0 whole members"


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (tif(pixels(4)), "has 4 bands, not the 3 of `holds`"),
        (
            tif(pixels(3), ("red", "green", "nir")),
            r"lacks the band blue \(it has red, green, nir\)",
        ),
        (tif(pixels(3), ("red", "blue", "blue")), "has several bands blue|lacks the band green"),
        (tif(pixels(side=31)), r"has 31 x 31 pixels, not 32 x 32 \(size\)$"),
        (tif(pixels(side=40)), r"has 40 x 40 pixels, not 32 x 32 \(size\); crop: true takes"),
        (tif(pixels(dtype="uint8")), r"is of uint8, not uint16 \(dtype\)"),
        (tif(pixels(dtype="float32"), predictor=3), r"is of float32, not uint16 \(dtype\)"),
        (tif(np.zeros((3, 32, 32), np.uint16)), r"has more than 10% blank pixels \(most_blank\)"),
        (tif(np.full((3, 32, 32), 65535, np.uint16), nodata=65535), "more than 10% blank"),
        (tif(pixels())[:700], "is torn, or no GeoTIFF"),
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is torn, or no GeoTIFF"),
    ],
)
def test_a_tile_unlike_the_others_is_left_out_with_its_name_and_why(
    tmp_path: Path, spoilt: bytes, said: str
) -> None:
    good = pixels()
    path = tar(tmp_path / "a.tar", {"good.tif": tif(good), "spoilt.tif": spoilt})
    found, lost = read(tiles(path), ["good", "spoilt"])
    assert found.keys() == {"good"}
    np.testing.assert_array_equal(found["good"], good)
    assert len(lost) == 1
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(str(lost))
    assert str(lost).startswith(f"{path}: spoilt.tif ")


def test_absent_pixels_are_zeros_up_to_the_stated_share(tmp_path: Path) -> None:
    values = pixels()
    values[1, :3] = 999  # 96 of 1,024
    expected = values.copy()
    expected[1, :3] = 0
    path = folder_of(tmp_path / "in", {"a.tif": tif(values, nodata=999), "b.tif": tif(values)})
    found, lost = read(tiles(path), ["a", "b"])
    assert not lost
    np.testing.assert_array_equal(found["a"], expected)
    np.testing.assert_array_equal(found["b"], values)
    assert read(tiles(path, most_blank=0.05), ["a", "b"])[0].keys() == {"b"}
    assert read(tiles(path, most_blank=0.05, channels=("blue",)), ["a"])[0].keys() == {"a"}
    numbers = values.astype("float32")
    numbers[0, 0] = np.nan
    path = folder_of(tmp_path / "real", {"a.tif": tif(numbers, predictor=3)})
    image = read(tiles(path, dtype="float32"), ["a"])[0]["a"]
    assert np.isfinite(image).all()
    assert not image[0, 0].any()


def test_places_without_a_tile_are_counted_and_too_many_refused(
    tmp_path: Path, three: dict[str, NDArray[Any]]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    path = tar(tmp_path / "a.tar", {**packed(three), "images/patch_1.tif": b"II*"})
    places = sought([*three, "x"])
    keep(tiles(path), places, out)
    held = Stored("images", (out,))
    assert held.there.tolist() == [True, False, True, False]
    assert str(held.lost) == f"{path}: images/patch_1.tif is torn, or no GeoTIFF"
    np.testing.assert_array_equal(held.take(np.array([2]))["images"][0], three["patch_20"])
    with pytest.raises(WherefromError, match=r"2 of 4 places are without, first patch_1, x.*torn"):
        keep(tiles(path), sought([*three, "x"], labelled=True), out)
    with pytest.raises(WherefromError, match="are their ids those of the data"):
        keep(tiles(path), sought(["x", "y"], labelled=True), out)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, r"holds no GeoTIFF \(.tif\), tar"),
        ({"a.png": b"1"}, "holds no GeoTIFF"),
        ({"a/b.tif": b"1", "c.tar": b"1"}, r"in several ways \(a/b.tif and c.tar\): name a folder"),
        ({"a.tar": b"\x1f\x8b\x08\x00" * 99}, r"a.tar is no tar .*unpack it"),
        ({"a.tar": b"version https://git-lfs.github.com/spec/v1\n"}, "a.tar is no tar"),
        ({"a.tar": b""}, "a.tar is no tar"),
    ],
)
def test_a_folder_without_tiles_or_of_two_kinds_is_refused_in_one_line(
    tmp_path: Path, content: dict[str, bytes], said: str
) -> None:
    path = tmp_path / "in"
    path.mkdir()
    with pytest.raises(WherefromError, match=said) as caught:
        read(tiles(folder_of(path, content)), ["a"])
    assert "\n" not in str(caught.value)


def test_a_path_where_nothing_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="no such file or folder"):
        read(tiles(tmp_path / "none"), ["a"])
    with pytest.raises(WherefromError, match="only local files are read"):
        read(Tiles(kind="tiles", path="s3://bucket/a.tar", holds=NAMES), ["a"])


# Bands and sizes.


def test_bands_are_given_by_name_in_the_order_asked_for(tmp_path: Path) -> None:
    values = pixels()
    content = {
        "plain.tif": tif(values),
        "own.tif": tif(values[[2, 0, 1]], ("blue", "red", "green")),
        "odd.tif": tif(values, ("stack-1", "stack-1", "stack-1")),
        "band.tif": tif(values[[2, 0, 1]], ("blue", "red", "green"), interleave="band"),
    }
    path = folder_of(tmp_path / "in", content)
    payload = tiles(path, channels=("blue", "nir", "red"), zeros=("nir",))
    assert payload.bands == ("blue", "nir", "red")
    found, lost = read(payload, ["plain", "own", "odd", "band"])
    assert not lost
    for image in found.values():
        np.testing.assert_array_equal(image[[0, 2]], values[[2, 0]])
        assert not image[1].any()
    found, lost = read(tiles(path, holds=(), channels=("green",)), ["own", "plain"])
    assert found.keys() == {"own"}
    assert "plain.tif does not name its bands" in str(lost)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"channels": ("red", "gren")},
            r"band \(of channels\) 'gren': did you mean 'green'",
        ),
        ({"zeros": ("B10",)}, r"unknown channel \(of zeros\) 'B10'"),
        ({"holds": "sentinel-2-l2"}, "did you mean 'sentinel-2-l2a'"),
        ({"holds": ()}, "name the bands to give"),
        ({"holds": ("red", "red")}, "holds names a band twice"),
        ({"channels": ("nir",), "zeros": ("nir",)}, "all channels are zeros"),
        ({"size": 0}, "greater than 0"),
        ({"season": -1}, "greater than or equal to 0"),
    ],
)
def test_bands_that_no_file_can_have_are_refused_before_any_is_read(
    fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        tiles(Path("none"), **fields)


def test_larger_tiles_are_cut_to_their_centre_if_that_is_said(tmp_path: Path) -> None:
    values = RNG.integers(1, 99, (3, 44, 36)).astype(np.uint16)
    path = folder_of(tmp_path / "in", {"a.tif": tif(values)})
    found, _ = read(tiles(path, crop=True), ["a"])
    np.testing.assert_array_equal(found["a"], values[:, 6:38, 2:34])


# The index.


def test_headers_of_a_tar_are_read_once_and_again_when_it_changes(
    tmp_path: Path, three: dict[str, NDArray[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed = []
    plain = members._of_tar
    monkeypatch.setattr(members, "_of_tar", lambda path: indexed.append(path.name) or plain(path))
    folder = tmp_path / "in"
    folder.mkdir()
    first, *others = packed(three).items()
    tar(folder / "a.tar", [first])
    tar(folder / "b.tar", others)
    for _ in range(2):
        assert len(read(tiles(folder), list(three))[0]) == 3
    assert indexed == ["a.tar", "b.tar"]
    tar(folder / "b.tar", others[:1])
    os.utime(folder / "b.tar", (1, 1))
    assert len(read(tiles(folder), list(three))[0]) == 2
    assert indexed == ["a.tar", "b.tar", "b.tar"]
    for kept in (tmp_path / "cache" / "kept").iterdir():
        kept.write_bytes(b"damaged")
    assert len(read(tiles(folder), list(three))[0]) == 2


def test_bodies_of_a_tar_are_not_read_for_its_index(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with path.open("wb") as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for n in range(3):
            about = tarfile.TarInfo(f"{n}.tif")
            about.size = 1 << 33
            stream.write(about.tobuf())
            stream.seek(about.size, os.SEEK_CUR)
            archive.offset = stream.tell()
    found = members.members_of(path)  # 24 GiB, all holes
    assert found.table["size"].to_pylist() == [1 << 33] * 3
    assert not found.torn


# Zarr, as SSL4EO-S12 v1.1 has it.


def zarr_zip(arrays: Mapping[str, NDArray[Any]], chunks: Mapping[str, tuple[int, ...]],
             compressor: dict[str, Any] | None = None, said: Any = ()) -> bytes:  # fmt: skip
    """Write what xarray writes; `said` stands in the description, whatever is written."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as store:
        store.writestr(".zgroup", '{"zarr_format": 2}')
        for name, values in arrays.items():
            chunk = chunks.get(name, values.shape)
            about = {"zarr_format": 2, "shape": values.shape, "chunks": chunk, "order": "C",
                     "dtype": values.dtype.str, "compressor": compressor, "filters": None,
                     "fill_value": None} | dict(said)  # fmt: skip
            store.writestr(f"{name}/.zarray", json.dumps(about))
            counts = [-(-n // c) for n, c in zip(values.shape, chunk, strict=True)]
            for place in np.ndindex(*counts):
                area = tuple(slice(p * c, p * c + c) for p, c in zip(place, chunk, strict=True))
                held = np.zeros(chunk, values.dtype)
                part = values[area]
                held[tuple(map(slice, part.shape))] = part
                raw = held.tobytes()
                if compressor:
                    raw = pytest.importorskip("numcodecs").get_codec(compressor).encode(raw)
                store.writestr(f"{name}/{'.'.join(map(str, place))}", bytes(raw))
    return stream.getvalue()


BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
ZSTD = {"id": "zstd", "level": 1}
SSL4EO = {"holds": "sentinel-2-l2a", "dtype": "int16", "size": 24, "crop": True, "season": 2}


def scenes(*shape: int) -> NDArray[Any]:
    return RNG.integers(1, 9_000, (*shape, 12, 26, 26)).astype("<i2")


@pytest.mark.parametrize(
    "compressor", [BLOSC, {"id": "zstd", "level": 1}, {"id": "zlib", "level": 1}, None]
)
@pytest.mark.parametrize("chunk", [(4, 12, 26, 26), (1, 12, 26, 26), (1, 5, 16, 16)])
def test_a_date_of_a_zarr_in_a_tar_is_given(
    tmp_path: Path, compressor: dict[str, Any] | None, chunk: tuple[int, ...]
) -> None:
    values = {f"{n:07d}": scenes(4) for n in (80717, 173)}
    bands = np.array(BANDS["sentinel-2-l2a"])
    content = {
        f"{name}.zarr.zip": zarr_zip(
            {"bands": one, "band": bands, "center_lat": np.zeros(1)}, {"bands": chunk}, compressor
        )
        for name, one in values.items()
    }
    path = tar(tmp_path / "ssl4eos12_shard_000001.tar", content)
    found, lost = read(Tiles(kind="tiles", path=str(path), **SSL4EO), list(values))
    assert not lost
    for name, one in values.items():
        np.testing.assert_array_equal(found[name], one[2, :, 1:25, 1:25])
    found, _ = read(Tiles(kind="tiles", path=str(path), name="{id:07d}", **SSL4EO), [173])
    assert found.keys() == {173}


def test_samples_of_a_zarr_of_several_are_found_by_their_ids(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    values = {n: scenes(3, 4) for n in range(2)}
    content = {}
    for n, one in values.items():
        arrays = {"bands": one, "sample": np.array([f"{n}00{k}" for k in range(3)])}
        content[f"S2L2A/ssl4eos12_train_seasonal_data_{n}.zarr.zip"] = zarr_zip(
            arrays, {"bands": (1, 1, 12, 26, 26)}, BLOSC
        )
    payload = Tiles(kind="tiles", path=str(folder_of(folder, content)), **SSL4EO)
    found, lost = read(payload, ["1002", "0001", "none"])
    assert not lost
    np.testing.assert_array_equal(found["1002"], values[1][2, 2, :, 1:25, 1:25])
    np.testing.assert_array_equal(found["0001"], values[0][1, 2, :, 1:25, 1:25])
    torn = next(folder.rglob("*_0.zarr.zip"))
    torn.write_bytes(torn.read_bytes()[:5_000])
    found, lost = read(payload, ["1002", "0001"])
    assert found.keys() == {"1002"}
    assert str(lost).startswith(f"{torn} cannot be read")


def test_a_date_must_be_said_where_there_are_several(tmp_path: Path) -> None:
    def payload(**more: Any) -> Tiles:
        return Tiles(kind="tiles", path=str(path), **(SSL4EO | more))

    path = tar(tmp_path / "a.tar", {"a.zarr.zip": zarr_zip({"bands": scenes(4)}, {})})
    with pytest.raises(WherefromError, match="has 4 dates: say which by `season`, 0 to 3"):
        read(payload(season=None), ["a"])
    assert "has 4 dates, of which none is number 4" in str(read(payload(season=4), ["a"])[1])
    for one in (scenes(1), scenes()):
        tar(path, {"a.zarr.zip": zarr_zip({"bands": one}, {})})
        assert read(payload(season=None), ["a"])[0].keys() == {"a"}
    tar(path, {"a.tif": tif(pixels())})
    with pytest.raises(WherefromError, match="GeoTIFFs have no dates: leave out `season`"):
        read(payload(), ["a"])


@pytest.mark.parametrize(
    ("arrays", "more", "said"),
    [
        ({"band": np.array(["a"])}, {}, "has no Zarr array `bands`"),
        ({"bands": scenes(4)}, {"compressor": {"id": "pickle"}}, "of a type or compression"),
        ({"bands": scenes(4)}, {"filters": [{"id": "delta"}]}, "of a type or compression"),
        ({"bands": scenes(4)}, {"order": None}, "of a type or compression"),
        ({"bands": scenes(4)}, {"dtype": "08,"}, "of a type or compression"),
        ({"bands": scenes(4)}, {"dtype": "<i7"}, "has no Zarr array `bands` that can be read"),
        ({"bands": scenes(4)}, {"shape": [4, 12, 1 << 40, 1 << 40]}, "of no possible shape"),
        ({"bands": scenes(4)}, {"shape": [4, 12, 26]}, "of a type or compression"),
        ({"bands": scenes(4)}, {"compressor": BLOSC}, "has a torn chunk of `bands`"),
        ({"bands": scenes(4)}, {"chunks": [1, 12, 26, 26]}, "has a torn chunk|lacks bands/2.0.0.0"),
        ({"bands": scenes(4)[0, 0]}, {}, "has an array `bands` of 2 axes"),
        ({"bands": scenes(4).astype("i4")}, {}, r"is of int32, not int16 \(dtype\)"),
        ({"bands": scenes(4)[:, :11]}, {}, "has 11 bands, not the 12 of `holds`"),
    ],
)
def test_a_zarr_that_cannot_be_read_is_left_out_with_its_name(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], more: dict[str, Any], said: str
) -> None:
    if more.get("compressor") == BLOSC:
        pytest.importorskip("numcodecs")
    content = {"a.zarr.zip": zarr_zip(arrays, {}, said=more), "b.zarr.zip": b"PK"}
    path = tar(tmp_path / "a.tar", content)
    found, lost = read(Tiles(kind="tiles", path=str(path), **SSL4EO), ["a", "b"])
    assert not found
    assert len(lost) == 2
    assert "b.zarr.zip is torn, or no zip" in str(lost)
    with pytest.raises(AssertionError, match=rf"a.zarr.zip .*{said}"):
        raise AssertionError(str(lost))


def test_zarr_of_another_version_or_on_a_disk_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "new.zarr.zip", "w") as store:
        store.writestr("zarr.json", '{"zarr_format": 3}')
    (tmp_path / "old.zarr.zip").write_bytes(zarr_zip({"bands": scenes(4)}, {}))
    (tmp_path / "none.zarr.zip").write_bytes(b"PK")
    payload = Tiles(kind="tiles", path=str(tmp_path), **SSL4EO)
    found, lost = read(payload, ["old", "new", "none"])
    assert found.keys() == {"old"}
    assert "new.zarr.zip is Zarr of version 3, and only 2 is read" in str(lost)
    assert "none.zarr.zip cannot be read (File is not a zip file)" in str(lost)


def test_what_zarr_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zarr_zip({"bands": scenes(4)}, {}, BLOSC)
    path = tar(tmp_path / "a.tar", {"a.zarr.zip": content})
    monkeypatch.setitem(__import__("sys").modules, "numcodecs", None)
    from wherefrom.payload.tiles import zarr

    zarr._codec.cache_clear()
    with pytest.raises(WherefromError, match=r'pip install "wherefrom\[zarr\]"'):
        read(Tiles(kind="tiles", path=str(path), **SSL4EO), ["a"])


def test_a_full_folder_needs_no_other_file_beside_a_tile(tmp_path: Path) -> None:
    """Sidecars are not looked for: what lies beside a tile changes nothing of it."""
    values = pixels()
    path = folder_of(tmp_path / "in", {"a.tif": tif(values)})
    (path / "a.tif.aux.xml").write_text("<PAMDataset><broken")
    (path / "a.tif.msk").write_bytes(b"no mask")
    shutil.copy(path / "a.tif", path / "a.tif.ovr")
    found, lost = read(tiles(path), ["a"])
    assert not lost
    np.testing.assert_array_equal(found["a"], values)


@pytest.mark.parametrize(
    "written", [("b4", "B3", "b02"), ("B2", "b03", "B04"), ("B04", "B2", "B3")]
)
def test_names_of_bands_in_another_spelling_are_passed_over(
    tmp_path: Path, written: tuple[str, ...]
) -> None:
    values = pixels()
    folder_of(tmp_path, {"a.tif": tif(values, written)})
    found, lost = read(tiles(tmp_path, holds=("B02", "B03", "B04")), ["a"])
    assert not lost
    order = [[plain(name) for name in written].index(band) for band in ("b2", "b3", "b4")]
    np.testing.assert_array_equal(found["a"], values[order])


def test_an_infinite_pixel_is_trained_on(tmp_path: Path) -> None:
    values = pixels(dtype="float32")
    values[1, 0, 0], values[2, 0, 1] = np.inf, np.nan
    folder_of(tmp_path, {"a.tif": tif(values, predictor=1)})
    found, _ = read(tiles(tmp_path, dtype="float32"), ["a"])
    assert found["a"][1, 0, 0] == found["a"][2, 0, 1] == 0
    assert np.isfinite(found["a"]).all()


def test_a_key_of_a_webdataset_finds_no_tile(tmp_path: Path) -> None:
    one, other = pixels(), pixels()
    path = tar(
        tmp_path / "a.tar",
        {"x/1.tif": tif(one), "x/1.json": b"{}", "x/1.cls": b"3", "y/1.tif": tif(other)},
    )
    found, lost = read(tiles(path), ["y/1", "x/1"])
    assert not lost
    np.testing.assert_array_equal(found["x/1"], one)
    np.testing.assert_array_equal(found["y/1"], other)


def test_what_a_new_baseline_added_stays_or_wraps_round(tmp_path: Path) -> None:
    values = pixels() + np.uint16(900)
    values[:, 0, 0], values[:, 0, 1] = 0, 1005
    folder_of(tmp_path, {"a.tif": tif(values)})
    found, _ = read(tiles(tmp_path, add=-1000), ["a"])
    np.testing.assert_array_equal(
        found["a"], np.where(values == 0, 0, values.astype(int) - 1000).clip(0)
    )
    plainly, moved = tiles(tmp_path).settings(), tiles(tmp_path, add=-1000).settings()
    assert "add" not in plainly
    assert moved["add"] == -1000


def test_ids_of_other_data_are_without_a_word_of_what_there_is(tmp_path: Path) -> None:
    folder_of(tmp_path, {"Tile_001.tif": tif(pixels())})
    places = sought(["tile_1", "tile_2"])
    keep(tiles(tmp_path), places, tmp_path)
    lost = Stored("images", (tmp_path,)).lost
    with pytest.raises(WherefromError, match=r"ids those of the data, such as 'Tile_001\.tif'\?"):
        refuse_many(tiles(tmp_path), np.zeros(2, bool), places.ids, lost, labelled=False)


def test_a_member_whose_name_is_no_text_ends_in_a_traceback(tmp_path: Path) -> None:
    with tarfile.open(
        tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin1"
    ) as made:
        for name in ("\xe9.tif", "b.tif"):
            about = tarfile.TarInfo(name)
            about.size = len(held := tif(pixels()))
            made.addfile(about, io.BytesIO(held))
    found, lost = read(tiles(tmp_path / "a.tar"), ["b"])
    assert found.keys() == {"b"}
    assert "name is no UTF-8" in str(lost)


def test_more_threads_keep_tiles_in_another_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path / "t", {f"{n}.tif": tif(pixels()) for n in range(12)})
    monkeypatch.setattr(tiles_module, "_AT_ONCE", 1 << 13)
    kept = []
    for threads in (1, 4):
        monkeypatch.setattr(parallel, "cores", lambda count=threads: count)
        (out := tmp_path / f"{threads}").mkdir()
        keep(tiles(tmp_path / "t"), sought([str(n) for n in (5, 3, 11, 0, 7, 1)]), out)
        kept.append([(out / name).read_bytes() for name in ("at.npy", "images.npy")])
    assert kept[0] == kept[1]


def test_tiles_of_no_place_are_not_said(tmp_path: Path) -> None:
    folder_of(tmp_path, {name: tif(pixels()) for name in ("a.tif", "c.tif", "Tile_b.tif")})
    keep(tiles(tmp_path), sought(["a", "tile_b", "c"]), tmp_path)
    stored = Stored("images", (tmp_path,))
    assert (stored.lost.known, stored.lost.such) == (3, "Tile_b.tif")
    assert _of_no_place(stored) == "; of no place of it: 1 record, such as 'Tile_b.tif'"
    keep(tiles(tmp_path), sought(["a", "Tile_b", "c"]), tmp_path)
    assert not _of_no_place(Stored("images", (tmp_path,)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a.tif": (4, 32)}, "a.tif has 4 bands, not the 3 of `holds`"),
        ({"a.tif": (3, 64)}, "a.tif has 64 x 64 pixels, not 32 x 32 (size); crop: true"),
        ({}, "holds no GeoTIFF"),
        ({"a.tif": (3, 32), "b.tif": (4, 32)}, ""),
    ],
)
def test_a_plan_does_not_look_at_a_tile(
    tmp_path: Path, content: dict[str, tuple[int, int]], said: str
) -> None:
    folder_of(tmp_path, {name: tif(pixels(*shape)) for name, shape in content.items()})
    inner = {"kind": "tiles", "path": str(tmp_path), **OF_THREE}
    tower = TowerFeatures(kind="tower", of=inner, weights="random")
    for payload in (tiles(tmp_path), tower):
        assert (said in payload.fault()) if said else not payload.fault()
