"""Checks of a GFM."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wherefrom import keys
from wherefrom.errors import WherefromError
from wherefrom.gfms.base import Gfm, Modality
from wherefrom.gfms.places import Places, PoolPlaces
from wherefrom.part import OfKind
from wherefrom.payload.stored import Images
from wherefrom.pool import Pool
from wherefrom.pool.series import PixelSeries
from wherefrom.testing.checks import (
    BrokenPromiseError,
    checking,
    described,
    own_randomness,
    part_of,
    promise,
    torch_left_alone,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from wherefrom.models.base import Batch, GeoModel, Records
    from wherefrom.models.share import Group

__all__ = ["check_gfm"]

R = TypeVar("R")

PLACES, BATCH, STEPS = 48, 16, 6
#: Random losses of a batch in two orders; a correct loss that is random fails by chance if their
#: mean difference exceeds so many standard errors: 1 of 100,000 checks.
DRAWS, LIMIT = 24, 6.0
#: What rounding may change, relative to the size of numbers.
NEAR = 1e-4


@checking
def check_gfm(
    given: Gfm | type[Gfm] | dict[str, Any],
    *,
    places: Places | None = None,
    labelled: Places | None = None,
) -> None:
    """Check that a GFM keeps what pre-training, embedding and fine-tuning rely on.

    Settings and spec must make the same GFM and model again, of plain values that can be hashed;
    nothing may be read of places that is not declared, and records must be the same when they are
    read again; every random choice must come from the generator given; records must stay as they
    are; the loss must be finite, the same from the
    same generator, with the gradients of `backward`, and must not depend on the order of a
    batch's rows; where processes may share a batch, two must get what one does; an embedding must
    be the same in train mode, alone and in any company, and not a plausible number where all that
    was read is NaN; weights must come back from their file, and move to another device as a whole;
    and a pre-training that was interrupted must end as one that was not, to the bit.

    Parameters
    ----------
    given : Gfm, class or dict
        A GFM; a class whose own fields all have defaults; or the part of a study file.
    places : Places, optional
        What to pre-train on, with what it `reads`; by default real places on land, where they are
        and their series of climate and relief (features and images must be given).
    labelled : Places, optional
        What to embed, with what it `reads_of_tasks`; by default `places`.

    Raises
    ------
    BrokenPromiseError
        Names the first promise that is broken.

    Examples
    --------
    >>> check_gfm({"kind": "presto"})
    """
    import torch

    budget = {"samples_seen": STEPS * BATCH, "batch": BATCH, "lr": 1e-3}
    shared = {"tasks": ("any",), "pretrain": budget, "blocks": 1}
    gfm = part_of(given, OfKind("gfms", Gfm), **shared)
    described(gfm, "GFM")
    for name, value in gfm:
        try:
            hash(value)
        except TypeError as err:
            raise BrokenPromiseError(
                f"field {name!r} of GFM {gfm.kind!r} holds a {type(value).__name__}, which cannot "
                "be hashed, and workers keep what they read by the GFM: use a tuple"
            ) from err
    for what in ("pretrain_flops", "embed_flops", "finetune_seconds"):
        promise(getattr(gfm, what) > 0, f"{what} of {gfm.kind!r} is not above 0")
    if places is None:
        places = PoolPlaces(Pool.build(PLACES, seed=0), np.arange(PLACES))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # to the bit, and faster for so few places
    try:
        with own_randomness(f"GFM {gfm.kind!r}"):
            _checked(gfm, places, places if labelled is None else labelled)
    finally:
        torch.set_num_threads(threads)


def _checked(gfm: Gfm, places: Places, labelled: Places) -> None:
    import torch

    what = f"GFM {gfm.kind!r}"
    given = _Declared(places, what, "reads", gfm.reads)
    of_labelled = _Declared(labelled, what, "reads_of_tasks", gfm.reads_of_tasks)
    records = _records(f"records() of {what}", gfm.records, given)
    of_task = _records(f"records_of_task() of {what}", gfm.records_of_task, of_labelled)
    calibration = _records(f"calibration() of {what}", gfm.calibration, given)
    model = gfm.model(records)
    spec = model.spec()
    again = gfm.restore(spec).spec()
    same = keys.canonical(again) == keys.canonical(spec)
    promise(same, f"restore(spec) of {gfm.kind!r} makes another model: {again}, not {spec}")
    for name in ("build", "loss", "encode"):
        there = getattr(type(model), name, None) not in (None, getattr(Gfm, name))
        promise(there, f"{what} has no {name}()")
    with torch_left_alone(what):
        module = model.build(torch.Generator().manual_seed(0))
        weights = any(weight.requires_grad for weight in module.parameters())
        promise(weights, f"the module of {what} has no parameter: there is nothing to train")
        _holds_all(module)
        model.calibrate(module, records if calibration is None else calibration)
        before = {name: np.array(values) for name, values in records.items()}
        batch = model.collate(model.prepare(records, torch.device("cpu")), torch.arange(BATCH))
        _loses(model, module, batch)
        for name, values in records.items():
            kept = np.array_equal(before[name], values, equal_nan=values.dtype.kind == "f")
            promise(kept, f"the model changes the record {name!r}")
        _embeds(model, module, of_task)
    _moves(model, module, of_task)
    _comes_back(gfm, model, module, of_task)
    _resumes(gfm, model, records, calibration)


@dataclass(frozen=True)
class _Declared:
    """Places that refuse what a GFM reads of them without declaring it."""

    places: Places
    what: str
    reads: str
    declared: frozenset[Modality]

    @property
    def lon(self) -> NDArray[np.float64]:
        return self.places.lon

    @property
    def lat(self) -> NDArray[np.float64]:
        return self.places.lat

    def series(self) -> PixelSeries:
        return self._read("series", self.places.series)

    def features(self) -> NDArray[np.float32]:
        return self._read("features", self.places.features)

    def images(self) -> Images:
        return self._read("images", self.places.images)

    def scales(self, modality: Modality) -> NDArray[np.float64]:
        return self._read(modality, partial(self.places.scales, modality))

    def _read(self, modality: Modality, read: Callable[[], R]) -> R:
        promise(
            modality in self.declared,
            f"{self.what} reads {modality} of places, and its {self.reads!r} does not name them",
        )
        try:
            return read()
        except (WherefromError, ValueError, OSError) as err:
            raise BrokenPromiseError(
                f"{self.what} reads {modality}, and the places that it is checked on have none "
                f"({err}): hand check_gfm `places` and `labelled` that have"
            ) from err

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise BrokenPromiseError(
            f"{self.what} reads {name!r} of places: there are lon, lat, series(), features(), "
            "images() and scales()"
        )


def _records(what: str, read: Callable[[Any], R], places: _Declared) -> R:
    """Read records twice: the same, places along their first axes."""
    once, again = read(places), read(places)
    if isinstance(once, Mapping) and isinstance(again, Mapping):
        promise(once.keys() == again.keys(), f"{what} gives other records when it is asked again")
        for name, values in once.items():
            same = np.array_equal(values, again[name], equal_nan=values.dtype.kind == "f")
            promise(
                same,
                f"{what} gives another {name!r} when it is asked again: draw from a generator with "
                "a seed",
            )
    return once


def _loss(model: GeoModel[Any], module: nn.Module, batch: Batch, seed: int) -> Tensor:
    import torch

    return model.loss(module, batch, torch.Generator().manual_seed(seed))


def _loses(model: GeoModel[Any], module: nn.Module, batch: Batch) -> None:
    """Check the loss: finite, repeatable, its gradients, and no order of rows."""
    import torch

    module.train()
    first = _loss(model, module, batch, 1)
    promise(isinstance(first, torch.Tensor), f"the loss is a {type(first).__name__}, no tensor")
    promise(first.ndim == 0, f"the loss has shape {tuple(first.shape)}, it must be one number")
    promise(bool(first.isfinite()), f"the loss is {first.item()} on real places")
    promise(first.requires_grad, "no weight of the module gets a gradient from the loss")
    same = first.item() == _loss(model, module, batch, 1).item()
    promise(same, "the loss differs from the same generator")
    module.zero_grad()
    first.backward()  # type: ignore[no-untyped-call]
    wanted = _gradients(module)
    promise(bool(wanted), "no weight of the module gets a gradient from the loss")
    module.zero_grad()
    model.backward(module, batch, torch.Generator().manual_seed(1))
    got = _gradients(module)
    promise(wanted.keys() == got.keys(), "backward() reaches other weights than loss() does")
    for name, gradient in wanted.items():
        scale = float(gradient.abs().max()) + 1e-12
        off = float((gradient - got[name]).abs().max()) / scale
        promise(off <= 1e-2, f"backward() gives {name!r} another gradient than loss() has")
    module.zero_grad()
    _shares(model, module, batch)
    with torch.no_grad():
        _keeps_no_order(model, module.eval(), batch)
        one = {name: values[:1] for name, values in batch.items()}
        try:
            alone = _loss(model, module, one, 1)
        except WherefromError:
            return
        promise(bool(alone.isfinite()), "the loss of a batch of one place is not finite")


def _shares(model: GeoModel[Any], module: nn.Module, batch: Batch) -> None:
    """Check that two processes that share a batch get what one does, if they may share it."""
    import torch

    from wherefrom.models.share import rows_of
    from wherefrom.testing.shares import in_threads

    if not getattr(model, "shares", False):
        return

    def backward(group: Group | None, off: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
        own = copy.deepcopy(module)
        for weight in own.parameters():
            weight.data.mul_(1 + off)
        rows = rows_of(group, len(next(iter(batch.values()))))
        part = {name: values[rows] for name, values in batch.items()}
        loss = model.backward(own, part, torch.Generator().manual_seed(1))
        return loss.detach(), _gradients(own)

    due, wanted = backward(None)
    (one, some), (two, others) = in_threads(2, backward)
    off = float(((one + two) / 2 - due).abs() / due.abs())
    said = "two processes that share a batch (shares = True, see wherefrom.models.share)"
    promise(off <= NEAR, f"{said} have another loss than one: {(one + two) / 2}, not {due}")
    lacking = sorted(wanted.keys() - some.keys() | wanted.keys() - others.keys())
    promise(not lacking, f"{said}: one of them has no gradient of {lacking}")
    # Near kinks rounding turns gradients: by how much is seen where weights differ by so little.
    _, turned = backward(None, 1e-6)
    size, apart, allowed = (
        math.sqrt(sum(float(values.square().sum()) for values in some))
        for some in (
            wanted.values(),
            [(some[name] + others[name]) / 2 - gradient for name, gradient in wanted.items()],
            [turned[name] - gradient for name, gradient in wanted.items()],
        )
    )
    promise(apart <= 1e-2 * size + 10 * allowed, f"{said} have other gradients than one")


def _gradients(module: nn.Module) -> dict[str, Tensor]:
    return {
        name: weight.grad.detach().clone()
        for name, weight in module.named_parameters()
        if weight.grad is not None
    }


def _keeps_no_order(model: GeoModel[Any], module: nn.Module, batch: Batch) -> None:
    import torch

    order = torch.arange(len(next(iter(batch.values())))).flip(0)
    turned = {name: values[order] for name, values in batch.items()}
    there = np.array([float(_loss(model, module, batch, seed)) for seed in range(DRAWS)])
    back = np.array([float(_loss(model, module, turned, seed)) for seed in range(DRAWS)])
    off, error = (there - back).mean(), (there - back).std(ddof=1) / np.sqrt(DRAWS)
    allowed = LIMIT * error + NEAR * np.abs(there).mean()
    promise(
        abs(off) <= allowed,
        f"the loss depends on the order of a batch's rows: {there.mean():.6g} one way, "
        f"{back.mean():.6g} the other",
    )


def _embed(model: GeoModel[Any], module: nn.Module, records: Records) -> Tensor:
    import torch

    from wherefrom.train.embed import encoded

    with torch.no_grad():
        prepared = model.prepare(records, torch.device("cpu"))
        rows = torch.arange(len(next(iter(records.values()))))
        return encoded(model, module, model.collate(prepared, rows), len(rows))


def _embeds(model: GeoModel[Any], module: nn.Module, records: Records) -> None:
    """Check embeddings: alike in train mode, alone and together, and none of nothing."""
    try:
        whole = _embed(model, module.eval(), records)
    except WherefromError as err:
        raise BrokenPromiseError(str(err)) from err
    promise(bool(whole.isfinite().all()), "an embedding of a real place is not finite")
    size = float(whole.abs().max()) + 1e-12
    try:
        training = _embed(model, module.train(), records)
    except ValueError:
        training = whole  # refused, as a dropout that is given no generator must be
    module.eval()
    changed = float((training - whole).abs().max()) / size
    promise(changed <= NEAR, "encode() gives other embeddings in train mode: no dropout there")
    one = {name: values[:1] for name, values in records.items()}
    off = float((_embed(model, module, one) - whole[:1]).abs().max()) / size
    promise(off <= NEAR, "encode() gives a place alone another embedding than in a batch")
    _lets_nothing_through(model, module, records, whole)


def _lets_nothing_through(
    model: GeoModel[Any], module: nn.Module, records: Records, whole: Tensor
) -> None:
    """Check that no plausible embedding is made where all numbers that `encode` reads are NaN."""
    import torch

    void = {
        name: np.full_like(values, np.nan)
        for name, values in records.items()
        if values.dtype.kind == "f"
    }
    try:
        read = {
            name: values
            for name, values in void.items()
            # What changes nothing is read by the loss alone.
            if not torch.equal(_embed(model, module, {**records, name: values}), whole)
        }
        nothing = _embed(model, module, {**records, **read})
    except WherefromError:
        return
    promise(
        not bool(nothing.isfinite().any(dim=1).all()) or not read,
        "encode() gives plausible embeddings where all numbers are NaN: let NaN through, or raise "
        "a WherefromError",
    )


def _holds_all(module: nn.Module) -> None:
    """Check that no tensor or module that was built stays behind when the module moves.

    A list of registered parameters or modules moves with them; one of buffers does not, as torch
    puts new tensors in their place.
    """
    import torch

    known = {id(one) for one in (*module.parameters(), *module.modules())}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            promise(
                all(
                    id(one) in known
                    for one in _flat(value)
                    if isinstance(one, torch.Tensor | torch.nn.Module)
                ),
                f"{f'{path}.' if path else ''}{name} is a tensor or module that the module does "
                "not know of: it stays behind when weights move to another device; use "
                "register_buffer, nn.Parameter or nn.ModuleList",
            )


def _flat(value: object) -> Iterator[object]:
    """Give what a value holds, through lists, tuples, sets and mappings."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def _moves(model: GeoModel[Any], module: nn.Module, records: Records) -> None:
    """Check that embeddings are made on the device where the weights are."""
    import torch

    if not torch.cuda.is_available():
        return
    device = torch.device("cuda")
    with torch.no_grad():
        prepared = model.prepare(records, device)
        rows = torch.arange(len(next(iter(records.values()))), device=device)
        moved = model.encode(module.to(device), model.collate(prepared, rows))
    promise(moved.device.type == "cuda", "encode() answers from another device than its weights'")
    module.to("cpu")


def _comes_back(gfm: Gfm, model: GeoModel[Any], module: nn.Module, records: Records) -> None:
    """Check that weights come back from their file."""
    from wherefrom.train.checkpoint import load_weights, save_weights, spec_of

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.safetensors"
        save_weights(model, module, file)
        restored = gfm.restore(spec_of(file))
        again = load_weights(restored, file)
    same = bool((_embed(restored, again, records) == _embed(model, module.eval(), records)).all())
    promise(same, "weights read from their file embed otherwise: some are no part of the module")


def _resumes(gfm: Gfm, model: GeoModel[Any], records: Records, calibration: Records | None) -> None:
    """Check that a training that was interrupted ends as one that was not."""
    import torch

    from wherefrom.train.pretrain import PretrainSettings, pretrain

    count = len(next(iter(records.values())))
    batch = min(gfm.pretrain.batch, BATCH, count)
    fields = gfm.pretrain.model_dump() | {"samples_seen": STEPS * batch, "batch": batch}
    settings, rows = PretrainSettings(**fields), np.arange(count)

    class _Stop(Exception):  # noqa: N818
        pass

    def stop(step: int, _: float) -> None:
        if step == STEPS // 2:
            raise _Stop

    train = partial(pretrain, model, records, rows, settings, seed=0, calibration=calibration)
    whole = train()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint.pt"
        with suppress(_Stop):
            train(checkpoint=file, every=1, on_step=stop)
        resumed = train(checkpoint=file)
    for name, weight in whole.state_dict().items():
        same = torch.equal(weight, resumed.state_dict()[name])
        promise(same, f"a pre-training that was interrupted ends with another {name!r}")
