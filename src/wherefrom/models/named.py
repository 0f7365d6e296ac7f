"""Released weights by the names of the catalog: fetched, checked and read by who knows them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from torch import nn

from wherefrom.earth.catalog import sources
from wherefrom.earth.fetch import path_of
from wherefrom.errors import WherefromError, unknown

__all__ = ["WEIGHTS", "load"]

#: Beginning of a source's name -> who reads its file, ``module:function``.
WEIGHTS = {
    "presto": "wherefrom.models.presto:Presto.load_official",
    "galileo": "wherefrom.models.galileo:Galileo.load_official",
    "geoclip-location": "wherefrom.models.geoclip:LocationEncoder.load_official",
    "satclip": "wherefrom.models.satclip:LocationEncoder.load_official",
    "moco": "wherefrom.models.towers:tower_in",
}


def load(name: str, path: Path | str | None = None) -> nn.Module:
    """Read released weights by name.

    Parameters
    ----------
    name : str
        Of the catalog: ``presto``, ``galileo-nano``, ``geoclip-location``, ``satclip-...`` (the
        location encoder of a checkpoint), ``moco-...`` (an image tower).
    path : Path or str, optional
        Its file. By default that on this machine; one that is not there is fetched.

    Returns
    -------
    torch.nn.Module
        In eval mode, on the CPU: `Presto`, `Galileo`, a `LocationEncoder` or a `Tower`. Presto goes
        to `embed_series`, a location encoder of SatCLIP to `embed_places`.

    Raises
    ------
    WherefromError
        For an unknown name (with the list); if the file is not what the catalog states, cannot be
        fetched, or holds other weights.

    Examples
    --------
    >>> load("prest")
    Traceback (most recent call last):
    ...
    wherefrom.errors.UnknownNameError: unknown weights 'prest': did you mean 'presto'? Known: \
geoclip-location, satclip-resnet18-l10, satclip-resnet18-l40, satclip-resnet50-l10, \
satclip-resnet50-l40, satclip-vit16-l10, satclip-vit16-l40, presto, galileo-nano, moco-resnet18, \
moco-resnet50, moco-vit_small_patch16_224
    """
    known = {one: read for one in sources() for start, read in WEIGHTS.items() if _is(one, start)}
    if name not in known:
        raise unknown("weights", name, known)
    file = path_of(name) if path is None else Path(path)
    module, _, of = known[name].partition(":")
    read = importlib.import_module(module)
    for part in of.split("."):
        read = getattr(read, part)
    made: nn.Module = read(file)  # type: ignore[operator]
    degrees = re.fullmatch(r"satclip-.+-l(\d+)", name)
    found = made.harmonics.degrees if degrees else 0  # type: ignore[union-attr]
    if degrees and int(degrees[1]) != found:
        raise WherefromError(f"{file} has harmonics of L = {found}, which {name!r} has not")
    return made.eval()


def _is(name: str, start: str) -> bool:
    return name == start or name.startswith(f"{start}-")
