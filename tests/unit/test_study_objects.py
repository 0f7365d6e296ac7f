"""A stage in object storage is whole or not there, whoever writes it, and whoever damages it."""

from __future__ import annotations

import errno
import http.server
import json
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pyarrow import fs

from wherefrom import remote
from wherefrom.errors import WherefromError
from wherefrom.study import Store, objects, opened
from wherefrom.study import store as local
from wherefrom.study.objects import ObjectStore
from wherefrom.study.stage import Stage


def stage(seed: int, kind: str = "draw") -> Stage:
    return Stage(kind, f"{kind} uniform {seed}", {"seed": seed}, {}, 0.0, "")


ONE, OTHER = stage(1), stage(2)


def kind_in(folder: Path) -> remote.Kind:
    """Give a kind of storage that is a folder of this machine."""

    def open_(rest: str, _: bool) -> tuple[fs.FileSystem, str]:
        return fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), rest

    return remote.Kind(open_, lambda: str(folder), "bucket", "all rights", "a key")


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a bucket, which is a folder, and forget what this process knows."""
    monkeypatch.setitem(remote.KINDS, "mock", kind_in(tmp_path / "there"))
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(objects, "_HERE", {})
    monkeypatch.setattr(local, "_SOUND", {})
    made = tmp_path / "there" / "bucket"
    made.mkdir(parents=True)
    return made


def on(machine: Path) -> ObjectStore:
    """Open the store on another machine: with another cache."""
    return ObjectStore(machine, "mock://bucket/x")


def write(here: Store, one: Stage, text: str = "") -> None:
    with here.write(one.kind, one.key, {"label": one.label, "document": one.document}) as out:
        (out / "deep").mkdir()
        (out / "deep" / "places.txt").write_text(text or one.label)
        (out / "empty.txt").touch()


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def text_of(here: Store, one: Stage) -> str:
    return (here.sound(one) / "deep" / "places.txt").read_text()


def test_an_address_is_taken_for_a_folder_or_a_folder_for_an_address(there: Path) -> None:
    assert opened("runs/store") == Store(Path("runs/store"))
    assert type(opened(there)) is Store
    one = opened("mock://bucket//x/")
    assert isinstance(one, ObjectStore)
    assert one.address == "mock://bucket/x"
    assert one.root.is_relative_to(there.parents[1] / "cache")
    with pytest.raises(WherefromError, match=r"unknown kind of storage 's4://': did you mean 's3"):
        opened("s4://bucket/x")
    with pytest.raises(WherefromError, match=r"two slashes: mock://bucket/x"):
        opened(str(Path("mock://bucket/x")))
    with pytest.raises(WherefromError, match="name a bucket"):
        opened("mock:///")


def test_a_store_sent_to_another_machine_takes_the_senders_cache(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = pickle.dumps(opened("mock://bucket/x"))
    own = pickle.dumps(on(there.parents[1] / "own"))
    monkeypatch.setenv("WHEREFROM_CACHE", "/another")
    assert pickle.loads(sent).root.is_relative_to("/another")
    assert pickle.loads(own).root == there.parents[1] / "own"


def test_a_stage_written_here_is_not_read_there(there: Path, tmp_path: Path) -> None:
    here, elsewhere = on(tmp_path / "a"), on(tmp_path / "b")
    assert not here.done(ONE.kind, ONE.key)
    assert not elsewhere.finished([ONE, OTHER, stage(3)])
    write(here, ONE)
    assert here.done(ONE.kind, ONE.key)
    assert elsewhere.finished([ONE, OTHER, stage(3)]) == {ONE.key}
    folder = elsewhere.sound(ONE)
    assert files(folder) == ["deep/places.txt", "done", "empty.txt", "env.json", "spec.json"]
    assert text_of(elsewhere, ONE) == ONE.label
    for name in files(folder):
        assert (folder / name).read_bytes() == (here.sound(ONE) / name).read_bytes()
    assert elsewhere.seconds(ONE.kind, ONE.key) == here.seconds(ONE.kind, ONE.key)
    assert on(tmp_path / "c").seconds(ONE.kind, ONE.key) == here.seconds(ONE.kind, ONE.key)
    assert on(tmp_path / "c").env(ONE.kind, ONE.key) == Store.env(here, ONE.kind, ONE.key) != {}
    here.drop(ONE.kind, ONE.key)
    assert files(there) == []
    assert not on(tmp_path / "d").done(ONE.kind, ONE.key)


def object_of(there: Path, name: str) -> Path:
    (found,) = there.glob(f"x/draw/{ONE.key}/*/{name}")
    return found


DAMAGES = ["gone", "torn", "emptied", "another", "done torn", "done empty", "done garbage"]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("large", [False, True])
def test_a_damaged_object_is_read_or_never_mended(
    there: Path, tmp_path: Path, damage: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "CHECKED", 0 if large else 10**6)
    write(on(tmp_path / "a"), ONE)
    done = there / "x" / "done" / "draw" / ONE.key
    hit = object_of(there, "deep/places.txt")
    if damage == "gone":
        hit.unlink()
    elif damage == "torn":
        hit.write_bytes(hit.read_bytes()[:-1])
    elif damage == "emptied":
        hit.write_bytes(b"")
    elif damage == "another":
        hit.write_bytes(hit.read_bytes()[::-1])
    elif damage == "done torn":
        done.write_text(done.read_text()[:-30])
    else:
        done.write_text("" if damage == "done empty" else "\x00\xff no list")
    elsewhere = on(tmp_path / "b")
    fault = elsewhere.fault(ONE.kind, ONE.key)
    if large and damage == "another":
        assert not fault  # of the right size: seen where it is read
    else:
        assert fault.startswith("mock://bucket/x/d"), fault
        assert "\n" not in fault
    with pytest.raises(WherefromError, match=r"mock://bucket/x/.*; run the study again"):
        elsewhere.sound(ONE)
    assert not elsewhere.done(ONE.kind, ONE.key), "it would be read again"
    assert files(there) == []
    write(elsewhere, ONE)
    assert text_of(on(tmp_path / "c"), ONE) == ONE.label


def test_a_stage_of_another_key_is_read(there: Path, tmp_path: Path) -> None:
    write(on(tmp_path / "a"), OTHER)
    shutil.copytree(there / "x" / "draw" / OTHER.key, there / "x" / "draw" / ONE.key)
    shutil.copy(there / "x" / "done" / "draw" / OTHER.key, there / "x" / "done" / "draw" / ONE.key)
    assert "of another stage" in on(tmp_path / "b").fault(ONE.kind, ONE.key)


def test_damage_in_the_cache_is_read_or_taken_for_damage_of_the_store(
    there: Path, tmp_path: Path
) -> None:
    here = on(tmp_path / "a")
    write(here, ONE)
    hit = here.sound(ONE) / "deep" / "places.txt"
    hit.write_text("something else")
    assert not here.fault(ONE.kind, ONE.key)
    assert text_of(here, ONE) == ONE.label
    assert not list(here.root.glob("*/.*"))


def test_drivers_that_finish_at_once_mix_their_files(there: Path, tmp_path: Path) -> None:
    first, second = on(tmp_path / "a"), on(tmp_path / "b")
    about = {"label": ONE.label, "document": ONE.document}
    with first.write(ONE.kind, ONE.key, about) as mine:
        (mine / "deep").mkdir()
        (mine / "deep" / "places.txt").write_text("the slower one's")
        write(second, ONE, "the winner's")
    third = on(tmp_path / "c")
    for each in (first, second, third):
        assert not each.fault(ONE.kind, ONE.key)
        assert text_of(each, ONE) == "the winner's"
    assert len(list((there / "x" / "draw" / ONE.key).iterdir())) == 1


@pytest.mark.parametrize("swept", ["some", "all"])
def test_files_swept_by_another_driver_leave_a_stage_without_them(
    there: Path, tmp_path: Path, swept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another driver tidies between our last look and the writing of our ``done``."""
    here, writes, left = on(tmp_path / "a"), remote.Remote.write, [swept]

    def sweep(self: remote.Remote, name: str, content: bytes) -> None:
        writes(self, name, content)
        if name.startswith("done/") and left:
            left.pop()
            (attempt,) = (there / "x" / "draw" / ONE.key).iterdir()
            shutil.rmtree(attempt if swept == "all" else attempt / "deep")

    monkeypatch.setattr(remote.Remote, "write", sweep)
    write(here, ONE)
    assert not left
    assert text_of(on(tmp_path / "b"), ONE) == ONE.label


def test_a_reader_whose_files_are_replaced_meanwhile_fails(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(on(tmp_path / "a"), ONE, "the old one's")
    reads, replaced = remote.Remote.fetch, []

    def fetch(self: remote.Remote, name: str, file: Path) -> str:
        if not replaced:
            replaced.append(name)
            driver = on(tmp_path / "b")
            driver.drop(ONE.kind, ONE.key)
            write(driver, ONE, "the new one's")
        return reads(self, name, file)

    monkeypatch.setattr(remote.Remote, "fetch", fetch)
    assert text_of(on(tmp_path / "c"), ONE) == "the new one's"


def test_a_failed_upload_leaves_a_stage_half_there(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sends, here = remote.Remote.send, on(tmp_path / "a")

    def fails(self: remote.Remote, file: Path, name: str) -> None:
        if file.name == "spec.json":
            raise WherefromError("mock://bucket: does not answer")
        sends(self, file, name)

    with monkeypatch.context() as patch:
        patch.setattr(remote.Remote, "send", fails)
        with pytest.raises(WherefromError, match="does not answer"):
            write(here, ONE)
    assert files(there), "the test uploads nothing"
    assert not here.done(ONE.kind, ONE.key)
    assert not on(tmp_path / "b").finished([ONE, OTHER, stage(3)])
    write(here, ONE, "of a second try")
    assert text_of(on(tmp_path / "b"), ONE) == "of a second try"
    assert len(list((there / "x" / "draw" / ONE.key).iterdir())) == 1, "what was torn stays"


def test_checkpoints_stay_on_the_machine_that_is_taken_away(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "CHECKPOINTS", 0.05)
    first, second = on(tmp_path / "a"), on(tmp_path / "b")
    before = first.reached(ONE.kind, ONE.key)
    with pytest.raises(SystemExit), first.checkpoints(ONE.kind, ONE.key) as folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state").write_text("step 1")
        (folder / ".state.tmp").write_text("being written")
        limit = time.monotonic() + 20
        while first.reached(ONE.kind, ONE.key) == before:
            assert time.monotonic() < limit, "nothing is uploaded within the block"
            time.sleep(0.01)
        monkeypatch.setattr(objects, "CHECKPOINTS", 1000)
        (folder / "state").write_text("step 22")
        raise SystemExit
    assert files(there) == [f"x/partial/draw-{ONE.key}/state"]
    with pytest.raises(KeyboardInterrupt), second.checkpoints(ONE.kind, ONE.key) as folder:
        assert (folder / "state").read_text() == "step 22"
        (folder / "state").write_text("step 333")
        raise KeyboardInterrupt
    with first.checkpoints(ONE.kind, ONE.key) as folder:
        assert (folder / "state").read_text() == "step 333", "an older one wins"
    write(first, ONE)
    assert not [name for name in files(there) if "partial" in name]
    assert not list(first.root.glob("partial/*")) + list(first.root.glob("partial/.*"))


def test_a_checkpoint_that_is_not_yet_uploaded_is_lost_to_an_older_one(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process uploads nothing more, but its machine has what it wrote."""
    here = on(tmp_path / "a")
    with pytest.raises(SystemExit), here.checkpoints(ONE.kind, ONE.key) as folder:
        folder.mkdir(parents=True)
        (folder / "state").write_text("step 1")
        raise SystemExit
    (folder / "state").write_text("step 22")
    with here.checkpoints(ONE.kind, ONE.key) as again:
        assert (again / "state").read_text() == "step 22"


def test_notes_are_mixed_or_stay(there: Path, tmp_path: Path) -> None:
    here, elsewhere = on(tmp_path / "a"), on(tmp_path / "b")
    here.spend("plan", "one", 1.5)
    elsewhere.spend("plan", "other", 2.0)
    here.spend("plan", "one", 3.5)
    assert here.spent("plan") == elsewhere.spent("plan") == 5.5
    here.note("failed", "a", "é")
    assert elsewhere.notes("failed") == {"a": "é"}
    elsewhere.forget("failed", "a")
    elsewhere.forget("failed", "a")
    assert here.notes("failed") == {}


def sizes(here: Store) -> int:
    return sum(file.stat().st_size for file in here.root.glob("draw/*/**/*") if file.is_file())


def test_the_cache_grows_beyond_its_limit_or_loses_what_is_in_use(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [stage(seed) for seed in range(8)]
    writer = on(tmp_path / "a")
    for one in every:
        write(writer, one, one.label + "x" * 20_000)
    monkeypatch.setenv("WHEREFROM_STORE_CACHE", "90 kB")
    here = on(tmp_path / "b")
    for one in every:
        with here.using():
            here.sound(one)
    assert 60_000 < sizes(here) <= 90_000
    kept = [one for one in every if here.folder("draw", one.key).exists()]
    assert kept == every[-len(kept) :], "not the least recently used went"
    with here.using():
        folder = here.sound(every[0])
        for one in every[1:]:
            with here.using():
                here.sound(one)
        assert folder.exists(), "it is in use"
    monkeypatch.setenv("WHEREFROM_STORE_CACHE", "1kB")
    with here.using():
        with pytest.warns(UserWarning, match="WHEREFROM_STORE_CACHE"):
            assert text_of(here, every[1]).startswith(every[1].label)
        assert text_of(here, every[2]).startswith(every[2].label)  # said once
    monkeypatch.setenv("WHEREFROM_STORE_CACHE", "much")
    with pytest.raises(WherefromError, match="'much': write a number of bytes, such as 50GB"):
        here.ready()


HOLDER = """
import sys, time
from wherefrom.study.objects import ObjectStore
store = ObjectStore(__import__("pathlib").Path(sys.argv[1]), "s3://bucket/x")
store._hold("draw", sys.argv[2])
print("holds", flush=True)
time.sleep(100)
"""


def test_what_another_process_uses_goes_or_what_a_dead_one_used_stays(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = on(tmp_path / "a")
    write(here, ONE, "x" * 20_000)
    monkeypatch.setenv("WHEREFROM_STORE_CACHE", "30kB")
    command = [sys.executable, "-c", HOLDER, str(here.root), ONE.key]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        with pytest.warns(UserWarning, match="in use"):
            write(here, OTHER, "x" * 20_000)
        assert here.folder("draw", ONE.key).exists()
    finally:
        holder.kill()
        holder.wait()
    write(here, stage(3), "x" * 20_000)
    assert not here.folder("draw", ONE.key).exists()
    assert text_of(here, ONE) == "x" * 20_000


def test_a_full_disk_of_the_cache_is_taken_for_damage(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(on(tmp_path / "a"), ONE)

    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    here = on(tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(remote.Remote, "fetch", full)
        with pytest.raises(WherefromError, match=r"disk full .*WHEREFROM_CACHE moves it"):
            here.sound(ONE)
    assert text_of(here, ONE) == ONE.label
    assert not list(here.root.glob("*/.*"))


def test_a_bucket_that_is_not_there_is_an_empty_store(there: Path, tmp_path: Path) -> None:
    nowhere = ObjectStore(tmp_path / "a", "mock://typo/x")
    for ask in (nowhere.ready, partial(nowhere.finished, [ONE, OTHER, stage(3)])):
        with pytest.raises(WherefromError, match=r"there is no bucket 'typo' at .*: make it, or"):
            ask()
    on(tmp_path / "a").ready()
    assert files(there) == []


ANSWERS = {
    "AccessDenied": (403, r"may not be read with these credentials: they need s3:ListBucket"),
    "RequestTimeTooSkewed": (403, r"this machine's clock is off; set it"),
    "InvalidAccessKeyId": (403, r"the credentials are refused as wrong or expired: correct AWS_"),
    "SignatureDoesNotMatch": (403, r"the credentials are refused"),
    "ExpiredToken": (400, r"the credentials are refused"),
    "NoSuchBucket": (404, r"there is no bucket 'some' at http://127.0.0.1:\d+: make it, or"),
    "SlowDown": (503, r"the storage is too busy: use fewer workers"),
}


class Refuses(http.server.BaseHTTPRequestHandler):
    """Answers every request by one error."""

    code = ""

    def answer(self) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>No.</Message></Error>".encode()
        self.send_response(ANSWERS[self.code][0])
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set an environment in which S3 has keys, and nothing of this machine's own."""
    for name in remote.VARIABLES["s3"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def refusing(s3: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve errors in the place of S3."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("code", ANSWERS)
def test_an_error_of_the_storage_says_what_it_says_to_programmers(
    refusing: None, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(Refuses, "code", code)
    with pytest.raises(WherefromError, match=rf"^s3://some/x.*{ANSWERS[code][1]}") as raised:
        opened("s3://some/x").ready()
    assert "\n" not in str(raised.value)


def test_no_credentials_are_said_to_be_wrong_ones(
    refusing: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Refuses, "code", "AccessDenied")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(WherefromError, match=r"no credentials are found: set AWS_ACCESS_KEY_ID"):
        opened("s3://some/x").ready()


@pytest.mark.parametrize("how", ["closed", "silent"])
def test_an_endpoint_that_does_not_answer_is_waited_for_for_minutes(
    s3: None, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        if how == "silent":
            port.listen(50)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port.getsockname()[1]}")
        monkeypatch.setattr(remote, "SOON", 1.0)
        began = time.monotonic()
        with pytest.raises(WherefromError, match=r"http://127.0.0.1:\d+ does not answer"):
            opened("s3://some/x").ready()
        assert time.monotonic() - began < 10


@pytest.mark.slow
def test_azure_without_an_account_ends_in_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in remote.VARIABLES["az"]:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(WherefromError, match="set AZURE_STORAGE_ACCOUNT"):
        opened("az://container/x").ready()
    key = "AccountName=mine;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/mine"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", key)
    with pytest.raises(WherefromError, match=r"mine http://127.0.0.1:1/mine does not answer"):
        opened("az://container/x").ready()
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    options, path = remote.KINDS["abfs"].open("data@mine.dfs.core.windows.net/x", True)
    assert path == "data/x"
    assert "mine" in str(pickle.dumps(options))


def test_seconds_of_a_damaged_stage_end_a_report(there: Path, tmp_path: Path) -> None:
    write(on(tmp_path / "a"), ONE)
    object_of(there, "env.json").write_text("{")
    assert on(tmp_path / "b").seconds(ONE.kind, ONE.key) is None
    object_of(there, "env.json").write_text(json.dumps({"seconds": 2}))
    assert on(tmp_path / "b").seconds(ONE.kind, ONE.key) == 2.0
