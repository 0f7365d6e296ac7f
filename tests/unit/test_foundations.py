"""Errors, keys and atomic files: what every room stands on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wherefrom.errors import WherefromError, unknown
from wherefrom.files import atomic, atomic_folder, sha256_of
from wherefrom.keys import canonical, generator, key_of, seed_of


def test_unknown_name_without_a_near_one_is_given_a_wrong_hint() -> None:
    assert "did you mean" not in str(unknown("layer", "xyzzy", ["biome", "land"]))


def test_equal_specs_in_another_order_get_another_key() -> None:
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": (1, 2), "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_nan_gets_a_key() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"x": float("nan")})


def test_streams_of_neighbouring_names_collide() -> None:
    first = [generator("draw", name, 0).random() for name in ("a", "b", "ab")]
    assert len(set(first)) == 3
    # Names are separate: ("a", "bc") is another stream than ("ab", "c").
    assert seed_of("a", "bc").entropy != seed_of("ab", "c").entropy


def test_a_stream_changes_between_versions() -> None:
    assert generator("draw", "uniform", 0).integers(0, 1000, 3).tolist() == [681, 62, 236]


def test_a_failed_write_destroys_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="midway"), atomic(target) as tmp:
        tmp.write_text("half")
        raise RuntimeError("midway")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_stage_leaves_its_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="midway"), atomic_folder(tmp_path / "s") as tmp:
        (tmp / "part").write_text("half")
        raise RuntimeError("midway")
    assert list(tmp_path.iterdir()) == []


def test_the_second_of_two_writers_of_one_folder_fails(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "s") as slow:
        (slow / "x").write_text("1")
        with atomic_folder(tmp_path / "s") as quick:
            (quick / "x").write_text("1")
    assert [p.name for p in tmp_path.iterdir()] == ["s"]
    assert (tmp_path / "s" / "x").read_text() == "1"


def test_a_folder_in_place_of_a_file_ends_in_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((WherefromError, OSError)), atomic(tmp_path / "file" / "below"):
        pass


def test_a_checksum_is_not_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x").startswith("ba7816bf")


def test_a_written_file_is_private_to_its_writer(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.npy") as tmp:
        np.save(tmp, np.zeros(2))
    assert (tmp_path / "a.npy").stat().st_mode & 0o044
