"""Kinds of other people in a study: what is wrong with them is said, and early, in one line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from wherefrom import earth, plugins
from wherefrom.errors import WherefromError
from wherefrom.gfms.places import PoolPlaces, TaskData
from wherefrom.pool import Pool
from wherefrom.study import Plan, load, plan
from wherefrom.study.stage import Stage
from wherefrom.study.worker import _failure
from wherefrom.tasks import Task

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"
CODE = '''
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from wherefrom.compose import SamplerModel
from wherefrom.gfms.presto import Presto
from wherefrom.train.heads import Head
from wherefrom.train.heads.finetune import FineTune
from wherefrom.gfms import Gfm


class First(SamplerModel):
    """The first places."""
    name: ClassVar[str] = "first"
    needs_n: ClassVar[bool] = False
    varies: ClassVar[bool] = False
    k: int

    def draw(self, pool, n, rng):
        raise NotImplementedError


class Reader(Presto):
    """Reads a file of the user's and a layer."""
    layers: ClassVar[tuple[str, ...]] = ("climate_zone",)
    shift: str = ""

    @property
    def files(self):
        return (self.shift,) if self.shift else ()


class Lists(Presto):
    """Has a field of a list."""
    widths: list[int] = [1, 2]


class Sets(Presto):
    """Has a field that has no order."""
    widths: set[int] = {1, 2}


class Half(Gfm):
    """Lacks what it costs."""
    mask_ratio: float = 0.5
    precision: str = ""


@dataclass(frozen=True)
class Lora(FineTune):
    """Another way to tune."""
    name: ClassVar[str] = "lora"

    def fit_predict(self, model, module, records, labels, train, test):
        return np.full((len(train), len(test)), 7, np.int16)


@dataclass(frozen=True)
class Broken(Head):
    """Divides by zero."""
    name: ClassVar[str] = "broken"

    def fit_predict(self, features, labels, train, test, seed):
        return 1 / 0
'''


@pytest.fixture(autouse=True)
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "plugs.py").write_text(CODE)
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("plugs", None)


def study(folder: Path, **change: Any) -> Path:
    """Write the study of Presto alone, with parts of its base replaced or merged."""
    base = yaml.safe_load((STUDY / "study.yaml").read_text())["base"]
    presto = base["models"]["presto"] | {"tasks": ["cropland"], "precision": "float32"}
    base["tasks"] = {"cropland": base["tasks"]["cropland"] | {"baselines": ["raw-lonlat"]}}
    base |= {"models": {"presto": presto}, "heads": {"logistic": {}}, "sweep": None}
    base |= {"headlines": [{"model": "presto", "head": "logistic"}], "stands_for": {}, "claims": []}
    del base["repeats"], base["published"]
    for key, value in change.items():
        base[key] = base[key] | value if isinstance(value, dict) else value
    (folder / "study.yaml").write_text(yaml.safe_dump({"base": base, "scales": {"debug": {}}}))
    return folder


def of_presto(**change: Any) -> dict[str, Any]:
    base = yaml.safe_load((STUDY / "study.yaml").read_text())["base"]["models"]["presto"]
    return {"presto": base | {"tasks": ["cropland"], "precision": "float32"} | change}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": {"knn": {"options": {"kk": 1}}}}, "heads.knn: unknown option of .*'kk'"),
        ({"heads": {"logistic": {"options": {"C": -1}}}}, "heads.logistic: .*C must be positive"),
        ({"heads": {"logistic": {"options": {"C": "a"}}}}, "heads.logistic: .*wrong type"),
        ({"heads": {"finetune": {"options": {"stepz": 1}}}}, "heads.finetune: .*did you mean"),
        ({"heads": {"logistik": {}}}, "heads.logistik: unknown head.*mean 'logistic'"),
        ({"heads": {"leaving:Head": {}}}, "heads.leaving:Head: .*cannot be imported .SystemExit"),
        ({"models": of_presto(kind="plugs:Sets")}, "presto: .*no plain value"),
        ({"models": of_presto(kind="plugs:Half")}, "presto: .*abstract"),
        ({"models": of_presto(kind=3)}, "presto: unknown kind '3'"),
        (
            {"claims": [{"source": "a", "says": "b", "test": "equal",
                         "compositions": ["uniform", "uniform"]}]},
            "a value occurs twice",
        ),
    ],
)  # fmt: skip
def test_a_mistake_about_kinds_is_found_after_the_pre_training(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(WherefromError, match=message) as caught:
        load(study(tmp_path, **change), "debug")
    assert "\n" not in str(caught.value)


def test_kinds_named_by_where_they_lie_are_refused(tmp_path: Path) -> None:
    heads = {"plugs:Lora": {}, "plugs:Broken": {}}
    made = load(study(tmp_path, models=of_presto(kind="plugs:Lists"), heads=heads), "debug")
    assert made.models["presto"].kind == "plugs:Lists"
    assert {stage.axes["head"] for stage in plan(made).of_kind("fewshot")} >= set(heads)


def pretrain_keys(steps: Plan) -> set[str]:
    return {stage.key for stage in steps.of_kind("pretrain")}


def test_a_file_or_layer_that_a_gfm_reads_is_in_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shift.txt"
    models = of_presto(kind="plugs:Reader", shift=str(file))
    with pytest.raises(WherefromError, match=r"shift.txt: no such file .*model 'presto'"):
        plan(load(study(tmp_path, models=models), "debug"))
    file.write_text("one")
    before = pretrain_keys(plan(load(study(tmp_path, models=models), "debug")))
    file.write_text("two")
    after = pretrain_keys(plan(load(study(tmp_path, models=models), "debug")))
    assert not before & after
    real = earth.layer_key
    monkeypatch.setattr(
        earth, "layer_key", lambda name: "x" if name == "climate_zone" else real(name)
    )
    assert not after & pretrain_keys(plan(load(study(tmp_path, models=models), "debug")))


def test_what_a_gfm_does_not_declare_it_reads_all_the_same() -> None:
    pool = Pool.build(10, seed=0)
    with pytest.raises(WherefromError, match="series are read, but not declared"):
        PoolPlaces(pool, np.arange(10), reads=frozenset({"features"})).series()


def test_a_modality_that_nobody_provides_is_planned() -> None:
    from wherefrom.gfms.presto import Presto

    with pytest.raises(WherefromError, match="reads 'imagse': did you mean 'images'"):
        type("Odd", (Presto,), {"reads": frozenset({"imagse"}), "__module__": __name__})


def test_one_list_in_two_files_is_counted_as_two_compositions(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id\n" + "\n".join(map(str, range(64))))
    lists = {name: f"ids:file={tmp_path / name}.csv" for name in ("a", "b")}
    made = load(study(tmp_path, compositions=lists), "debug")
    with pytest.raises(WherefromError, match="compositions 'a' and 'b' are one"):
        plan(made.model_copy(update={"composition_size": 64}))


def test_fixed_compositions_without_a_file_are_taken_for_one(tmp_path: Path) -> None:
    fixed = {f"first{k}": f"plugs:First:k={k}" for k in (1, 2)}
    made = plan(load(study(tmp_path, compositions=fixed), "debug"))
    keys = {s.key for s in made.of_kind("draw") if s.axes["composition"] in fixed}
    assert len(keys) == 2


def test_two_tasks_that_a_stand_in_makes_one_are_computed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = earth.available
    monkeypatch.setattr(earth, "available", lambda name: name != "biome" and real(name))
    places = yaml.safe_load((STUDY / "study.yaml").read_text())["base"]["tasks"]["ecoregions"]
    two = {name: places | {"layer": name, "baselines": []} for name in ("biome", "land_cover")}
    models, stand_ins = of_presto(tasks=["cropland", *two]), {"biome": "land_cover"}
    with pytest.raises(WherefromError, match=r"a value occurs twice in .*ecoregions-land_cover"):
        load(study(tmp_path, tasks=two, models=models, stand_ins=stand_ins), "debug")


def test_a_chain_of_stand_ins_ends_at_what_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, absent = earth.available, ("biome", "ecoregion")
    monkeypatch.setattr(earth, "available", lambda name: name not in absent and real(name))
    chain = {"ecoregion": "biome", "biome": "climate_zone"}
    mine = {"mine": "stratified:layer=ecoregion,short=cap"}
    made = load(study(tmp_path, stand_ins=chain, compositions=mine), "debug")
    assert made.compositions["mine"] == "stratified:layer=climate_zone,short=cap"


def shot(tmp_path: Path, head: str) -> tuple[Stage, TaskData, Any]:
    """Make a few-shot job of a baseline on a task of 60 places."""
    rng = np.random.default_rng(0)
    task = Task(
        "demo", rng.uniform(0, 9, 60), rng.uniform(0, 9, 60), np.arange(60) % 2, ("a", "b"),
        np.zeros(60), ("x",), (np.arange(60) // 2) % 2, "demo",
    )  # fmt: skip
    task.write(tmp_path / "task.parquet")
    made = load(study(tmp_path, heads={head: {}}), "debug")
    stage = next(s for s in plan(made).of_kind("fewshot") if s.axes["model"] == "raw-lonlat")
    return stage, TaskData(tmp_path), task


def test_a_head_changes_the_features_of_the_others(tmp_path: Path) -> None:
    from wherefrom.gfms import baselines

    _, data, _ = shot(tmp_path, "logistic")
    with pytest.raises(ValueError, match="read-only"):
        baselines.features(baselines.baseline("raw-lonlat"), data)[0] = 0


def test_a_foreign_head_that_tunes_the_encoder_is_replaced_by_ours() -> None:
    from wherefrom.gfms import engine
    from wherefrom.train.heads import head

    assert head("plugs:Lora").tunes_encoder
    source = Path(engine.__file__).read_text()
    assert "FineTune" not in source, "the engine knows one way to tune"


def test_a_defect_of_a_plug_in_is_called_one_of_wherefrom(tmp_path: Path) -> None:
    from wherefrom.train.heads import head

    stage, _, _ = shot(tmp_path, "plugs:Broken")
    assert stage.spec["head"] in ("plugs:Broken", "logistic")
    stage.spec["head"] = "plugs:Broken"
    try:
        head("plugs:Broken").fit_predict(*[np.zeros(1)] * 4, np.random.SeedSequence(0))
    except ZeroDivisionError as err:
        failure = _failure(stage, err, "")
    assert not failure.is_defect
    assert "plugs fails with ZeroDivisionError: division by zero; mend it" in failure.message
    # What it gave is what ours failed on, after it had returned.
    failure = _failure(stage, AttributeError("'NoneType' object has no attribute 'write'"), "")
    assert not failure.is_defect
    assert "wherefrom fails on what plugs gave it with AttributeError" in failure.message
    stage.spec["head"] = "logistic"
    assert _failure(stage, AttributeError("ours"), "").is_defect


def test_a_package_that_takes_a_name_of_ours_spoils_all_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = plugins.Kind("layers", "biome", "plugs:belt", "rival")
    real = plugins._others
    monkeypatch.setattr(
        plugins,
        "_others",
        lambda group, path: {"biome": (theirs,)} if group == "layers" else real(group, path),
    )
    with pytest.raises(WherefromError, match="2 packages offer 'biome'"):
        plugins.kind("layers", "biome")
    assert plugins.kinds("layers")["biome"].package == "wherefrom"
    assert plugins.kind("layers", "continent").package == "wherefrom"
