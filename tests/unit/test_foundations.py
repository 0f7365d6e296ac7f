"""Errors, keys and atomic files: what every room stands on."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wherefrom.earth.kept import keep
from wherefrom.errors import WherefromError, of_the_system, speaking_flags, unknown
from wherefrom.files import atomic, atomic_folder, seal, sha256_of, unsealed, walked
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


def test_a_folder_behind_a_link_is_passed_over_or_walked_for_ever(tmp_path: Path) -> None:
    (tmp_path / "disk" / "inner").mkdir(parents=True)
    (tmp_path / "disk" / "inner" / "b.tif").write_text("")
    (tmp_path / "tiles" / ".hidden").mkdir(parents=True)
    (tmp_path / "tiles" / ".hidden" / "c.tif").write_text("")
    (tmp_path / "tiles" / "there").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "inner" / "up").symlink_to(tmp_path / "disk")
    (tmp_path / "tiles" / "self").symlink_to(tmp_path / "tiles")
    assert [one.name for one in walked(tmp_path / "tiles")] == ["b.tif"]


def test_a_name_that_is_no_text_ends_in_a_traceback(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xe9.tif")).write_text("")
    with pytest.raises(WherefromError, match=r"b'a\\xe9.tif' is no UTF-8: rename the file"):
        list(walked(tmp_path))


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


@pytest.mark.parametrize("file", ["/proc/a.parquet", "/proc/a/b.parquet"])
@pytest.mark.parametrize("way", [atomic, atomic_folder])
def test_a_folder_that_takes_no_file_is_a_full_disk(file: str, way: Any) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc, which has no room either")
    said = f"^cannot write {file}: .*; choose another folder$"
    with pytest.raises(WherefromError, match=said), way(file):
        pass


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "disk full"), (errno.EROFS, "choose another folder"), (None, "disk full")],
)
def test_a_write_that_is_refused_for_another_reason_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None, said: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    err = OSError("16 requested and 8 written") if number is None else OSError(number, "said")
    with pytest.raises(WherefromError, match=said), atomic(tmp_path / "a.npy"):
        raise err


@pytest.mark.parametrize("where", ["s3://bucket/a.parquet", "gs:/bucket/a", "https://x.org/a"])
def test_an_address_becomes_a_folder_of_its_name(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WherefromError, match="it is an address"), atomic(where) as tmp:
        tmp.write_text("lost")
    assert not list(tmp_path.iterdir())
    with atomic("c:odd.txt") as tmp:
        tmp.write_text("kept")


def test_a_checksum_is_not_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x").startswith("ba7816bf")


def test_a_written_file_is_private_to_its_writer(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.npy") as tmp:
        np.save(tmp, np.zeros(2))
    assert (tmp_path / "a.npy").stat().st_mode & 0o044


def test_a_loss_of_power_leaves_a_name_without_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk holds a file before it gets its name, and the name before the caller goes on."""
    calls: list[str] = []
    opened: dict[int, str] = {}
    real_open = os.open

    def note_open(path: Any, *more: Any, **named: Any) -> int:
        fd = real_open(path, *more, **named)
        opened[fd] = Path(path).name
        return fd

    monkeypatch.setattr(os, "open", note_open)
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(f"sync {opened[fd]}"))
    for name in ("replace", "rename"):
        real = getattr(Path, name)

        def note(self: Path, target: Path, real: Any = real) -> Any:
            calls.append(f"name {Path(target).name}")
            return real(self, target)

        monkeypatch.setattr(Path, name, note)
    with atomic(tmp_path / "one.txt") as tmp:
        tmp.write_text("content")
    with atomic_folder(tmp_path / "folder") as inner:
        (inner / "a.txt").write_text("content")
    assert calls == [
        f"sync {tmp.name}", "name one.txt", f"sync {tmp_path.name}",
        "sync a.txt", f"sync {inner.name}", "name folder", f"sync {tmp_path.name}",
    ]  # fmt: skip


def test_what_a_killed_writer_left_stays_for_ever(tmp_path: Path) -> None:
    code = (
        "import os, sys; from wherefrom.files import atomic, atomic_folder\n"
        "with atomic('page.html') as tmp, atomic_folder('stage') as folder:\n"
        "    tmp.write_text('half'); (folder / 'a').write_text('half'); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == 9
    other = tmp_path / ".other.html"  # of another name, another machine, and of a living process
    living = next(tmp_path.glob(".page.*")).name.partition("-")[0] + f"-{os.getppid()}-x.html"
    (tmp_path / living).touch()
    elsewhere = tmp_path / ".page.00000000-1-x.html"
    for path in (other, elsewhere):
        path.touch()
    assert len(list(tmp_path.iterdir())) == 5
    with atomic(tmp_path / "page.html") as tmp, atomic_folder(tmp_path / "stage"):
        tmp.write_text("whole")
    kept = {other.name, living, elsewhere.name, "page.html", "stage"}
    assert {path.name for path in tmp_path.iterdir()} == kept
    assert platform.node() not in living  # which may be no name for a file


@pytest.mark.parametrize("way", ["flipped", "cut", "emptied", "longer"])
def test_a_damaged_file_of_the_cache_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path))
    made: list[int] = []

    def derived() -> Any:
        return keep(
            "numbers.npy",
            lambda: made.append(1) or np.arange(9),
            lambda values, path: np.save(path, values),
            np.load,
        )

    derived()
    file = tmp_path / "kept" / "numbers.npy"
    content = bytearray(file.read_bytes())
    assert np.array_equal(derived(), np.arange(9))
    assert len(made) == 1
    content[-40] ^= 1
    ways = {"flipped": content, "cut": content[:-1], "emptied": b"", "longer": [*content, 0]}
    file.write_bytes(bytes(ways[way]))
    assert np.array_equal(derived(), np.arange(9))
    assert len(made) == 2
    assert "numbers.npy is damaged" in " ".join(capsys.readouterr().err.split())
    assert np.array_equal(derived(), np.arange(9))
    assert len(made) == 2


def test_a_seal_is_of_no_use(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"content")
    with pytest.raises(ValueError, match="not as it was written"):
        unsealed(file)
    seal(file)
    assert bytes(unsealed(file)) == b"content"


@pytest.mark.parametrize(
    ("err", "remedy"),
    [
        (OSError(errno.EMFILE, "Too many open files", "a.tif"), "a.tif: too many files are open"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "free some space"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "--workers 1"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "memory"),
        (MemoryError(), "memory"),
        (OSError("[errno 27] Error writing bytes to file: File too large"), "ulimit -f"),
    ],
    ids=str,
)
def test_a_lack_of_the_system_is_a_defect_of_ours(err: Exception, remedy: str) -> None:
    assert remedy in of_the_system(err)
    outer = KeyError("outer")
    outer.__cause__ = err
    assert remedy in of_the_system(outer)


@pytest.mark.parametrize("err", [ValueError("File too large"), OSError(errno.ENOENT, "no"), None])
def test_a_mistake_is_taken_for_a_lack_of_the_system(err: Exception | None) -> None:
    assert of_the_system(err or WherefromError("a.npy: too many open files in it")) == ""


@pytest.mark.parametrize("write", ["np.save(tmp, a)", "a.tofile(tmp)", "tmp.write_bytes(bytes(a))"])
def test_a_limit_of_file_sizes_ends_in_a_traceback(tmp_path: Path, write: str) -> None:
    pytest.importorskip("resource", reason="limits of POSIX")
    code = (
        "import resource, numpy as np; from wherefrom.files import atomic\n"
        "from wherefrom.errors import WherefromError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16)); a = np.zeros(1 << 20)\n"
        f"try:\n    with atomic('a.npy') as tmp: {write}\n"
        "except WherefromError as err: print(err)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "cannot write a.npy" in done.stdout, done.stderr
    assert "ulimit -f" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("said", "due"),
    [
        ("give --lon x --lat y", "give lon='x', lat='y'"),
        ("points with --geometry 'a b'. It has: a", "points with geometry='a b'. It has: a"),
        ("--within box=1,2,3: a box", "within='box=1,2,3': a box"),
        ("are they exchanged (--lon, --lat)?", "are they exchanged (lon=, lat=)?"),
        ("such as --buffer-km 10", "such as buffer_km=10"),
        ("or leave --cluster out", "or leave cluster= out"),
        ("--unit t/ha: labels have no unit", "units='t/ha': labels have no unit"),
        ("say with -n; or give -n", "say with -n; or give n="),
        ("thin it: wherefrom draw a --out b.parquet", "thin it: wherefrom draw a --out b.parquet"),
        ("no label '--x' of /a/--b", "no label '--x' of /a/--b"),
    ],
)  # fmt: skip
def test_python_is_advised_flags_or_the_command_line_arguments(said: str, due: str) -> None:
    err = WherefromError(said)
    assert str(err) == due
    assert str(WherefromError(f"a.csv: {err}")) == f"a.csv: {due}"
    with speaking_flags():
        assert str(err) == said
