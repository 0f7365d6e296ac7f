"""Files of a training: its state on the way, and the weights at its end."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from wherefrom.errors import WherefromError
from wherefrom.files import atomic, in_place_of_numbers, seal, unsealed
from wherefrom.keys import canonical
from wherefrom.models.base import GeoModel
from wherefrom.progress import say

__all__ = ["load_state", "load_weights", "save_state", "save_weights", "spec_of"]

M = TypeVar("M", bound=nn.Module)


def save_state(path: Path | str, spec: dict[str, Any], state: dict[str, Any]) -> None:
    """Write the state of a training (tensors and plain values) and what it is the state of."""
    content = io.BytesIO()
    torch.save({"spec": canonical(spec), "state": state}, content)
    # Through memory, since torch's own writer hides that a disk is full.
    with atomic(path) as tmp:
        tmp.write_bytes(content.getbuffer())
        seal(tmp)


def load_state(path: Path | str, spec: dict[str, Any]) -> dict[str, Any] | None:
    """Read the state that `save_state` wrote, onto the CPU; that of another training is refused.

    A damaged file is kept under another name, which is said, and there is none: None.
    """
    path = Path(path)
    try:
        content = torch.load(io.BytesIO(unsealed(path)), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except ValueError as err:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        say(f"checkpoint {path} is damaged ({err}): kept as {aside.name}, training begins anew")
        return None
    _refuse_other(path, json.loads(content["spec"]), json.loads(canonical(spec)))
    state: dict[str, Any] = content["state"]
    return state


def save_weights(model: GeoModel[M], module: M, path: Path | str) -> None:
    """Write a module's weights as safetensors, with the model's spec in the header."""
    # Clones: a table that two parts of the module share is written under both names.
    tensors = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
    content = save(tensors, metadata={"spec": canonical(model.spec())})
    with atomic(path) as tmp:
        tmp.write_bytes(content)


def load_weights(model: GeoModel[M], path: Path | str) -> M:
    """Build a module, on the CPU in eval mode, with the weights of a file of `save_weights`.

    If the file is absent, unreadable or of another configuration, a `WherefromError` is raised.
    """
    written, tensors = _open(path)
    _refuse_other(path, written, json.loads(canonical(model.spec())))
    module = model.build(torch.Generator().manual_seed(0))
    module.load_state_dict(tensors)
    return module.eval()


def spec_of(path: Path | str) -> dict[str, Any]:
    """Read the ``spec()`` of the model whose weights a file of `save_weights` holds."""
    return _open(path, tensors=False)[0]


def _open(
    path: Path | str, *, tensors: bool = True
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read the spec and, unless told not to, the tensors of a file of `save_weights`."""
    try:
        with safe_open(path, framework="pt") as stream:
            spec: dict[str, Any] = json.loads((stream.metadata() or {}).get("spec", "{}"))
            names = stream.keys() if tensors else ()
            return spec, {name: stream.get_tensor(name) for name in names}
    except FileNotFoundError as err:
        raise WherefromError(f"no weights at {path}: pre-train first") from err
    except (SafetensorError, ValueError, OSError) as err:
        if instead := in_place_of_numbers(Path(path)):
            raise WherefromError(f"{path} is {instead}") from err
        raise WherefromError(
            f"weights {path} are damaged ({err}): delete the file and pre-train again"
        ) from err


def _refuse_other(path: Path | str, written: dict[str, Any], wanted: dict[str, Any]) -> None:
    differing = [
        f"{name} = {written.get(name)!r}, not {wanted.get(name)!r}"
        for name in sorted(written.keys() | wanted.keys())
        if written.get(name) != wanted.get(name)
    ]
    if differing:
        raise WherefromError(
            f"{path} belongs to another training: {'; '.join(differing)}. Delete it or choose "
            "another path"
        )
