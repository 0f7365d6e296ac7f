"""A study on a server that speaks S3 is the study in a folder, whatever happens to its objects."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch
import yaml
from moto_server import KEYS, Server, serving
from running import Run

from wherefrom import remote
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.study import Plan, Store, collect, load, objects, opened, plan
from wherefrom.study import store as local
from wherefrom.study.objects import ObjectStore
from wherefrom.study.run import missing
from wherefrom.study.stage import Stage
from wherefrom.study.stages import compute
from wherefrom.tasks import from_table

lacks = not all(importlib.util.find_spec(name) for name in ("moto", "flask", "flask_cors"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(lacks, reason='needs the S3 server of moto: pip install "wherefrom[dev]"'),
]

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025" / "study.yaml"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(autouse=True)
def machine(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a machine that has keys, a cache of its own, and knows nothing yet."""
    for name in remote.VARIABLES["s3"]:
        monkeypatch.delenv(name, raising=False)
    for name, text in server.env.items():
        monkeypatch.setenv(name, text)
    another(monkeypatch, tmp_path / "cache")


def another(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Go to another machine."""
    monkeypatch.setattr(objects, "_HERE", {})
    monkeypatch.setattr(local, "_SOUND", {})
    monkeypatch.setenv("WHEREFROM_CACHE", str(cache))


def study(folder: Path) -> Path:
    """Write a study of Presto on a pool and labels of one's own: ten stages, in seconds."""
    pool = Pool.build(600, seed=3)
    tiles = {"tile": [f"t{row}" for row in range(600)], "x": pool.lon, "y": pool.lat}
    pyarrow.csv.write_csv(pa.table(tiles), folder / "tiles.csv")
    rng, rows = np.random.default_rng(0), np.arange(400)
    fields = {
        "lon": np.where(rows < 200, 36.0, 2.0) + rng.random(400),
        "lat": np.where(rows < 200, 0.0, 47.0) + rng.random(400),
        "crop": np.where(rows % 2 == 0, "yes", "no"),
    }
    from_table(pa.table(fields), "crop", positive="yes").write(folder / "fields.parquet")
    file = str(folder / "fields.parquet")
    task = {"kind": "table", "name": "mine", "file": file, "baselines": ["raw-series"]}
    presto = yaml.safe_load(STUDY.read_text())["base"]["models"]["presto"]
    few = {"samples_seen": 64, "batch": 32, "lr": 1e-3}
    presto |= {"tasks": ["fields"], "pretrain": few, "blocks": 1, "precision": "float32"}
    base: dict[str, Any] = {
        "name": "mine", "title": "Mine", "composition_size": 60, "n": 20, "finetune_seeds": 2,
        "pool": {"file": str(folder / "tiles.csv"), "id": "tile", "lon": "x", "lat": "y"},
        "compositions": {"none": "none", "uniform": "uniform"},
        "tasks": {"fields": task}, "models": {"presto": presto}, "heads": {"logistic": {}},
        "headlines": [{"model": "presto", "head": "logistic"}],
    }  # fmt: skip
    made = folder / "study.yaml"
    made.write_text(yaml.safe_dump({"base": base, "scales": {"debug": {}}}))
    return made


def run_here(steps: Plan, store: Store) -> list[str]:
    """Compute what is missing in this process, and return its labels."""
    todo, threads = missing(steps, store), torch.get_num_threads()
    torch.set_num_threads(1)  # as a study's workers do
    for one in todo:
        compute(one, store, lambda _: None)
    torch.set_num_threads(threads)
    return [one.label for one in todo]


class Made(tuple[Path, Plan, bytes, str]):
    """The study's file, its plan, its results in a folder, and the address of its twin."""


@pytest.fixture(scope="module")
def made(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Compute the study into a folder and, on another machine, into a bucket."""
    folder = tmp_path_factory.mktemp("study")
    file = study(folder)
    steps = plan(load(file, "debug"))
    with pytest.MonkeyPatch.context() as patch:
        for name, text in server.env.items():
            patch.setenv(name, text)
        another(patch, folder / "cache")
        store = Store(folder / "store")
        assert len(run_here(steps, store)) == len(steps.stages)
        collect(steps, store, folder)
        there = opened(server.bucket("made"))
        there.ready()
        assert len(run_here(steps, there)) == len(steps.stages)
        assert run_here(steps, there) == []
    return Made((file, steps, (folder / "results.parquet").read_bytes(), str(there)))


def results(steps: Plan, store: Store, out: Path) -> bytes:
    collect(steps, store, out)
    return (out / "results.parquet").read_bytes()


def copied(server: Server, made: Made, name: str) -> str:
    """Copy the bucket of the study under another name, and return its address."""
    whole = opened(made[3])
    assert isinstance(whole, ObjectStore)
    address = server.bucket(name)
    there = remote.remote(address, remote.KINDS["s3"].endpoint())
    for one in whole._remote.listed(""):
        there.write(one, whole._remote.read(one))
    return address


@pytest.mark.long
def test_a_second_machine_computes_again_or_gets_other_results(
    made: Made, tmp_path: Path, server: Server
) -> None:
    _, steps, expected, address = made
    before = len(server.requests())
    store = opened(address)
    assert run_here(steps, store) == []
    assert results(steps, store, tmp_path) == expected
    asked = len(server.requests()) - before
    assert asked < 20 * len(steps.stages)
    assert results(steps, store, tmp_path) == expected
    assert len(server.requests()) - before - asked <= 2, "what is in the cache is fetched"


@pytest.mark.long
def test_the_command_line_forgets_the_address(
    made: Made, tmp_path: Path, server: Server, run: Run
) -> None:
    file, steps, expected, _ = made
    address = server.bucket("commands")
    words = (file, "--scale", "debug", "--store", address, "--out", tmp_path / "out")
    done = run("study", "run", *words, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert f"{len(steps.stages)} stages in" in done.stderr
    assert (tmp_path / "out" / "results.parquet").read_bytes() == expected
    assert not (tmp_path / "out" / "store").exists()
    again = run("study", "plan", *words)
    assert again.returncode == 0, again.stderr
    (row,) = [line.split() for line in again.stdout.splitlines() if "together" in line]
    numbers = [word for word in row if word.isdigit()]
    assert numbers[:3] == [str(len(steps.stages))] * 2 + ["0"]
    refused = run("study", "plan", file, "--scale", "debug", "--out", address)
    assert refused.error.startswith(f"--out {address}: results and report go to a folder; name an")
    unknown = run("study", "plan", file, "--scale", "debug", "--store", "s4://x/y")
    assert "did you mean 's3://'" in unknown.error


def test_many_stages_take_a_request_each(server: Server, tmp_path: Path) -> None:
    store = opened(server.bucket("many"))
    assert isinstance(store, ObjectStore)
    every = [Stage("draw", f"draw {n}", {"seed": n}, {}, 0.0, "") for n in range(50)]
    for one in every[:49]:
        store._remote.write(f"done/draw/{one.key}", b"x")
    before = len(server.requests())
    assert store.finished(every) == {one.key for one in every[:49]}
    assert store.finished(every[:49]) == {one.key for one in every[:49]}
    assert len(server.requests()) - before == 1


def damage(store: ObjectStore, kind: str, name: str, how: str) -> str:
    """Damage a file of one stage of a kind, and return the object's name."""
    found = store._remote.listed(kind)
    hit = next(f"{kind}/{one}" for one in sorted(found) if one.endswith(f"/{name}"))
    content = store._remote.read(hit)
    if how == "gone":
        store._remote.remove(hit)
    elif how == "torn":
        store._remote.write(hit, content[: len(content) // 2])
    else:
        store._remote.write(hit, content[:-1] + bytes([content[-1] ^ 1]))
    return hit


def test_a_damaged_object_gives_other_results_or_none(
    made: Made, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    _, steps, expected, _ = made
    store = opened(copied(server, made, "damaged"))
    assert isinstance(store, ObjectStore)
    hits = [
        damage(store, "fewshot", "scores.parquet", "flipped"),
        damage(store, "draw", "env.json", "gone"),
        damage(store, "pool", "pool.parquet", "torn"),
        damage(store, "done", steps.of_kind("task")[0].key, "torn"),
    ]
    assert len(run_here(steps, store)) >= 3
    said = capsys.readouterr().err
    for hit in hits[:3]:
        assert f"{store.address}/{hit} " in said
    assert results(steps, store, tmp_path) == expected
    assert run_here(steps, store) == []


@pytest.mark.long
def test_two_drivers_at_once_get_other_results(
    made: Made, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two machines computes the same stages at once; one computes the rest."""
    _, steps, expected, _ = made
    address = server.bucket("two")
    both = [ObjectStore(tmp_path / name, address) for name in ("a", "b")]
    torch.set_num_threads(1)
    with ThreadPoolExecutor(2) as drivers:
        # Those that are neither trained nor drawn, which takes most of the time.
        quick = {"draw", "pretrain"}.isdisjoint
        for one in [s for s in steps.stages if quick({s.kind, *s.inputs})]:
            together = [drivers.submit(compute, one, store, lambda _: None) for store in both]
            for driver in together:
                driver.result()
    run_here(steps, both[0])
    for store in both:
        assert results(steps, store, tmp_path) == expected
    store = opened(address)
    assert isinstance(store, ObjectStore)
    assert run_here(steps, store) == []
    names = store._remote.listed("")
    attempts = Counter(tuple(name.split("/")[:2]) for name in names if name.endswith("/spec.json"))
    assert set(attempts.values()) == {1}, "an attempt is left"
    kinds = {name.partition("/")[0] for name in names}
    assert kinds == {"done", *(stage.kind for stage in steps.stages)}


UPLOADER = """
import sys
from pathlib import Path
from wherefrom.study.objects import ObjectStore
with ObjectStore(Path(sys.argv[1]), sys.argv[2]).write("draw", "0123", {}) as out:
    for number in range(15):
        (out / f"{number}.bin").write_bytes(bytes(9 << 20))
"""


def test_a_killed_uploader_leaves_a_stage_half_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.bucket("killed")
    store = ObjectStore(tmp_path / "b", address)
    command = [sys.executable, "-c", UPLOADER, str(tmp_path / "a"), address]
    uploader = subprocess.Popen(command)
    limit = time.monotonic() + 100
    while not store._remote.listed("draw/0123"):
        assert time.monotonic() < limit, "nothing is uploaded"
        assert uploader.poll() is None
    uploader.send_signal(signal.SIGKILL)
    uploader.wait()
    assert not store.done("draw", "0123")
    assert store.fault("draw", "0123")
    with store.write("draw", "0123", {"label": "x", "document": {}}) as out:
        (out / "0.bin").write_bytes(b"small")
    there = store._remote.listed("draw/0123")
    assert sorted(name.partition("/")[2] for name in there) == ["0.bin", "env.json", "spec.json"]


def test_the_limit_of_the_cache_changes_results_or_is_not_kept(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, steps, expected, address = made
    store = opened(address)
    whole = sum(objects._Listing.read(text).bytes for text in listings(store))  # type: ignore
    monkeypatch.setenv("WHEREFROM_STORE_CACHE", str(whole // 2))
    for one in reversed(steps.stages):
        with store.using():
            store.sound(one)
        assert sum(f.stat().st_size for f in store.root.glob("*/*/*")) <= whole // 2 + 20_000
    assert not all((store.folder(one.kind, one.key)).exists() for one in steps.stages)
    monkeypatch.setenv("WHEREFROM_STORE_CACHE", "1")
    with pytest.warns(UserWarning, match="more is allowed by WHEREFROM_STORE_CACHE"):
        assert results(steps, store, tmp_path) == expected


def listings(store: Store) -> list[str]:
    assert isinstance(store, ObjectStore)
    return [store._remote.read(f"done/{one}").decode() for one in store._remote.listed("done")]


@pytest.fixture
def guarded(server: Server) -> Iterator[Callable[..., dict[str, str]]]:
    """Let the server look at rights; give keys of one who has some of them alone."""
    import boto3

    iam = boto3.client(
        "iam", endpoint_url=server.env["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id="root", aws_secret_access_key="root",
    )  # fmt: skip

    def keys(*allowed: str) -> dict[str, str]:
        remote.forget()
        server.asked("POST", "/moto-api/reset-auth", b"Infinity")
        name = f"user-{time.time_ns()}"
        every = {"Effect": "Allow", "Action": list(allowed), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [every]})
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        server.asked("POST", "/moto-api/reset-auth", b"0")
        return {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    yield keys
    server.asked("POST", "/moto-api/reset-auth", b"Infinity")
    remote.forget()


def test_a_lack_of_rights_is_found_out_after_the_work(
    made: Made, server: Server, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    guarded: Callable[..., dict[str, str]],
) -> None:  # fmt: skip
    address = server.bucket("rights")
    cases = {
        ("s3:GetObject", "s3:PutObject"): "may not be read with these credentials: they need s3:",
        ("s3:ListBucket", "s3:PutObject"): "may not be read with these credentials: they need s3:",
        ("s3:ListBucket", "s3:GetObject"): "may not be written with these credentials: they need",
    }
    for rights, said in cases.items():
        for name, text in guarded(*rights).items():
            monkeypatch.setenv(name, text)
        with pytest.raises(WherefromError, match=f"^{address}.*{said}"):
            opened(address).ready()
    words = ("--scale", "debug", "--store", address, "--out", tmp_path)
    assert said in run("study", "run", made[0], *words).error  # and no worker was started
    for name, text in KEYS.items():
        monkeypatch.setenv(name, text)
    remote.forget()
    with pytest.raises(WherefromError, match="the credentials are refused as wrong"):
        opened(address).ready()
    for name, text in guarded("s3:*").items():
        monkeypatch.setenv(name, text)
    opened(address).ready()
