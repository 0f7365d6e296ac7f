"""Audit numbers as stages of a study, the recipe that asks for them, and what it may not ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from wherefrom.compose import Composition, drawn
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.study import Store, Study, load, plan
from wherefrom.study.audits import audited, write_numbers

STUDY = Path(__file__).resolve().parents[2] / "studies" / "kaur2026"
CONTENT = yaml.safe_load((STUDY / "study.yaml").read_text(encoding="utf-8"))


def changed(folder: Path, **base: Any) -> Path:
    """Write the recipe with other parts of its base."""
    file = folder / "study.yaml"
    content = {"base": {**CONTENT["base"], **base}, "scales": CONTENT["scales"]}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def study(folder: Path, **base: Any) -> Study:
    return load(changed(folder, **base), "debug", models=["satclip-L40"])


@pytest.mark.parametrize("scale", ["debug", "laptop", "paper"])
def test_a_scale_of_the_recipe_is_no_study(scale: str) -> None:
    made = plan(load(STUDY, scale))
    study = made.study
    draws = [stage for stage in made.of_kind("draw") if not stage.of.empty]
    assert len(made.of_kind("audit")) == len(draws)
    continents = {chosen.origin for chosen in study.samplers.values() if chosen.origin}
    assert len(continents) == 6
    assert {layer for layer, _ in continents} == {"continent"}
    assert {claim.source for claim in study.claims} == {"arXiv 2604.21104", "arXiv 2501.12535"}
    sizes = {stage.spec["n"] for stage in draws}
    assert sizes == {study.composition_size}
    assert study.composition_size == {"debug": 512, "laptop": 10_000, "paper": 700_000}[scale]


def test_the_recipe_does_not_repeat_the_draws_of_the_first_study() -> None:
    """What both have is computed once where they share a folder."""
    first = {stage.key for stage in plan(load(STUDY.parent / "purohit2025", "laptop")).stages}
    shared = [stage for stage in plan(load(STUDY, "laptop")).stages if stage.key in first]
    labels = {stage.label for stage in shared if stage.kind in ("draw", "pretrain")}
    assert {
        "draw uniform 0",
        "draw only-europe 5",
        "pretrain satclip-L40 uniform block 5",
    } <= labels


def test_an_audit_number_changes_what_is_trained(tmp_path: Path) -> None:
    with_them, without = plan(study(tmp_path)), plan(study(tmp_path, audits={}, claims=[],
                                                           repeats={}))  # fmt: skip
    assert not without.of_kind("audit")
    same = {stage.key for stage in with_them.stages if stage.kind != "audit"}
    assert same == {stage.key for stage in without.stages}


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ({"audits": {"beauty": {"number": "beauty"}}}, "audits.beauty.number: Input should be"),
        ({"audits": {"rain": {"number": "mean", "layer": "rian"}}}, "unknown layer 'rian'"),
        ({"audits": {"hills": {"number": "diversity", "layer": "slope"}}}, "holds values, not lab"),
        ({"audits": {}}, "unknown audit number 'spectral-entropy'"),
        ({"correlated": ["uniform", "unifrom"]}, "unknown composition 'unifrom'"),
        ({"correlated": ["uniform", "uniform"]}, "correlated: a value occurs twice"),
    ],
)
def test_what_cannot_be_told_is_found_in_the_middle_of_a_run(
    tmp_path: Path, base: dict[str, Any], said: str
) -> None:
    if "beauty" in said or "holds" in said or "rian" in said:
        base = base | {"claims": [], "repeats": {}}
    with pytest.raises(WherefromError, match=said):
        plan(study(tmp_path, **base))


def test_a_continent_with_too_few_places_is_filled_in_silence() -> None:
    pool = Pool.build(2000, seed=0)
    with pytest.raises(WherefromError, match="'Oceania' has 121 of 500; use a larger pool"):
        drawn(pool, "only:layer=continent,label=Oceania", 500)


def test_numbers_are_of_other_places_than_the_draw_or_means_of_other_draws(tmp_path: Path) -> None:
    small = load(STUDY, "debug", models=["satclip-L40"])
    made = plan(small)
    store = Store(tmp_path / "store")
    pool = Pool.build(4000, seed=0)
    values = pool.codes("continent")[0]
    expected = []
    for number, stage in enumerate(s for s in made.of_kind("audit") if "uniform" in s.label):
        composition = drawn(pool, "uniform", 400, number)
        codes = values[pool.take(composition.ids)]
        shares = np.unique(codes[codes >= 0], return_counts=True)[1] / (codes >= 0).sum()
        expected.append(-(shares * np.log(shares)).sum())
        with store.write(stage.kind, stage.key, {"label": "", "document": stage.document}) as out:
            write_numbers(small.audits, composition, pool, {}, out)
            told = json.loads((out / "numbers.json").read_text())
            assert told["continents"][""] == pytest.approx(expected[-1])
            assert told["distance"] == {}
    assert len(expected) == 2
    found = audited(made, store)
    assert found["continents"][""] == {"uniform": pytest.approx(np.mean(expected))}


def test_a_number_of_the_wrong_kind_of_column_is_not_named(tmp_path: Path) -> None:
    small = study(tmp_path, audits={"wet": {"number": "mean", "layer": "wet"}}, claims=[],
                  repeats={})  # fmt: skip
    table = Pool.build(50, seed=0).table
    pool = Pool.from_table(table.append_column("wet", [["yes"] * 50]))
    composition: Composition = drawn(pool, "uniform", 10)
    with pytest.raises(WherefromError, match=r"audits\.wet: .*wet"):
        write_numbers(small.audits, composition, pool, {}, tmp_path)
