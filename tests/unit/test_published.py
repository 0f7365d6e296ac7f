"""Published rows of a study: weights and embeddings of others, beside the models that it trains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

torch = pytest.importorskip("torch", reason='needs torch: pip install "wherefrom[train]"')

from far import far_device  # noqa: E402

from wherefrom.errors import WherefromError  # noqa: E402
from wherefrom.gfms import baselines  # noqa: E402
from wherefrom.gfms.base import Modality  # noqa: E402
from wherefrom.gfms.galileo import PublishedGalileo  # noqa: E402
from wherefrom.gfms.places import PoolPlaces, TaskData  # noqa: E402
from wherefrom.gfms.presto import embed_series  # noqa: E402
from wherefrom.gfms.published import Published  # noqa: E402
from wherefrom.gfms.satclip import embed_places  # noqa: E402
from wherefrom.models.galileo import GROUPS, Galileo  # noqa: E402
from wherefrom.models.galileo_series import GalileoSeries, records_of  # noqa: E402
from wherefrom.models.geoclip import LocationEncoder as GeoCLIP  # noqa: E402
from wherefrom.models.masked import records_of as presto_records  # noqa: E402
from wherefrom.models.presto import Presto  # noqa: E402
from wherefrom.models.satclip import LocationEncoder  # noqa: E402
from wherefrom.models.towers import tower  # noqa: E402
from wherefrom.part import OfKind  # noqa: E402
from wherefrom.pool import Pool  # noqa: E402
from wherefrom.pool.series import earth_series  # noqa: E402
from wherefrom.report.study import write  # noqa: E402
from wherefrom.study import Store, load, plan  # noqa: E402
from wherefrom.study.results import collect  # noqa: E402
from wherefrom.study.stages import compute  # noqa: E402
from wherefrom.tasks import from_table  # noqa: E402
from wherefrom.tasks.labelled import SERIES, TASK  # noqa: E402
from wherefrom.testing import BrokenPromiseError, check_published  # noqa: E402
from wherefrom.train.embed import embed  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def satclip_checkpoint(path: Path, degrees: int = 4) -> Path:
    """Write a small location encoder as the official code does."""
    layers = LocationEncoder(degrees, width=16, out=8).layers
    state = {
        f"model.nnet.{name}.{kind}": value
        for name, layer in zip(("layers.0", "layers.1", "last_layer"), layers, strict=True)
        for kind, value in layer.state_dict().items()
    }
    torch.save({"state_dict": state, "hyper_parameters": {}}, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write weights of every kind, drawn at random, labelled places, and embeddings of these."""
    folder = tmp_path_factory.mktemp("published")
    torch.save(Galileo().state_dict(), folder / "encoder.pt")
    torch.save(Presto().state_dict(), folder / "presto.pt")
    torch.save(GeoCLIP().state_dict(), folder / "geoclip.pth")
    satclip_checkpoint(folder / "satclip.ckpt")
    rng, rows = np.random.default_rng(0), np.arange(160)
    lon = np.where(rows < 80, 36.0, 2.0) + rng.random(160)
    lat = np.where(rows < 80, 0.0, 47.0) + rng.random(160)
    crop = np.where(lat % 1 > 0.5, "yes", "no")
    fields = pa.table({"tile": rows, "lon": lon, "lat": lat, "crop": crop, "here": ["all"] * 160})
    from_table(fields, "crop", region_layer="here", positive="yes", id="tile").write(
        folder / "fields.parquet"
    )
    made = np.stack([lon, lat % 1 + rng.normal(0, 0.01, 160)], axis=1).astype(np.float32)
    pq.write_table(pa.table({"tile": rows, "e": made.tolist()}), folder / "e.parquet")
    pq.write_table(pa.table({"tile": rows[:150], "e": made[:150].tolist()}), folder / "few.parquet")
    return folder


@pytest.fixture(scope="module")
def places() -> PoolPlaces:
    return PoolPlaces(Pool.build(60, seed=0), np.arange(6))


def load_row(kind: str, weights: str, **fields: Any) -> Published:
    made = OfKind("published", Published).read({"kind": kind, "weights": weights} | fields)
    assert isinstance(made, Published)
    return made


KINDS = {
    "galileo": "encoder.pt", "presto": "presto.pt", "satclip": "satclip.ckpt",
    "geoclip": "geoclip.pth",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_breaks_a_promise(folder: Path, places: PoolPlaces, kind: str) -> None:
    check_published({"kind": kind, "weights": str(folder / KINDS[kind])}, places=places)


def test_a_kind_describes_places_otherwise_than_its_model(folder: Path, places: PoolPlaces) -> None:
    def row(kind: str, **fields: Any) -> np.ndarray:
        return load_row(kind, str(folder / KINDS[kind]), **fields).features(places)

    series = places.series()
    galileo = Galileo.load_official(folder / "encoder.pt")
    np.testing.assert_array_equal(
        row("galileo"), embed(GalileoSeries(), galileo, records_of(series), batch=64)
    )
    hidden = embed(GalileoSeries(), galileo, records_of(series, ["location"]), batch=64)
    np.testing.assert_array_equal(row("galileo", hide=["location"]), hidden)
    assert np.abs(hidden - row("galileo")).max() > 1e-3
    presto = Presto.load_official(folder / "presto.pt")
    np.testing.assert_array_equal(row("presto"), embed_series(presto, presto_records(series)))
    satclip = LocationEncoder.load_official(folder / "satclip.ckpt")
    np.testing.assert_array_equal(row("satclip"), embed_places(satclip, places.lon, places.lat))
    assert row("geoclip").shape == (6, 512)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_of_a_kind_is_left_on_the_cpu(
    folder: Path, places: PoolPlaces, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = load_row(kind, str(folder / KINDS[kind]))
    near = row.features(places)
    with far_device(monkeypatch):
        found = row.features(places)
    np.testing.assert_allclose(found, near, atol=1e-5)


def test_groups_that_can_be_hidden_are_not_galileos() -> None:
    known = {name for groups in GROUPS.values() for name in groups}
    (literal, _) = PublishedGalileo.model_fields["hide"].annotation.__args__  # type: ignore[union-attr]
    assert set(literal.__args__) < known
    assert known - set(literal.__args__) == {"WC", "TC", "VIIRS", "LS", "WC_static"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "file"), [("presto", "presto/default_model.pt"), ("galileo", "galileo/encoder.pt")]
)
def test_official_weights_of_the_catalog_are_others(
    reference_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, file: str
) -> None:
    if not (reference_data / file).is_file():
        pytest.skip(f"no published weights at {reference_data / file}")
    monkeypatch.setenv("WHEREFROM_DATA", str((reference_data / file).parent))
    places = Pool.build(12, seed=0)
    labels = {"crop": np.arange(12) % 2, "here": ["all"] * 12}
    fields = pa.table({"lon": places.lon, "lat": places.lat} | labels)
    from_table(fields, "crop", region_layer="here").write(tmp_path / TASK)
    earth_series(places.lon, places.lat, land_cover=False).write(tmp_path / SERIES)
    data = TaskData(tmp_path)
    found = baselines.features(load_row(kind, "published"), data)
    again = baselines.features(load_row(kind, str(reference_data / file)), data)
    np.testing.assert_array_equal(found, again)
    reported = data.task.split < 2  # others are not embedded
    assert np.isfinite(found[reported]).all()
    assert np.isnan(found[~reported]).all()


class Untidy(Published):
    """Features that depend on the company of a place."""

    reads_of_tasks: ClassVar[frozenset[Modality]] = frozenset()

    def features(self, places: Any) -> np.ndarray:
        return np.argsort(places.lon)[:, None].astype(np.float32)


class Wide(Published):
    """Double precision."""

    def features(self, places: Any) -> np.ndarray:
        return places.lon[:, None]


class Peeking(Published):
    """Reads what it does not declare."""

    def features(self, places: Any) -> np.ndarray:
        return places.series().raw[:, 0].astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Untidy, "describes a place otherwise when it is given in another order"),
        (Wide, r"gives float64 of shape \(6, 1\)"),
        (Peeking, "series are read, but not declared"),
    ],
)
def test_a_broken_kind_passes(places: PoolPlaces, kind: type[Published], said: str) -> None:
    with pytest.raises((BrokenPromiseError, WherefromError), match=said):
        check_published(kind, places=places)


def study(out: Path, folder: Path, published: dict[str, Any], **change: Any) -> Path:
    """Write a study of Presto on a table of labels, with published rows beside it."""
    presto = {
        "kind": "presto", "tasks": ["fields"], "blocks": 1,
        "pretrain": {"samples_seen": 16, "batch": 16, "lr": 1e-3},
    }  # fmt: skip
    base: dict[str, Any] = {
        "name": "mine",
        "title": "Mine",
        "pool": {"places": 300},
        "composition_size": 40,
        "compositions": {"none": "none", "uniform": "uniform"},
        "tasks": {"fields": {"kind": "table", "name": "my-fields", "file": "fields.parquet"}},
        "payloads": {
            "mine": {"kind": "columns", "file": "e.parquet", "id": "tile", "columns": ["e"]},
            "few": {"kind": "columns", "file": "few.parquet", "id": "tile", "columns": ["e"]},
        },
        "models": {"trained": presto},
        "published": published,
        "n": 20,
        "finetune_seeds": 2,
        "heads": {"logistic": {}, "finetune": {"options": {"steps": 1}, "finetune_seeds": 1}},
        "headlines": [{"model": "trained", "head": "logistic"}],
    }
    for part, key in (("tasks", "fields"), ("payloads", "mine"), ("payloads", "few")):
        base[part][key]["file"] = str(folder / base[part][key]["file"])
    file = out / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base | change, "scales": {"debug": {}}}))
    return file


def rows_of(folder: Path) -> dict[str, Any]:
    made = {f"a-{kind}": {"kind": kind, "weights": str(folder / f)} for kind, f in KINDS.items()}
    return made | {"embeddings": {"kind": "features", "payloads": ["mine"], "tasks": ["fields"]}}


@pytest.mark.slow  # a whole study, from the pool to the page
def test_published_rows_are_not_in_the_results_or_taken_for_baselines(
    folder: Path, tmp_path: Path
) -> None:
    file = study(tmp_path, folder, rows_of(folder), heads={"logistic": {}})
    steps, store = plan(load(file, "debug")), Store(tmp_path / "store")
    for stage in steps.stages:
        compute(stage, store, lambda _: None)
    scores = collect(steps, store, tmp_path)
    found = {(r["model"], r["head"]) for r in scores.select(["model", "head"]).to_pylist()}
    assert found == {(name, "logistic") for name in ("trained", *rows_of(folder))}
    # The labels are read off the embeddings, and not off random weights.
    mean = {
        name: np.mean([r["value"] for r in scores.to_pylist()
                       if (r["model"], r["metric"]) == (name, "f1_macro")])
        for name in ("embeddings", "a-galileo")
    }  # fmt: skip
    assert mean["embeddings"] > 0.8
    _, page = write(steps, store, tmp_path / "out", file)
    text = page.read_text()
    assert 'class="official"' in text
    said = " ".join(re.sub(r"<[^>]+>", " ", text).split())
    assert "published weights a-" in said
    assert "baselines a-" not in said
    for name in rows_of(folder):
        assert name in text


def test_weights_that_moved_are_embedded_again_and_changed_ones_are_not(
    folder: Path, tmp_path: Path
) -> None:
    def keys(weights: Path) -> list[str]:
        rows = {"mine": {"kind": "satclip", "weights": str(weights)}}
        steps = plan(load(study(tmp_path, folder, rows), "debug"))
        return [s.key for s in steps.of_kind("fewshot") if s.axes["model"] == "mine"]

    first = keys(folder / "satclip.ckpt")
    assert len(first) == 1  # frozen: no head tunes it
    moved = tmp_path / "elsewhere.ckpt"
    moved.write_bytes((folder / "satclip.ckpt").read_bytes())
    assert keys(moved) == first
    assert keys(satclip_checkpoint(moved, degrees=5)) != first


BAD = {
    "a kind": ({"kind": "galilleo"}, "unknown kind 'galilleo': did you mean 'galileo'"),
    "a task": ({"kind": "geoclip", "tasks": ["field"]}, "unknown task 'field': did you mean"),
    "a payload": ({"kind": "features", "payloads": ["mined"]}, "unknown payload 'mined'"),
    "none": ({"kind": "features"}, "published.row.payloads: Field required"),
    "another": (
        {"kind": "geoclip", "payloads": ["mine"]},
        "published.row: payload 'mine' has features, which 'geoclip' does not read",
    ),
    "a group": ({"kind": "galileo", "hide": ["locaton"]}, "published.row.hide.0: Input should be"),
    "a key": ({"kind": "satclip", "weight": "a"}, "unknown key 'weight': did you mean 'weights'"),
    "a source": (
        {"kind": "satclip", "weights": "satclip-resnet18-l11"},
        "published.row.weights: .*unknown weights .*did you mean 'satclip-resnet18-l10'.*; or give",
    ),
    "another source": ({"kind": "geoclip", "weights": "galileo-nano"}, "Known: published, geoclip"),
    "no kind": ({"tasks": ["fields"]}, "published.row: needs a key 'kind': presto or galileo"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_mistake_in_a_row_is_found_after_the_pre_training(
    folder: Path, tmp_path: Path, what: str
) -> None:
    row, said = BAD[what]
    with pytest.raises(WherefromError, match=said):
        load(study(tmp_path, folder, {"row": row}), "debug")


@pytest.mark.parametrize(
    ("published", "said"),
    [
        ({"trained": {"kind": "geoclip"}}, "published.trained: a model has this name"),
        ({"majority": {"kind": "geoclip"}}, "a baseline has this name"),
        ({"a b": {"kind": "geoclip"}}, "name 'a b': use letters"),
        ({"samples_seen": {"satclip": 5}}, "'samples_seen' of the study.*goes under 'repeats'"),
        ({"rows": {"World Cities": ["uniform"]}}, "'rows' of the study.*goes under 'repeats'"),
    ],
)
def test_a_row_is_taken_for_another_thing_of_its_name(
    folder: Path, tmp_path: Path, published: dict[str, Any], said: str
) -> None:
    with pytest.raises(WherefromError, match=said):
        load(study(tmp_path, folder, published), "debug")


def test_a_baseline_of_published_weights_is_unknown_without_a_word(
    folder: Path, tmp_path: Path
) -> None:
    file = study(tmp_path, folder, {})
    content = yaml.safe_load(file.read_text())
    content["base"]["tasks"]["fields"]["baselines"] = ["presto-official"]
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(WherefromError, match=r"baseline 'presto-off.*are rows of 'published'"):
        load(file, "debug")


def test_weights_that_cannot_be_had_end_a_run_or_go_unsaid(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path / "cache"))  # nothing of the catalog
    monkeypatch.delenv("WHEREFROM_DATA", raising=False)
    rows = {
        "nano": {"kind": "galileo"},
        "l10": {"kind": "satclip", "weights": "satclip-resnet18-l10"},
    }
    left = load(study(tmp_path, folder, rows), "debug")
    assert left.published == {}
    said = left.left_out["published.nano"]
    assert "wherefrom data fetch galileo-nano, or place encoder.pt (4,189,406 bytes, sha256" in said
    assert "of https://github.com/nasaharvest/galileo/raw/main/data/models/nano/encoder.pt" in said
    assert "satclip-resnet18-l10" in left.left_out["published.l10"]


def test_a_file_of_weights_that_is_not_there_is_planned(folder: Path, tmp_path: Path) -> None:
    rows = {"nano": {"kind": "galileo", "weights": "no.pt"}}
    with pytest.raises(WherefromError, match=r"no\.pt: no such file.*published\.nano names it"):
        plan(load(study(tmp_path, folder, rows), "debug"))


def fewshot(out: Path, folder: Path, row: dict[str, Any]) -> None:
    """Compute one row's first few-shot stage, and what it is made from."""
    steps, store = plan(load(study(out, folder, {"row": row}), "debug")), Store(out / "store")
    stage = next(s for s in steps.of_kind("fewshot") if s.axes["model"] == "row")
    for one in (*steps.of_kind("pool"), *stage.inputs.values(), stage):
        compute(one, store, lambda _: None)


def test_a_table_that_lacks_a_labelled_place_is_scored_on_the_others(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(WherefromError, match=r"10 of 160 places.*without, first 150, 151"):
        fewshot(tmp_path, folder, {"kind": "features", "payloads": ["few"]})


@pytest.mark.parametrize(
    ("kind", "weights", "said"),
    [
        ("satclip", "presto.pt", "has no 'state_dict': give a SatCLIP checkpoint"),
        ("satclip", "tower.pth", "lacks the tensor nnet.last_layer"),
        ("geoclip", "satclip.ckpt", "lacks the tensor LocEnc0"),
        ("galileo", "pointer.pt", "is a Git LFS pointer"),
        ("presto", "encoder.pt", "lacks the tensor encoder"),
    ],
)
def test_weights_of_another_model_give_scores(
    folder: Path, tmp_path: Path, kind: str, weights: str, said: str
) -> None:
    if weights == "tower.pth":
        torch.save({"state_dict": tower("resnet18").state_dict()}, folder / weights)
    if weights == "pointer.pt":
        (folder / weights).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(WherefromError, match=said) as caught:
        fewshot(tmp_path, folder, {"kind": kind, "weights": str(folder / weights)})
    assert "\n" not in str(caught.value)


def test_the_rows_that_the_page_shows_are_none() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "payloads.md").read_text()
    _, shown = page.split("```yaml\npublished:\n")
    rows = yaml.safe_load("published:\n" + shown.split("```")[0])["published"]
    made: dict[str, Any] = {
        name: OfKind("published", Published).read(row) for name, row in rows.items()
    }
    assert {row.kind for row in made.values()} == {"geoclip", "satclip", "galileo", "features"}
    assert made["satclip-of-mine"].files == ("runs/mine.ckpt",)
    assert made["satclip-l10"].sources == ("satclip-resnet18-l10",)
