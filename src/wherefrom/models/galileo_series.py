"""Pixel series as Galileo reads them: units, masks, and what is said of what it cannot read."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wherefrom.errors import WherefromError, unknown
from wherefrom.models.base import Batch, Embedder, Records
from wherefrom.models.galileo import BANDS, GROUPS, Galileo, Inputs
from wherefrom.models.masked import tell_unread
from wherefrom.models.presto import normalise as presto_values
from wherefrom.models.tokens import GROUPS as SERIES_GROUPS
from wherefrom.pool.series import NO_CLASS, PixelSeries

__all__ = ["GalileoSeries", "normalise", "records_of"]

_NAMES = tuple(name for groups in GROUPS.values() for name in groups)

#: (raw - shift) / divisor. Those of LandScan are whole numbers in the official array.
_SHIFT = {
    "s_t": (
        -21.503015938865595, -30.316122521008758, -440.0674150064983, -488.19499253784784,
        -842.2586089515398, -550.580418440855, 90.18188471987287, 237.71267996767028,
        212.3793632740426, 341.3399545168895, -57.043712554288504, -485.954841393848, 0.0,
    ),
    "sp": (-1293.1241777089112, -10.40472091071138, *[0.0] * 14),
    "t": (
        111.9509175478781, -0.14784790519146407, -750.6836131024303, -1157.8940457005976,
        -343.7054725750826, -13.46132874826197,
    ),
    "st": (-2120.0, *[0.0] * 17),
}  # fmt: skip
_DIVISOR = {
    "s_t": (
        19.54858309936126, 22.921081281537177, 3670.816576148341, 3653.195369432611,
        4370.71489411022, 4188.882433384169, 4192.040644462707, 4574.761210727998,
        4395.916710926596, 4817.891020343572, 4583.909625231551, 3920.9719360031186, 1.0,
    ),
    "sp": (3932.278919318495, 32.66962715925299, *[1.0] * 9, *[100.0] * 5),
    "t": (
        319.2331576125771, 0.46678188392605946, 2816.0034782230828, 3700.0464505625723,
        1812.9736089114313, 30.052080683331273,
    ),
    "st": (4618.0, *[1.0] * 12, *[100.0] * 5),
}  # fmt: skip


def normalise(array: str, raw: NDArray[np.floating]) -> NDArray[np.floating]:
    """Bring physical units to the model's: (raw - shift) / divisor, nothing clipped.

    Parameters
    ----------
    array : {"s_t", "sp", "t", "st"}
        What varies in space and time, in space, in time, or not at all.
    raw : (..., bands) array of floats
        13, 16, 6 or 18 bands. s_t: VV and VH in dB; B2 to B8, B8A, B11, B12 of level 1C,
        reflectance x 10,000; NDVI. sp: elevation in m, slope in degrees, nine probabilities of
        Dynamic World, five of WorldCereal in per cent. t: temperature in K, precipitation in m a
        month; deficit, soil moisture and evapotranspiration of TerraClimate as stored; night
        lights, nW / (cm2 sr). st: people a cell of LandScan; a place as a unit vector x, y, z; the
        same fourteen classes as in sp.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    WherefromError
        If the array has no such name or another number of bands.

    Examples
    --------
    >>> normalise("sp", np.zeros((1, 16)))[0, :2].round(3).tolist()
    [0.329, 0.318]
    """
    if array not in GROUPS:
        raise unknown("array of Galileo", array, GROUPS)
    if raw.shape[-1] != BANDS[array]:
        raise WherefromError(
            f"{array} has {raw.shape[-1]} bands, Galileo reads {BANDS[array]} there"
        )
    shift, divisor = (np.array(of[array], raw.dtype) for of in (_SHIFT, _DIVISOR))
    scaled: NDArray[np.floating] = (raw - shift) / divisor
    return scaled


def records_of(series: PixelSeries, hide: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Bring series to the form in which Galileo reads pixels of one.

    It reads what is there, in the groups that Presto reads (`wherefrom.models.masked.records_of`),
    the place, and, where there is one, the share of the steps in each class of Dynamic World, as
    that of the pixel and of its surroundings. Precipitation, a daily mean in a series, becomes the
    sum of 30 days. Months are those of the steps. Python's `warnings` name what is given but not
    read.

    Parameters
    ----------
    series : PixelSeries
        Sentinel-2 of level 1C, as the weights were trained with; 2A works about as well as the
        two are alike.
    hide : collection of str
        Groups that are not shown, e.g. ``location``.

    Returns
    -------
    dict of arrays
        ``s_t_x`` (N, T, 13), ``sp_x`` (N, 16), ``t_x`` (N, T, 6), ``st_x`` (N, 18) float32, 0 where
        hidden; masks ``s_t_m`` (N, T, 7), ``sp_m`` (N, 3), ``t_m`` (N, T, 3), ``st_m`` (N, 4)
        uint8; ``months`` (N, T) int8.

    Raises
    ------
    WherefromError
        If a name of `hide` is no group, or there is a series of which nothing is read.

    Examples
    --------
    >>> series = PixelSeries.from_bands({"B8": np.full((2, 12), 3100.0)},
    ...                                 lon=[10.0, 20.0], lat=[0.0, 5.0], month=0)
    >>> shown = records_of(series)["s_t_m"] == 0
    >>> [name for name, there in zip(GROUPS["s_t"], shown.all((0, 1))) if there]
    ['S2_NIR_10m']
    """
    for name in hide:
        if name not in _NAMES:
            raise unknown("group of Galileo", name, _NAMES)
    seen = ~np.isnan(presto_values(series.raw))
    tell_unread(series, seen, "Galileo")
    there = {name: seen[..., list(bands)].all(-1) for name, bands in SERIES_GROUPS.items() if bands}
    raw = series.raw.astype(np.float64)
    red, infrared = raw[..., 4], raw[..., 8]
    total = infrared + red
    with np.errstate(divide="ignore", invalid="ignore"):
        ndvi = np.where(total > 0, (infrared - red) / total, 0)
    count, steps = raw.shape[:2]
    lon, lat = np.radians(series.lon), np.radians(series.lat)
    classes = series.dynamic_world
    dated = (classes != NO_CLASS).any(1)
    known = np.maximum((classes != NO_CLASS).sum(1), 1)
    shares = np.stack([(classes == one).sum(1) / known for one in range(NO_CLASS)], axis=-1)

    x = {array: np.zeros((count, bands)) for array, bands in BANDS.items()}
    x |= {array: np.zeros((count, steps, BANDS[array])) for array in ("s_t", "t")}
    x["s_t"][..., :12] = raw[..., [*range(10), 11, 12]]
    x["s_t"][..., 12] = ndvi
    x["sp"][:, :2], x["sp"][:, 2:11] = raw[:, 0, 15:17], shares
    x["t"][..., 0], x["t"][..., 1] = raw[..., 13], 30 * raw[..., 14]
    place = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
    x["st"][:, 1:4], x["st"][:, 4:13] = np.stack(place, axis=-1), shares
    there |= {"SRTM": there["SRTM"][:, 0], "location": np.ones(count, bool)}
    there |= {"DW": dated, "DW_static": dated}

    records: dict[str, np.ndarray] = {"months": series.month}
    for array, groups in GROUPS.items():
        mask = np.ones((*x[array].shape[:-1], len(groups)), np.uint8)
        values = normalise(array, x[array])
        for at, (group, bands) in enumerate(groups.items()):
            if group in there and group not in hide:
                mask[..., at] = ~there[group]
            values[..., list(bands)] *= mask[..., at, None] == 0
        records |= {f"{array}_x": np.nan_to_num(values).astype(np.float32), f"{array}_m": mask}
    return records


class GalileoSeries(Embedder[Galileo]):
    """Galileo as the loop of `wherefrom.train.embed` takes it: on records of `records_of`."""

    name = "galileo-nano"

    def prepare(self, records: Records, device: torch.device) -> Batch:
        """Move the records to the device; a pixel is a window of one."""
        found = {name: torch.from_numpy(np.array(v)).to(device) for name, v in records.items()}
        spatial = ("s_t_x", "s_t_m", "sp_x", "sp_m")
        return {n: v[:, None, None] if n in spatial else v for n, v in found.items()}

    def encode(self, module: Galileo, batch: Batch) -> Tensor:
        """Embed pixels, (B, 128)."""
        inputs = Inputs(**{name: batch[name] for name in Inputs._fields})
        return module.embed(*inputs, patch_size=1)
