"""Pre-training of any model on any composition, with an equal budget and an exact resume."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.keys import canonical, seed_of
from wherefrom.keys import generator as np_generator
from wherefrom.models import share
from wherefrom.models.base import Batch, GeoModel, Records
from wherefrom.shown import count_of
from wherefrom.train.checkpoint import load_state, save_state
from wherefrom.train.device import CPU, ahead, fits, halving, memory_of, precise, release
from wherefrom.train.memory import keep_freed_memory
from wherefrom.train.ranks import refusal

__all__ = ["PretrainSettings", "held_out_loss", "order_of_epoch", "pretrain", "pretrain_stream"]

M = TypeVar("M", bound=nn.Module)

#: Bytes that are hashed at a time.
_AT_ONCE = 2**26


@dataclass(frozen=True)
class PretrainSettings:
    """Budget and optimiser of a pre-training, the same for all compositions that are compared.

    Parameters
    ----------
    samples_seen : int
        The budget: places shown to the model, counting repeats. A multiple of `batch`.
    batch : int
        Places a step.
    lr : float
        Peak learning rate.
    warmup : int
        Steps of linear increase from 0.
    schedule : {"cosine", "cosine-from-zero", "constant"}
        After the warm-up: half a cosine down to 0, or no change. The warm-up's first step has the
        rate ``lr / warmup``, or 0 ("from zero", as some official codes have it).
    weight_decay : float
        Of AdamW, on the parameters that the model names.
    betas : (float, float)
        Of AdamW.

    Examples
    --------
    >>> settings = PretrainSettings(samples_seen=1000, batch=100, lr=1e-3, warmup=2)
    >>> settings.steps
    10
    >>> [round(settings.rate(step), 6) for step in (0, 1, 2, 9)]
    [0.0005, 0.001, 0.001, 3.8e-05]
    """

    samples_seen: int = 128_000
    batch: int = 512
    lr: float = 2e-4
    warmup: int = 50
    schedule: Literal["cosine", "cosine-from-zero", "constant"] = "cosine"
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise WherefromError(f"batch must be 2 or more, not {self.batch}")
        if self.samples_seen % self.batch or self.samples_seen < 0:
            near = max(1, round(self.samples_seen / self.batch)) * self.batch
            raise WherefromError(
                f"samples_seen = {self.samples_seen} is no multiple of batch = {self.batch}, so "
                f"the budget cannot be met exactly: take {near}"
            )

    @property
    def steps(self) -> int:
        """Number of optimiser steps."""
        return self.samples_seen // self.batch

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + (self.schedule != "cosine-from-zero")) / self.warmup
        if self.schedule == "constant":
            return self.lr
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (1 + math.cos(math.pi * done)) / 2


def pretrain(
    model: GeoModel[M],
    records: Records,
    rows: np.ndarray,
    settings: PretrainSettings,
    *,
    seed: int,
    calibration: Records | None = None,
    device: torch.device | str = "cpu",
    checkpoint: Path | str | None = None,
    every: int = 50,
    on_step: Callable[[int, float], None] | None = None,
) -> M:
    """Pre-train a model on the places of a composition.

    The initial weights, the order of the data and dropout come from three streams named by
    `seed`; so two compositions with the same seed start from the same weights. On a CPU with a
    given number of threads the result is the same to the bit, interrupted and resumed or not. On a
    GPU, whose sums have no fixed order, it is the same but for rounding; records that do not fit
    into half of its memory stay on the host, and batches are copied while others are worked on.

    Where torch.distributed is initialised (by `wherefrom.train.ranks.launch`, torchrun or a user),
    its processes share each batch: all call this alike, and get the module that one process would,
    but for rounding. The first of them writes checkpoints, which all read, and calls `on_step`.
    Whatever their number was, a checkpoint is gone on from with any other.

    Parameters
    ----------
    model : GeoModel
        Configuration of the model.
    records : mapping of str to array
        The records of the pool, places along the first axis.
    rows : (n,) int64 array
        Positions in `records` of the composition's places; a place of multiplicity k occurs k
        times. Empty for zero pre-training: the initial weights are returned.
    settings : PretrainSettings
        Budget and optimiser.
    seed : int
        Seed of this pre-training.
    calibration : mapping of str to array, optional
        Records whose statistics scale the model's inputs, the same for all compositions; by
        default `records`.
    device : torch.device or str, default "cpu"
        Where to train.
    checkpoint : Path or str, optional
        File of the state on the way. If it exists the training goes on from there; it is left
        at the end, so that a finished training is not repeated.
    every : int, default 50
        Steps between two checkpoints.
    on_step : callable, optional
        Called after each step with the number of steps done and the loss. What it raises ends the
        training, of which a checkpoint is kept first.

    Returns
    -------
    torch.nn.Module
        In eval mode, on `device`.

    Raises
    ------
    WherefromError
        If the composition has fewer places than a batch, a checkpoint belongs to another
        training, the loss is no longer finite, or a batch does not fit into the device's memory
        (the largest half, quarter, ... that does is named). If processes share batches: also if
        the model does not allow that, their number does not divide the batch, or one is lost.

    Notes
    -----
    Each epoch is a fresh permutation of the composition, cut into whole batches; the remainder,
    different in each epoch, is left out. So no place occurs twice in a batch (unless its
    multiplicity says so), which matters to a contrastive loss.
    """
    device, group = torch.device(device), _group(model, settings)
    rows = np.asarray(rows, dtype=np.int64)
    module = model.build(_torch_generator(CPU, seed, "init"))
    model.calibrate(module, records if calibration is None else calibration)
    module.to(device)
    if len(rows) == 0:
        return module.eval()
    if len(rows) < settings.batch:
        raise WherefromError(
            f"the composition has {count_of(len(rows), 'place')}, fewer than batch = "
            f"{settings.batch}: lower the batch for all compositions or draw more places"
        )
    scales = {name: buffer.cpu().numpy() for name, buffer in module.named_buffers()}
    distinct, order = np.unique(rows, return_inverse=True)
    chosen = dict(records)
    if len(distinct) < len(next(iter(records.values()))):  # else images stay in their files
        chosen = {name: values[distinct] for name, values in records.items()}
    digest = _digest(order, chosen | scales)
    run = _Training(model, module, settings, seed, digest, on_step, group)
    run.resume(checkpoint, every)
    if run.step < settings.steps:
        where = device if fits(chosen, device) else CPU
        prepared = model.prepare(chosen, where)
        batches: Iterable[Batch] = (
            model.collate(prepared, torch.from_numpy(picked[run.own]).to(where))
            for picked in _batches(order, settings, seed, run.step)
        )
        run.follow(batches if where == device else ahead(batches, device))
    return module.eval()


def pretrain_stream(
    model: GeoModel[M],
    batches: Callable[[int, int], Iterable[Records]],
    settings: PretrainSettings,
    *,
    seed: int,
    data: str,
    calibration: Records | None = None,
    device: torch.device | str = "cpu",
    checkpoint: Path | str | None = None,
    every: int = 50,
    on_step: Callable[[int, float], None] | None = None,
    parted: bool = False,
) -> M:
    """Pre-train a model on records that are streamed, since they do not fit in memory.

    Parameters
    ----------
    model, settings, seed, device, checkpoint, every, on_step
        As of `pretrain`.
    batches : callable
        Given the number of an epoch and of batches to leave out of it, yields that epoch's
        batches of ``settings.batch`` places, in an order that depends on the epoch alone. A
        smaller one at its end is left out.
    data : str
        Names the data, so that a checkpoint of others is refused.
    calibration : mapping of str to array, optional
        Records whose statistics scale the model's inputs; by default nothing is scaled.
    parted : bool, default False
        Whether `batches` yields, of each batch, those rows alone that are this process's share
        (`wherefrom.models.share.rows_of`), so that it need not read the others.

    Returns
    -------
    torch.nn.Module
        In eval mode, on `device`.

    Raises
    ------
    WherefromError
        If an epoch has no whole batch, a checkpoint belongs to another training, or the loss is
        no longer finite.

    Examples
    --------
    Shards of pixel series, 24 months a pixel, and a model that reads such series::

        stream = ShardStream(files, batch=4096)
        pretrain_stream(
            model, lambda epoch, start: map(records_of, stream.batches(epoch, start)),
            PretrainSettings(samples_seen=20 * 5169 * 4096, batch=4096, lr=1e-3, warmup=2 * 5169,
                             schedule="cosine-from-zero", weight_decay=0.05, betas=(0.9, 0.95)),
            seed=42, data="dynamic-world-tiles", checkpoint="state.pt", every=1000)
    """
    device, group = torch.device(device), _group(model, settings)
    module = model.build(_torch_generator(CPU, seed, "init"))
    if calibration is not None:
        model.calibrate(module, calibration)
    module.to(device)
    run = _Training(model, module, settings, seed, data, on_step, group)
    each = run.own.stop - run.own.start
    run.resume(checkpoint, every)
    while run.step < settings.steps:
        before = run.step
        whole: Iterable[Batch] = (
            model.collate(
                model.prepare(records if parted else run.share_of(records), CPU), torch.arange(each)
            )
            for records in batches(run.epoch, run.within)
            if len(next(iter(records.values()))) >= (each if parted else settings.batch)
        )
        run.follow(whole if device.type == "cpu" else ahead(whole, device))
        if run.step == before and run.within == 0:
            raise WherefromError(
                f"epoch {run.epoch} has no whole batch of {settings.batch} places: lower the batch"
            )
        if run.step < settings.steps:
            run.epoch, run.within = run.epoch + 1, 0
    return module.eval()


class _Training(Generic[M]):
    """A training on its way: weights, optimiser, random state and how far it is."""

    def __init__(
        self,
        model: GeoModel[M],
        module: M,
        settings: PretrainSettings,
        seed: int,
        data: str,
        on_step: Callable[[int, float], None] | None,
        group: share.Group | None,
    ) -> None:
        device = next(module.parameters()).device
        self.model, self.module, self.settings, self.on_step = model, module, settings, on_step
        self.group, self.first = group, group is None or not group.rank
        #: Rows of each batch that this process has.
        self.own = share.rows_of(group, settings.batch)
        self.optimizer = _optimizer(model, module, settings, device)
        self.noise = _torch_generator(device, seed, "noise")
        self.step = self.epoch = self.within = 0
        self.spec = {
            "model": model.spec(),
            "settings": asdict(settings),
            "seed": seed,
            "data": data,
        }
        if device.type != "cpu":  # whose state of random numbers is of another kind
            self.spec["device"] = device.type
        self.checkpoint: Path | None = None
        self.every = 0
        module.train()
        if group is not None:
            _refuse_norms(module)
        keep_freed_memory(device)

    def resume(self, checkpoint: Path | str | None, every: int) -> None:
        """Go on from a checkpoint if there is one, and keep one there from now on."""
        self.every = every
        if not self.first:
            self._meet()  # the first has set a damaged one aside
        if checkpoint is not None:
            self.checkpoint = Path(checkpoint)
            if state := load_state(self.checkpoint, self.spec):
                self.step, self.epoch, self.within = state["step"], state["epoch"], state["within"]
                self.module.load_state_dict(state["module"])
                self.optimizer.load_state_dict(state["optimizer"])
                self.noise.set_state(state["noise"])
        if self.first:
            self._meet()
        self._agree()

    def _meet(self) -> None:
        """Wait for the other processes."""
        if self.group is not None:
            self.group.total(torch.zeros(1, device=self.noise.device))

    def _agree(self) -> None:
        """Refuse processes that share a batch and differ in what they train, or in the step."""
        if self.group is None:
            return
        spec = hashlib.sha256(canonical(self.spec).encode()).digest()
        mine = torch.tensor([[int.from_bytes(spec[:7]), self.step]], device=self.noise.device)
        specs, steps = self.group.joined(mine).unbind(1)
        for what, values, remedy in (
            ("another training", specs, "give all of them the same model, data, settings and seed"),
            ("another step", steps, "the checkpoint must be one file that all of them read"),
        ):
            other = torch.nonzero(values != values[0])
            if len(other):
                raise WherefromError(
                    f"process {int(other[0])} of {self.group.of} is at {what} than process 0, and "
                    f"they share batches: {remedy}"
                )

    def share_of(self, records: Records) -> Records:
        """Take this process's rows of a batch's records."""
        if self.group is None:
            return records
        return {name: values[self.own] for name, values in records.items()}

    def follow(self, batches: Iterable[Batch]) -> None:
        """Take a step for each batch, until the budget is used up."""
        with share.among(self.group), precise(self.noise.device, tf32=True):
            for batch in batches:
                self.within += 1
                self.advance(batch)
                if self.step == self.settings.steps:
                    break

    def advance(self, batch: Batch) -> None:
        """Take one step."""
        steps, lr = self.settings.steps, self.settings.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        try:
            value = self._moved(batch)
        except torch.OutOfMemoryError:
            value = None  # what the error holds is let go before a smaller batch is tried
        if value is None:
            raise WherefromError(self._too_much(batch))
        if not math.isfinite(value):
            raise WherefromError(
                f"the pre-training loss is {value} at step {self.step + 1} of {steps} "
                f"(learning rate {lr:.3g}): lower lr or lengthen the warm-up"
            )
        self.step += 1
        due = self.step % self.every == 0 or self.step == steps
        if self.checkpoint and self.first and due:
            self._save(self.checkpoint)
        if self.on_step is not None and self.first:
            try:
                self.on_step(self.step, value)
            except BaseException:  # the caller ends the training here: it can go on from here
                if self.checkpoint:
                    self._save(self.checkpoint)
                raise

    def _save(self, checkpoint: Path) -> None:
        state = {
            "step": self.step,
            "epoch": self.epoch,
            "within": self.within,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "noise": self.noise.get_state(),
        }
        save_state(checkpoint, self.spec, state)

    def _moved(self, batch: Batch) -> float:
        """Move the weights by a batch, unless its loss, which is returned, is not finite."""
        self.optimizer.zero_grad()
        loss = self.model.backward(self.module, batch, self.noise)
        value = loss.item() if self.group is None else self._averaged(loss, self.group)
        if math.isfinite(value):
            self.optimizer.step()
        return value

    def _averaged(self, loss: Tensor, group: share.Group) -> float:
        """Average the loss, which is returned, and the gradients, if it is finite.

        In one message a type of number, once all parts of the batch are gone through: a model whose
        `backward` takes several, or calls parts of its module, has no other end that is told.
        """
        parameters = [one for one in self.module.parameters() if one.requires_grad]
        # A parameter that no process has a gradient of must stay without: it would decay.
        given = [float(one.grad is not None) for one in parameters]
        head = torch.tensor(given, dtype=torch.float64, device=loss.device)
        head = group.total(torch.cat([loss.detach().double().view(1), head]))
        value, *counts = (head / group.of).tolist()
        if not math.isfinite(value):
            return float(value)
        some = [one for one, count in zip(parameters, counts, strict=True) if count]
        for dtype in dict.fromkeys(one.dtype for one in some):
            alike = [one for one in some if one.dtype == dtype]
            for one in alike:
                if one.grad is None:
                    one.grad = torch.zeros_like(one)
            grads = [one.grad for one in alike if one.grad is not None]
            flat = group.total(torch.cat([grad.reshape(-1) for grad in grads])).div_(group.of)
            sizes = [grad.numel() for grad in grads]
            for grad, mean in zip(grads, torch.split(flat, sizes), strict=True):
                grad.copy_(mean.view_as(grad))
        return float(value)

    def _too_much(self, batch: Batch) -> str:
        """Say that a batch is more than memory holds, and try which is not; the training ends."""
        device, tried = self.noise.device, self.settings.batch
        if self.group is not None:  # the others are amid this step: no other can be tried
            return (
                f"pre-training {self.model.name} with batch = {tried:,} in {self.group.of} "
                f"processes: the memory of {memory_of(device)} ran out at step {self.step + 1} of "
                f"{self.settings.steps} in process {self.group.rank}: take more of them, or GPUs "
                "with more memory. Another pretrain.batch is another experiment: lower it for all "
                "compositions"
            )
        self.optimizer.zero_grad()
        release(device)
        what = f"pre-training {self.model.name} with batch = {tried:,}"

        def step(rows: int) -> float:
            return self._moved({name: values[:rows] for name, values in batch.items()})

        _, fitting = halving(step, max(2, tried // 2), what, device, least=2)
        return (
            f"{what}: the memory of {memory_of(device)} ran out at step {self.step + 1} of "
            f"{self.settings.steps}; a batch of {fitting:,} fits (a step of it was tried). Another "
            "pretrain.batch is another experiment: lower it for all compositions, or take a device "
            "with more memory"
        )


def _group(model: GeoModel[Any], settings: PretrainSettings) -> share.Group | None:
    """Find the processes that share batches, and refuse what they cannot share."""
    group = share.found()
    if group is not None:
        may = getattr(model, "shares", False)  # a model need not derive from GeoModel
        if said := refusal(model.name, may, settings.batch, group.of):
            raise WherefromError(said)
    return group


def _refuse_norms(module: nn.Module) -> None:
    """Refuse layers that normalise by the rows of one process, not by those of all."""
    for name, layer in module.named_modules():
        by_batch = isinstance(layer, nn.modules.batchnorm._BatchNorm) and (
            layer.training or layer.running_mean is None
        )
        if by_batch and not getattr(layer, "shares", False):
            raise WherefromError(
                f"layer {name} ({type(layer).__name__}) normalises by the batch, of which each "
                "process has a part: take one process, or wherefrom.models.share.BatchNorm2d"
            )


def held_out_loss(
    model: GeoModel[M], module: M, records: Records, rows: np.ndarray, batch: int = 512
) -> float:
    """Evaluate the pre-training loss on places that the composition does not hold.

    Parameters
    ----------
    model, module, records
        As in `pretrain`.
    rows : (n,) int64 array
        Positions in `records`, cut into whole batches in the given order (shuffle them first:
        a contrastive loss depends on which places rival each other).
    batch : int, default 512
        Places that rival each other; the loss of guessing is log(batch).

    Returns
    -------
    float
        Mean over the batches, without dropout.
    """
    if len(rows) < batch:
        raise WherefromError(f"{len(rows)} held-out places are fewer than batch = {batch}")
    device = next(module.parameters()).device
    prepared = model.prepare({name: values[rows] for name, values in records.items()}, device)
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            losses = [
                model.loss(
                    module,
                    model.collate(prepared, torch.arange(at, at + batch, device=device)),
                    torch.Generator(device),
                ).item()
                for at in range(0, len(rows) - batch + 1, batch)
            ]
    finally:
        module.train(training)
    return math.fsum(losses) / len(losses)


def _batches(
    order: np.ndarray, settings: PretrainSettings, seed: int, start: int
) -> Iterator[np.ndarray]:
    """Yield rows from step `start` on; an epoch's order depends on its number alone."""
    per_epoch = len(order) // settings.batch
    shuffled, epoch = order, -1
    for step in range(start, settings.steps):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            shuffled = order_of_epoch(order, seed, epoch)
        at = step % per_epoch * settings.batch
        yield shuffled[at : at + settings.batch]


def order_of_epoch(order: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Shuffle rows as a pre-training sees them in an epoch."""
    return np_generator("pretrain", seed, "order", epoch).permutation(order)


def _torch_generator(device: torch.device, seed: int, use: str) -> torch.Generator:
    state = seed_of("pretrain", seed, use).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0]) % 2**63)


def _optimizer(
    model: GeoModel[M], module: M, settings: PretrainSettings, device: torch.device
) -> torch.optim.AdamW:
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            (decayed if model.decays(name, parameter) else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=settings.lr, betas=settings.betas, fused=device.type in ("cpu", "cuda")
    )


def _digest(order: np.ndarray, records: dict[str, Any]) -> str:
    """Hash what a training sees, so that a checkpoint of other data is refused."""
    digest = hashlib.sha256(np.ascontiguousarray(order).data)
    for name in sorted(records):
        digest.update(name.encode())
        values = records[name] if records[name].ndim else records[name].reshape(1)
        # A part at a time: images may lie in files.
        rows = max(1, _AT_ONCE // max(1, values.dtype.itemsize * math.prod(values.shape[1:])))
        for at in range(0, len(values), rows):
            digest.update(np.ascontiguousarray(values[at : at + rows]).data)
    return digest.hexdigest()[:16]
