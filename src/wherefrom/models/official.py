"""Reading released SatCLIP checkpoints without running code from them."""

from __future__ import annotations

import argparse
import math
import pathlib
import pickle

import torch
from torch import Tensor

from wherefrom.errors import WherefromError

__all__ = ["official_weights"]


def official_weights(path: pathlib.Path) -> list[tuple[Tensor, Tensor]]:
    """Read weight and bias of each layer of the location encoder, checked.

    Parameters
    ----------
    path : Path
        A Lightning checkpoint.

    Returns
    -------
    list of (weight, bias)
        From the harmonics to the embedding.

    Raises
    ------
    WherefromError
        If the file is absent, is no checkpoint, holds anything but plain data, or was trained
        with another encoding.
    """
    want = "a SatCLIP checkpoint (*.ckpt) as released at https://huggingface.co/microsoft"
    try:
        with torch.serialization.safe_globals([argparse.Namespace, pathlib.PosixPath]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as err:
        raise WherefromError(f"no file {path}: give the path of {want}") from err
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as err:
        reason = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
        raise WherefromError(f"{path} cannot be read as {want}: {reason}") from err
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise WherefromError(f"{path} has no 'state_dict': give {want}")
    settings = content.get("hyper_parameters") or {}
    for name, known in (
        ("le_type", "sphericalharmonics"),
        ("harmonics_calculation", "analytic"),
        ("pe_type", "siren"),
    ):
        if settings.get(name, known) != known:
            raise WherefromError(
                f"{path} was trained with {name} = {settings[name]!r}; only {known!r} is supported"
            )
    # The network is stored twice (model.nnet and model.location.nnet share their storage).
    found = {key[key.index("nnet.") + 5 :]: value for key, value in state.items() if "nnet." in key}
    depth = sum(key.startswith("layers.") and key.endswith(".weight") for key in found)
    names = [f"layers.{i}" for i in range(depth)] + ["last_layer"]
    layers = []
    for name in names:
        if f"{name}.weight" not in found or f"{name}.bias" not in found:
            raise WherefromError(f"{path} lacks the tensor nnet.{name}: give {want}")
        layers.append((found[f"{name}.weight"], found[f"{name}.bias"]))
    width = layers[0][0].shape[-1]
    fits = depth > 0 and math.isqrt(width) ** 2 == width
    for i, (weight, bias) in enumerate(layers):
        fits &= weight.ndim == 2 and weight.shape[1] == width and bias.shape == weight.shape[:1]
        if not fits:
            raise WherefromError(
                f"{path}: nnet.{names[i]} has shapes {tuple(weight.shape)}, {tuple(bias.shape)}, "
                "which no network of sines on spherical harmonics has"
            )
        width = weight.shape[0]
    return layers
