"""Embeddings of records by any trained model."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wherefrom.errors import WherefromError
from wherefrom.models.base import Batch, GeoModel, Records
from wherefrom.models.masked import PrestoConfig
from wherefrom.models.presto import Presto
from wherefrom.models.satclip import LocationEncoder, SatCLIPConfig
from wherefrom.train.memory import keep_freed_memory

__all__ = ["embed", "embed_places", "embed_series"]


def embed(
    model: GeoModel[Any], module: nn.Module, records: Records, batch: int = 128
) -> NDArray[np.float32]:
    """Embed records, in eval mode and without gradients.

    Parameters
    ----------
    model : GeoModel
    module : torch.nn.Module
        Of `model`, of any precision, on any device.
    records : mapping of str to (N, ...) array
        As the model reads them; what only its loss reads may be absent.
    batch : int, default 128
        Records at a time; only theirs are prepared and in memory. Few keep what lies between
        layers in the processor's cache; on a GPU thousands are faster.

    Returns
    -------
    (N, D) float32 array
        The same to the bit for the same records in the same order, threads and batch.

    Raises
    ------
    WherefromError
        If an embedding is not finite, or the model refuses the records.

    Examples
    --------
    >>> model = SatCLIPConfig(degrees=10, inputs=73)
    >>> module = model.build(torch.Generator().manual_seed(0))
    >>> embed(model, module, {"lon": np.array([13.4, 2.35]), "lat": np.array([52.5, 48.9])}).shape
    (2, 256)
    """
    count = len(next(iter(records.values())))
    device = next(module.parameters()).device
    keep_freed_memory(device)
    pieces = []
    training = module.training
    module.eval()
    try:
        # Not inference mode: what a module computes once and keeps must serve training, too.
        with torch.no_grad():
            for start in range(0, max(count, 1), batch):
                part = {name: values[start : start + batch] for name, values in records.items()}
                try:
                    prepared = model.prepare(part, device)
                except WherefromError as err:
                    if not start:
                        raise
                    raise WherefromError(f"of the records from row {start} on: {err}") from err
                rows = torch.arange(min(batch, count - start), device=device)
                piece = model.encode(module, model.collate(prepared, rows)).float().cpu().numpy()
                bad = np.flatnonzero(~np.isfinite(piece).all(axis=1))
                if len(bad):
                    raise WherefromError(
                        f"the embedding of row {start + bad[0]} is not finite: drop such rows, or "
                        "the model has diverged"
                    )
                pieces.append(piece)
    finally:
        module.train(training)
    return np.concatenate(pieces)


class _Places(SatCLIPConfig):
    """A location encoder alone; its harmonics are of its own precision, and used once."""

    def prepare(self, records: Records, device: torch.device) -> Batch:
        # Copies: a task's arrays are read-only, which torch does not know.
        given = {name: np.array(records[name], dtype=np.float64) for name in ("lon", "lat")}
        return {name: torch.from_numpy(values).to(device) for name, values in given.items()}


def embed_places(
    encoder: LocationEncoder,
    lon: NDArray[np.floating[Any]],
    lat: NDArray[np.floating[Any]],
    batch: int = 2048,
) -> NDArray[np.float32]:
    """Embed places, degrees (N,), with a location encoder alone; see `embed`.

    Examples
    --------
    >>> embed_places(LocationEncoder(10), np.array([13.4, 2.35]), np.array([52.5, 48.9])).shape
    (2, 256)
    """
    model = _Places(degrees=encoder.harmonics.degrees, inputs=0)
    return embed(model, encoder, {"lon": lon, "lat": lat}, batch)


def embed_series(
    presto: Presto,
    records: Records,
    batch: int = 64,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> NDArray[np.float32]:
    """Embed series, as `wherefrom.models.masked.records_of` makes them, by all that is there.

    See `embed`; `precision` is that of matrix products.

    Examples
    --------
    >>> from wherefrom.models.masked import records_of
    >>> from wherefrom.pool.series import PixelSeries
    >>> series = PixelSeries.from_bands({"temperature_2m": np.full((2, 12), 290.0)},
    ...                                 lon=[10.0, 20.0], lat=[0.0, 5.0], month=0)
    >>> embed_series(Presto(), records_of(series)).shape
    (2, 128)
    """
    return embed(PrestoConfig(precision=precision), presto, records, batch)
