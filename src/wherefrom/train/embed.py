"""Embeddings of records by any trained model, and features of images by frozen towers."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.models.base import Batch, Embedder, Records
from wherefrom.models.towers import Tower
from wherefrom.progress import say
from wherefrom.train.device import CPU, halving, memory_of, precise
from wherefrom.train.memory import keep_freed_memory

__all__ = ["embed", "encoded", "features"]


def encoded(model: Embedder[Any], module: nn.Module, batch: Batch, rows: int) -> Tensor:
    """Embed a batch of so many rows, (B, D), as float32, with or without gradients.

    Raises
    ------
    WherefromError
        If `encode` gives another shape: what broadcasts would be scored.
    """
    embedding = model.encode(module, batch)
    shape = tuple(embedding.shape) if isinstance(embedding, Tensor) else None
    if shape is None or len(shape) != 2 or shape[0] != rows or not shape[1]:
        given = f"a {type(embedding).__name__}" if shape is None else f"shape {shape}"
        raise WherefromError(
            f"encode() of {model.name} gives {given} for a batch of {rows} places: due are "
            f"({rows}, D), one row of D numbers a place"
        )
    return embedding.float()


def embed(
    model: Embedder[Any], module: nn.Module, records: Records, batch: int = 128
) -> NDArray[np.float32]:
    """Embed records, in eval mode and without gradients.

    Parameters
    ----------
    model : Embedder
        E.g. a `wherefrom.models.base.GeoModel`.
    module : torch.nn.Module
        Of `model`, of any precision, on any device.
    records : mapping of str to (N, ...) array
        As the model reads them; what only its loss reads may be absent.
    batch : int, default 128
        Records at a time; only theirs are prepared and in memory. Few keep what lies between
        layers in the processor's cache; on a GPU thousands are faster. Where they do not fit into
        the GPU's memory, halves are tried, which is said.

    Returns
    -------
    (N, D) float32 array
        The same to the bit for the same records in the same order, threads and batch.

    Raises
    ------
    WherefromError
        If an embedding is not finite or no row a place, or the model refuses the records.

    Examples
    --------
    >>> from wherefrom.models.satclip import SatCLIPConfig
    >>> model = SatCLIPConfig(degrees=10, inputs=73)
    >>> module = model.build(torch.Generator().manual_seed(0))
    >>> embed(model, module, {"lon": np.array([13.4, 2.35]), "lat": np.array([52.5, 48.9])}).shape
    (2, 256)
    """
    count = len(next(iter(records.values())))
    weights = chain(module.parameters(), module.buffers())
    device = next((weight.device for weight in weights), CPU)
    keep_freed_memory(device)
    pieces: list[NDArray[np.float32]] = []
    start, training = 0, module.training

    def piece(start: int, size: int) -> NDArray[np.float32]:
        part = {name: values[start : start + size] for name, values in records.items()}
        try:
            prepared = model.prepare(part, device)
        except WherefromError as err:
            if not start:
                raise
            raise WherefromError(f"of the records from row {start} on: {err}") from err
        rows = torch.arange(min(size, count - start), device=device)
        embedding = encoded(model, module, model.collate(prepared, rows), len(rows))
        found: NDArray[np.float32] = embedding.cpu().numpy()
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(bad):
            raise WherefromError(
                f"the embedding of row {start + bad[0]} is not finite: drop such rows, or "
                "the model has diverged"
            )
        return found

    module.eval()
    try:
        # Not inference mode: what a module computes once and keeps must serve training, too.
        with torch.no_grad(), precise(device, tf32=False):
            while start < count or not pieces:
                what = f"embedding by {model.name}"
                found, size = halving(partial(piece, start), batch, what, device)
                if size < batch:
                    held = f"more than {memory_of(device)} holds"
                    say(f"{what}: {batch:,} at a time are {held}: {size:,} from here on")
                pieces.append(found)
                start, batch = start + size, size
    finally:
        module.train(training)
    return np.concatenate(pieces)


class _Features(Embedder[Tower]):
    """A tower, as the loop of `embed` takes it."""

    name = "the tower"

    def prepare(self, records: Records, device: torch.device) -> Batch:
        return {name: torch.from_numpy(np.array(v)).to(device) for name, v in records.items()}

    def encode(self, module: Tower, batch: Batch) -> Tensor:
        found: Tensor = module(batch["image"])
        return found


def features(
    tower: Tower, images: NDArray[np.float32] | NDArray[np.uint16], batch: int = 8
) -> NDArray[np.float32]:
    """Give a tower's features of images; see `embed`.

    Parameters
    ----------
    tower : Tower
        As `wherefrom.models.towers.frozen` makes it, to be fast.
    images : (N, bands, H, W) float or (N, 12, H, W) uint16 array
        As `Tower.forward` reads them; one mapped from a file is read a batch at a time.
    batch : int, default 8
        Images at a time; more are no faster on a CPU.

    Returns
    -------
    (N, F) float32 array

    Examples
    --------
    >>> from wherefrom.models.towers import frozen, tower
    >>> features(frozen(tower("resnet18")), np.zeros((3, 12, 32, 32), np.uint16)).shape
    (3, 512)
    """
    return embed(_Features(), tower, {"image": images}, batch)
