"""Galileo's encoder against recorded outputs of the official code with the published weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wherefrom.models import galileo as ours
from wherefrom.models import galileo_series
from wherefrom.models.galileo import GROUPS, Galileo, Inputs
from wherefrom.models.galileo_series import GalileoSeries, records_of
from wherefrom.models.official import tensors_of
from wherefrom.pool.series import PixelSeries
from wherefrom.train.embed import embed

pytestmark = pytest.mark.filterwarnings("ignore:given but not read by Galileo.*B9")

ARRAYS = tuple(GROUPS)
NAMES = Inputs._fields
CASES = ("pixel_all", "pixel_ragged", "space_p2", "space_p3", "space_p8", "space_p4")
VARIANTS = ("basic", "no_location", "dw", "s2_only", "s1_only", "ragged")
BASIC = ("DW", "DW_static")

Case = dict[str, Any]


@pytest.fixture(scope="module")
def reference(reference_data: Path) -> dict[str, np.ndarray]:
    file = reference_data / "galileo" / "reference_outputs.npz"
    if not file.is_file():
        pytest.skip(f"no reference outputs of Galileo at {file}")
    with np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def model(reference_data: Path) -> Galileo:
    return Galileo.load_official(reference_data / "galileo" / "encoder.pt")


@pytest.fixture(scope="module")
def cases(reference: dict[str, np.ndarray]) -> dict[str, Case]:
    return {
        case: {n: torch.from_numpy(reference[f"{case}/{n}"]) for n in NAMES}
        | {
            "patch_size": int(reference[f"{case}/patch_size"]),
            "input_resolution_m": float(reference[f"{case}/input_resolution_m"]),
        }
        for case in CASES
    }


@pytest.fixture(scope="module")
def series(reference_data: Path, reference: dict[str, np.ndarray]) -> PixelSeries:
    folder, rows = reference_data / "presto" / "algae_blooms", reference["algae/rows"]
    raw, latlon, world = (
        np.load(folder / f"{name}.npy")[rows]
        for name in ("s1_s2_era5_srtm", "latlon", "dynamic_world")
    )
    return PixelSeries(raw, world, latlon[:, 1], latlon[:, 0], reference["algae/months"])


def worst(found: Tensor | np.ndarray, due: Tensor | np.ndarray) -> float:
    found, due = np.asarray(found), np.asarray(due)
    assert found.shape == due.shape
    return float(np.abs(found - due).max())


def pooled(model: Galileo, case: Case) -> Tensor:
    with torch.no_grad():
        return model.embed(**case)


def apart(case: Case) -> tuple[Inputs, int, float]:
    inputs = Inputs(**{name: case[name] for name in Inputs._fields})
    return inputs, case["patch_size"], case["input_resolution_m"]


def variant(
    series: PixelSeries, name: str, reference: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Give the records of a variant of the algae rows."""
    every = {name for groups in GROUPS.values() for name in groups}
    optical = {n for n in GROUPS["s_t"] if n.startswith("S2")}
    hide = {
        "basic": BASIC,
        "no_location": (*BASIC, "location"),
        "dw": (),
        "s2_only": every - optical,
        "s1_only": every - {"S1"},
        "ragged": BASIC,
    }[name]
    records = records_of(series, hide)
    if name == "ragged":
        records["s_t_m"][..., 1:] |= reference["algae/ragged_hide_s2"][..., None]
    return records


def test_a1_series_are_mapped_or_scaled_otherwise(
    series: PixelSeries, reference: dict[str, np.ndarray]
) -> None:
    records = records_of(series)
    for array in ARRAYS:
        due = reference[f"algae/{array}_x"].reshape(records[f"{array}_x"].shape)
        found = records[f"{array}_x"]
        for at, (name, bands) in enumerate(GROUPS[array].items()):
            if (records[f"{array}_m"][..., at] == 0).all():
                assert worst(found[..., list(bands)], due[..., list(bands)]) < 1e-6, name
            else:
                assert name in ("WC", "TC", "VIIRS", "LS", "WC_static")


@pytest.mark.parametrize("case", CASES)
def test_a2_the_embedding_differs(
    model: Galileo, cases: dict[str, Case], reference: dict[str, np.ndarray], case: str
) -> None:
    assert worst(pooled(model, cases[case]), reference[f"{case}/out_pooled"]) < 5e-6


@pytest.mark.parametrize("case", CASES)
def test_a3_a4_tokens_differ_or_hidden_ones_are_not_the_bias(
    model: Galileo, cases: dict[str, Case], reference: dict[str, np.ndarray], case: str
) -> None:
    if f"{case}/out_tok_st" not in reference:
        pytest.skip("no tokens were recorded of this case")
    given = cases[case]
    with torch.no_grad():
        found = model.encode(*apart(given))
    p = given["patch_size"]
    for array in ARRAYS:
        due, tokens = reference[f"{case}/out_tok_{array}"], getattr(found, array)
        mask = given[f"{array}_m"]
        shown = (mask[:, ::p, ::p] if array in ("s_t", "sp") else mask) == 0
        assert worst(tokens[shown], due[shown.numpy()]) < 1e-4
        hidden = tokens[~shown]
        assert worst(hidden, model.norm.bias.detach().expand_as(hidden)) == 0 if len(hidden) else 1


@pytest.mark.parametrize("name", VARIANTS)
def test_a5_series_are_embedded_otherwise(
    model: Galileo, series: PixelSeries, reference: dict[str, np.ndarray], name: str
) -> None:
    found = embed(GalileoSeries(), model, variant(series, name, reference))
    assert worst(found, reference[f"algae/pooled_{name}"]) < 1e-5


@pytest.mark.parametrize("case", ["pixel_all", "space_p2", "space_p3", "space_p8"])
def test_a6_patches_are_embedded_otherwise(
    model: Galileo, cases: dict[str, Case], reference: dict[str, np.ndarray], case: str
) -> None:
    with torch.no_grad():
        found = model.embed_patches(*apart(cases[case]))
    assert worst(found, reference[f"{case}/out_per_patch"]) < 1e-5


@pytest.mark.parametrize("case", ["pixel_ragged", "space_p4"])
def test_a7_a_row_is_another_in_a_batch(model: Galileo, cases: dict[str, Case], case: str) -> None:
    given = cases[case]
    alone = [
        pooled(model, {n: v[i : i + 1] if n in NAMES else v for n, v in given.items()})
        for i in range(len(given["months"]))
    ]
    assert worst(torch.cat(alone), pooled(model, given)) < 5e-6


def test_a8_the_checkpoint_is_changed_by_loading(model: Galileo, reference_data: Path) -> None:
    content = tensors_of(reference_data / "galileo" / "encoder.pt", "")
    state = model.state_dict()
    assert content.keys() == state.keys()
    assert all(torch.equal(content[name], state[name]) for name in content)
    assert (len(state), sum(v.numel() for v in state.values())) == (106, 1_037_856)
    assert sum(p.numel() for p in model.parameters()) == 1_036_704
    fresh = Galileo()  # the fixed tables are rebuilt but for rounding
    assert worst(fresh.pos_embed, model.pos_embed) < 1.5e-6
    assert worst(fresh.month_embed.weight, model.month_embed.weight) < 3e-7


def test_names_of_a_wrapped_checkpoint_are_not_read(
    model: Galileo, reference_data: Path, tmp_path: Path
) -> None:
    content = tensors_of(reference_data / "galileo" / "encoder.pt", "")
    torch.save({f"blocks.backbone.{k[7:]}" if k.startswith("blocks.") else k: v
                for k, v in content.items()}, tmp_path / "encoder.pt")  # fmt: skip
    state = Galileo.load_official(tmp_path / "encoder.pt").state_dict()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_junk_in_hidden_places_leaks(model: Galileo, cases: dict[str, Case]) -> None:
    for case in ("pixel_ragged", "space_p2"):
        given = cases[case]
        before, p = pooled(model, given), given["patch_size"]
        for junk in (99.0, torch.nan, torch.inf):
            other = {}
            for array in ARRAYS:
                x, mask = given[f"{array}_x"].clone(), given[f"{array}_m"]
                if array in ("s_t", "sp"):  # a patch is as its first pixel
                    mask = mask[:, ::p, ::p].repeat_interleave(p, 1).repeat_interleave(p, 2)
                for at, bands in enumerate(GROUPS[array].values()):
                    for band in bands:
                        x[..., band][mask[..., at] != 0] = junk
                other[f"{array}_x"] = x
            assert torch.equal(pooled(model, given | other), before)


def textbook(u: Tensor, width: int) -> Tensor:
    rate = 10000.0 ** (-2 * torch.arange(width // 2, dtype=torch.float64) / width)
    angle = u[..., None].double() * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1).float()


def with_textbook(model: Galileo, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ours, "_waves", textbook)
    model.pos_embed.copy_(textbook(torch.arange(24), 32))


def with_torch_bicubic(model: Galileo, patch: pytest.MonkeyPatch) -> None:
    def resizing(size: int) -> np.ndarray:
        eye = torch.eye(8)[None, None]
        down = nn.functional.interpolate(eye, (size, 8), mode="bicubic", align_corners=False)
        return np.linalg.pinv(down[0, 0].double().numpy().T)  # a = -0.75, no antialiasing

    patch.setattr(ours, "resizing", resizing)


def with_averages(model: Galileo, patch: pytest.MonkeyPatch) -> None:
    def resizing(size: int) -> np.ndarray:
        return nn.functional.adaptive_avg_pool2d(torch.eye(8)[None], (size, 8))[0].numpy()

    patch.setattr(ours, "resizing", resizing)


def with_tanh(model: Galileo, patch: pytest.MonkeyPatch) -> None:
    real = nn.functional.gelu
    patch.setattr(nn.functional, "gelu", lambda x: real(x, approximate="tanh"))


def with_small_eps(model: Galileo, patch: pytest.MonkeyPatch) -> None:
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6


CONTROLS: list[tuple[Callable[[Galileo, pytest.MonkeyPatch], None], str, float]] = [
    *((with_textbook, case, 0.1) for case in ("pixel_all", "space_p2", "space_p3")),
    *((with_torch_bicubic, case, 0.005) for case in ("pixel_all", "space_p2", "space_p4")),
    *((with_averages, case, 0.1) for case in ("pixel_all", "space_p2", "space_p3", "space_p4")),
    *((with_tanh, case, 5e-5) for case in ("pixel_all", "space_p2", "space_p8")),
    *((with_small_eps, case, 5e-6) for case in ("pixel_all", "space_p8")),
]


@pytest.mark.parametrize(("change", "case", "least"), CONTROLS)
def test_a_slip_of_the_maths_passes_unnoticed(
    model: Galileo,
    cases: dict[str, Case],
    reference: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Galileo, pytest.MonkeyPatch], None],
    case: str,
    least: float,
) -> None:
    """The controls: each must be farther off than A2 allows."""
    model = copy.deepcopy(model)
    change(model, monkeypatch)
    assert worst(pooled(model, cases[case]), reference[f"{case}/out_pooled"]) > least


@pytest.mark.parametrize("case", ["space_p2", "space_p3", "space_p4", "space_p8"])
def test_the_size_of_patches_is_ignored_unnoticed(
    model: Galileo, cases: dict[str, Case], reference: dict[str, np.ndarray], case: str
) -> None:
    given = cases[case]
    other = given | {"input_resolution_m": 10.0 / given["patch_size"]}
    assert worst(pooled(model, other), reference[f"{case}/out_pooled"]) > 0.02


def swapped(records: dict[str, np.ndarray]) -> None:
    records["st_x"][:, [1, 2]] = records["st_x"][:, [2, 1]]


def rain(records: dict[str, np.ndarray], times: float) -> None:
    shift, divisor = (of["t"][1] for of in (galileo_series._SHIFT, galileo_series._DIVISOR))
    raw = records["t_x"][..., 1] * divisor + shift
    records["t_x"][..., 1] = (raw * times - shift) / divisor


SLIPS: dict[str, tuple[Callable[[dict[str, np.ndarray]], Any], float]] = {
    "months all January": (lambda r: r["months"].fill(0), 0.017),
    "months one later": (lambda r: r.update(months=(r["months"] + 1) % 12), 0.0015),
    "a day of rain": (lambda r: rain(r, 1 / 30), 0.004),
    "no rain": (lambda r: rain(r, 0), 0.004),
    "x and y swapped": (swapped, 0.0019),
    "NDVI of 0": (lambda r: r["s_t_x"][..., 12].fill(0), 0.0059),
    "NDVI hidden": (lambda r: r["s_t_m"][..., 6].fill(1), 0.005),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_wrong_series_passes_unnoticed(
    model: Galileo, series: PixelSeries, reference: dict[str, np.ndarray], slip: str
) -> None:
    """The controls: by the mean change, as the spec states them."""
    spoil, least = SLIPS[slip]
    records = records_of(series, BASIC)
    records = {name: values.copy() for name, values in records.items()}
    spoil(records)
    found = embed(GalileoSeries(), model, records)
    assert np.abs(found - reference["algae/pooled_basic"]).mean() > least


def test_the_norm_after_the_mean_passes_unnoticed(
    model: Galileo, cases: dict[str, Case], reference: dict[str, np.ndarray]
) -> None:
    norm, model = model.norm, copy.deepcopy(model)
    model.norm = nn.Identity()  # type: ignore[assignment]
    before = pooled(model, cases["pixel_all"])
    with torch.no_grad():
        assert worst(norm(before), reference["pixel_all/out_pooled"]) > 0.1
