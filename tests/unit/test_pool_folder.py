"""Pools as folders: the places of a build in memory, labels, and runs that are stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom import earth, parallel
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, batches, folder, places, reading, scan
from wherefrom.pool.batches import Ask
from wherefrom.pool.folder import build_folder, label
from wherefrom.pool.partition import MANIFEST

BLOCK, PART = 1000, 4000
LAYERS = ["continent", "land_cover"]


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Cut pools into small blocks, so that small ones have many parts."""
    if not all(earth.available(name) for name in ("land", *LAYERS)):
        pytest.skip("no land polygons or land cover on this machine: wherefrom data fetch")
    scanning = sys.modules["wherefrom.pool.scan"]
    with pytest.MonkeyPatch.context() as patch:
        for module in (batches, places, reading, folder, scanning):
            for name, value in (("BLOCK", BLOCK), ("PART", PART)):
                if hasattr(module, name):
                    patch.setattr(module, name, value)
        yield


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.build(21_500, seed=7)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "world"
    build_folder(21_500, out, seed=7, layers=LAYERS)
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def interrupted(out: Path, keep: int) -> None:
    """Bring a folder into the state in which a killed run leaves it."""
    job = json.loads((out / MANIFEST).read_text())["job"]
    (out / MANIFEST).write_text(json.dumps({"complete": False, "job": job}))
    for path in sorted(out.glob("part-*.parquet"))[keep:]:
        path.unlink()
    (out / ".part-00009.x.parquet").write_text("half a file")


def test_a_folder_holds_other_places_than_a_build_in_memory(pool: Pool, built: Path) -> None:
    scanned = scan(built)
    assert scanned.key == pool.key
    assert scanned.origin == pool.origin
    labelled = pool.with_layers(LAYERS)
    for name in LAYERS:
        assert scanned.labels(name) == Pool.from_table(labelled.table).labels(name)
        assert scanned.labels_key(name) == pool.labels_key(name)
    assert scanned.load().table.equals(Pool.from_table(labelled.table).table)
    everywhere = build_folder(9000, built.parent / "all", seed=7, antarctica=True)
    assert everywhere.key == Pool.build(9000, seed=7, antarctica=True).key


def test_the_number_of_threads_shows_in_the_files(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 1)
    build_folder(21_500, tmp_path / "world", seed=7, layers=LAYERS)
    assert contents(tmp_path / "world") == contents(built)


def test_labels_are_not_those_of_the_layers(pool: Pool, tmp_path: Path) -> None:
    labelled = label(pool, LAYERS, tmp_path / "out")
    for name in LAYERS:
        layer = earth.layer(name)
        assert isinstance(layer, earth.Layer)
        codes = layer.codes(pool.lon, pool.lat)
        seen = np.concatenate([b.codes[name] for b in labelled.batches(Ask(codes=(name,)))])
        there = labelled.labels(name)
        assert [there[c] if c >= 0 else "" for c in seen] == [
            layer.labels[c] if c >= 0 else "" for c in codes
        ]
        # Other tools see all labels of the layer, whether they occur or not.
        stored = pq.read_table(tmp_path / "out" / "part-00000.parquet")[name].chunk(0)
        assert tuple(stored.dictionary.to_pylist()) == layer.labels


def test_a_draw_by_a_labelled_layer_counts_again(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_pass(*_: object) -> None:
        raise AssertionError("a pass over the pool")

    monkeypatch.setattr(sys.modules["wherefrom.pool.scan"], "over", no_pass)
    scanned = scan(built)
    counts = scanned.counts("continent")
    assert counts is not None
    assert dict(zip(scanned.labels("continent"), counts.tolist(), strict=True))["Africa"] > 3000
    assert scanned.labels_key("continent")


def test_columns_and_text_ids_are_lost_by_labelling(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    names = ["b\tc", 'say "x"', "🌍,\n", "none", "", None]
    table = pa.table(
        {
            "name": [f"t{i}" for i in rng.permutation(9000)],
            "x": rng.uniform(-180, 180, 9000),
            "y": rng.uniform(-90, 90, 9000),
            "use": pa.array(rng.choice(np.array(names, object), 9000).tolist(), pa.string()),
            "height": rng.normal(size=9000).astype(np.float32),
        }
    )
    (tmp_path / "in").mkdir()
    for number in range(3):
        part = table.slice(number * 3000, 3000)
        pq.write_table(part, tmp_path / "in" / f"{number}.parquet", row_group_size=700)
    whole = Pool.from_table(table, id="name", lon="x", lat="y")
    scanned = scan(tmp_path / "in", id="name", lon="x", lat="y")
    for number, given in enumerate((whole, scanned)):
        out = label(given, ["land_cover"], tmp_path / f"out{number}")
        assert out.columns == ("use", "height", "land_cover")
        assert out.key == whole.key
        for column in ("use", "land_cover"):
            assert out.labels_key(column) == whole.labels_key(column)
        assert (
            out.load().table.select(["use", "height"]).equals(whole.table.select(["use", "height"]))
        )
        again = label(out, ["continent", "land_cover"], tmp_path / f"again{number}")
        assert again.columns == ("use", "height", "land_cover", "continent")
        assert again.labels_key("land_cover") == whole.labels_key("land_cover")
        assert again.labels_key("continent") == whole.labels_key("continent")


@pytest.mark.parametrize("keep", [0, 2, 5])
def test_a_stopped_build_starts_anew_or_goes_wrong(built: Path, tmp_path: Path, keep: int) -> None:
    out = tmp_path / "world"
    build_folder(21_500, out, seed=7, layers=LAYERS)
    interrupted(out, keep)
    with pytest.raises(WherefromError, match="is half written: run the command that writes it"):
        scan(out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}
    build_folder(21_500, out, seed=7, layers=LAYERS)
    assert contents(out) == contents(built)
    assert len(before) == keep
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())


def test_stopped_labelling_starts_anew_or_goes_wrong(pool: Pool, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    label(pool, LAYERS, whole)
    label(pool, LAYERS, stopped)
    interrupted(stopped, 1)
    (stopped / "part-00004.parquet").write_bytes((whole / "part-00004.parquet").read_bytes())
    (stopped / "part-00002.parquet").write_text("torn")
    label(pool, LAYERS, stopped)
    assert contents(stopped) == contents(whole)


def test_a_killed_build_leaves_what_it_cannot_go_on_from(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "world"
    code = f"""
import os, signal
from wherefrom.pool import batches, folder
for module in (batches, folder):
    module.BLOCK, module.PART = {BLOCK}, {PART}
kept = folder.PartFile.note
def note(self, **more):
    if self._path.name == "part-00003.parquet":
        os.kill(os.getpid(), signal.SIGKILL)
    return kept(self, **more)
folder.PartFile.note = note
folder.build_folder(21_500, {str(out)!r}, seed=7, layers={LAYERS!r})
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(out.glob("part-*.parquet"))) == 3
    assert len(list(out.glob(".part-*.parquet"))) == 1
    build_folder(21_500, out, seed=7, layers=LAYERS)
    assert contents(out) == contents(built)


def test_a_full_disk_spoils_finished_parts(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "world"
    written = pq.ParquetWriter.write_table
    calls = []

    def until_full(self: pq.ParquetWriter, *args: object, **kwargs: object) -> None:
        calls.append(1)
        if len(calls) > 10:
            raise OSError(28, os.strerror(28))
        written(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", until_full)
        with pytest.raises(WherefromError, match=r"disk full while writing .*part-00002.parquet"):
            build_folder(21_500, out, seed=7, layers=LAYERS)
    assert sorted(contents(out)) == [MANIFEST, "part-00000.parquet", "part-00001.parquet"]
    build_folder(21_500, out, seed=7, layers=LAYERS)
    assert contents(out) == contents(built)


def test_another_pool_is_mixed_into_a_folder(pool: Pool, built: Path, tmp_path: Path) -> None:
    before = contents(built)
    for call in (
        lambda: build_folder(21_500, built, seed=8, layers=LAYERS),
        lambda: build_folder(21_500, built, seed=7),
        lambda: label(pool, LAYERS, built),
    ):
        with pytest.raises(WherefromError, match="holds another pool"):
            call()
    assert contents(built) == before
    table = pa.table({"lon": [1.0, 2.0], "lat": [3.0, 4.0], "use": ["a", "b"]})
    label(Pool.from_table(table), [], tmp_path / "use")
    label(Pool.from_table(table), [], tmp_path / "use")
    other = table.set_column(2, "use", pa.array(["a", "c"]))
    with pytest.raises(WherefromError, match="holds another pool"):
        label(Pool.from_table(other), [], tmp_path / "use")
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(WherefromError, match="is not empty: name a new folder"):
        label(pool, LAYERS, tmp_path)
    with pytest.raises(WherefromError, match="is a file; name a folder"):
        label(pool, LAYERS, tmp_path / "thesis.txt")
    with pytest.raises(WherefromError, match="did you mean 'continent'"):
        build_folder(10, tmp_path / "new", layers=["continents"])
    assert not (tmp_path / "new").exists()


def test_notes_are_believed_of_files_that_were_changed(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "world"
    out.mkdir()

    def copy() -> None:
        for name, content in contents(built).items():
            (out / name).write_bytes(content)

    copy()
    table = pq.read_table(out / "part-00001.parquet")
    lat = table["lat"].to_numpy().copy()
    lat[7] += 1e-9
    changed = table.set_column(2, "lat", pa.array(lat))
    pq.write_table(changed, out / "part-00001.parquet")
    with pytest.raises(WherefromError, match=r"part-00001.parquet was changed or is damaged"):
        scan(out)
    (out / "part-00001.parquet").unlink()
    with pytest.raises(WherefromError, match=r"lacks part-00001.parquet.*or delete _wherefrom"):
        scan(out)
    copy()
    (out / "part-00099.parquet").write_bytes((out / "part-00001.parquet").read_bytes())
    with pytest.raises(WherefromError, match=r"one file too many, part-00099.parquet"):
        scan(out)
    (out / "part-00099.parquet").unlink()
    for text in ("", "[]", '{"complete": true, "places": "many"}'):
        (out / MANIFEST).write_text(text)
        with pytest.raises(WherefromError, match=r"_wherefrom.json cannot be read: delete it|half"):
            scan(out)
    # Without notes the files are taken as they are, after a look at every place.
    (out / MANIFEST).unlink()
    assert scan(out).key == scan(built).key
    (out / "part-00005.parquet").unlink()
    assert len(scan(out)) == 20_000
