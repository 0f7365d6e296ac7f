"""AlgaeBlooms, the regression data published with Presto: a check of plumbing, not of skill."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.pool.series import PixelSeries

__all__ = ["AlgaeBlooms", "algae_blooms"]


@dataclass(frozen=True, eq=False)
class AlgaeBlooms:
    """Series of lakes in the USA and the severity of their algal blooms.

    Attributes
    ----------
    series : PixelSeries
        N series of 12 steps of 30 days, so that months may repeat or skip one.
    target : (N,) float32 array
        Severity, 1 to 5.
    test : (N,) bool array
        The published test places; train on the others.
    validation : (N,) bool array
        Of the training places those that the published fine-tuning stops early on.
    """

    series: PixelSeries
    target: NDArray[np.float32]
    test: NDArray[np.bool_]
    validation: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.series)

    @property
    def consecutive(self) -> NDArray[np.bool_]:
        """Whether each step's month follows on that of the step before, (N,)."""
        month = self.series.month
        follows: NDArray[np.bool_] = (month[:, 1:] == (month[:, :-1] + 1) % 12).all(axis=1)
        return follows


def algae_blooms(folder: Path | str) -> AlgaeBlooms:
    """Read AlgaeBlooms as the Presto repository holds it (``data/algae_blooms``).

    In Tseng et al. (2023) it is a regression scored by RMSE and R2. Frozen random encoders do as
    well as pre-trained ones on it, so it says whether series, months and Dynamic World arrive
    rightly, and nothing about what a pre-training is worth.

    Parameters
    ----------
    folder : path
        With ``s1_s2_era5_srtm.npy`` (N, 12, 18), ``dynamic_world.npy`` and ``month.npy`` (N, 12),
        ``latlon.npy`` (N, 2), ``target.npy`` and ``is_test.npy`` (N,).

    Returns
    -------
    AlgaeBlooms

    Raises
    ------
    WherefromError
        If a file is absent, torn, or does not fit the others.
    """
    names = ("s1_s2_era5_srtm", "dynamic_world", "month", "latlon", "target", "is_test")
    raw, classes, month, latlon, target, test = (_array(Path(folder) / f"{n}.npy") for n in names)
    for name, array, shape in (
        ("latlon", latlon, (len(raw), 2)),
        ("target", target, (len(raw),)),
        ("is_test", test, (len(raw),)),
    ):
        if array.shape != shape:
            raise WherefromError(
                f"{Path(folder) / name}.npy has shape {array.shape}; {len(raw):,} series ask for "
                f"{shape}"
            )
    try:
        series = PixelSeries.from_array(raw, latlon[:, 1], latlon[:, 0], month, classes)
    except WherefromError as err:
        raise WherefromError(f"{folder}: {err}") from err
    held = test != 0
    validation = ~held & (series.lat > 42.5) & (series.lon < -92.5)
    return AlgaeBlooms(series, target.astype(np.float32), held, validation)


def _array(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as stream:
            found: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    except FileNotFoundError as err:
        raise WherefromError(f"no such file: {path}") from err
    except (OSError, ValueError, EOFError) as err:
        raise WherefromError(f"{path} is not a readable array: {err}; get it again") from err
    return found
