"""``wherefrom study plan`` with prices: a table, wall times, what fits, one line for a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from made_study import finish, study_file
from running import Done, Run

from wherefrom.study import Store, load, plan
from wherefrom.study.price import Ledger

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "purohit2025"
COMPOSITIONS = {"none": "none", "uniform": "uniform", "cities": "stratified:layer=continent"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write a study whose few-shot stages are finished, made up."""
    folder = tmp_path_factory.mktemp("study")
    file = study_file(folder, 4, compositions=COMPOSITIONS)
    finish(plan(load(file, "laptop")), Store(folder / "store"), {"none": 0.5, "cities": 0.8})
    return file, folder


def own(text: str) -> list[str]:
    """Return the lines that a price adds to a plan."""
    lines = text.splitlines()
    return lines[next(i for i, one in enumerate(lines) if one in ("to run", "in all")) :]


def amount(done: Done, pattern: str) -> float:
    (found,) = re.findall(pattern, done.stdout.replace("\n", " "))
    return float(found.replace(",", ""))


def test_a_plan_that_nobody_priced_looks_otherwise(run: Run, tmp_path: Path) -> None:
    plain = run("study", "plan", STUDY, "--scale", "debug", "--out", tmp_path)
    assert plain.returncode == 0, plain.stderr
    last = plain.stdout.splitlines()[-2:]
    assert re.fullmatch(r"left: [\d.]+ core hours, estimated", last[0])
    assert last[1].endswith("--price, --gpus, --cores, --budget")
    priced = run("study", "plan", STUDY, "--scale", "debug", "--out", tmp_path, "--cores", 2)
    assert priced.stdout.startswith("\n".join(plain.stdout.splitlines()[:-2]))


def test_the_published_scale_is_priced_in_another_sum(run: Run, tmp_path: Path) -> None:
    asked = ("--gpus", 1000, "--price", 2.5, "--core-price", 0.03, "--currency", "usd")
    done = run("study", "plan", STUDY, "--scale", "paper", "--out", tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    lines = own(done.stdout)
    assert all(len(line) <= 80 for line in lines)
    assert "USD" in lines[1]
    (total,) = (line.split() for line in lines if line.startswith("in all"))
    assert total[2:6] == ["1,324", "77.4", "2,910", "1.56"]
    at = next(i for i, line in enumerate(lines) if line.startswith("in all"))
    money = [float(line.split()[-1].replace(",", "")) for line in lines[2:at]]
    assert len(money) == 8  # shared, six compositions, and what stands beside
    assert sum(money) == pytest.approx(float(total[-1].replace(",", "")), abs=0.05)
    assert "GPU hours of 691 stages are unknown" in " ".join(lines)
    assert "more than 60 GPUs gain at most 5 per cent: 2 days" in " ".join(lines)
    assert "s: GPU hours as the study file states them" in " ".join(lines)


def test_gpus_that_nobody_measured_are_given_a_time(run: Run, tmp_path: Path) -> None:
    words = ("study", "plan", STUDY, "--scale", "debug", "--out", tmp_path)
    done = run(*words, "--gpus", 8, "--price", 2.5)
    assert done.returncode == 0, done.stderr
    said = " ".join(own(done.stdout))
    assert "on 8 GPUs: unknown, for no stage that is left has GPU hours" in said
    (total,) = (line.split() for line in own(done.stdout) if line.startswith("in all"))
    assert total.count("unknown") == 2  # GPU hours, and what they cost
    assert "8 GPUs and" not in said


def test_results_do_not_tell_what_to_run(run: Run, finished: tuple[Path, Path]) -> None:
    file, out = finished
    words = ("study", "plan", file, "--out", out, "--budget")
    reached, taken = [], []
    for budget in ("0.02coreh", "0.05coreh", "0.2coreh"):
        done = run(*words, budget)
        assert done.returncode == 0, done.stderr
        assert "by the variances of the finished runs" in done.stdout.replace("\n", " ")
        taken.append(amount(done, r"this fits, and takes ([\d.,]+) core hours"))
        assert taken[-1] <= float(budget.removesuffix("coreh"))
        reached.append(amount(done, r"a difference to uniform of ([\d.]+) would"))
    assert reached == sorted(reached, reverse=True)  # a larger budget finds a smaller difference
    assert reached[0] > reached[-1]
    assert taken == sorted(taken)


def test_what_results_propose_costs_more_than_it_says(
    run: Run, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    file, out = finished
    done = run("study", "plan", file, "--out", out, "--budget", "0.03coreh")
    lines = done.stdout.splitlines()
    at = lines.index("  # under scales: laptop: of the study file")
    proposed = [line for line in lines[at:] if line.startswith("  ")]
    content = yaml.safe_load(file.read_text())
    content["scales"]["laptop"] = yaml.safe_load("\n".join(proposed))
    other = tmp_path / "study.yaml"
    other.write_text(yaml.safe_dump(content))
    store = Store(out / "store")
    ledger = Ledger(plan(load(file, "laptop")), store)
    takes = amount(done, r"this fits, and takes ([\d.]+) core hours")
    left = ledger.price(plan(load(other, "laptop"))).in_all_left.core_hours
    assert left <= 0.03
    assert left == pytest.approx(takes, rel=0.01)


def test_a_rule_is_sold_as_a_measurement(run: Run, tmp_path: Path) -> None:
    words = ("study", "plan", STUDY, "--scale", "paper", "--out", tmp_path, "--budget")
    fits = " ".join(run(*words, "1000gpuh").stdout.split())
    assert "this fits, and takes 873 GPU hours" in fits
    assert "by rule, since no results tell what each would find: 3 blocks first" in fits
    assert "stratified-biome: null" not in fits
    small = " ".join(run(*words, "5gpuh").stdout.split())
    assert "nothing that is tried fits: even 2 blocks take 194 GPU hours, with:" in small
    whole = " ".join(run(*words, "3000gpuh").stdout.split())
    assert "it fits as it stands" in whole
    assert "by rule" not in whole


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--budget", "200"], "no hour has a price: give --price"),
        (["--budget", "200gb", "--price", "1"], "unknown unit 'gb': write 200gpuh"),
        (["--budget", "lots"], "is no amount with a unit: write 200gpuh"),
        (["--budget", "9gpuh"], "state models.NAME.gpu_hours_per_run"),
        (["--budget", "9eur", "--price", "2"], "give the missing price"),
        (["--price", "-1"], "--price -1: a price is a number from 0 on"),
        (["--core-price", "nan"], "--core-price nan: a price is a number from 0 on"),
        (["--currency", "E1"], "--currency 'E1': name one in letters"),
        (["--currency", "gpuh"], "--currency 'gpuh': name one in letters"),
    ],
)
def test_a_mistake_is_priced(run: Run, tmp_path: Path, words: list[str], says: str) -> None:
    done = run("study", "plan", STUDY, "--scale", "debug", "--out", tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
