"""Galileo without its weights: kernels by their closed forms, masks, and what it refuses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs torch: pip install "wherefrom[train]"')

from torch import Tensor, nn  # noqa: E402

from wherefrom.errors import WherefromError  # noqa: E402
from wherefrom.models.galileo import BANDS, GROUPS, Galileo, Inputs, resizing  # noqa: E402
from wherefrom.models.galileo_series import (  # noqa: E402
    GalileoSeries,
    normalise,
    records_of,
)
from wherefrom.models.presto import Presto  # noqa: E402
from wherefrom.pool.series import PixelSeries  # noqa: E402
from wherefrom.train.embed import embed  # noqa: E402


def inputs(rows: int = 2, side: int = 1, steps: int = 3, width: int | None = None) -> Inputs:
    """Draw samples of which everything is shown."""
    draw = torch.Generator().manual_seed(0)
    lead = {
        "s_t": (rows, side, width or side, steps),
        "sp": (rows, side, width or side),
        "t": (rows, steps),
        "st": (rows,),
    }
    x = {f"{a}_x": torch.randn(*lead[a], BANDS[a], generator=draw) for a in GROUPS}
    m = {f"{a}_m": torch.zeros(*lead[a], len(GROUPS[a])) for a in GROUPS}
    return Inputs(**x, **m, months=torch.arange(steps).expand(rows, -1) % 12)


@pytest.fixture(scope="module")
def model() -> Galileo:
    return Galileo().eval()


@pytest.mark.parametrize("patch", range(1, 9))
def test_a9_a_resized_kernel_says_something_else_of_a_resized_patch(patch: int) -> None:
    eye = torch.eye(8, dtype=torch.float64)[None, None]
    down = nn.functional.interpolate(eye, (patch, 8), mode="bicubic", antialias=True)[0, 0]
    np.testing.assert_allclose(down.numpy() @ resizing(patch).T, np.eye(patch), atol=1e-6)
    if patch == 8:
        np.testing.assert_array_equal(resizing(8), np.eye(8))
    if patch == 1:  # r / sum r^2, whose 64 products sum to 61.0226
        r = np.array([0.096255810575, 0.119243898896, 0.137147733876, 0.147352556653])
        r = np.concatenate([r, r[::-1]])
        np.testing.assert_allclose(resizing(1)[0], r / (r**2).sum(), rtol=1e-9)
        assert np.outer(resizing(1), resizing(1)).sum() == pytest.approx(61.0226, abs=1e-4)


def test_the_place_of_a_pixel_is_nought_or_row_before_column(model: Galileo) -> None:
    months = torch.zeros(1, 1, dtype=torch.long)
    alone = model._fixed(months, 1, 1.0)["sp"][0, 0, 96:]
    assert alone.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 8 + [1.0] * 8
    right = model._fixed(months, 2, 0.1)["sp"][0, 1, 96:]
    due = torch.tensor([0.09983342, 0.01333482, 0.99500418, 0.0, 1.0])
    assert (right[[0, 7, 8, 16, 24]] - due).abs().max() < 1e-7
    pos = model.pos_embed
    found = torch.stack([pos[1, 0], pos[1, 1], pos[1, 15], pos[5, 31], pos[23, 16]])
    due = torch.tensor([0.84147096, 0.76172042, 0.11522172, 0.83788955, -0.53283304])
    assert (found - due).abs().max() < 2e-6


def shown_only(given: Inputs, *groups: str) -> Inputs:
    """Hide all groups but some."""
    masks = {}
    for array, names in GROUPS.items():
        mask = torch.ones_like(getattr(given, f"{array}_m"))
        for at, name in enumerate(names):
            mask[..., at] = name not in groups
        masks[f"{array}_m"] = mask
    return given._replace(**masks)


def test_a_hidden_group_or_the_padding_of_a_row_is_read(model: Galileo) -> None:
    given = shown_only(inputs(), "S1", "ERA5", "location")
    given.s_t_m[1, :, :, 1:] = 2  # the second row shows less
    spoilt = given.s_t_x.clone()
    spoilt[..., 2:] = torch.nan
    spoilt[1, :, :, 1:] = torch.inf
    other = given._replace(s_t_x=spoilt, sp_x=torch.full_like(given.sp_x, torch.nan))
    with torch.no_grad():
        found = model.embed(*given, patch_size=1)
        assert torch.equal(found, model.embed(*other, patch_size=1))
        one = Inputs(*(values[1:] for values in other))
        assert (model.embed(*one, patch_size=1) - found[1:]).abs().max() < 5e-6


def test_no_samples_are_no_embeddings(model: Galileo) -> None:
    none = Inputs(*(values[:0] for values in inputs()))
    assert model.embed(*none, patch_size=1).shape == (0, 128)


def _with(name: str, value: float, at: tuple[int, ...]) -> Callable[[Inputs], Inputs]:
    def change(given: Inputs) -> Inputs:
        values = getattr(given, name).clone()
        values[at] = value
        return given._replace(**{name: values})

    return change


@pytest.mark.parametrize(
    ("given", "patch", "said"),
    [
        (inputs(steps=25), 1, "there are 25 steps, Galileo embeds 1 to 24"),
        (inputs(side=4, width=2), 2, "s_t_x is 4 x 2 pixels: give squares"),
        (inputs(side=4), 3, "patch_size = 3: needs 1 to 8, and to divide the 4 pixels of a side"),
        (inputs(side=9), 9, "patch_size = 9: needs 1 to 8"),
        (_with("months", 12, (1, 2))(inputs()), 1, "months of row 1 has 12: needs 0 to 11, Janu"),
        (_with("months", -1, (0, 0))(inputs()), 1, "months of row 0 has -1"),
        (_with("t_m", 3, (1, 0, 0))(inputs()), 1, r"t_m of row 1 has 3.0: needs 0 \(shown\)"),
        (_with("t_x", torch.nan, (1, 2, 1))(inputs()), 1, "t_x of row 1: ERA5 is not finite"),
        (_with("sp_x", torch.inf, (0, 3, 3, 4))(inputs(side=4)), 4, "sp_x of row 0: DW is not"),
        (shown_only(inputs()), 1, "row 0 shows nothing: the masks hide every group"),
        (inputs()._replace(st_x=torch.zeros(2, 17)), 1, r"st_x has shape \(2, 17\), not \(2, 18\)"),
        (inputs()._replace(months=torch.zeros(2, 4)), 1, r"months has shape \(2, 4\), not"),
        (inputs()._replace(s_t_x=torch.zeros(2, 3, 13)), 1, r"s_t_x has shape \(2, 3, 13\), not"),
    ],
)
def test_what_galileo_cannot_read_is_embedded(
    model: Galileo, given: Inputs, patch: int, said: str
) -> None:
    with pytest.raises(WherefromError, match=said):
        model.embed(*given, patch_size=patch)


def test_a_row_or_patch_that_shows_nothing_is_embedded(model: Galileo) -> None:
    given = shown_only(inputs(side=2), "S1")
    given.s_t_m[1] = 1
    with pytest.raises(WherefromError, match=r"row 1 shows nothing.*\(1 such row\)"):
        model.embed(*given, patch_size=1)
    given = shown_only(inputs(side=2), "S1")
    given.s_t_m[0, 1, 0] = 1
    model.embed(*given, patch_size=1)
    with pytest.raises(WherefromError, match=r"row 0 shows nothing of patch \(1, 0\)"):
        model.embed_patches(given, 1)
    with pytest.raises(WherefromError, match="input_resolution_m must be above 0"):
        model.embed(*given, patch_size=1, input_resolution_m=0.0)


def series(steps: int = 12, **bands: float) -> PixelSeries:
    given = {"temperature_2m": 290.0, "total_precipitation": 0.002} | bands
    values = {name: np.full((2, steps), value) for name, value in given.items()}
    return PixelSeries.from_bands(values, [10.0, 20.0], [0.0, 5.0], month=5)


def test_rain_is_that_of_a_day_or_months_begin_in_january() -> None:
    records = records_of(series())
    due = normalise("t", np.array([290.0, 0.06, 0, 0, 0, 0]))[:2]
    np.testing.assert_allclose(records["t_x"][0, 3, :2], due, rtol=1e-6)
    assert records["months"][0].tolist() == [5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4]
    shown = {
        n for a in GROUPS for at, n in enumerate(GROUPS[a]) if not records[f"{a}_m"][..., at].all()
    }
    assert shown == {"ERA5", "location"}


def test_a_group_without_one_of_its_bands_is_shown_in_silence() -> None:
    with pytest.warns(UserWarning, match=r"not read by Galileo.*VV \(without VH\)"):
        records = records_of(series(VV=-11.0))
    assert records["s_t_m"].all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not records_of(series(VV=-11.0, VH=-17.0))["s_t_m"][..., 0].any()


def test_a_group_that_is_not_to_be_shown_is_misspelt() -> None:
    assert records_of(series(), hide=["location"])["st_m"].all()
    with pytest.raises(WherefromError, match="'locaton': did you mean 'location'"):
        records_of(series(), hide=["locaton"])


def test_a_long_series_is_cut(model: Galileo) -> None:
    months = np.tile(np.arange(30) % 12, (2, 1))
    long = PixelSeries.from_bands({"B8": np.full((2, 30), 3100.0)}, [1.0, 2.0], [3.0, 4.0], months)
    with pytest.raises(WherefromError, match="there are 30 steps, Galileo embeds 1 to 24"):
        embed(GalileoSeries(), model, records_of(long))


def saved(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, path)
    return path


def test_other_weights_are_loaded(model: Galileo, tmp_path: Path) -> None:
    file = tmp_path / "encoder.pt"
    want = "the encoder of Galileo nano.*github.com/nasaharvest/galileo"
    with pytest.raises(WherefromError, match=f"no file {file}: give the path of {want}"):
        Galileo.load_official(file)
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4189406\n")
    with pytest.raises(WherefromError, match=f"{file} is a Git LFS pointer.*it should be {want}"):
        Galileo.load_official(file)
    with pytest.raises(WherefromError, match=f"lacks the tensor .*: give {want}"):
        Galileo.load_official(saved(file, Presto().state_dict()))
    state = model.state_dict()
    wider = state | {"norm.weight": torch.ones(192)}  # of the size tiny
    with pytest.raises(WherefromError, match=r"norm.weight has shape \(192,\), not \(128,\)"):
        Galileo.load_official(saved(file, wider))
    with pytest.raises(WherefromError, match=r"has the tensor blocks\.4.norm1.weight, which"):
        Galileo.load_official(saved(file, state | {"blocks.4.norm1.weight": torch.ones(128)}))
    with pytest.raises(WherefromError, match=r"norm\.bias is not finite"):
        Galileo.load_official(saved(file, state | {"norm.bias": torch.full((128,), torch.nan)}))
    again = Galileo.load_official(saved(file, state)).state_dict()
    assert all(torch.equal(again[name], state[name]) for name in state)
