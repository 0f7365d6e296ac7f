"""Features of the whole-Earth image: exact windows, seams, poles, real places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wherefrom.earth import imagery
from wherefrom.earth.imagery import ImageFeatures, available
from wherefrom.earth.sphere import EARTH_RADIUS_KM
from wherefrom.errors import WherefromError

HEIGHT, WIDTH = 90, 180
KM = np.pi * EARTH_RADIUS_KM / HEIGHT


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Put a small picture of noise in the place of the real one."""
    noise = np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH), dtype=np.uint8)
    monkeypatch.setattr(imagery, "_read", lambda source: noise)
    return noise


def sea_and_land() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(-180, 180, 60), rng.uniform(-90, 90, 60)
    special = [(-180, 0), (180, 0), (179.99, 40), (-179.99, -40), (0, 90), (0, -90), (5, 89.9)]
    return (
        np.concatenate([lon, [place[0] for place in special]]),
        np.concatenate([lat, [place[1] for place in special]]),
    )


def exact_means(planes: np.ndarray, lon: float, lat: float, half: float) -> np.ndarray:
    """Average planes (H, W, P) over the window by the overlap of every pixel of the picture."""
    x, y = (lon + 180) % 360 * WIDTH / 360, (90 - lat) * HEIGHT / 180
    top, bottom = max(0.0, y - half), min(float(HEIGHT), y + half)
    mean = np.zeros(planes.shape[2])
    for row in range(HEIGHT):
        share = min(row + 1, bottom) - max(row, top)
        if share > 0:
            reach = min(half / np.sin((row + 0.5) * np.pi / HEIGHT), WIDTH / 2)
            overlap = np.zeros(WIDTH)
            for turn in (-WIDTH, 0, WIDTH):
                left = np.arange(WIDTH) + turn
                overlap += np.clip(
                    np.minimum(left + 1, x + reach) - np.maximum(left, x - reach), 0, 1
                )
            mean += share * (overlap @ planes[row]) / (2 * reach)
    return mean / (bottom - top)


def test_window_misses_a_fraction_the_seam_or_a_pole(image: np.ndarray) -> None:
    features = ImageFeatures(window_km=3.3 * KM, filters=5)
    lon, lat = sea_and_land()
    found = features.compute(lon, lat)
    weights, bias = imagery._filters(image, 5, 0)
    padded = np.pad(
        np.pad(image, ((0, 0), (1, 1), (0, 0)), mode="edge"), ((0, 0), (0, 0), (1, 1)), mode="wrap"
    )
    pixels = image.transpose(1, 2, 0) / 255
    response = np.zeros((HEIGHT, WIDTH, 5))
    for row in range(HEIGHT):
        for column in range(WIDTH):
            patch = padded[:, row : row + 3, column : column + 3]
            # The layout of a patch is the filters' own affair, but it must be the same in both.
            flat = patch.transpose(0, 2, 1).reshape(-1) / 255
            response[row, column] = np.maximum(flat @ weights + bias, 0)
    planes = np.concatenate([pixels, pixels**2, response], axis=2)
    expected = np.stack([exact_means(planes, a, b, 1.65) for a, b in zip(lon, lat, strict=True)])
    assert np.abs(found[:, :3] - expected[:, :3]).max() < 1e-5
    spread = np.sqrt(expected[:, 3:6] - expected[:, :3] ** 2)
    assert np.abs(found[:, 3:6] - spread).max() < 1e-4
    assert np.abs(found[:, 9:] - expected[:, 6:]).max() < 1e-4


def test_centre_is_another_pixel(image: np.ndarray) -> None:
    lon, lat = sea_and_land()
    found = ImageFeatures(window_km=2 * KM, filters=0).compute(lon, lat)
    rows = np.minimum((90 - lat) / 2, HEIGHT - 1).astype(int)
    columns = ((lon + 180) % 360 / 2).astype(int)
    assert np.array_equal(found[:, 6:], (image[:, rows, columns].T / 255).astype(np.float32))


def test_features_of_a_place_depend_on_the_others(image: np.ndarray) -> None:
    lon, lat = sea_and_land()
    features = ImageFeatures(window_km=3 * KM, filters=4)
    whole = features.compute(lon, lat)
    assert np.array_equal(whole[40:], features.compute(lon[40:], lat[40:]))
    assert whole.dtype == np.float32
    assert whole.shape == (67, features.size) == (67, 13)
    assert features.compute(lon[:0], lat[:0]).shape == (0, 13)


def test_seed_or_spec_is_ignored(image: np.ndarray) -> None:
    one, two = (imagery._filters(image, 6, seed)[0] for seed in (0, 1))
    assert not np.array_equal(one, two)
    assert np.array_equal(one, imagery._filters(image, 6, 0)[0])
    specs = [ImageFeatures(), ImageFeatures(seed=1), ImageFeatures(window_km=61.0)]
    assert len({str(features.spec()) for features in specs}) == 3


def test_sea_of_one_colour_yields_filters(image: np.ndarray) -> None:
    image[:, :, 40:] = 7
    weights, bias = imagery._filters(image, 8, 0)
    flat = (np.full(27, 7 / 255) @ weights + bias)[:, None]
    assert np.isfinite(weights).all()
    assert len(np.unique(weights, axis=1).T) == 8
    assert np.abs(flat).max() < 20


@pytest.mark.parametrize("wrong", [{"source": "blue-marbel"}, {"window_km": 1.0}, {"filters": -1}])
def test_impossible_features_are_made(wrong: dict[str, object]) -> None:
    with pytest.raises(WherefromError):
        ImageFeatures(**wrong)  # type: ignore[arg-type]


def test_bad_place_becomes_a_number(image: np.ndarray) -> None:
    with pytest.raises(WherefromError, match=r"row 1: lon nan.* is not a place"):
        ImageFeatures(filters=0).compute(np.array([0.0, np.nan]), np.array([0.0, 0.0]))
    with pytest.raises(WherefromError, match=r"row 0: lat 91\.0 is not within"):
        ImageFeatures(filters=0).compute(np.array([0.0]), np.array([91.0]))


def test_unknown_image_is_asked_for() -> None:
    with pytest.raises(WherefromError, match="did you mean 'blue-marble'"):
        available("blue-marbel")


@pytest.fixture(params=imagery.IMAGES)
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name = str(request.param)
    if name == "blue-marble-monthly":
        folder: Path = request.getfixturevalue("reference_data") / "earth"
        monkeypatch.setenv("WHEREFROM_DATA", str(folder))
    if not available(name):
        pytest.skip(f"{name} is not on this machine: wherefrom data fetch {name}")
    return name


@pytest.mark.slow
def test_real_image_lies_mirrored_or_shifted(source: str) -> None:
    # Tibesti, Rub al Khali, Great Victoria Desert; central Congo, Borneo, Amazon; three oceans.
    lon = np.array([17.0, 50.0, 127.0, 23.0, 114.5, -65.0, -150.0, -35.0, 80.0])
    lat = np.array([22.0, 20.0, -28.0, 0.5, 1.0, -5.0, 0.0, -20.0, -25.0])
    red, _, blue = ImageFeatures(source, filters=0).compute(lon, lat)[:, :3].T
    assert (red[:3] > red[3:].max() + 0.15).all()
    assert (blue[6:] > red[6:]).all()
    assert (red[:6] > blue[:6]).all()


@pytest.mark.slow
def test_features_carry_nothing_about_the_place(source: str) -> None:
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-120, 140, 4000), rng.uniform(22, 38, 4000)
    near = np.concatenate([lon, lon]), np.concatenate([lat, lat + 0.5])
    found = ImageFeatures(source, filters=16).compute(*near)
    found = (found - found.mean(0)) / found.std(0)
    land = found[:4000, 0] > found[:4000, 2] - 0.2
    here, there = found[:4000][land], found[4000:][land]
    to_neighbour = np.linalg.norm(here - there, axis=1)
    to_random = np.linalg.norm(here - rng.permutation(there), axis=1)
    assert np.median(to_neighbour) < 0.6 * np.median(to_random)
    assert (found.std(0) > 0).all()
