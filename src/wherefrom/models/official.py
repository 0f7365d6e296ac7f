"""Reading released checkpoints without running code from them."""

from __future__ import annotations

import argparse
import math
import pathlib
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wherefrom import files
from wherefrom.errors import WherefromError, of_the_system

__all__ = [
    "fitting",
    "official_weights",
    "plain_weights",
    "tensors_of",
]


def official_weights(path: pathlib.Path) -> list[tuple[Tensor, Tensor]]:
    """Read weight and bias of each layer of SatCLIP's location encoder, in their order.

    A Lightning checkpoint that is absent, is none, holds anything but plain data, or was trained
    with another encoding raises a `WherefromError`.
    """
    want = "a SatCLIP checkpoint (*.ckpt) as released at https://huggingface.co/microsoft"
    content = _content(path, want)
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
        if not bool(torch.isfinite(weight).all() & torch.isfinite(bias).all()):
            raise WherefromError(f"{path}: nnet.{names[i]} is not finite: fetch the file again")
        width = weight.shape[0]
    return layers


def plain_weights(path: pathlib.Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read Presto's flat checkpoint of tensors, which must have the names and shapes of `like`.

    One that is absent, holds anything but plain data, or does not fit raises a `WherefromError`.
    """
    want = "Presto weights (default_model.pt) as released at https://github.com/nasaharvest/presto"
    return fitting(path, tensors_of(path, want), like, want)


def tensors_of(path: pathlib.Path, want: str) -> dict[str, Any]:
    """Read tensors by name: of a flat file, or what is under its ``state_dict`` or ``model``.

    A file that is absent or holds anything but plain data raises a `WherefromError`.
    """
    content = _content(path, want)
    state = content
    for part in ("state_dict", "model"):
        if isinstance(content, dict) and part in content:
            state = content[part]
            break
    if not isinstance(state, dict):
        raise WherefromError(f"{path} holds no tensors by name: give {want}")
    return {str(name): value for name, value in state.items()}


def fitting(
    path: pathlib.Path, found: Mapping[str, Any], like: Mapping[str, Tensor], want: str
) -> dict[str, Tensor]:
    """Return what was found in a file, if it has the names and shapes of `like` and is finite."""
    for name, tensor in like.items():
        value = found.get(name)
        if not isinstance(value, Tensor):
            raise WherefromError(f"{path} lacks the tensor {name}: give {want}")
        if value.shape != tensor.shape:
            raise WherefromError(
                f"{path}: {name} has shape {tuple(value.shape)}, not {tuple(tensor.shape)}: "
                f"give {want}"
            )
        if value.is_floating_point() != tensor.is_floating_point():
            raise WherefromError(f"{path}: {name} is of {value.dtype}: give {want}")
        if not bool(torch.isfinite(value).all()):
            raise WherefromError(f"{path}: {name} is not finite: fetch the file again")
    further = sorted(found.keys() - like.keys())
    if further:
        raise WherefromError(f"{path} has the tensor {further[0]}, which is not of {want}")
    return dict(found)


def _content(path: pathlib.Path, want: str) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace, pathlib.PosixPath]):
            content = torch.load(path, map_location="cpu", weights_only=True)
        damaged = _damage(path)
    except FileNotFoundError as err:
        raise WherefromError(f"no file {path}: give the path of {want}") from err
    except Exception as err:  # of a damaged file torch raises whatever comes
        instead = files.in_place_of_numbers(path)
        if instead:
            raise WherefromError(f"{path} is {instead}; it should be {want}") from err
        raise WherefromError(f"{path} cannot be read as {want}: {_fault(path, err)}") from err
    if damaged:
        raise WherefromError(f"{path} cannot be read as {want}: {damaged}")
    return content


def _fault(path: pathlib.Path, err: Exception) -> str:
    """Say why torch cannot read a file, in other words than torch's.

    Those are about its own reader, or advise to load the file so that its code is run.
    """
    if code := re.search(r"GLOBAL (\S+)", str(err)):
        return f"it holds code ({code[1]}), which is never run"
    if isinstance(err, OSError) and err.filename:
        return err.strerror or type(err).__name__
    return of_the_system(err) or _damage(path) or "it is none or torn: fetch the file again"


def _damage(path: pathlib.Path) -> str:
    """Say in what an archive of torch's is not as it was written; torch looks at no checksums."""
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":
            return ""
    try:
        with zipfile.ZipFile(path) as archive:
            torn = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, NotImplementedError):
        return (
            f"its {path.stat().st_size:,} bytes are no whole archive, it was cut off or damaged: "
            "fetch the file again"
        )
    return f"{torn} in it is not as it was written: fetch the file again" if torn else ""
