"""Copies of any model with a linear head each, tuned few-shot for all seeds at once."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call, vmap

from wherefrom.errors import WherefromError
from wherefrom.models.base import Batch, GeoModel, Narrowed, Narrowing, Records
from wherefrom.shown import count_of
from wherefrom.train.device import CPU
from wherefrom.train.embed import encoded
from wherefrom.train.heads.base import Codes, Labels, Rows
from wherefrom.train.heads.fewshot import FewShot, standardise
from wherefrom.train.heads.newton import fit
from wherefrom.train.memory import keep_freed_memory

__all__ = ["Start", "Tuning", "pass_bytes"]

#: Memory of the copies that are trained together, and of one pass over their rows, bytes: what a
#: processor's last cache holds; and on a GPU.
PASS_BYTES = 64 * 2**20
GPU_PASS_BYTES = 2 * 2**30
#: Rows that are embedded at a time before a pass is measured; fewer where the room is less.
_ROWS = 128
#: Of a weight: itself, its gradient and AdamW's two moments.
_WEIGHT_BYTES = 16


class _Encode(nn.Module):
    """`encode` as a function of handed-over parameters."""

    def __init__(self, model: GeoModel[Any], module: nn.Module) -> None:
        super().__init__()
        self.model, self.module = model, module

    def forward(self, batch: Batch) -> Tensor:
        return encoded(self.model, self.module, batch, len(next(iter(batch.values()))))

    def stacked(self, weights: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Embed (S, m, ...) inputs, each S of them with its own of (S, ...) weights: (S, m, D)."""

        def one(weights: Mapping[str, Tensor], batch: Batch) -> Tensor:
            result: Tensor = functional_call(self, dict(weights), (batch,))
            return result

        if len(next(iter(weights.values()))) > 1:
            result: Tensor = vmap(one)(weights, batch)
            return result
        alone = {name: w.squeeze(0) for name, w in weights.items()}
        return one(alone, {name: v.squeeze(0) for name, v in batch.items()})[None]


@dataclass(frozen=True)
class Start:
    """What all seeds begin with, and what one try told of the module.

    `narrowed` makes of a seed's rows the module that it trains, and what reads its batches;
    `frozen`, (N, D), are the embeddings of the training rows, others not set; `names` are the
    parameters that are tuned, `copy_bytes` and `row_bytes` what one copy takes and what a training
    row leaves for the backward pass; `stacks` says whether copies can be evaluated together;
    `room` is the memory of a pass, bytes.
    """

    model: GeoModel[Any]
    narrowed: Callable[[Tensor], Narrowed]
    labels: Labels
    frozen: Tensor
    names: tuple[str, ...]
    copy_bytes: int
    row_bytes: int
    stacks: bool
    room: int

    @classmethod
    def of(
        cls,
        model: GeoModel[Any],
        module: nn.Module,
        records: Records,
        labels: Labels,
        train: Rows,
        test: Rows,
        room: int = 0,
    ) -> Start:
        """Check the rows, embed the training ones and try a pass; see `FineTune.fit_predict`."""
        device = next((weight.device for weight in module.parameters()), CPU)
        keep_freed_memory(device)
        module = copy.deepcopy(module).float().eval()
        prepared = model.prepare(records, device)
        count = len(next(iter(prepared.values())))
        _check_rows(count, labels, train, test)
        room = room or pass_bytes(device)
        size = max(1, _ROWS * room // pass_bytes(device))
        rows, pieces = torch.from_numpy(np.unique(train)).to(device), []
        with torch.no_grad():
            for part in torch.split(rows, size):
                pieces.append(encoded(model, module, model.collate(prepared, part), len(part)))
        found = torch.cat(pieces)
        bad = rows[~torch.isfinite(found).all(dim=1)]
        if len(bad):
            raise WherefromError(
                f"finetune: the embedding of row {int(bad[0])} is not finite "
                f"({count_of(len(bad), 'such row')})"
            )
        frozen = found.new_empty(count, found.shape[1])
        frozen[rows] = found
        if isinstance(model, Narrowing):
            narrowed = model.narrow(module, prepared)
        else:

            def narrowed(rows: Tensor) -> Narrowed:
                # A copy: evaluating it with other weights changes a module for the while, and
                # another thread may do so at the same time.
                return Narrowed(copy.deepcopy(module), partial(model.collate, prepared))

        first = torch.from_numpy(train[0]).to(device)
        tried = narrowed(first)
        row_bytes, names = (
            _row_bytes(model, tried, first),
            _reached(model, tried, torch.split(rows, size)),
        )
        tuned = sum(p.numel() for name, p in tried.module.named_parameters() if name in names)
        stacks = len(train) > 1 and _stacks(model, tried, names, first)
        cost = _WEIGHT_BYTES * tuned
        return cls(model, narrowed, labels, frozen, names, cost, row_bytes, stacks, room)

    def chunks(self, train: Rows) -> list[slice]:
        """Cut the seeds into parts that are trained together."""
        together = self.room // (self.copy_bytes + train.shape[1] * self.row_bytes)
        together = max(1, together) if self.stacks else 1
        return [slice(s, s + together) for s in range(0, len(train), together)]

    def tuning(self, train: Rows, C: float) -> Tuning:
        """Copy the module for some seeds and fit their heads on the frozen embeddings."""
        where = torch.from_numpy(train).to(self.frozen.device)
        made = [self.narrowed(rows) for rows in where]
        parts = [one.read(rows) for one, rows in zip(made, where, strict=True)]
        owned = [dict(one.module.named_parameters()) for one in made]
        return Tuning(
            encode=_Encode(self.model, made[0].module),
            weights={
                f"module.{name}": torch.stack([own[name].detach() for own in owned])
                for name in self.names
            },
            batch={name: torch.stack([part[name] for part in parts]) for name in parts[0]},
            read=[one.read for one in made],
            few=_few(self.frozen[where], self.labels, train),
            size=max(1, self.room // self.row_bytes),
            C=C,
        )


@dataclass
class Tuning:
    """Copies of a module and heads for S seeds, during and after fine-tuning.

    `encode` embeds batches with the copies' stacked `weights`, (S, ...); `batch` holds the training
    rows, (S, n, ...), and `read` gathers any rows as each copy reads them; `few` are the
    standardised embeddings before they are tuned; `size` is the rows of one pass, `C` the inverse
    penalty of the heads. `head_weight`, (S, C, D), acts on embeddings standardised by `mean` and
    `scale`, (S, D).
    """

    encode: _Encode
    weights: dict[str, Tensor]
    batch: dict[str, Tensor]
    read: list[Callable[[Tensor], Batch]]
    few: FewShot
    size: int
    C: float
    head_weight: Tensor = field(init=False)
    head_bias: Tensor = field(init=False)
    mean: Tensor = field(init=False)
    scale: Tensor = field(init=False)

    def __post_init__(self) -> None:
        weight, bias = fit(self.few, self.C)
        self.mean, self.scale = self.few.mean.float(), self.few.scale.float()
        self.head_weight = weight.float()
        # A class that the seed has not seen is masked in the logits, so that weights stay finite.
        self.head_bias = torch.where(self.few.present, bias, 0.0).float()

    def passes(self) -> list[slice]:
        """Cut the training rows of a step into parts, whose gradients are added up."""
        seeds, n = self.few.y.shape
        parts = -(-n // max(1, self.size // seeds))
        size = -(-n // parts)
        return [slice(begin, begin + size) for begin in range(0, n, size)]

    def loss(self, rows: slice = slice(None)) -> Tensor:
        """Cross-entropy of some of each seed's n training rows, summed and divided by n: (S,)."""
        batch = {name: values[:, rows] for name, values in self.batch.items()}
        features = self.encode.stacked(self.weights, batch)
        features = (features - self.mean[:, None]) / self.scale[:, None]
        logit = torch.baddbmm(self.head_bias[:, None], features, self.head_weight.mT)
        logit = logit + torch.where(self.few.present, 0.0, -torch.inf)[:, None]
        y = self.few.y[:, rows]
        flat = nn.functional.cross_entropy(logit.flatten(0, 1), y.flatten(), reduction="none")
        return flat.view_as(y).sum(dim=1) / self.few.y.shape[1]

    def tune(self, steps: int, lr: float, head_lr: float, weight_decay: float) -> None:
        """Move all weights of all seeds by AdamW, in place; each seed is as if trained alone.

        The sum of the seeds' losses has each seed's own gradient in its own weights, and AdamW
        acts on each weight alone: so stacked weights are trained as separate copies would be.
        """
        body, head = list(self.weights.values()), [self.head_weight, self.head_bias]
        for weight in body + head:
            weight.requires_grad_()
        adam = torch.optim.AdamW(
            [{"params": body, "lr": lr}, {"params": head, "lr": head_lr}],
            weight_decay=weight_decay,
            fused=True,
        )
        for _ in range(steps):
            adam.zero_grad()
            for rows in self.passes():
                self.loss(rows).sum().backward()  # type: ignore[no-untyped-call]
            adam.step()
        for weight in body + head:
            weight.requires_grad_(False)
            weight.grad = None

    @torch.no_grad()
    def predict(self, test: Rows) -> Codes:
        """Predict test rows: (S, T) class codes."""
        winners = []
        for s, read in enumerate(self.read):
            one = {name: w[s : s + 1] for name, w in self.weights.items()}
            absent = torch.where(self.few.present[s], 0.0, -torch.inf)
            found = []
            where = torch.from_numpy(test).to(self.few.y.device)
            for rows in torch.split(where, self.size):
                whole = {name: values[None] for name, values in read(rows).items()}
                features = (self.encode.stacked(one, whole)[0] - self.mean[s]) / self.scale[s]
                logit = features @ self.head_weight[s].T + self.head_bias[s]
                bad = rows[~torch.isfinite(logit).all(dim=1)]
                if len(bad):
                    raise WherefromError(
                        f"finetune: the embedding of row {int(bad[0])} is not finite after tuning: "
                        "drop the row, or lower the rates"
                    )
                found.append((logit + absent).argmax(dim=1))
            winners.append(torch.cat(found))
        return self.few.codes(torch.stack(winners))


def pass_bytes(device: torch.device) -> int:
    """Return the memory of the copies that are trained together, and of a pass of theirs."""
    return PASS_BYTES if device.type == "cpu" else GPU_PASS_BYTES


def _check_rows(count: int, labels: Any, train: Any, test: Any) -> None:
    if np.shape(labels) != (count,):
        raise WherefromError(
            f"finetune: labels have shape {np.shape(labels)}, not ({count},), one a record"
        )
    for name, rows, axes in (("train", train, 2), ("test", test, 1)):
        if rows.ndim != axes or not rows.size or rows.min() < 0 or rows.max() >= count:
            raise WherefromError(
                f"finetune: {name} of shape {rows.shape} must be row numbers of the {count} "
                f"records, on {axes} axes and not empty"
            )
    label = np.asarray(labels)[train]
    if label.dtype.kind not in "iub" or label.min() < 0 or label.max() > np.iinfo(np.int16).max:
        raise WherefromError(
            "finetune: labels must be class codes, whole numbers from 0 to 32767, not "
            f"{label.dtype} from {label.min()} to {label.max()}"
        )


def _few(features: Tensor, labels: Labels, train: Rows) -> FewShot:
    """Standardise each seed's features (S, n, D), in place."""
    mean, scale = standardise(features, features.abs().amax(dim=(0, 1)))
    classes, flat = np.unique(np.asarray(labels)[train], return_inverse=True)
    y = torch.from_numpy(flat.reshape(train.shape).astype(np.int64)).to(features.device)
    return FewShot(features, y, classes.astype(np.int64), torch.empty(0), mean, scale)


def _reached(model: GeoModel[Any], tried: Narrowed, rows: tuple[Tensor, ...]) -> tuple[str, ...]:
    """Name the parameters that the embedding of any of the rows depends on.

    All rows, not some: a module may treat places differently, such as the north and the south.
    """
    given = {name: p for name, p in tried.module.named_parameters() if p.requires_grad}
    missing = dict(given)
    for part in rows:
        if not missing:
            break
        total = encoded(model, tried.module, tried.read(part), len(part)).sum()
        if total.requires_grad:
            grads = torch.autograd.grad(total, list(missing.values()), allow_unused=True)
            missing = {
                name: p for (name, p), g in zip(missing.items(), grads, strict=True) if g is None
            }
    names = tuple(name for name in given if name not in missing)
    if not names:
        raise WherefromError(
            f"finetune: {model.name} embeds by no parameter that requires a gradient, so that "
            "there is nothing to tune"
        )
    return names


def _row_bytes(model: GeoModel[Any], tried: Narrowed, rows: Tensor) -> int:
    """Measure what a training row leaves behind for the backward pass."""
    held: list[int] = []
    for count in (2, 4):
        kept: dict[int, int] = {}

        def keep(saved: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
            return saved

        batch = tried.read(rows.repeat(count)[:count])
        with saved_tensors_hooks(keep, lambda saved: saved):
            encoded(model, tried.module, batch, count)
        held.append(sum(kept.values()))
    return max(1, (held[1] - held[0]) // 2)


def _stacks(model: GeoModel[Any], tried: Narrowed, names: tuple[str, ...], rows: Tensor) -> bool:
    """Try whether two copies at once embed as each does alone, and pass gradients back."""
    encode, given = _Encode(model, tried.module), dict(tried.module.named_parameters())
    batch = tried.read(rows.repeat(2)[:2])
    both = {name: torch.stack([v, v.flip(0)]) for name, v in batch.items()}
    weights = {
        f"module.{name}": torch.stack([w, w * 1.01]).requires_grad_()
        for name, w in ((name, given[name].detach()) for name in names)
    }
    alone = [
        encode.stacked(
            {name: w[s : s + 1] for name, w in weights.items()},
            {name: v[s : s + 1] for name, v in both.items()},
        )
        for s in (0, 1)
    ]
    whole = torch.cat(alone)
    if not whole.requires_grad:  # these rows reach no weight, others do
        return False
    due = [whole, *_gradients(whole, weights)]
    with warnings.catch_warnings():
        # An operation that `vmap` only knows to repeat copy by copy is slower than the loop.
        warnings.filterwarnings("error", message=".*performance drop.*")
        try:
            whole = encode.stacked(weights, both)
            stacked = [whole, *_gradients(whole, weights)]
        except Exception:  # whatever a module does that `vmap` cannot follow
            return False
    return all(
        bool(((a - b).abs().max() <= 1e-3 * b.abs().max()).item())
        for a, b in zip(stacked, due, strict=True)
    )


def _gradients(embeddings: Tensor, weights: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Give gradients of some loss of the weights, zero where none depends on one."""
    return torch.autograd.grad(
        embeddings.square().sum(), list(weights.values()), allow_unused=True, materialize_grads=True
    )
