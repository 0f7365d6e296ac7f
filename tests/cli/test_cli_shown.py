"""What commands print: a label, a column or a file's name never steers the terminal."""

from __future__ import annotations

import csv
import json
import unicodedata
from pathlib import Path

import pytest
import yaml
from running import Done, Run

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"
RLO = chr(0x202E)
LABELS = ("\x1b[31mred\x1b[0m", f"a{RLO}b", r"$\input{x}$", "<$10%", "[/b]", "new\nline", "=1+1")


@pytest.fixture
def places(tmp_path: Path) -> Path:
    file = tmp_path / f"$x$ {RLO}\x1b[1m.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "lon", "lat", "use", "\x1b[7mother"])
        for i in range(700):
            lon, lat = 2 + (i * 0.618 % 1) * 25, 45 + (i * 0.414 % 1) * 10
            rows.writerow([i, f"{lon:.4f}", f"{lat:.4f}", LABELS[i % len(LABELS)], 1])
    return file


def clean(done: Done, code: int = 0) -> str:
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert not [c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf")]
    return text


def test_an_audit_steers_the_terminal_or_ends_without_a_page(
    run: Run, places: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    clean(run("audit", places, "--layers", "use", "--out", page))
    assert RLO not in page.read_text("utf-8")
    done = run("audit", places, "--layers", "use", "--json", "-")
    clean(done)
    labels = {row["label"] for row in json.loads(done.stdout)["layers"]["use"]["rows"]}
    assert set(LABELS) <= labels


def test_a_study_steers_the_terminal(run: Run, tmp_path: Path) -> None:
    content = yaml.safe_load((STUDY / "study.yaml").read_text("utf-8"))
    file = tmp_path / f"{RLO}study.yaml"

    def plan(code: int = 0, **changes: object) -> str:
        changed = {**content, "base": {**content["base"], **changes}}
        file.write_text(yaml.safe_dump(changed), "utf-8")
        return clean(run("study", "plan", file, "--scale", "debug"), code)

    assert "purohit2025, scale debug" in plan(title=f"{RLO}\x1b[2J", notice="[/b]")
    assert "\\x1b[2J" in plan(2, name="[/b]\x1b[2J")
    assert "\\u202eno" in plan(2, references=[f"{RLO}no"])
    assert "\\x1b[1mno" in plan(2, compositions={"none": "none", "uniform": "\x1b[1mno"})
    clean(run("study", "report", file, "--scale", f"{RLO}debug"), 2)


def test_other_commands_steer_the_terminal(run: Run, places: Path, tmp_path: Path) -> None:
    out = tmp_path / f"{RLO}.parquet"
    assert "\\x1b[7mother" in clean(run("pool", "check", places))
    text = clean(run("draw", places, "--sampler", "stratified:layer=use", "-n", 70, "--out", out))
    assert "\\x1b[31mred" in text
    for label in LABELS[:2]:
        spec = f"only:layer=use,label={json.dumps(label)}"
        clean(run("draw", places, "--sampler", spec, "-n", 7, "--out", out))
    text = clean(run("task", "from-table", places, "--label", "use", "--out", out))
    assert "new\\nline" in text
    clean(run("task", "from-table", places, "--label", "\x1b[1mno", "--out", out), 2)
    clean(run("audit", places, "--layers", f"{RLO}no"), 2)
