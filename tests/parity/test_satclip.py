"""The location encoder against recorded outputs of the official code and 40-digit arithmetic."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from wherefrom.errors import WherefromError
from wherefrom.models.satclip import LocationEncoder, SphericalHarmonics

LAYERS = ("layers.0", "layers.1", "last_layer")


@pytest.fixture(scope="module")
def reference(reference_data: Path) -> dict[str, Tensor]:
    with np.load(reference_data / "satclip" / "reference_outputs.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def places(reference: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return reference["lonlat"][:, 0].contiguous(), reference["lonlat"][:, 1].contiguous()


@pytest.fixture(scope="module")
def error_l40(reference: dict[str, Tensor], places: tuple[Tensor, Tensor]) -> Tensor:
    return (SphericalHarmonics(40)(*places) - reference["harmonics_L40"]).abs()


def lightning_checkpoint(reference: dict[str, Tensor], path: Path, **changes: Any) -> Path:
    """Write the reference weights as Lightning stores them: twice, as float64, with settings."""
    state: OrderedDict[str, Tensor] = OrderedDict()
    state["model.logit_scale"] = torch.tensor(2.65926)
    state["model.visual.conv1.weight"] = torch.zeros(64, 13, 7, 7)
    for part in LAYERS:
        for kind in ("weight", "bias"):
            value = reference[f"nnet.{part}.{kind}"].double()
            state[f"model.nnet.{part}.{kind}"] = value
            state[f"model.location.nnet.{part}.{kind}"] = value
    settings = {
        "embed_dim": 256, "le_type": "sphericalharmonics", "pe_type": "siren",
        "legendre_polys": 10, "harmonics_calculation": "analytic", "capacity": 512,
        "num_hidden_layers": 2, "eval_downstream": False, "air_temp_data_path": "",
    }  # fmt: skip
    content = {"epoch": 499, "state_dict": state, "hyper_parameters": settings | changes}
    torch.save(content, path)
    return path


@pytest.fixture
def encoder(reference: dict[str, Tensor], tmp_path: Path) -> LocationEncoder:
    return LocationEncoder.load_official(lightning_checkpoint(reference, tmp_path / "a.ckpt"))


def test_a1_harmonics_of_ten_degrees_differ(
    reference: dict[str, Tensor], places: tuple[Tensor, Tensor]
) -> None:
    error = (SphericalHarmonics(10)(*places) - reference["harmonics_L10"]).abs()
    assert error.max() < 2e-12


def test_a2_embedding_differs(
    encoder: LocationEncoder, reference: dict[str, Tensor], places: tuple[Tensor, Tensor]
) -> None:
    assert (encoder(*places) - reference["location_embedding_L10"]).abs().max() < 5e-12


def test_a3_network_of_sines_differs(
    encoder: LocationEncoder, reference: dict[str, Tensor]
) -> None:
    ours = encoder.from_harmonics(reference["harmonics_L10"])
    assert (ours - reference["location_embedding_L10"]).abs().max() < 1e-13


def test_a4_more_degrees_change_the_first_columns(
    reference: dict[str, Tensor], places: tuple[Tensor, Tensor]
) -> None:
    assert torch.equal(reference["harmonics_L40"][:, :100], reference["harmonics_L10"])
    ours = SphericalHarmonics(40)(*places)[:, :100]
    assert (ours - SphericalHarmonics(10)(*places)).abs().max() < 1e-13


def test_a5_degrees_up_to_twenty_differ(error_l40: Tensor) -> None:
    assert error_l40[:, :441].max() < 2e-8


@pytest.mark.parametrize(("band", "count", "tolerance"), [(30, 133, 1e-7), (45, None, 1e-4)])
def test_a6_a7_low_latitudes_differ(
    error_l40: Tensor,
    places: tuple[Tensor, Tensor],
    band: int,
    count: int | None,
    tolerance: float,
) -> None:
    inside = places[1].abs() < band
    assert count is None or inside.sum() == count
    assert error_l40[inside].max() < tolerance


def test_a8_high_orders_differ(error_l40: Tensor) -> None:
    order = torch.cat([torch.arange(-degree, degree + 1) for degree in range(40)])
    assert error_l40[:, order.abs() >= 12].max() < 1e-8


def test_a9_far_from_the_official_values_even_with_their_known_error(error_l40: Tensor) -> None:
    assert error_l40.max() < 0.65


def exact_harmonics(lon: float, lat: float, degrees: int) -> list[Any]:
    """Evaluate the definition with 40 digits, Legendre functions by their plain recurrence."""
    with mpmath.workdps(40):
        phi, x = mpmath.radians(mpmath.mpf(lon) + 180), -mpmath.sin(mpmath.radians(lat))
        s = mpmath.cos(mpmath.radians(mpmath.mpf(lat)))
        P = {(0, 0): mpmath.mpf(1)}
        for m in range(degrees):
            if m:
                P[m, m] = (2 * m - 1) * s * P[m - 1, m - 1]
            P[m + 1, m] = (2 * m + 1) * x * P[m, m]
            for n in range(m + 2, degrees):
                P[n, m] = ((2 * n - 1) * x * P[n - 1, m] - (n + m - 1) * P[n - 2, m]) / (n - m)
        row = []
        for n in range(degrees):
            for m in range(-n, n + 1):
                k = abs(m)
                ratio = mpmath.factorial(n - k) / mpmath.factorial(n + k)
                norm = mpmath.sqrt((2 * n + 1) / (4 * mpmath.pi) * ratio)
                wave = mpmath.cos(k * phi) if m > 0 else mpmath.sin(k * phi)
                row.append(norm * P[n, k] * (mpmath.sqrt(2) * wave if m else mpmath.pi))
        return row


def test_a10_values_differ_from_forty_digit_arithmetic() -> None:
    lon = [0.0, 0.0, -180.0, 13.40625, 179.98046875, -77.03125]
    lat = [90.0, -90.0, 0.0, 52.515625, -89.9990234375, 71.375]
    exact = [exact_harmonics(*place, 40) for place in zip(lon, lat, strict=True)]
    ours = SphericalHarmonics(40)(*(torch.tensor(v, dtype=torch.float64) for v in (lon, lat)))
    error = ours - torch.tensor([[float(v) for v in row] for row in exact], dtype=torch.float64)
    assert error.abs().max() < 1e-13


def test_a11_float32_embedding_differs(
    encoder: LocationEncoder, reference: dict[str, Tensor], places: tuple[Tensor, Tensor]
) -> None:
    encoder.float()
    for given in (places, tuple(v.float() for v in places)):
        ours = encoder(*given)
        assert ours.dtype == torch.float32
        assert (ours - reference["location_embedding_L10"]).abs().max() < 2e-4


def test_a12_float32_harmonics_degrade(places: tuple[Tensor, Tensor]) -> None:
    harmonics = SphericalHarmonics(40)
    single = harmonics(places[0].float(), places[1].float())
    assert single.dtype == torch.float32
    assert (single - harmonics(*places)).abs().max() < 5e-4
    # Angles reduced in float64 leave the rounding of the result alone.
    assert (harmonics(*places, torch.float32) - harmonics(*places)).abs().max() < 5e-6


def test_a13_lightning_checkpoint_is_misread(
    encoder: LocationEncoder, reference: dict[str, Tensor], places: tuple[Tensor, Tensor]
) -> None:
    assert encoder.harmonics.degrees == 10
    assert not encoder.training
    assert encoder.dtype == torch.float64
    embedding = reference["location_embedding_L10"]
    assert (encoder(*places) - embedding).abs().max() < 5e-12
    assert (encoder.from_harmonics(reference["harmonics_L10"]) - embedding).abs().max() < 1e-13


def test_checkpoint_of_another_depth_and_width_is_read_by_its_shapes(tmp_path: Path) -> None:
    known = LocationEncoder(3, width=8, depth=1, out=5).double()
    state = {
        f"model.nnet.{name}.{kind}": getattr(layer, kind).detach()
        for name, layer in zip(("layers.0", "last_layer"), known.layers, strict=True)
        for kind in ("weight", "bias")
    }
    torch.save({"state_dict": state, "hyper_parameters": {}}, tmp_path / "b.ckpt")
    read = LocationEncoder.load_official(tmp_path / "b.ckpt")
    lon, lat = torch.tensor([3.0, 4.0]).double(), torch.tensor([1.0, 2.0]).double()
    assert torch.equal(read(lon, lat), known.eval()(lon, lat))


class Harmful:
    """Would run code when unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("code ran",))


@pytest.mark.parametrize("kind", ["absent", "text", "empty", "folder", "code", "tensor", "keys"])
def test_wrong_file_gives_a_traceback_or_runs_code(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.ckpt"
    if kind == "text":
        path.write_text("<html>404</html>")
    elif kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "code":
        torch.save({"state_dict": {}, "callbacks": Harmful()}, path)
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "keys":
        torch.save({"state_dict": {"visual.conv1": torch.zeros(3)}}, path)
    with pytest.raises(WherefromError, match=r"x\.ckpt"):
        LocationEncoder.load_official(path)
    assert "code ran" not in capsys.readouterr().out


def test_checkpoint_of_another_encoding_is_accepted(
    reference: dict[str, Tensor], tmp_path: Path
) -> None:
    path = lightning_checkpoint(reference, tmp_path / "a.ckpt", harmonics_calculation="closed-form")
    with pytest.raises(WherefromError, match="closed-form"):
        LocationEncoder.load_official(path)


def test_checkpoint_with_misfit_shapes_is_accepted(
    reference: dict[str, Tensor], tmp_path: Path
) -> None:
    for key, shape in (("layers.0.weight", (512, 99)), ("layers.1.weight", (512, 511))):
        path = lightning_checkpoint(
            {**reference, f"nnet.{key}": torch.zeros(shape)}, tmp_path / "a.ckpt"
        )
        with pytest.raises(WherefromError, match="shapes"):
            LocationEncoder.load_official(path)
