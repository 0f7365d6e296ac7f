"""Files at an address: what is copied, when again, and what is said where that fails."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from wherefrom.earth.addresses import here
from wherefrom.errors import WherefromError


class Web(http.server.BaseHTTPRequestHandler):
    """Answers with what `pages` holds: content, ETag, and bytes that are promised."""

    pages: ClassVar[dict[str, tuple[bytes, str, int]]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path not in self.pages:
            self.send_error(404)
            return
        content, tag, promised = self.pages[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(promised))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path / "cache"))
    Web.pages.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_changed_file_is_taken_from_the_cache(web: str) -> None:
    Web.pages["/a.csv"] = (b"lon,lat\n1,2\n", "one", 12)
    first = here(f"{web}/a.csv")
    assert first.name == "a.csv"
    written = first.stat().st_mtime_ns
    assert here(Path(f"{web}/a.csv")) == first  # a path, which has lost a stroke
    assert first.stat().st_mtime_ns == written
    Web.pages["/a.csv"] = (b"lon,lat\n3,4\n", "two", 12)
    assert here(f"{web}/a.csv").read_bytes() == b"lon,lat\n3,4\n"
    Web.pages["/a.csv"] = (b"lon,lat\n5,6\n", "", 12)  # nobody says whether it has changed
    for _ in range(2):
        assert here(f"{web}/a.csv").read_bytes() == b"lon,lat\n5,6\n"


def test_a_torn_copy_is_kept(web: str) -> None:
    Web.pages["/a.csv"] = (b"lon,la", "one", 12)
    with pytest.raises(
        WherefromError, match=r"/a.csv: (nobody answers|the copy broke off after 6)"
    ):
        here(f"{web}/a.csv")
    Web.pages["/a.csv"] = (b"lon,lat\n1,2\n", "one", 12)
    assert here(f"{web}/a.csv").read_bytes() == b"lon,lat\n1,2\n"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("WEB/none.csv", r"http://127.*none.csv: nothing is there: correct the address"),
        ("http://127.0.0.1:1/a.csv", "nobody answers"),
        ("ftp://host/a.csv", r"nothing is read from ftp://; known are https://, hf://, s3://"),
        ("hf://datasets/owner", "name a file as hf://datasets/OWNER/NAME/FILE"),
        ("s3://bucket", "name a file or folder in the bucket"),
    ],
)
def test_an_address_without_a_file_is_a_traceback(web: str, address: str, said: str) -> None:
    with pytest.raises(WherefromError, match=said):
        here(address.replace("WEB", web))


def test_a_path_is_taken_for_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:").mkdir()
    (tmp_path / "a:" / "b.csv").write_text("")
    for name in ("tiles.parquet", "a:/b.csv", "../x", "C:tiles"):
        assert here(name) == Path(name)
    assert here("file:///tmp/a.csv") == Path("/tmp/a.csv")
