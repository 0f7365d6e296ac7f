"""The study's commands: resumable to the bit, one error for a mistake, nothing lost."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from running import Run

from wherefrom.study import Store, load, plan
from wherefrom.study.run import missing as lacking

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "purohit2025"


def wherefrom(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "wherefrom", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | env,
        check=False,
    )


def run_alone(file: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Run a study with one worker, whose imports take as long as what is left to do."""
    return wherefrom("study", "run", file, "--scale", "debug", "--out", out, "--workers", 1)


def small(folder: Path, **change: Any) -> Path:
    """Write a study of two compositions and both kinds of models that takes seconds."""
    content = yaml.safe_load((STUDY / "study.yaml").read_text())
    base = content["base"]
    few = {"train_per_region": 300, "test_per_region": 100}
    few |= {"tune_train_per_region": 10, "tune_test_per_region": 10}
    own = {"ecoregions": ["raw-lonlat", "majority"], "cropland": ["raw-series"]}
    base["tasks"] = {
        name: base["tasks"][name] | few | {"baselines": baselines}
        for name, baselines in own.items()
    }
    base["tasks"]["cropland"] |= {"train_per_region": 120, "test_per_region": 60}
    base["tasks"]["cropharvest"] = {"kind": "cropharvest"}
    base["compositions"] = {"none": "none", "uniform": "uniform"}
    base["composition_size"] = 1000
    base["pool"] = {"places": 6000}
    base["payloads"] = {"blue-marble": {"images": ["blue-marble"], "filters": 1}}
    base["models"] = {
        "satclip-L10": base["models"]["satclip-L10"]
        | {
            "width": 64,
            "pretrain": {"samples_seen": 25600, "batch": 256, "lr": 1.0e-3},
            "blocks": 1,
        },
        "presto": base["models"]["presto"]
        | {
            "pretrain": {"samples_seen": 240, "batch": 8, "lr": 1.0e-3},
            "blocks": 1,
        },
    }
    base["published"] = {"presto-official": {"kind": "presto", "tasks": ["cropland"]}}
    base["finetune_seeds"] = 5
    base["heads"] = {"logistic": {}, "majority": {}}
    base["sweep"] = None
    base["headlines"] = [
        {"model": "satclip-L10", "head": "logistic"},
        {"model": "presto", "head": "logistic"},
    ]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base | change, "scales": {"debug": {}}}))
    return file


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Run the small study once, uninterrupted."""
    folder = tmp_path_factory.mktemp("study")
    file, out = small(folder), folder / "out"
    done = wherefrom("study", "run", file, "--scale", "debug", "--out", out)
    assert done.returncode == 0, done.stderr
    return file, out, done.stdout


def give(finished: tuple[Path, Path, str], out: Path, whether: Callable[[str], bool]) -> None:
    """Give another run the finished stages of such labels, so that it has the others to do."""
    for spec in finished[1].glob("store/*/*/spec.json"):
        if whether(yaml.safe_load(spec.read_text())["label"]):
            stage = spec.parent
            shutil.copytree(stage, out / stage.relative_to(finished[1]))


def flip(file: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def test_a_run_ends_without_table_or_report(finished: tuple[Path, Path, str]) -> None:
    _, out, stdout = finished
    assert "uniform" in stdout
    assert "Africa" in stdout
    page = out / "report.html"
    assert f"report: {page}" in stdout
    assert page.stat().st_size > 100_000
    assert "time taken" in page.read_text()
    results = pq.read_table(out / "results.parquet")
    found = {(row["task"], row["model"]) for row in results.select(["task", "model"]).to_pylist()}
    places = next(task for task, _ in found if task.startswith("ecoregions-"))
    assert found == {
        (places, "satclip-L10"),
        (places, "raw-lonlat"),
        (places, "majority"),
        ("cropland", "presto"),
        ("cropland", "raw-series"),
    }


def test_what_the_data_do_not_allow_is_an_error_or_goes_unsaid(
    finished: tuple[Path, Path, str], run: Run
) -> None:
    file, out, _ = finished
    planned = run("study", "plan", file, "--scale", "debug", "--out", out)
    assert planned.returncode == 0, planned.stderr
    page = (out / "report.html").read_text()
    for text in (planned.stdout, page):
        for what in ("cropharvest", "presto-official"):
            assert re.search(rf"[Ll]eft out.*{what}", text, re.DOTALL), what


def test_a_second_call_computes_again(finished: tuple[Path, Path, str]) -> None:
    file, out, stdout = finished
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    again = run_alone(file, out)
    assert again.returncode == 0, again.stderr
    assert again.stdout == stdout
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("model", ["satclip-L10", pytest.param("presto", marks=pytest.mark.long)])
def test_a_killed_run_that_goes_on_gives_other_scores(
    finished: tuple[Path, Path, str], tmp_path: Path, model: str
) -> None:
    file, out, _ = finished
    give(finished, tmp_path, lambda label: model not in label)
    (run,) = [
        stage
        for stage in plan(load(file, "debug")).of_kind("pretrain")
        if stage.label == f"pretrain {model} uniform block 0"
    ]
    command = [sys.executable, "-m", "wherefrom", "study", "run", file, "--scale", "debug"]
    running = subprocess.Popen(
        [*map(str, command), "--out", str(tmp_path), "--workers", "1"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Inside the pre-training: a checkpoint is there, its stage is not.
    store = Store(tmp_path / "store")
    limit = time.monotonic() + 240
    try:
        while not list(store.partial(run.kind, run.key).glob("checkpoint*")):
            assert time.monotonic() < limit, "no checkpoint was written"
            time.sleep(0.01)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert not store.done(run.kind, run.key)
    assert not (tmp_path / "results.parquet").exists()
    if damage := model == "presto":
        (state,) = store.partial(run.kind, run.key).glob("checkpoint.pt")
        flip(state)
    resumed = run_alone(file, tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert ("is damaged" in resumed.stderr) == damage
    assert pq.read_table(tmp_path / "results.parquet").equals(
        pq.read_table(out / "results.parquet")
    )
    weights = "weights.safetensors"
    made = [Store(each / "store").folder(run.kind, run.key) / weights for each in (out, tmp_path)]
    assert made[0].read_bytes() == made[1].read_bytes()


#: What a disk, a copy or a person does to a file.
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "a bit flipped": lambda b: bytes(c ^ 1 for c in b[:1]) + b[1:],
    "the middle zeroed": lambda b: b[: len(b) // 3] + bytes(len(b) // 3 + 1) + b[2 * len(b) // 3 :],
    "cut": lambda b: b[: len(b) // 2],
    "emptied": lambda _: b"",
    "longer": lambda b: b + b"\0",
    "of another": lambda b: b[::-1],
    "removed": lambda _: b"nothing",
}


def test_damage_of_a_stored_file_goes_unsaid(
    finished: tuple[Path, Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every file of a stage of each kind, damaged in every way: the stage is computed again."""
    file, out, _ = finished
    steps, whole, faults = plan(load(file, "debug")), Store(out / "store"), 0
    stages = {stage.kind: stage for stage in steps.stages if stage.spec.get("head") != "majority"}
    assert set(stages) == {"pool", "task", "payload", "draw", "pretrain", "fewshot"}
    for kind, stage in stages.items():
        needed = {s.key for s in steps.stages if stage.key in {i.key for i in s.inputs.values()}}
        folder = whole.folder(kind, stage.key)
        for path, (way, damaged) in product(sorted(folder.iterdir()), WAYS.items()):
            content = path.read_bytes()
            if damaged(content) == content:
                continue  # of an empty file
            store = Store(file.parent / f"damaged-{faults}")
            for other in steps.stages:
                if other.key not in needed:  # which would read what is damaged
                    source, target = (s.folder(other.kind, other.key) for s in (whole, store))
                    shutil.copytree(source, target, copy_function=os.link)
            hit = store.folder(kind, stage.key) / path.name
            hit.unlink()
            if way != "removed":
                hit.write_bytes(damaged(content))
            missing = {s.key for s in lacking(steps, store)}
            assert missing >= {stage.key, *needed}, f"{kind}/{path.name} {way}"
            said = capsys.readouterr().err
            assert stage.key in said or path.name == "done", f"{kind}/{path.name} {way}: {said}"
            shutil.rmtree(store.root)
            faults += 1
    assert faults >= 200


@pytest.mark.long
def test_a_damaged_store_changes_the_scores_or_ends_in_a_traceback(
    finished: tuple[Path, Path, str], tmp_path: Path
) -> None:
    file, whole, stdout = finished
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    for stage in (out / "store" / "fewshot").iterdir():
        if "presto" in (stage / "spec.json").read_text():
            shutil.rmtree(stage)  # so that what they were made of is read
    hit = ["task/*/task.parquet", "payload/*/raw.npy", "pretrain/*/weights.safetensors"]
    hit += ["fewshot/*/scores.parquet", "../results.parquet"]
    for pattern in hit:
        for path in (out / "store").glob(pattern):
            flip(path)
    for note in (out / "store" / "clock").glob("*/*"):
        note.write_bytes(b"")
    done = run_alone(file, out)
    assert done.returncode == 0, done.stderr
    for name in ("task.parquet", "raw.npy", "weights.safetensors", "scores.parquet"):
        assert f"{name} is not as it was written" in " ".join(done.stderr.split()), name
    assert "Traceback" not in done.stderr
    assert done.stdout.replace(str(out), str(whole)) == stdout
    results = "results.parquet"
    assert (out / results).read_bytes() == (whole / results).read_bytes()
    for path in (out / "store" / "draw").glob("*/composition.parquet"):
        flip(path)
    report = wherefrom("study", "report", file, "--scale", "debug", "--out", out)
    assert report.returncode == 2
    assert re.fullmatch(r"error: draw .* run the study again.*\n", report.stderr), report.stderr


def test_a_failed_stage_sinks_the_others(finished: tuple[Path, Path, str], tmp_path: Path) -> None:
    compositions = {
        "none": "none",
        "uniform": "uniform",
        "small": "only:layer=continent,label=Oceania",
    }
    file, out = small(tmp_path, compositions=compositions), tmp_path / "out"
    give(finished, out, lambda label: not label.startswith("fewshot"))
    done = run_alone(file, out)
    assert done.returncode == 2
    assert "draw small 0" in done.stderr
    assert "Traceback" not in done.stderr
    labels = {yaml.safe_load(p.read_text())["label"] for p in out.glob("store/fewshot/*/spec.json")}
    assert any(
        label.startswith("fewshot satclip-L10 uniform block 0 ecoregions") for label in labels
    )
    assert "fewshot presto uniform block 0 cropland logistic" in labels


@pytest.mark.long
def test_a_failed_head_sinks_the_others_of_its_run(
    finished: tuple[Path, Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished[1], out)
    # Heads run in the order of the file, which is that of the alphabet here.
    sinks = {"options": {"lr": 1e30, "steps": 2}, "models": ["satclip-L10"], "finetune_seeds": 1}
    heads = {"finetune": sinks, "logistic": {"options": {"C": 2.0}}, "majority": {}}
    done = run_alone(small(tmp_path, heads=heads), out)
    assert done.returncode == 2
    assert re.search(r"fewshot satclip-L10 none block 0 ecoregions-\w+ finetune", done.stderr)
    assert "Traceback" not in done.stderr
    specs = [yaml.safe_load(p.read_text()) for p in out.glob("store/fewshot/*/spec.json")]
    fitted = {s["label"] for s in specs if s["document"]["spec"]["options"] == {"C": 2.0}}
    assert "fewshot presto none block 0 cropland logistic" in fitted


def test_a_study_in_which_no_region_can_be_evaluated_is_run(run: Run, tmp_path: Path) -> None:
    done = run(
        "study", "run", small(tmp_path, n=301), "--scale", "debug", "--out", tmp_path / "out"
    )
    assert done.error.startswith("n = 301: task 'ecoregions': each region has 300 labelled places")
    assert not (tmp_path / "out").exists()


def test_a_changed_title_or_name_leaves_the_old_report(
    finished: tuple[Path, Path, str], run: Run, tmp_path: Path
) -> None:
    _, out, _ = finished
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    renamed = small(
        tmp_path / "renamed",
        title="Another title",
        compositions={"none": "none", "evenly": "uniform"},
        references=["evenly", "none"],
    )
    done = run("study", "run", renamed, "--scale", "debug", "--out", copy)
    assert done.returncode == 0, done.stderr
    assert "stages in" not in done.stderr, "nothing was to be computed"
    assert "evenly" in done.stdout
    assert "Another title" in (copy / "report.html").read_text()


def test_the_report_of_another_study_is_written_over(
    finished: tuple[Path, Path, str], run: Run, tmp_path: Path
) -> None:
    _, out, _ = finished
    other = small(tmp_path / "other", name="another")
    for command in ("run", "report"):
        done = run("study", command, other, "--scale", "debug", "--out", out)
        assert done.returncode != 0
        assert "holds the report of study" in done.stderr
        assert "--store" in done.stderr
    own = tmp_path / "own"
    shared = ("--store", out / "store")
    done = run("study", "run", other, "--scale", "debug", "--out", own, *shared)
    assert done.returncode == 0, done.stderr
    assert "stages in" not in done.stderr, "nothing was to be computed"
    assert (own / "report.html").exists()
    assert not (own / "store").exists()


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start the small study; give its process and the id of its first worker, just begun."""
    command = [sys.executable, "-m", "wherefrom", "study", "run", str(small(tmp_path))]
    running = subprocess.Popen(
        [*command, "--scale", "debug", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Of a shell's background jobs Ctrl-C is ignored, and what they start inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    limit = time.monotonic() + 60
    try:
        if not children.exists():
            pytest.skip("needs Linux to see the workers start")
        # The first child only tracks resources.
        while len(found := children.read_text().split()) < 2:
            assert time.monotonic() < limit, "no worker was started"
            time.sleep(0.01)
        yield running, int(found[1])
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def test_ctrl_c_at_the_start_ends_in_tracebacks_of_the_workers(
    starting: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    running, _ = starting
    time.sleep(0.2)  # amid the worker's imports
    os.killpg(running.pid, signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in stderr
    assert "run the same command to go on" in stderr
    # The time of this call is part of the study's.
    assert list(tmp_path.glob("out/store/clock/*/*"))


@pytest.mark.parametrize("after", [0.0, 0.4, 1.2, 3.0])
def test_workers_outlive_a_killed_driver(
    starting: tuple[subprocess.Popen[str], int], after: float
) -> None:
    running, _ = starting
    time.sleep(after)
    running.kill()
    running.wait()
    limit = time.monotonic() + 5
    while left := alive(running.pid):
        assert time.monotonic() < limit, f"processes {left} are still there"
        time.sleep(0.05)


def alive(group: int) -> list[int]:
    """Processes of a group that are not yet dead."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of = stat.read_text().rpartition(")")[2].split()[:3]
            if int(of) == group and state != "Z":
                found.append(int(stat.parent.name))
    return found


def test_a_killed_worker_ends_in_a_traceback(
    starting: tuple[subprocess.Popen[str], int],
) -> None:
    running, worker = starting
    os.kill(worker, signal.SIGKILL)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "a worker process was killed" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "--workers"),
        (["--workers", "two"], "--workers"),
        (["--out", "OUT/file"], "choose another folder"),
        (["--scale", "debgu"], "did you mean 'debug'"),
    ],
)
def test_a_mistake_on_the_command_line_ends_in_a_traceback(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "file").touch()
    words = [word.replace("OUT", str(tmp_path)) for word in arguments]
    done = run("study", "run", small(tmp_path), "--scale", "debug", *words)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_full_disk_loses_what_was_finished(finished: tuple[Path, Path, str]) -> None:
    file, whole, _ = finished
    out = file.parent / "full"
    out.mkdir(exist_ok=True)
    # Room for what is given and the weights of SatCLIP, not for those of Presto.
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2600k", "tmpfs", str(out)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        give(finished, out, lambda label: not label.startswith(("pretrain", "fewshot")))
        given = {p.parent for p in out.glob("store/*/*/done")}
        done = run_alone(file, out)
        assert done.returncode == 2
        assert "disk full" in done.stderr
        assert "Traceback" not in done.stderr
        finished_stages = {p.parent for p in out.glob("store/*/*/done")}
        assert finished_stages > given
        subprocess.run(["mount", "-o", "remount,size=200m", str(out)], check=True)
        again = run_alone(file, out)
        assert again.returncode == 0, again.stderr
        assert pq.read_table(out / "results.parquet").equals(
            pq.read_table(whole / "results.parquet")
        )
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_the_plan_hides_which_field_changed(finished: tuple[Path, Path, str], run: Run) -> None:
    file, out, _ = finished
    cached = run("study", "plan", file, "--scale", "debug", "--out", out)
    assert cached.returncode == 0, cached.stderr
    assert "changed" not in cached.stdout
    other = small(file.parent / "other", finetune_seeds=4)
    changed = run("study", "plan", other, "--scale", "debug", "--out", out)
    assert "spec.finetune_seeds: 5 -> 4" in changed.stdout


def test_paper_scale_hides_its_cost_or_pretends_to_run(run: Run, tmp_path: Path) -> None:
    planned = run("study", "plan", STUDY, "--scale", "paper", "--out", tmp_path)
    assert planned.returncode == 0, planned.stderr
    for word in ("GPU hours", "TB", "100,000", "cannot run yet"):
        assert word in planned.stdout
    refused = run("study", "run", STUDY, "--scale", "paper", "--out", tmp_path)
    assert refused.returncode == 2
    assert "Sentinel-2" in refused.stderr
    assert not list(tmp_path.rglob("done"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compositions": {"none": "none", "uniform": "unifrom"}}, "did you mean 'uniform'"),
        ({"heads": {"logistc": {}}}, "did you mean 'logistic'"),
        ({"finetune_sedes": 5}, "did you mean 'finetune_seeds'"),
    ],
)
def test_a_mistake_in_the_study_file_ends_in_a_traceback(
    run: Run, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    done = run("study", "run", small(tmp_path, **change), "--scale", "debug", "--out", tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_draw_larger_than_the_pool_is_begun(run: Run, tmp_path: Path) -> None:
    file = small(tmp_path, composition_size=7000)
    done = run("study", "run", file, "--scale", "debug", "--out", tmp_path / "out")
    assert "composition 'uniform': n = 7,000 is larger than the pool" in done.error
