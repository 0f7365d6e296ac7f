"""Presto's shards: every whole tile is used once, mixed; what is broken is counted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from made_shards import CLASSES, LATLON, PIXELS, VALUES, Members, claimed, shard, tile
from wherefrom.errors import WherefromError
from wherefrom.pool.series import BANDS, NO_CLASS, PixelSeries
from wherefrom.pool.series.shards import ShardStream


def shards(folder: Path, files: int, tiles: int) -> list[Path]:
    return [
        shard(folder / f"{f}.tar", {f"t{t}": tile(f * tiles + t) for t in range(tiles)})
        for f in range(files)
    ]


def identity(series: PixelSeries) -> NDArray[np.int64]:
    """Return the number of each pixel: its tile's and its own."""
    at = [BANDS.index(name) for name in ("elevation", "slope")]
    tiles, pixels = (series.raw[:, 0, i].astype(np.int64) for i in at)
    return tiles * PIXELS + pixels


def test_every_pixel_comes_once_and_batches_are_full(tmp_path: Path) -> None:
    stream = ShardStream(shards(tmp_path, 3, 4), batch=64, buffer=130)
    batches = list(stream)
    assert [len(b) for b in batches] == [64] * 9 + [24]
    found = np.sort(np.concatenate([identity(b) for b in batches]))
    assert found.tolist() == list(range(3 * 4 * PIXELS))
    assert stream.skipped == []


def test_a_tile_larger_than_the_buffer_loses_no_pixel(tmp_path: Path) -> None:
    stream = ShardStream(shards(tmp_path, 1, 2), batch=7, buffer=11)
    found = np.sort(np.concatenate([identity(b) for b in stream]))
    assert found.tolist() == list(range(2 * PIXELS))


def test_months_are_those_of_the_steps_and_differ_within_a_tile(tmp_path: Path) -> None:
    whole = PixelSeries.concatenate(list(ShardStream(shards(tmp_path, 2, 4), 100, buffer=200)))
    step = whole.raw[:, :, BANDS.index("B2")].astype(int) - 100
    assert (np.diff(step, axis=1) == 1).all()
    assert (whole.month == step % 12).all()
    assert (whole.dynamic_world == step % 9).all()
    assert step[:, 0].min() == 0
    assert step[:, 0].max() == 11
    first = step[whole.raw[:, 0, BANDS.index("elevation")] == 3, 0]
    # 50 draws of 12 months: fewer than 8 different ones have probability below 1e-4.
    assert len(np.unique(first)) >= 8


def test_lon_and_lat_are_not_swapped(tmp_path: Path) -> None:
    whole = next(iter(ShardStream(shards(tmp_path, 1, 3), 1000, buffer=200)))
    assert (whole.lat == 5.0).all()
    np.testing.assert_allclose(whole.lon, whole.raw[:, 0, BANDS.index("elevation")] / 10.0)


def test_batches_are_not_of_a_few_tiles(tmp_path: Path) -> None:
    stream = ShardStream(shards(tmp_path, 8, 10), batch=100, buffer=1000, open_files=4)
    tiles = [len(np.unique(identity(b) // PIXELS)) for b in stream]
    # Read in order, a batch of 100 would show 2 tiles; 20 tiles lie in the buffer at any time.
    assert min(tiles) >= 14


def test_an_epoch_is_the_same_again_and_differs_from_the_next(tmp_path: Path) -> None:
    files = shards(tmp_path, 3, 4)
    keys = [
        [b.key for b in ShardStream(files, 64, seed, buffer=130).batches(epoch)]
        for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1))
    ]
    assert keys[0] == keys[1]
    assert not set(keys[0]) & {*keys[2], *keys[3]}


def test_going_on_at_a_batch_gives_what_would_have_come(tmp_path: Path) -> None:
    stream = ShardStream(shards(tmp_path, 2, 4), 64, buffer=130)
    whole = [b.key for b in stream.batches(3)]
    assert [b.key for b in stream.batches(3, start=4)] == whole[4:]


def broken_tiles() -> dict[str, tuple[Members, str]]:
    return {
        "lacking": ({k: v for k, v in tile(1).items() if k != LATLON}, "lacks the member latlon"),
        "garbage": (tile(1) | {CLASSES: b"no array at all"}, "cannot be read"),
        "cut": (tile(1) | {VALUES: b"\x93NUMPY\x01\x00"}, "cannot be read"),
        "80 TB": (tile(1) | {VALUES: claimed(10**13)}, "cannot be read"),
        "bands": (tile(1) | {VALUES: np.zeros((PIXELS, 24, 17))}, r"\(50, 24, 17\), not"),
        "pixels": (tile(1) | {LATLON: np.zeros((3, 2))}, r"latlon has shape \(3, 2\)"),
        "place": (tile(1) | {LATLON: np.full((PIXELS, 2), 170.0)}, "lat of row 0 is 170"),
        "class": (tile(1) | {CLASSES: np.full((PIXELS, 24), 12)}, "dynamic_world of row 0"),
        "text": (tile(1) | {LATLON: np.full((PIXELS, 2), "x")}, "no numbers"),
    }


@pytest.mark.parametrize("kind", broken_tiles())
def test_a_broken_tile_is_left_out_and_counted_not_fatal(kind: str, tmp_path: Path) -> None:
    members, reason = broken_tiles()[kind]
    file = shard(tmp_path / "a.tar", {"t0": tile(0), "bad": members, "t2": tile(2)})
    stream = ShardStream([file], batch=1000, buffer=100)
    found = np.concatenate([identity(b) for b in stream]) // PIXELS
    assert np.bincount(found).tolist() == [PIXELS, 0, PIXELS]
    (skipped,) = stream.skipped
    assert (skipped.file, skipped.key) == (str(file), "bad")
    assert re.search(reason, skipped.reason), skipped.reason


def test_pixels_of_a_tile_in_another_unit_are_trained_on_in_silence(tmp_path: Path) -> None:
    good, some, half = tile(1, 200), tile(2, 200), tile(3, 200)
    for members, part in ((some, np.s_[4:5]), (half, np.s_[1::2])):
        members[VALUES][part, :, BANDS.index("B4")] /= 1e4
    path = shard(tmp_path / "a.tar", {"good": good, "some": some, "half": half})
    stream = ShardStream([path], batch=64)
    with pytest.warns(UserWarning, match=r"a\.tar some: band B4: 1 of 200 .*, first row 4;"):
        assert sum(map(len, stream)) == 400
    assert [skipped.key for skipped in stream.skipped] == ["half"]
    assert stream.skipped[0].reason.startswith("band B4: 100 of 200 rows look like reflectance")


def test_bands_in_another_order_are_not_trained_on(tmp_path: Path) -> None:
    raw = tile(0)[VALUES]
    assert isinstance(raw, np.ndarray)
    file = shard(tmp_path / "a.tar", {"t0": tile(0) | {VALUES: raw[:, :, ::-1]}})
    with pytest.raises(WherefromError, match=r"none of 1 shards.*order of the bands"):
        next(iter(ShardStream([file], 10)))


@pytest.mark.parametrize("lost", [1536, 512 * 2 + 700, 9000, 150_000])
def test_of_a_torn_tar_what_is_whole_is_used_and_the_rest_counted(
    lost: int, tmp_path: Path
) -> None:
    file = shard(tmp_path / "a.tar", {f"t{i}": tile(i) for i in range(3)})
    content = file.read_bytes()
    end = max(i for i in range(0, len(content), 512) if any(content[i : i + 512])) + 512
    file.write_bytes(content[: end - lost])
    stream = ShardStream([file], 1000, buffer=100)
    found = np.bincount(np.concatenate([identity(b) for b in stream]) // PIXELS, minlength=3)
    assert found.tolist() == [PIXELS, PIXELS, 0]
    assert any("torn" in s.reason for s in stream.skipped)


def test_a_tar_cut_between_members_is_noticed(tmp_path: Path) -> None:
    file = shard(tmp_path / "a.tar", {f"t{i}": tile(i) for i in range(3)})
    content = file.read_bytes()
    end = max(i for i in range(0, len(content), 512) if any(content[i : i + 512])) + 512
    file.write_bytes(content[:end])
    stream = ShardStream([file], 1000, buffer=100)
    assert sum(map(len, stream)) == 3 * PIXELS
    assert [s.reason for s in stream.skipped] == [
        "the tar is torn after tile t2 (no end of archive)"
    ]


@pytest.mark.parametrize("content", [b"", b"no tar", bytes(20_000), b"x" * 20_000])
def test_shards_that_are_none_end_in_one_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(WherefromError, match="none of 1 shards holds a readable tile"):
        list(ShardStream([tmp_path / "a.tar"], 10))


def test_one_bad_shard_does_not_stop_the_others(tmp_path: Path) -> None:
    good = shards(tmp_path, 2, 2)
    (tmp_path / "bad.tar").write_bytes(b"x" * 5000)
    stream = ShardStream([*good, tmp_path / "bad.tar"], 1000, buffer=60)
    assert sum(map(len, stream)) == 4 * PIXELS
    assert [s.file for s in stream.skipped] == [str(tmp_path / "bad.tar")]


def test_short_dynamic_world_is_filled_by_the_first_step_of_the_cut(tmp_path: Path) -> None:
    classes = np.tile(np.arange(14, dtype=np.uint8) % 9, (PIXELS, 1))
    file = shard(tmp_path / "a.tar", {"t0": tile(0) | {CLASSES: classes}})
    whole = next(iter(ShardStream([file], 100)))
    step = whole.raw[:, :, BANDS.index("B2")].astype(int) - 100
    expected = np.where(step < 14, step % 9, step[:, :1] % 9)
    assert (whole.dynamic_world == expected).all()


def test_pixels_without_any_value_are_left_out_and_counted(tmp_path: Path) -> None:
    members = tile(0)
    raw = members[VALUES]
    assert isinstance(raw, np.ndarray)
    raw[7] = np.nan
    members[CLASSES] = np.full((PIXELS, 24), NO_CLASS)
    stream = ShardStream([shard(tmp_path / "a.tar", {"t0": members})], 100)
    assert 7 not in identity(next(iter(stream)))
    assert [s.reason for s in stream.skipped] == ["1 pixels without any value in their 12 steps"]


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [([], {}, "no shards"), (["gone.tar"], {}, "no such shard: gone.tar")],
)
def test_shards_are_looked_for_before_anything_is_read(
    files: list[str], given: dict[str, int], message: str
) -> None:
    with pytest.raises(WherefromError, match=message):
        ShardStream(files, 10, **given)


@pytest.mark.parametrize("name", ["batch", "buffer", "open_files"])
def test_sizes_of_nothing_are_refused(name: str, tmp_path: Path) -> None:
    given = {"batch": 10} | {name: 0}
    with pytest.raises(WherefromError, match=f"{name} must be at least 1"):
        ShardStream(shards(tmp_path, 1, 1), **given)


def test_another_process_gets_the_data_in_another_order(tmp_path: Path) -> None:
    files = shards(tmp_path, 3, 4)
    code = (
        "import sys; from wherefrom.pool.series import ShardStream\n"
        "stream = ShardStream(sys.argv[1:], 64, seed=5, buffer=130)\n"
        "print(*[batch.key for batch in stream.batches(2, start=3)])"
    )
    here = [b.key for b in ShardStream(files, 64, seed=5, buffer=130).batches(2)][3:]
    for seed in "12":  # of the hashes that sets and dictionaries may follow
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, files)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        assert done.stdout.split() == here
