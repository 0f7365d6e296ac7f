"""A device for machines without a GPU: it computes on the CPU, and refuses, as a GPU does, tensors
that lie elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

__all__ = ["FAR", "far_device"]

#: A name that torch knows and nothing else here uses; no tensor is without values.
FAR = torch.device("meta")
aten = torch.ops.aten
#: Operations on tensors of two devices: copies, and an index that lies on the CPU.
_MIXED = {aten.copy_.default, aten._to_copy.default, aten.index.Tensor, aten.index_put_.default}


class _Far(torch.Tensor):
    @staticmethod
    def __new__(cls, near: torch.Tensor) -> Any:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            near.shape,
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=FAR,
        )

    def __init__(self, near: torch.Tensor) -> None:
        self.near = near

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {})

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.near.__reduce_ex__(protocol)  # a checkpoint holds values

    def tolist(self) -> Any:
        return self.near.tolist()

    # torch makes an index of a list where the tensor is.
    def __getitem__(self, at: Any) -> Any:
        return super().__getitem__(_index(at))

    def __setitem__(self, at: Any, value: Any) -> None:
        super().__setitem__(_index(at), value)


def _index(at: Any) -> Any:
    if isinstance(at, tuple):
        return tuple(map(_index, at))
    return torch.tensor(at) if isinstance(at, list) else at


def _done(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.Tensor)]
    some = any(isinstance(one, _Far) for one in tensors)
    strays = [one for one in tensors if not isinstance(one, _Far) and one.ndim]
    if some and strays and func not in _MIXED:
        raise RuntimeError(f"{func}: one tensor is far, one {tuple(strays[0].shape)} is not")
    to = kwargs.get("device")
    given, named = tree_map(lambda one: one.near if isinstance(one, _Far) else one, (args, kwargs))
    if to is not None:
        named["device"] = "cpu"
    found = func(*given, **named)
    far = isinstance(args[0], _Far) if func in _MIXED else some
    if to is not None:
        far = torch.device(to) == FAR
        if func is aten._to_copy.default and found.data_ptr() == given[0].data_ptr():
            found = found.clone()
    if far:
        found = tree_map(lambda one: _Far(one) if isinstance(one, torch.Tensor) else one, found)
    return return_and_correct_aliasing(func, args, kwargs, found) if some else found


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {})


class _Generator(torch.Generator):
    """Of the CPU, and says that it is far."""

    def __new__(cls, device: Any = "cpu") -> Any:
        return super().__new__(cls, "cpu")

    @property
    def device(self) -> torch.device:
        return FAR


class _AdamW(torch.optim.AdamW):
    """Knows no fused form for this device."""

    def __init__(self, *args: Any, fused: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)


class _Alone:
    """A pool whose work is done at once in this thread, since a dispatch mode is a thread's own."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> _Alone:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Any) -> Any:
        found = work()
        return type("Done", (), {"result": lambda _: found})()


@contextmanager
def far_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Make the far device the one that is chosen."""
    real = torch.Generator
    # What looks at torch.Generator, or takes the device by name, when it is imported.
    for module in ("torch._dynamo", "wherefrom.gfms.engine", "wherefrom.train.heads.fewshot"):
        import_module(module)

    def generator(device: Any = "cpu") -> torch.Generator:
        return (_Generator if torch.device(device) == FAR else real)(device)

    with monkeypatch.context() as patch, _Mode():
        patch.setattr(torch, "Generator", generator)
        patch.setattr(torch.optim, "AdamW", _AdamW)
        patch.setattr("wherefrom.train.device.ThreadPoolExecutor", _Alone)
        for module in ("device", "heads.fewshot"):
            patch.setattr(f"wherefrom.train.{module}.device", lambda: FAR)
        patch.setattr("wherefrom.gfms.engine.device", lambda: FAR)
        yield FAR
