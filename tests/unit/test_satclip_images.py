"""SatCLIP on images: what learns and what does not, the official augmentation, and what is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from wherefrom.errors import WherefromError
from wherefrom.gfms.base import Gfm
from wherefrom.gfms.places import PoolPlaces
from wherefrom.gfms.satclip import SatCLIPImages
from wherefrom.models.augment import augmented, cropped, shifted
from wherefrom.models.satclip import SatCLIPConfig
from wherefrom.models.towers import tower
from wherefrom.part import OfKind
from wherefrom.payload.base import Lost, Modality, Payload, Piece, Sought
from wherefrom.payload.stored import Images, Stored, keep
from wherefrom.payload.tiles import BANDS
from wherefrom.pool import Pool
from wherefrom.testing import check_gfm
from wherefrom.train.pretrain import PretrainSettings, pretrain

L2A = BANDS["sentinel-2-l2a"]
FIELDS = {
    "kind": "satclip-images",
    "tasks": ["any"],
    "degrees": 4,
    "width": 16,
    "out": 8,
    "blocks": 1,
    "pretrain": {"samples_seen": 32, "batch": 16, "lr": 1e-2},
}
CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gfm_of(**change: Any) -> SatCLIPImages:
    made = OfKind("gfms", Gfm).read(FIELDS | change)
    assert isinstance(made, SatCLIPImages)
    return made


class Tiles(Payload):
    """Noise of level 2A by place, in three pieces."""

    modality: ClassVar[Modality] = "images"
    named: tuple[str, ...] = L2A
    side: int = 12

    @property
    def bands(self) -> tuple[str, ...]:
        return self.named

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        for part in np.array_split(np.arange(len(places)), 3):
            made = [
                np.random.default_rng(row).integers(0, 12_000, (12, self.side, self.side))
                for row in places.ids[part]
            ]
            yield part, {"images": np.array(made, np.uint16)}


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.build(48, seed=1)


def kept(pool: Pool, folder: Path, **change: Any) -> PoolPlaces:
    """Keep tiles of the places as two stages do."""
    folders = []
    for number, rows in enumerate((slice(0, 20), slice(20, 48))):
        folders.append(folder / str(number))
        folders[-1].mkdir()
        sought = Sought(pool.ids, pool.lon, pool.lat).take(rows)
        keep(Tiles(kind="tiles", **change), sought, folders[-1])
    return PoolPlaces(pool, np.arange(48), {"images": Stored("images", tuple(folders))})


@pytest.fixture(scope="module")
def places(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> PoolPlaces:
    return kept(pool, tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write weights of a ResNet-18."""
    file = tmp_path_factory.mktemp("weights") / "moco.pth"
    torch.save(tower("resnet18", generator=seeded(8)).state_dict(), file)
    return str(file)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"image": "cnn"},
        {"image": "cnn", "augment": True},
        {"image": "resnet18"},
        {"image": "resnet18", "drifting": True, "augment": True},
        {"image": "resnet18", "trained": True, "augment": True},
        {"image": "resnet18", "trained": True, "weights": "random", "divisor": 9e3},
    ],
    ids=lambda change: "-".join(map(str, change)),
)
def test_satclip_on_images_breaks_a_promise(
    change: dict[str, Any], places: PoolPlaces, weights: str
) -> None:
    if change["image"] != "cnn":
        change = {"weights": weights} | change
    check_gfm(FIELDS | change, places=places)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "resnet81"}, "resnet18"),
        ({"image": "features"}, "resnet18"),
        ({"image": "cnn", "trained": True}, "trained is of a tower"),
        ({"image": "cnn", "weights": "a.pth"}, "weights is of a tower"),
        ({"image": "cnn", "divisor": 2.0}, "divisor is of a tower"),
        ({"image": "resnet18", "weights": "random"}, "set trained: true"),
        ({"image": "resnet18", "trained": True, "drifting": True}, "drifting is of a frozen"),
        ({"image": "cnn", "hidden": 3}, "hidden"),
    ],
)
def test_fields_that_say_nothing_are_taken(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gfm_of(**change)


def test_the_place_of_weights_or_nothing_of_them_makes_the_key(
    weights: str, tmp_path: Path
) -> None:
    mine = gfm_of(image="resnet18", weights=weights)
    assert mine.files == (weights,)
    assert mine.sources == ()
    assert mine.settings() == gfm_of(image="resnet18", weights="elsewhere.pth").settings()
    official = gfm_of(image="resnet50")
    assert (official.files, official.sources) == ((), ("moco-resnet50",))
    drawn = gfm_of(image="resnet18", weights="random", trained=True)
    assert (drawn.files, drawn.sources) == ((), ())
    assert (gfm_of(image="cnn").files, gfm_of(image="cnn").sources) == ((), ())
    assert len({str(gfm.settings()) for gfm in (mine, official, drawn)}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("drifting", [False, True])
def test_a_frozen_tower_learns_or_a_trained_one_does_not(
    trained: bool, drifting: bool, places: PoolPlaces, weights: str
) -> None:
    if trained and drifting:
        return
    gfm = gfm_of(image="resnet18", weights=weights, trained=trained, drifting=drifting)
    records = gfm.records(places)
    budget = PretrainSettings(samples_seen=32, batch=16, lr=1e-2, warmup=0)
    made = pretrain(gfm.model(records), records, np.arange(48), budget, seed=0)
    before, after = torch.load(weights), made.image.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    counts = {name for name in before if "running" in name or "num_batches" in name}
    learnt = set(before) - counts
    assert changed & counts == (counts if trained or drifting else set())
    assert changed & learnt == (learnt if trained else set())


def blurred(image: Tensor, sigma: float) -> Tensor:
    """Blur as torchvision does: a kernel of 3 x 3, a channel at a time, edges reflected."""
    line = torch.exp(-0.5 * (torch.tensor([-1.0, 0.0, 1.0]) / sigma) ** 2)
    line /= line.sum()
    kernel = (line[:, None] * line).expand(len(image), 1, 3, 3)
    wide = functional.pad(image[None], (1, 1, 1, 1), mode="reflect")
    return functional.conv2d(wide, kernel, groups=len(image))[0]


def test_the_augmentation_is_not_the_official_one() -> None:
    images = torch.rand(400, 2, 5, 7, generator=seeded(1))
    found = augmented(images, seeded(2))
    draws = seeded(2)
    across, down, size = (torch.rand(400, 1, 1, 1, generator=draws).flatten() for _ in range(3))
    for row in range(400):
        due = images[row].flip(2) if across[row] < 0.5 else images[row]
        due = due.flip(1) if down[row] < 0.5 else due
        due = blurred(due, 0.1 + 1.9 * float(size[row]))
        assert torch.allclose(found[row], due, atol=1e-6)
    # The control: both flips happen, and not together.
    assert 150 < int((across < 0.5).sum()) < 250
    assert 50 < int(((across < 0.5) & (down < 0.5)).sum()) < 150


def test_a_shift_has_another_range_or_leaves_the_earth() -> None:
    lon, lat = torch.full((10_000,), 180.0).double(), torch.full((10_000,), -90.0).double()
    east, north = shifted(lon, lat, seeded(3))
    for moved in (east - lon, north - lat):
        assert 0 <= float(moved.min()) < 1e-5
        assert 0.00999 < float(moved.max()) < 0.01
    assert abs(float(torch.corrcoef(torch.stack([east, north]))[0, 1])) < 0.05
    across, down = shifted(lon, -lat, seeded(3))
    assert torch.allclose(down, 180 - (-lat + (north - lat)), atol=1e-9)
    assert torch.allclose(across, east + 180)


def test_a_crop_misses_an_edge_or_takes_one_for_all() -> None:
    rows = torch.arange(9.0)[:, None].expand(9, 7)
    images = torch.stack([rows, torch.arange(7.0).expand(9, 7)]).expand(300, 2, 9, 7)
    some = cropped(images, 5, seeded(1))
    assert some.shape == (300, 2, 5, 5)
    corners = some[:, :, 0, 0]
    assert {tuple(one) for one in corners.tolist()} == {(y, x) for y in range(5) for x in range(3)}
    assert torch.equal(
        some - corners[:, :, None, None], (some - corners[:, :, None, None])[:1].expand_as(some)
    )
    assert torch.equal(cropped(images, 5, None), images[:, :, 2:7, 1:6])
    assert cropped(images, None, seeded()) is images


@pytest.mark.parametrize("image", ["cnn", "resnet18"])
def test_augmentation_is_drawn_elsewhere_or_acts_when_nothing_trains(
    image: str, places: PoolPlaces, weights: str
) -> None:
    given = {} if image == "cnn" else {"weights": weights}
    gfm = gfm_of(image=image, dropout=0.0, augment=True, **given)
    records = gfm.records(places)
    model = gfm.model(records)
    module = model.build(seeded())
    batch = model.collate(model.prepare(records, CPU), torch.arange(16))
    assert "harmonics" not in batch
    before = torch.get_rng_state()
    one, two, other = (model.loss(module.train(), batch, seeded(s)).item() for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one == two != other
    still = [model.loss(module.eval(), batch, seeded(s)).item() for s in (1, 2)]
    plain = replace(model, augment=False)
    kept = plain.collate(plain.prepare(records, CPU), torch.arange(16))
    assert still[0] == still[1]
    assert still[0] == pytest.approx(plain.loss(module, kept, seeded()).item(), rel=1e-6)
    labelled = model.prepare({k: records[k] for k in ("lon", "lat")}, CPU)
    assert "harmonics" in labelled
    assert torch.equal(model.encode(module, labelled)[:16], plain.encode(module, kept))


@pytest.mark.slow
def test_a_vision_transformer_is_given_images_of_another_size(pool: Pool, tmp_path: Path) -> None:
    places = kept(pool, tmp_path, side=226)
    gfm = gfm_of(image="vit_small_patch16_224", trained=True, weights="random", augment=True)
    records = gfm.records(places)
    model = gfm.model(records)
    module = model.build(seeded())
    batch = model.collate(model.prepare(records, CPU), torch.arange(2))
    loss = model.loss(module.train(), batch, seeded())
    assert loss.isfinite()
    loss.backward()
    assert module.image.cls_token.grad is not None
    with torch.no_grad():
        whole = model.loss(module.eval(), batch, seeded())
        middle = dict(batch) | {"image": batch["image"][:, :, 1:-1, 1:-1]}
        assert torch.equal(whole, model.loss(module, middle, seeded()))


def test_b10_is_put_among_bands_that_are_not_of_level_2a(
    places: PoolPlaces, pool: Pool, tmp_path: Path
) -> None:
    gfm = gfm_of(image="resnet18", trained=True, weights="random")
    assert gfm.model(gfm.records(places)).inputs == 13
    others = kept(pool, tmp_path, named=tuple("abcdefghijkl"), side=2)
    assert gfm.model(gfm.records(others)).inputs == 12
    assert gfm_of(image="cnn").model({"image": places.images()}).inputs == 12


def test_a_tower_sees_other_numbers_than_its_payload_shows_it(
    places: PoolPlaces, weights: str
) -> None:
    from wherefrom.gfms.tower import TowerFeatures

    payload = TowerFeatures(kind="tower", of=Tiles(kind="tiles"), weights=weights)
    sought = Sought(places.pool.ids, places.lon, places.lat)
    features = np.concatenate([r["features"] for _, r in payload.read(sought, Lost())])
    gfm = gfm_of(image="resnet18", weights=weights)
    records = gfm.records(places)
    model = gfm.model(records)
    module = model.build(seeded())
    image = model._shown(module.image, torch.from_numpy(np.asarray(records["image"])), None)
    with torch.no_grad():
        np.testing.assert_allclose(module.image.pooled(image), features, rtol=1e-3, atol=1e-4)


def test_parts_of_a_batch_rival_only_each_other(
    places: PoolPlaces, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gfm = gfm_of(image="resnet18", weights=weights)
    records = gfm.records(places)
    model = gfm.model(records)
    module = model.build(seeded()).train()
    batch = model.collate(model.prepare(records, CPU), torch.arange(16))
    parts = model.loss(module, batch, seeded()).item()
    monkeypatch.setattr("wherefrom.models.satclip._PART", {"cpu": 16})
    assert parts == pytest.approx(model.loss(module, batch, seeded()).item(), rel=1e-5)


class Numbers(Payload):
    """What is given, a row of them at a time."""

    modality: ClassVar[Modality] = "images"

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        for row in range(len(places)):
            yield np.array([row]), {"images": GIVEN[row : row + 1]}


GIVEN = np.random.default_rng(0).normal(1e3, 5, (9, 3, 4, 4)).astype(np.float32)
GIVEN[2, 0] = np.nan  # a whole channel of a piece
GIVEN[5, 1, 2, 3] = np.nan
GIVEN[:, 2] = 7  # never varies


def test_channels_are_scaled_by_other_pixels_than_the_pools(tmp_path: Path) -> None:
    pool = Pool.build(9)
    keep(Numbers(kind="numbers"), Sought(pool.ids, pool.lon, pool.lat), tmp_path)
    places = PoolPlaces(pool, np.array([1, 8]), {"images": Stored("images", (tmp_path,))})
    mean, std = (f(GIVEN.astype(float), (0, 2, 3)) for f in (np.nanmean, np.nanstd))
    scales = places.scales("images")
    np.testing.assert_allclose(scales.mean(0), mean, rtol=1e-12)
    np.testing.assert_allclose(scales.std(0), std, rtol=1e-9, atol=1e-9)
    gfm = gfm_of(image="cnn")
    records = gfm.records(places)
    for given in (gfm.calibration(places), {"image": GIVEN}):
        model = gfm.model(records)
        module = model.build(seeded())
        model.calibrate(module, given)
        np.testing.assert_allclose(module.image.mean, mean, rtol=1e-6)
        np.testing.assert_allclose(module.image.std, np.where(std > 0, std, 1), rtol=1e-4)
    assert module.image(torch.from_numpy(GIVEN[:2])).isfinite().all()


def test_a_pixel_that_is_no_number_ends_in_a_loss_of_nan(tmp_path: Path) -> None:
    model = SatCLIPConfig(degrees=3, inputs=3, image="cnn", width=8)
    records = {"lon": np.zeros(9), "lat": np.zeros(9), "image": GIVEN}
    batch = model.collate(model.prepare(records, CPU), torch.arange(9))
    with pytest.raises(WherefromError, match="2 of 9 images of a batch have pixels that are no"):
        model.loss(model.build(seeded()), batch, seeded())


def test_images_are_read_before_they_are_needed() -> None:
    asked: list[int] = []

    def read(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return GIVEN[rows]

    every = np.array([4, 0, 6, 7, 8, 3])
    images = Images(read, every, (3, 4, 4), np.float32)
    assert (images.shape, images.dtype, images.ndim, len(images)) == ((6, 3, 4, 4), "f4", 4, 6)
    assert not asked
    np.testing.assert_array_equal(images[1:3], GIVEN[[0, 6]])
    np.testing.assert_array_equal(images[-1], GIVEN[3])
    np.testing.assert_array_equal(np.array(images), GIVEN[every])
    places = {"lon": np.arange(6.0), "lat": np.zeros(6)}
    model = SatCLIPConfig(degrees=3, inputs=3, image="cnn", width=8, out=4)
    budget = PretrainSettings(samples_seen=6, batch=2, lr=1e-2, warmup=0)
    scale = {"image": np.stack([np.full(3, 995.0), np.full(3, 1005.0)])}
    asked.clear()
    lazy, whole = (
        pretrain(model, places | {"image": i}, np.arange(6), budget, seed=0, calibration=scale)
        for i in (images, GIVEN[every])
    )
    assert asked == [6, 2, 2, 2]  # once for the name of the data, then a batch at a time
    for name, value in lazy.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 8), (4, 8, 8, 5)])
def test_images_of_another_shape_surface_in_a_convolution(shape: tuple[int, ...]) -> None:
    model = SatCLIPConfig(degrees=3, inputs=5, image="cnn")
    given = {"lon": np.zeros(4), "lat": np.zeros(4), "image": np.zeros(shape, np.float32)}
    with pytest.raises(WherefromError, match=r"images \(N, C, H, W\), not|8 features or channels"):
        model.prepare(given, CPU)


def test_one_pixel_is_blurred_and_features_are_augmented() -> None:
    with pytest.raises(WherefromError, match="images of 1 pixel along a side cannot be blurred"):
        augmented(torch.zeros(2, 3, 1, 4), seeded())
    with pytest.raises(WherefromError, match="features cannot be augmented"):
        SatCLIPConfig(degrees=3, inputs=5, augment=True)
