"""Pools at an address of object storage."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto_server import serving

from wherefrom.earth.addresses import here
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, open_pool
from wherefrom.remote import forget, remote

pytestmark = pytest.mark.slow


def test_a_pool_on_storage_differs_from_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path / "cache"))
    parts = [
        pa.table({"lon": [1.0, 2.0], "lat": [3.0, 4.0]}), pa.table({"lon": [5.0], "lat": [6.0]}),
    ]  # fmt: skip
    (tmp_path / "pool").mkdir()
    for number, part in enumerate(parts):
        pq.write_table(part, tmp_path / "pool" / f"{number}.parquet")
    with serving(tmp_path) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        forget()
        address = server.bucket("places")
        there = remote(address, server.env["AWS_ENDPOINT_URL"])
        for file in (tmp_path / "pool").iterdir():
            there.send(file, f"pool/{file.name}")
        there.write("a.csv", b"lon,lat\n1,2\n")
        whole = open_pool(f"{address}/pool")
        assert whole.key == open_pool(tmp_path / "pool").key
        asked = len(server.requests())
        assert open_pool(f"{address}/pool").key == whole.key
        again = [each for each in server.requests()[asked:] if ".parquet" in each]
        assert not [each for each in again if each.startswith("GET")]
        assert len(Pool.read(Path(f"{address}/a.csv"))) == 1
        there.write("a.csv", b"lon,lat\n1,2\n3,4\n")
        assert len(Pool.read(f"{address}/a.csv")) == 2
        with pytest.raises(WherefromError, match=r"none: no file is there, nor Parquet files"):
            here(f"{address}/none")
        with pytest.raises(WherefromError, match="there is no bucket 'absent'"):
            here("s3://absent/pool/a.csv")
    forget()
