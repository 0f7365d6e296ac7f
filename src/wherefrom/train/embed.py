"""Embeddings of places by a trained encoder."""

from __future__ import annotations

import numpy as np
import torch

from wherefrom.errors import WherefromError
from wherefrom.models.satclip import LocationEncoder

__all__ = ["embed"]


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
