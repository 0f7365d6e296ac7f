"""What a composition reads is in its key, can be stood in for, and two names are two draws."""

from __future__ import annotations

import importlib
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom import earth
from wherefrom.compose import Composition
from wherefrom.earth import fetch
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.progress import Screen
from wherefrom.report.plan import render
from wherefrom.study import Plan, Store, Study, load, plan
from wherefrom.study.stages import compute

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"


@pytest.fixture(scope="module")
def debug() -> Study:
    """Return the shipped study at scale debug."""
    return load(STUDY, "debug")


def with_compositions(study: Study, **texts: str) -> Study:
    """Return the study with more compositions."""
    return study.model_copy(update={"compositions": study.compositions | texts})


def draw_keys(study: Study, name: str) -> list[str]:
    """Return the keys of a composition's draws."""
    return [s.key for s in plan(study).of_kind("draw") if s.axes["composition"] == name]


@pytest.mark.parametrize(
    "text",
    [
        "match:target={file},over=continent,short=cap",
        "ids:file={file}",
        "mixture:parts=0.5*uniform+0.5*match:target={file};over=continent;short=cap",
    ],
)
def test_a_file_that_changes_is_silently_reused(debug: Study, tmp_path: Path, text: str) -> None:
    file = tmp_path / "places.parquet"
    study = with_compositions(debug, mine=text.format(file=file))
    with pytest.raises(WherefromError, match=r"places.parquet: no such file .*'mine'"):
        plan(study)
    Pool.build(debug.composition_size, seed=0).write(file)
    before = draw_keys(study, "mine")
    Pool.build(debug.composition_size, seed=1).write(file)
    after = draw_keys(study, "mine")
    assert not set(before) & set(after)
    assert draw_keys(study, "uniform") == draw_keys(debug, "uniform")


def test_a_file_that_changes_while_a_study_runs_is_taken_for_the_old_one(
    debug: Study, tmp_path: Path
) -> None:
    file = tmp_path / "places.parquet"
    Pool.build(50, seed=0).write(file)
    text = f"match:target={file},over=continent,short=cap"
    stage = next(
        s
        for s in plan(with_compositions(debug, mine=text)).of_kind("draw")
        if s.axes["composition"] == "mine"
    )
    Pool.build(50, seed=1).write(file)
    with pytest.raises(WherefromError, match="has changed since the study began"):
        compute(stage, Store(tmp_path / "store"), lambda _: None)


@pytest.mark.parametrize(
    "text",
    [
        "clustered:around=cities",
        "gaussian-cities:cities=500",
        "mixture:parts=0.5*uniform+0.5*gaussian-cities:cities=500",
        "mixture:parts=0.5*uniform+0.5*clustered:around=cities",
    ],
)
def test_another_list_of_cities_reuses_old_draws(
    debug: Study, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = with_compositions(debug, mine=text)
    before, others = draw_keys(study, "mine"), draw_keys(study, "uniform")
    real = fetch.digest_of
    another = lambda name: "another" if name == "geonames-cities" else real(name)  # noqa: E731
    monkeypatch.setattr(importlib.import_module("wherefrom.study.draws"), "digest_of", another)
    assert not set(before) & set(draw_keys(study, "mine"))
    assert others == draw_keys(study, "uniform")


@pytest.mark.parametrize(
    ("text", "stood_in"),
    [
        ("balanced:over=continent+biome", "balanced:over=continent+climate_zone"),
        (
            "match:target=land,over=biome,short=cap",
            "match:target=land,over=climate_zone,short=cap",
        ),
        (
            "mixture:parts=0.5*uniform+0.5*stratified:layer=biome;short=cap",
            "mixture:parts=0.5*uniform+0.5*stratified:layer=climate_zone;allocation=equal;short=cap",
        ),
        ("stratified:layer=biome,short=cap", "stratified:layer=climate_zone,short=cap"),
        ("only:layer=use,label=biome", "only:layer=use,label=biome"),
    ],
)
def test_a_layer_that_is_absent_stays_where_it_is_not_named_layer(
    tmp_path: Path, text: str, stood_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (STUDY / "study.yaml").read_text()
    content = content.replace("  compositions:\n", f'  compositions:\n    mine: "{text}"\n', 1)
    (tmp_path / "study.yaml").write_text(content)
    real = earth.available
    monkeypatch.setattr(earth, "available", lambda name: name != "biome" and real(name))
    study = load(tmp_path, "debug")
    assert study.compositions["mine"] == stood_in


def drawn(steps: Plan, folder: Path, name: str) -> list[Composition]:
    """Compute the draws of a composition and read them."""
    store = Store(folder)
    found = []
    for stage in steps.stages:
        if stage.kind == "pool" or (stage.axes.get("composition") == name and stage.kind == "draw"):
            if not store.done(stage.kind, stage.key):
                compute(stage, store, lambda _: None)
            if stage.kind == "draw":
                found.append(
                    Composition.read(store.folder("draw", stage.key) / "composition.parquet")
                )
    return found


@pytest.mark.slow
def test_one_spec_under_two_names_is_one_draw_counted_twice(debug: Study, tmp_path: Path) -> None:
    again = with_compositions(debug, again="uniform")
    assert draw_keys(again, "uniform") == draw_keys(debug, "uniform")  # the first name's stay
    steps = plan(again)
    first, second = (drawn(steps, tmp_path, name) for name in ("uniform", "again"))
    size, places = len(first[0].ids), 30_000
    for one in first:
        for other in second:
            # Of 1,000 of 30,000 places, 33 are shared by chance, with a spread of 5.6.
            shared = len(np.intersect1d(one.ids, other.ids))
            assert abs(shared - size**2 / places) < 6 * 5.6, shared


def test_the_order_of_two_names_of_one_spec_changes_their_draws_unsaid(
    debug: Study, tmp_path: Path
) -> None:
    def said(study: Study) -> str:
        shown = io.StringIO()
        Screen(file=shown, width=300).print(render(plan(study), Store(tmp_path)))
        return shown.getvalue()

    assert "under another name" not in said(debug)
    one, other = debug.compositions, {"again": "uniform"}
    for compositions, first, second in (
        (one | other, "uniform", "again"),
        (other | one, "again", "uniform"),
    ):
        study = debug.model_copy(update={"compositions": compositions})
        assert draw_keys(study, first) == draw_keys(debug, "uniform")
        assert f"{second}: {first} under another name, with draws of its own" in said(study)


@pytest.mark.parametrize("change", [{}, {"short": "error"}])
def test_a_spec_written_otherwise_is_taken_for_another(
    debug: Study, change: dict[str, Any]
) -> None:
    flags = "".join(f",{flag}={value}" for flag, value in change.items())
    same = with_compositions(debug, mine=f"stratified:layer=continent,allocation=equal{flags}")
    assert not set(draw_keys(same, "mine")) & set(draw_keys(same, "stratified-continent"))


def test_one_list_under_two_names_is_counted_as_two_compositions(tmp_path: Path) -> None:
    ids = tmp_path / "ids.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3]}), ids)
    shutil.copy(STUDY / "study.yaml", tmp_path / "study.yaml")
    content = (tmp_path / "study.yaml").read_text()
    two = f"  compositions:\n    mine: ids:file={ids}\n    yours: ids:file={ids}\n"
    (tmp_path / "study.yaml").write_text(content.replace("  compositions:\n", two, 1))
    with pytest.raises(WherefromError, match="compositions 'mine' and 'yours' are one"):
        load(tmp_path, "debug")
