"""Pre-training and use of any GFM of a study: seeds, files and episodes, and no model's name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from wherefrom.gfms.base import Gfm
from wherefrom.gfms.places import PoolPlaces, TaskData
from wherefrom.models import share
from wherefrom.models.base import GeoModel, Records
from wherefrom.payload.stored import Stored
from wherefrom.tasks import Episodes
from wherefrom.train.checkpoint import load_weights, save_weights, spec_of
from wherefrom.train.device import at_once, device
from wherefrom.train.embed import embed
from wherefrom.train.heads import HeadOptions
from wherefrom.train.pretrain import PretrainSettings, order_of_epoch, pretrain_stream
from wherefrom.train.pretrain import pretrain as train
from wherefrom.train.ranks import checked, launch
from wherefrom.train.ranks import tell as tell_parent

__all__ = ["RANKS", "WEIGHTS", "Trained", "compact", "embedded", "finetuned", "pretrain", "trained"]

#: Files of a pre-training stage; the second where several processes shared it, and on what.
WEIGHTS, RANKS = "weights.safetensors", "ranks.json"
#: Bytes of records from which on they are read batch by batch.
MOST = 1 << 30
#: Places whose records tell the size of all, and that tell a model what there is to read.
_FEW, _SOME = 256, 65_536
#: Embeddings of the last run, of a task or of places; the run's key tells the GFM.
_KEPT: dict[tuple[Path, TaskData | str], NDArray[np.float32]] = {}


@dataclass(frozen=True)
class Trained:
    """What a pre-training gives, in eval mode, and what the model's inputs were scaled by."""

    model: GeoModel[Any]
    module: nn.Module
    calibration: Records | None


def trained(
    gfm: Gfm,
    places: PoolPlaces,
    order: NDArray[np.int64],
    *,
    seed: int,
    checkpoint: Path | None = None,
    tell: Callable[[float], None] | None = None,
) -> Trained:
    """Pre-train a GFM on places; see `wherefrom.train.pretrain.pretrain`.

    `places` are the composition's, each once; all that there are if it is empty. `order`, int64
    (n,), holds positions in them; a place of multiplicity k occurs k times. `tell` is called with
    the share that is done. Records of the pool that memory may not hold are read batch by batch,
    in the same order; model and scales are then told by some of them.
    Processes that torch.distributed connects share each batch.
    The module is on `wherefrom.train.device.device`.
    """
    budget = PretrainSettings(**gfm.pretrain.model_dump())
    calibration = gfm.calibration(places)
    on_step = None if tell is None else lambda step, _: tell(step / budget.steps)
    some = _some(gfm, places) if len(order) >= budget.batch else None
    if some is not None:
        model = gfm.model(some)
        own = share.rows_of(share.found(), budget.batch)

        def batches(epoch: int, start: int) -> Iterator[Records]:
            shuffled = order_of_epoch(order, seed, epoch)
            for at in range(start * budget.batch, len(order) - budget.batch + 1, budget.batch):
                rows = places.rows[shuffled[at : at + budget.batch]]
                yield gfm.records(replace(places, rows=rows[own]))

        module = pretrain_stream(
            model,
            batches,
            budget,
            seed=seed,
            data=hashlib.sha256(np.ascontiguousarray(order).data).hexdigest()[:16],
            calibration=some if calibration is None else calibration,
            device=device(),
            checkpoint=checkpoint,
            on_step=on_step,
            parted=True,
        )
        return Trained(model, module, calibration)
    records = gfm.records(places)
    model = gfm.model(records)
    module = train(
        model,
        records,
        order,
        budget,
        seed=seed,
        calibration=calibration,
        device=device(),
        checkpoint=checkpoint,
        on_step=on_step,
    )
    return Trained(model, module, calibration)


def _some(gfm: Gfm, places: PoolPlaces) -> Records | None:
    """Read records of some places if those of all take more than `MOST` bytes."""

    def records(most: int) -> Records:
        return gfm.records(replace(places, rows=_spread(places.rows, most)))

    few = min(_FEW, len(places.rows))
    if sum(values.nbytes for values in records(few).values()) * len(places.rows) <= MOST * few:
        return None
    return records(_SOME)


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return some of the rows, from all parts."""
    at = np.linspace(0, len(rows) - 1, min(most, len(rows)))
    return rows[at.astype(np.int64)]


def _there(places: PoolPlaces) -> NDArray[np.bool_]:
    """Tell which places of the pool have all that is held."""
    there = np.ones(len(places.pool), dtype=bool)
    for held in places.held.values():
        there &= held.there if isinstance(held, Stored) else True
    return there


def pretrain(
    gfm: Gfm,
    seed: int,
    places: PoolPlaces,
    out: Path,
    partial: Path,
    tell: Callable[[float], None],
) -> None:
    """Pre-train as a stage does: on rows of the pool that may repeat, weights into `out`.

    In as many processes as are asked for (`wherefrom.train.ranks.asked`); the key of the stage
    does not tell, the file `RANKS` does.
    """
    partial.mkdir(parents=True, exist_ok=True)
    count = checked([gfm]) if len(places.rows) else 1
    if count == 1:
        _pretrain(gfm, seed, places, out, partial, tell)
        return
    places = replace(places, held=dict(places.held))  # which can be pickled
    launch(count, _pretrain, gfm, seed, places, out, partial, tell_parent, tell=tell)
    about = {"processes": count, "device": device().type}
    (out / RANKS).write_text(json.dumps(about, sort_keys=True), encoding="utf-8")


def _pretrain(
    gfm: Gfm,
    seed: int,
    places: PoolPlaces,
    out: Path,
    partial: Path,
    tell: Callable[[float], None],
) -> None:
    """Do so in this process, which may share batches with others; the first of them writes."""
    distinct, order = np.unique(places.rows, return_inverse=True)
    if not len(distinct):  # what an untrained model is to read is told by some places of the pool
        distinct = _spread(np.flatnonzero(_there(places)), _FEW)
    once = PoolPlaces(places.pool, distinct, places.held, gfm.reads)
    made = trained(gfm, once, order, seed=seed, checkpoint=partial / "checkpoint.pt", tell=tell)
    if (group := share.found()) is None or not group.rank:
        save_weights(made.model, made.module, out / WEIGHTS)


def _read(gfm: Gfm, run: Path) -> tuple[GeoModel[Any], nn.Module]:
    """Read a pre-training stage: the model as it embeds, and its module, in eval mode.

    On the device of this process.
    """
    model = gfm.restore(spec_of(run / WEIGHTS))
    return gfm.embedding(model), load_weights(model, run / WEIGHTS).to(device())


def embedded(gfm: Gfm, run: Path, data: TaskData, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Embed some places of a task, (N, D) float32, others NaN; read-only.

    `rows`, int64 (n,), holds each place once. A worker keeps what it has embedded by its last run
    of a task, and adds what was not asked for before. Tasks of the same places share it, where
    nothing is read of these but where they lie.
    """
    of = data if gfm.reads_of_tasks else data.task.where
    whole = _KEPT.get((run, of))
    new = rows if whole is None else rows[np.isnan(whole[rows, 0])]
    if whole is None or len(new):
        model, module = _read(gfm, run)
        records = gfm.records_of_task(data.places(new))
        some = embed(model, module, records, batch=at_once(gfm.embed_batch, device()))
        if whole is None:
            _KEPT.clear()
            whole = np.full((len(data.task), some.shape[1]), np.nan, np.float32)
        whole.flags.writeable = True
        whole[new] = some
        whole.flags.writeable = False  # many heads look at it
        _KEPT[run, of] = whole
    return whole


def finetuned(
    gfm: Gfm, run: Path, tuner: HeadOptions, data: TaskData, episodes: Episodes
) -> NDArray[np.int16]:
    """Let a head tune a run's whole encoder on each episode; predicted codes (S, T)."""
    rows, train_rows, test = compact(episodes)
    records = gfm.records_of_task(data.places(rows))
    labels = data.task.label[rows]
    predicted: NDArray[np.int16] = cast("Any", tuner).fit_predict(
        *_read(gfm, run), records, labels, train_rows, test
    )
    return predicted


def compact(
    episodes: Episodes,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Give numbers to the places that episodes touch, so that nothing is made of the others.

    Returns rows of the task (training places, each once, then the test places), and the positions
    in these of each seed's training places (S, n) and of the test places (T,).

    >>> drawn = Episodes("Africa", 2, (0, 1), np.array([[7, 3], [3, 5]]), np.array([8, 9]),
    ...                  np.array([0, 1]), ())
    >>> rows, train, test = compact(drawn)
    >>> rows.tolist(), train.tolist(), test.tolist()
    ([3, 5, 7, 8, 9], [[2, 0], [0, 1]], [3, 4])
    """
    rows, train = np.unique(episodes.train, return_inverse=True)
    first = len(rows)
    rows = np.concatenate([rows, episodes.test])
    return rows, train.reshape(episodes.train.shape), np.arange(first, len(rows))
