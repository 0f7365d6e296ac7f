"""Embeddings of places, or of their series, by a trained encoder."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from wherefrom.errors import WherefromError
from wherefrom.models.base import Records
from wherefrom.models.masked import PrestoConfig
from wherefrom.models.presto import Presto
from wherefrom.models.satclip import LocationEncoder
from wherefrom.train.memory import keep_freed_memory

__all__ = ["embed", "embed_series"]


def embed(
    encoder: LocationEncoder, lon: np.ndarray, lat: np.ndarray, batch: int = 2048
) -> np.ndarray:
    """Embed places with a location encoder, in eval mode and without gradients.

    Parameters
    ----------
    encoder : LocationEncoder
        Of any precision, on any device.
    lon, lat : (N,) arrays
        Degrees.
    batch : int, default 2048
        Places at a time: harmonics of no more places are in memory.

    Returns
    -------
    (N, D) float32 array
        The same to the bit for the same places in the same order, threads and batch.

    Raises
    ------
    WherefromError
        If a coordinate is not finite.

    Examples
    --------
    >>> encoder = LocationEncoder(10)
    >>> embed(encoder, np.array([13.4, 2.35]), np.array([52.5, 48.9])).shape
    (2, 256)
    """
    # Copies: a task's arrays are read-only, which torch does not know.
    lon, lat = (np.array(v, dtype=np.float64) for v in (lon, lat))
    bad = np.flatnonzero(~(np.isfinite(lon) & np.isfinite(lat)))
    if len(bad):
        raise WherefromError(
            f"lon or lat of row {bad[0]} is not finite ({len(bad)} such rows): drop these places"
        )
    last = encoder.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    result = np.empty((len(lon), last.out_features), np.float32)
    training = encoder.training
    encoder.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(lon), batch):
                piece = slice(start, start + batch)
                places = [torch.from_numpy(v[piece]).to(last.weight.device) for v in (lon, lat)]
                result[piece] = encoder(*places).float().cpu().numpy()
    finally:
        encoder.train(training)
    return result


def embed_series(
    model: Presto,
    records: Records,
    batch: int = 64,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> np.ndarray:
    """Embed pixel series with Presto, in eval mode and without gradients.

    Parameters
    ----------
    model : Presto
        On any device.
    records : mapping of str to array
        As `wherefrom.models.masked.records_of` makes them, N series. What is hidden in them, and
        Dynamic World where it is 9, is not read.
    batch : int, default 64
        Series at a time; few, so that what lies between layers stays in the processor's cache.
        On a GPU thousands are faster.
    precision : {"float32", "bfloat16"}
        Of matrix products.

    Returns
    -------
    (N, 128) float32 array
        The same to the bit for the same series in the same order, threads and batch.

    Examples
    --------
    >>> from wherefrom.models.masked import records_of
    >>> from wherefrom.pool.series import PixelSeries
    >>> series = PixelSeries.from_bands({"temperature_2m": np.full((2, 12), 290.0)},
    ...                                 lon=[10.0, 20.0], lat=[0.0, 5.0], month=0)
    >>> embed_series(Presto(), records_of(series)).shape
    (2, 128)
    """
    count, steps = records["x"].shape[:2]
    config = PrestoConfig(steps=steps, precision=precision)
    device = next(model.parameters()).device
    keep_freed_memory(device)
    result = np.empty((count, 128), np.float32)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for start in range(0, count, batch):
                piece = slice(start, start + batch)
                part = {name: values[piece] for name, values in records.items()}
                result[piece] = config.encode(model, config.prepare(part, device)).cpu().numpy()
    finally:
        model.train(training)
    return result
