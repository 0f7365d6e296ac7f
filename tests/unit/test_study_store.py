"""Whatever happened to a stored stage is seen when it is read, and no result goes for nothing."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from wherefrom.errors import WherefromError
from wherefrom.study import Store, load, plan, run, store
from wherefrom.study.board import PROBES, RUNNING
from wherefrom.study.stage import Stage

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"


def stage(seed: int) -> Stage:
    return Stage("draw", f"draw uniform {seed}", {"seed": seed}, {}, 0.0, "")


ONE, OTHER = stage(1), stage(2)


def write(here: Store, one: Stage) -> Path:
    with here.write(one.kind, one.key, {"label": one.label, "document": one.document}) as out:
        (out / "places.txt").write_text(one.label)
        (out / "card.txt").write_text(f"of {one.label}")
    return here.folder(one.kind, one.key)


@pytest.fixture
def here(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for one in (ONE, OTHER):
        write(made, one)
    assert not made.fault(ONE.kind, ONE.key)
    return made


def folders(here: Store) -> tuple[Path, Path]:
    return here.folder(ONE.kind, ONE.key), here.folder(OTHER.kind, OTHER.key)


def swap(own: Path, _: Path) -> None:
    (own / "places.txt").rename(own / "swapped")
    (own / "card.txt").rename(own / "places.txt")
    (own / "swapped").rename(own / "card.txt")


def copy_with_seal(own: Path, other: Path) -> None:
    for name in ("places.txt", "done"):
        shutil.copy2(other / name, own / name)


def copy_all(own: Path, other: Path) -> None:
    shutil.rmtree(own)
    shutil.copytree(other, own)


def link(own: Path, other: Path) -> None:
    shutil.rmtree(own)
    own.symlink_to(other)


def folder_for_file(own: Path, _: Path) -> None:
    (own / "places.txt").unlink()
    (own / "places.txt").mkdir()


def folder_for_done(own: Path, _: Path) -> None:
    (own / "done").unlink()
    (own / "done").mkdir()


def link_to_nowhere(own: Path, _: Path) -> None:
    (own / "places.txt").unlink()
    (own / "places.txt").symlink_to(own / "nowhere")


def emptied_in_place(own: Path, _: Path) -> None:
    os.truncate(own / "places.txt", 0)


def added(own: Path, _: Path) -> None:
    (own / "deep").mkdir()
    (own / "deep" / "more.txt").touch()


def spec_of_another(own: Path, other: Path) -> None:
    for name in ("spec.json", "places.txt", "card.txt", "env.json", "done"):
        shutil.copy2(other / name, own / name)


DAMAGES = [
    swap, copy_with_seal, copy_all, link, folder_for_file, folder_for_done, link_to_nowhere,
    emptied_in_place, added, spec_of_another,
]  # fmt: skip


@pytest.mark.parametrize("seen_before", [True, False])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_stage_that_is_not_its_own_is_read(
    here: Store,
    damage: Callable[[Path, Path], None],
    seen_before: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, other = folders(here)
    damage(own, other)
    if not seen_before:
        monkeypatch.setattr(store, "_SOUND", {})
    fault = here.fault(ONE.kind, ONE.key)
    assert str(own) in fault
    assert "\n" not in fault
    with pytest.raises(WherefromError, match="run the study again"):
        here.sound(ONE)
    here.drop(ONE.kind, ONE.key)
    assert not here.fault(OTHER.kind, OTHER.key)
    write(here, ONE)
    assert not here.fault(ONE.kind, ONE.key)
    assert (own / "places.txt").read_text() == ONE.label
    assert not list(own.parent.glob(".*")), "something is left behind"


@pytest.mark.parametrize("put", ["file", "link to nowhere", "folder"])
def test_what_lies_in_the_place_of_a_stage_ends_its_writing(here: Store, put: str) -> None:
    own, _ = folders(here)
    shutil.rmtree(own)
    if put == "file":
        own.touch()
    elif put == "folder":
        own.mkdir()
    else:
        own.symlink_to(own.parent / "nowhere")
    assert not here.done(ONE.kind, ONE.key)
    write(here, ONE)
    assert not here.fault(ONE.kind, ONE.key)
    assert not list(own.parent.glob(".*"))


def test_another_time_or_place_is_damage(here: Store, tmp_path: Path) -> None:
    own, _ = folders(here)
    os.utime(own / "places.txt", (0, 0))
    assert not here.fault(ONE.kind, ONE.key)
    moved = Store(here.root.rename(tmp_path / "moved"))
    assert not moved.fault(ONE.kind, ONE.key)


@pytest.mark.parametrize(
    ("err", "said"),
    [
        (PermissionError(13, "Permission denied", "a.txt"), "a.txt: cannot be read: Permission"),
        (OSError(24, "Too many open files", "a.txt"), "a.txt: too many files are open"),
        (OSError(12, "Cannot allocate memory", "a.txt"), "a.txt: not enough memory"),
        (OSError(5, "Input/output error", "a.txt"), "a.txt: the disk cannot be read"),
        (OSError(116, "Stale file handle", "a.txt"), "a.txt: cannot be read: Stale"),
    ],
)
def test_a_stage_that_may_not_be_read_now_is_thrown_away(
    here: Store, monkeypatch: pytest.MonkeyPatch, err: OSError, said: str
) -> None:
    def fails(*_: object) -> None:
        raise err

    monkeypatch.setattr(store, "_SOUND", {})
    monkeypatch.setattr(store, "sha256_of", fails)
    with pytest.raises(WherefromError, match=f"^{said}"):
        here.fault(ONE.kind, ONE.key)
    monkeypatch.setattr(Path, "exists", fails)
    with pytest.raises(WherefromError, match=f"^{said}"):
        here.done(ONE.kind, ONE.key)


def test_the_note_of_a_call_that_was_killed_at_its_end_stays_for_good(tmp_path: Path) -> None:
    # All was done: the call that follows has nothing to compute, and yet clears up.
    here = Store(tmp_path / "store")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    note = {"host": platform.node(), "at": time.time()}
    here.note(RUNNING, "killed", json.dumps(note | {"pid": gone.pid}))
    here.note(RUNNING, "lives", json.dumps(note | {"pid": os.getpid()}))
    here.note(PROBES, "killed-node", "")
    here.note(PROBES, "lives-node", "")
    done = plan(load(STUDY, "debug"))
    run(replace(done, stages=()), here)
    assert list(here.notes(RUNNING)) == ["lives"]
    assert list(here.notes(PROBES)) == ["lives-node"]
