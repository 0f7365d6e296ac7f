"""SatMAE in a study: bands by name, scales of the pool, labels that it must not be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from wherefrom.errors import WherefromError
from wherefrom.gfms import places as gfm_places
from wherefrom.gfms.base import Gfm
from wherefrom.gfms.places import PoolPlaces
from wherefrom.gfms.satmae import SatMAE
from wherefrom.models.grouped import SatMAEConfig
from wherefrom.models.sizes import SIZES
from wherefrom.part import OfKind
from wherefrom.payload.base import Payload, Sought
from wherefrom.payload.rasters import STACK, Rasters
from wherefrom.payload.stored import Images, Stored, keep
from wherefrom.payload.tiles import BANDS
from wherefrom.pool import Pool
from wherefrom.study import Store, load, plan
from wherefrom.study.stages import compute
from wherefrom.testing import check_gfm
from wherefrom.train.embed import embed
from wherefrom.train.finetune import Start
from wherefrom.train.heads import head
from wherefrom.train.pretrain import PretrainSettings, held_out_loss, pretrain

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"
FIELDS = {
    "kind": "satmae", "tasks": ["any"], "blocks": 1,
    "pretrain": {"samples_seen": 64, "batch": 16, "lr": 1e-3},
}  # fmt: skip
GROUPS = (("blue-marble:*",), ("relief:*",))


def satmae(**fields: Any) -> SatMAE:
    made = OfKind("gfms", Gfm).read(FIELDS | fields)
    assert isinstance(made, SatMAE)
    return made


def shown(bands: tuple[str, ...], side: int = 16, count: int = 3) -> dict[str, Any]:
    values = np.random.default_rng(0).random((count, len(bands), side, side), dtype=np.float32)
    return {"image": Images(values.__getitem__, np.arange(count), values.shape[1:], "f4", bands)}


@pytest.fixture(scope="module")
def windows() -> Rasters:
    rasters = {name: STACK[name] for name in ("blue-marble", "relief")}
    return Rasters(kind="rasters", rasters=rasters, window_px=16, keep=False)


@pytest.fixture(scope="module")
def places(windows: Rasters, tmp_path_factory: pytest.TempPathFactory) -> PoolPlaces:
    """Cut windows of 200 places once, and give some of the places."""
    pool, folder = Pool.build(200, seed=0), tmp_path_factory.mktemp("kept")
    keep(windows, Sought(pool.ids, pool.lon, pool.lat), folder)
    return PoolPlaces(pool, np.arange(48), {"images": Stored("images", (folder,))})


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [{}, {"consistent": True, "normalise": True, "aligned": False, "pooling": "cls"}],
    ids=["defaults", "the other ways"],
)
def test_it_breaks_a_promise_of_gfms(places: PoolPlaces, fields: dict[str, Any]) -> None:
    """2 s each: trainings, stopped and not, on real windows."""
    check_gfm({"kind": "satmae", "size": "tiny", "groups": GROUPS, **fields}, places=places)


@pytest.mark.parametrize("bands", [BANDS["sentinel-2-l2a"], BANDS["sentinel-2-l1c"]])
def test_sentinel_bands_are_grouped_otherwise_than_officially(bands: tuple[str, ...]) -> None:
    model = satmae(size="base").model(shown(bands))
    named = [[bands[at] for at in group] for group in model.groups]
    assert named == [["B02", "B03", "B04", "B08"], ["B05", "B06", "B07", "B8A"], ["B11", "B12"]]
    module = SatMAEConfig(model.groups, SIZES["tiny"]).build(torch.Generator())
    # Among the bands that are read, the official numbers.
    assert module.mae.groups == ((0, 1, 2, 6), (3, 4, 5, 7), (8, 9))


def test_bands_are_not_found_by_name_or_number() -> None:
    names = ("blue-marble:red", "blue-marble:green", "blue-marble:blue", "ndvi:minimum",
             "ndvi:maximum", "relief:metres", "land-cover:Croplands")  # fmt: skip
    gfm = satmae(patch=8)
    assert gfm.model(shown(names, 32)).groups == ((0, 1, 2), (3, 4), (5,))
    assert [name for name in names if not gfm.wants(name)] == ["land-cover:Croplands"]
    assert satmae(groups=[["2", "1"], ["4"]]).model(shown((), 32) | {
        "image": np.zeros((2, 4, 32, 32))
    }).groups == ((1, 0), (3,))  # fmt: skip


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([["red"], ["ndvi"]], "unknown band of group 2 of satmae 'ndvi': .*Known: red, green"),
        ([["red"], ["*"]], "band 'red' is of groups 1 and 2: name it in one"),
    ],
)
def test_a_group_without_its_bands_is_taken(groups: Any, said: str) -> None:
    with pytest.raises(WherefromError, match=said):
        satmae(groups=groups).model(shown(("red", "green")))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"groups": [["red"], []]}, "a group names no band"),
        ({"patch": 5}, "patch = 5 does not divide the 32 pixels of 'laptop'"),
        ({"mask_ratio": 1.0}, "less than 1"),
        ({"mask_ratio": 0.999}, "mask_ratio = 0.999 hides all 192 tokens of an image: lower it"),
        ({"mask_ratio": 0.99, "consistent": True}, "hides all 64 tokens"),
    ],
)
def test_fields_that_do_not_fit_are_taken(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        satmae(**fields)


def test_a_plan_counts_other_operations_than_a_training() -> None:
    for fields, forward, embedding in (
        ({}, 0.391e9, 1.199e9),
        ({"patch": 8}, 0.098e9, 0.274e9),
        ({"size": "base"}, 44.14e9, 80.61e9),
    ):
        assert satmae(**fields).pretrain_flops == pytest.approx(forward, rel=0.06)
        assert satmae(**fields).embed_flops == pytest.approx(embedding, rel=0.06)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((20, 3, 8, 8), np.float32), "images of 8 x 8 pixels are smaller than the 16"),
        (np.zeros((20, 2, 16, 16), np.float32), r"need \(N, 3 or more channels, H, W\)"),
        (np.full((20, 3, 16, 16), np.nan, np.float32), "16 of 16 images .* are no number"),
    ],
)
def test_images_that_cannot_be_read_are_trained_on(image: Any, said: str) -> None:
    model = SatMAEConfig(((0, 1), (2,)), SIZES["tiny"])
    settings = PretrainSettings(samples_seen=16, batch=16, warmup=0)
    with pytest.raises(WherefromError, match=said):
        pretrain(model, {"image": image}, np.arange(20), settings, seed=0,
                 calibration={"image": np.array([[0.0] * 3, [1.0] * 3])})  # fmt: skip


def test_a_void_window_is_embedded() -> None:
    model = SatMAEConfig(((0, 1), (2,)), SIZES["tiny"])
    image = np.random.default_rng(0).random((4, 3, 16, 16), dtype=np.float32)
    image[2] = np.nan
    with pytest.raises(WherefromError, match="the embedding of row 2 is not finite"):
        embed(model, model.build(torch.Generator().manual_seed(0)), {"image": image})


def test_scales_are_those_of_a_composition(places: PoolPlaces) -> None:
    """Mean -+ 2 std of the whole pool become 0 and 1, whatever the composition."""
    gfm, some = satmae(size="tiny", groups=GROUPS), PoolPlaces(
        places.pool, np.arange(100, 110), places.held
    )  # fmt: skip
    every = PoolPlaces(places.pool, np.arange(200), places.held).images()[:]
    mean, std = every.mean((0, 2, 3)), every.std((0, 2, 3))
    for one in (places, some):
        model = gfm.model(gfm.records(one))
        module = model.build(torch.Generator().manual_seed(0))
        model.calibrate(module, gfm.calibration(one))
        np.testing.assert_allclose(module.mean.numpy(), mean, rtol=1e-4)
        np.testing.assert_allclose(module.std.numpy(), std, rtol=1e-4)
    low, high = (mean - 2 * std, mean + 2 * std)
    given = torch.from_numpy(np.stack([low, mean, high, 2 * high]))[..., None, None]
    due = torch.tensor([0.0, 0.5, 1.0, 1.0])[:, None].expand(4, 4)
    torch.testing.assert_close(module(given)[..., 0, 0], due, atol=1e-5, rtol=0)


def test_windows_that_are_not_kept_have_other_scales_or_other_images(
    places: PoolPlaces, windows: Rasters, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = PoolPlaces(places.pool, places.rows, {"images": windows})
    np.testing.assert_array_equal(cut.images()[:], places.images()[:])
    np.testing.assert_allclose(cut.scales("images"), places.scales("images"), rtol=1e-9)
    assert windows.model_copy(update={"keep": True}).settings() == windows.settings()
    monkeypatch.setattr(gfm_places, "SCALED", 10)
    other = PoolPlaces(Pool.build(40, seed=1), np.arange(4), {"images": windows})
    assert not np.array_equal(other.scales("images"), cut.scales("images"))


@pytest.mark.slow
def test_it_learns_nothing_from_real_windows(places: PoolPlaces) -> None:
    """1 s: forty steps on real windows."""
    gfm = satmae(size="tiny", groups=GROUPS)
    every = PoolPlaces(places.pool, np.arange(200), places.held)
    records = gfm.records(every)
    model = gfm.model(records)
    settings = PretrainSettings(samples_seen=40 * 32, batch=32, lr=3e-3, warmup=5)
    losses = []
    for rows in (np.arange(0), np.arange(150)):
        module = pretrain(
            model, records, rows, settings, seed=0, calibration=gfm.calibration(every)
        )
        losses.append(held_out_loss(model, module, records, np.arange(150, 200), 50))
    assert losses[1] < 0.6 * losses[0], losses
    found = embed(model, module, records)
    assert found.shape == (200, 48)
    np.testing.assert_allclose(found.mean(1), 0, atol=1e-5)


def test_full_fine_tuning_reaches_no_weight_of_the_encoder(places: PoolPlaces) -> None:
    gfm = satmae(size="tiny", groups=GROUPS)
    records = gfm.records(places)
    model = gfm.model(records)
    module = model.build(torch.Generator().manual_seed(0))
    labels = (places.lat > 20).astype(int)
    train, test = np.arange(24)[None].repeat(2, 0), np.arange(24, 48)
    start = Start.of(model, module, records, labels, train, test)
    assert {"mae.cls_token", "mae.patch_embed.1.proj.weight", "mae.blocks.0.attn.qkv.weight"} < {
        *start.names
    }
    assert not any("decoder" in name or name.endswith("pos_embed") for name in start.names)
    found = head("finetune", steps=1).fit_predict(model, module, records, labels, train, test)
    assert found.shape == (2, 24)


def test_crops_are_at_the_centre_in_training_or_at_random_in_embedding() -> None:
    model = SatMAEConfig(((0,),), SIZES["tiny"], flip=False)
    module = model.build(torch.Generator().manual_seed(0))
    large = torch.rand(6, 1, 40, 40)
    batch = {"image": large}
    centre = model.encode(module, {"image": large[:, :, 12:28, 12:28]})
    torch.testing.assert_close(model.encode(module, batch), centre)
    module.train()
    one, other = (
        model.loss(module, batch, torch.Generator().manual_seed(seed)).item() for seed in (0, 1)
    )
    assert one != other


# Labels that a model must not be shown.


def guarded(tmp_path: Path, **change: Any) -> Path:
    """Write the shipped study with a task of a layer for satmae, and its groups."""
    content = yaml.safe_load((STUDY / "study.yaml").read_text())
    base = content["base"]
    task = base["tasks"]["ecoregions"] | {"baselines": ["majority"]}
    presto = change.pop("presto", "cropland")
    base["tasks"] = {
        "told": task | {"layer": change.pop("layer", "biome")},
        "cropland": base["tasks"]["cropland"] | {"baselines": change.pop("baselines", [])},
    }
    base["models"] = {
        "satmae": base["models"]["satmae"] | {"tasks": ["told"], "on_request": False} | change,
        "presto": base["models"]["presto"] | {"tasks": [presto]},
    }
    base |= {"heads": {"logistic": {}}, "headlines": [{"model": "satmae", "head": "logistic"}]}
    base["payloads"]["windows"].pop("rasters")  # the whole built-in stack
    for unused in ("published", "claims", "stands_for", "sweep", "stand_ins"):
        base.pop(unused, None)
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base, "scales": {"debug": {}}}))
    return file


RELIEF, CLIMATE, COVER = "relief:*", "temperature:*", "land-cover:*"


@pytest.mark.parametrize(
    ("layer", "group", "shown"),
    [
        ("elevation_band", RELIEF, "altitude"),
        ("climate_zone", CLIMATE, "era5-climatology"),
        ("climate_zone", "precipitation:1", "era5-climatology"),
    ],
)
def test_a_model_is_shown_what_labels_are_made_of(
    tmp_path: Path, layer: str, group: str, shown: str
) -> None:
    file = guarded(tmp_path, layer=layer, groups=[["blue-marble:*"], [group]])
    with pytest.raises(
        WherefromError,
        match=rf"models.satmae: labels of task 'told' \({layer}\) are made of {shown}, which "
        "payload 'windows' shows of labelled places: take that out",
    ):
        load(file, "debug")


@pytest.mark.parametrize(
    ("layer", "group"),
    [
        ("elevation_band", CLIMATE),
        ("climate_zone", RELIEF),
        ("cropland", RELIEF),
        ("cropland", COVER),  # which the stack hides from labelled places
        ("continent", RELIEF),
    ],
)
def test_a_model_that_is_not_shown_labels_is_refused(
    tmp_path: Path, layer: str, group: str
) -> None:
    file = guarded(tmp_path, layer=layer, groups=[["blue-marble:*"], [group]])
    assert "satmae" in load(file, "debug").models


def test_presto_or_a_baseline_is_shown_what_labels_are_made_of(tmp_path: Path) -> None:
    file = guarded(tmp_path, layer="climate_zone", groups=[["ndvi:*"]], presto="told")
    with pytest.raises(WherefromError, match=r"models.presto: .* era5-climatology"):
        load(file, "debug")


def test_a_hidden_raster_is_said_to_be_shown() -> None:
    stack = Rasters(kind="rasters")
    assert "modis-land-cover" not in stack.shown(lambda _: True)
    assert stack.shown(lambda band: band.startswith("relief")) == {"altitude"}
    series = OfKind("payloads", Payload).read({"kind": "earth-series"})
    assert isinstance(series, Payload)
    assert series.shown(lambda _: True) == {"era5-climatology", "altitude"}


@pytest.mark.slow
def test_the_study_of_the_page_does_not_run(tmp_path: Path) -> None:
    """4 s: the one test in which labelled places are shown as windows; three tasks, two models."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "gfms.md").read_text()
    (tmp_path / "windows.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    steps, store = plan(load(tmp_path / "windows.yaml", "debug")), Store(tmp_path / "store")
    for stage in steps.stages:
        if stage.axes.get("composition", "uniform") == "uniform":
            compute(stage, store, lambda _: None)
    # Of the pool nothing is kept; of the labelled places all is.
    assert {stage.spec["labelled"] for stage in steps.of_kind("payload")} == {True}
    found = {
        (stage.axes["model"], stage.axes["task"]): np.load(store.sound(stage) / "predictions.npz")[
            "Africa|20"
        ]
        for stage in steps.of_kind("fewshot")
        if stage.axes["composition"] == "uniform" and stage.axes["head"] == "logistic"
    }
    assert set(found) == {
        ("relief", "ecoregions-climate_zone"),
        ("relief", "cropland"),
        ("flat", "ecoregions-elevation_band"),
    }
    for codes in found.values():
        assert len(np.unique(codes)) > 1
