"""GeoCLIP's location encoder against its own forward pass.

`geoclip.csv` has 22 places and 16 of their 512 numbers, float32, recorded with geoclip 1.3.0 and
torch 2.13.0 on a CPU, in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from wherefrom.earth.fetch import find
from wherefrom.errors import WherefromError
from wherefrom.models import geoclip
from wherefrom.models.geoclip import LocationEncoder, Places, equal_earth
from wherefrom.models.official import tensors_of
from wherefrom.models.satclip import LocationEncoder as OfSatCLIP
from wherefrom.train.embed import embed

TOLERANCE = 1e-5


class Reference(NamedTuple):
    lon: np.ndarray
    lat: np.ndarray
    columns: list[int]
    values: np.ndarray


@pytest.fixture(scope="module")
def reference() -> Reference:
    file = Path(__file__).with_name("geoclip.csv")
    _, _, *names = file.read_text().split("\n", 1)[0].split(",")
    rows = np.loadtxt(file, delimiter=",", skiprows=1)
    return Reference(rows[:, 0], rows[:, 1], [int(name[1:]) for name in names], rows[:, 2:])


@pytest.fixture(scope="module")
def weights() -> Path:
    path = find("geoclip-location")
    if path is None:
        pytest.skip("no weights of GeoCLIP here: wherefrom data fetch geoclip-location")
    return path


def worst(encoder: LocationEncoder, reference: Reference) -> float:
    found = embed(Places(), encoder, {"lon": reference.lon, "lat": reference.lat})
    assert found.shape == (22, 512)
    return float(np.abs(found[:, reference.columns] - reference.values).max())


def test_a_place_is_embedded_otherwise_than_officially(weights: Path, reference: Reference) -> None:
    encoder = LocationEncoder.load_official(weights)
    assert worst(encoder, reference) < TOLERANCE
    # In double precision phases are exact: what float32 leaves of them is seen, and no more.
    lon, lat = (torch.from_numpy(v) for v in (reference.lon, reference.lat))
    with torch.no_grad():
        exact = LocationEncoder.load_official(weights, torch.float64)(lon, lat).numpy()
    assert exact.dtype == np.float64
    assert np.abs(exact[:, reference.columns] - reference.values).max() < 5e-5


def test_the_checkpoint_is_changed_by_loading(weights: Path) -> None:
    content = tensors_of(weights, "")
    model = LocationEncoder.load_official(weights)
    state = model.state_dict()
    assert content.keys() == state.keys()
    assert all(torch.equal(content[name], state[name]) for name in content)
    assert sum(p.numel() for p in model.parameters()) == 9_447_936


def plate_carree(lon: Tensor, lat: Tensor) -> Tensor:
    return torch.stack([lon, lat], dim=1) / 180


def shifted(lon: Tensor, lat: Tensor) -> Tensor:
    return equal_earth(lon, lat) * 180 / 66.5


@pytest.mark.parametrize("projection", [plate_carree, shifted, lambda x, y: equal_earth(y, x)])
def test_a_slip_of_the_projection_passes_unnoticed(
    weights: Path,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
    projection: Callable[[Tensor, Tensor], Tensor],
) -> None:
    encoder = LocationEncoder.load_official(weights)
    monkeypatch.setattr(geoclip, "equal_earth", projection)
    assert worst(encoder, reference) > 1e-2


def test_equal_earth_does_not_keep_areas() -> None:
    # Its Jacobian over the cosine of latitude is one number, the projection's own.
    lon, lat = (
        v.double() for v in (torch.tensor([0.0, -170, 30, 90]), torch.tensor([0.0, 60, -30, 85]))
    )
    step = 1e-5
    x = (equal_earth(lon + step, lat) - equal_earth(lon - step, lat)) / (2 * step)
    y = (equal_earth(lon, lat + step) - equal_earth(lon, lat - step)) / (2 * step)
    area = (x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0]) / torch.cos(torch.deg2rad(lat))
    assert (area / area[0] - 1).abs().max() < 1e-5


def test_other_weights_are_loaded(tmp_path: Path) -> None:
    file, want = tmp_path / "w.pth", "give GeoCLIP's location encoder.*wherefrom data fetch"
    torch.save(OfSatCLIP(10).state_dict(), file)
    with pytest.raises(WherefromError, match=rf"{file} lacks the tensor LocEnc0.*: {want}"):
        LocationEncoder.load_official(file)
    state = LocationEncoder().state_dict()
    torch.save(state | {"LocEnc2.head.0.weight": torch.zeros(256, 1024)}, file)
    with pytest.raises(WherefromError, match=r"LocEnc2.head.0.weight has shape \(256, 1024\)"):
        LocationEncoder.load_official(file)


@pytest.mark.parametrize(("lon", "lat"), [(181.0, 0.0), (0.0, -91.0), (np.nan, 0.0)])
def test_a_place_that_is_none_is_embedded(lon: float, lat: float) -> None:
    with pytest.raises(WherefromError, match=r"row 1"):
        embed(Places(), LocationEncoder(), {"lon": np.array([0, lon]), "lat": np.array([0, lat])})
