"""How a study pre-trains and uses any kind of GFM; each kind is a recipe, a module of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from wherefrom.models.base import GeoModel, Records
from wherefrom.pool import Pool
from wherefrom.study import presto, satclip
from wherefrom.study.data import TaskData
from wherefrom.tasks import SPLITS, Episodes
from wherefrom.train.checkpoint import load_weights, save_weights, spec_of
from wherefrom.train.pretrain import PretrainSettings
from wherefrom.train.pretrain import pretrain as train

__all__ = ["RECIPES", "Recipe", "embedded", "finetuned", "pretrain", "trained"]

#: File of a pre-training stage.
WEIGHTS = "weights.safetensors"


class Recipe(Protocol):
    """What a module of `RECIPES` holds: how a study uses one kind of GFM.

    Every argument and result is plain data, a path, or of the kind's own model; seeds, budgets,
    checkpoints and files are not the recipe's.
    """

    def configure(self, settings: dict[str, Any], records: Records) -> GeoModel[Any]:
        """Make the model of a study's settings (`GfmSpec.settings`, but for ``pretrain``)."""
        ...

    def restore(self, spec: dict[str, Any]) -> GeoModel[Any]:
        """Make the model that gave a ``spec()``, which lies beside its weights."""
        ...

    def records(
        self, settings: dict[str, Any], pool: Pool, rows: NDArray[np.int64], images: Sequence[Path]
    ) -> tuple[Records, Records | None]:
        """Read what the model sees of the pool's `rows`, and what its inputs are scaled by.

        Parameters
        ----------
        settings : dict
            As of `configure`.
        pool : Pool
            Candidates of pre-training.
        rows : (n,) int64 array
            The places of a composition, each once.
        images : sequence of Path
            Folders of the image stages, where the kind reads images.
        """
        ...

    def embed(self, module: Any, data: TaskData, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embed some places of a task, (R, D)."""
        ...

    def finetune(
        self, module: Any, options: dict[str, Any], data: TaskData, episodes: Episodes
    ) -> NDArray[np.int16]:
        """Fine-tune the whole model on each episode and predict the test places, (S, T)."""
        ...


#: The recipe of each kind of model in a study file.
RECIPES: dict[str, Recipe] = {"satclip": satclip, "presto": presto}


@dataclass(frozen=True)
class Trained:
    """What a pre-training gives, and what it saw.

    Attributes
    ----------
    model : GeoModel
    module : torch.nn.Module
        In eval mode.
    calibration : mapping of str to array, or None
        What the model's inputs are scaled by.
    """

    model: GeoModel[Any]
    module: nn.Module
    calibration: Records | None


def trained(
    settings: dict[str, Any],
    pool: Pool,
    rows: NDArray[np.int64],
    images: Sequence[Path],
    *,
    seed: int,
    checkpoint: Path | None = None,
    tell: Callable[[float], None] | None = None,
) -> Trained:
    """Pre-train a model of a study on places of its pool.

    Parameters
    ----------
    settings : dict
        As `wherefrom.study.gfms.GfmSpec.settings` gives them.
    pool : Pool
        Candidates of pre-training.
    rows : (n,) int64 array
        The composition's places; one of multiplicity k occurs k times. Empty for none.
    images : sequence of Path
        Folders of the image stages, where the kind reads images.
    seed : int
        Seed of this pre-training.
    checkpoint : Path, optional
        File of the state on the way.
    tell : callable, optional
        Called with the share that is done.

    Returns
    -------
    Trained

    Raises
    ------
    WherefromError
        As `wherefrom.train.pretrain.pretrain`.
    """
    fields = dict(settings)
    budget = PretrainSettings(**fields.pop("pretrain"))
    recipe = RECIPES[fields.pop("kind")]
    distinct, order = np.unique(rows, return_inverse=True)
    records, calibration = recipe.records(fields, pool, distinct, images)
    model = recipe.configure(fields, records)
    module = train(
        model,
        records,
        order,
        budget,
        seed=seed,
        calibration=calibration,
        checkpoint=checkpoint,
        on_step=None if tell is None else lambda step, _: tell(step / budget.steps),
    )
    return Trained(model, module, calibration)


def pretrain(
    spec: dict[str, Any],
    pool: Pool,
    rows: NDArray[np.int64],
    images: Sequence[Path],
    out: Path,
    partial: Path,
    tell: Callable[[float], None],
) -> None:
    """Pre-train as a stage's spec says and write the weights into the folder `out`."""
    partial.mkdir(parents=True, exist_ok=True)
    checkpoint = partial / "checkpoint.pt"
    made = trained(
        spec["model"], pool, rows, images, seed=spec["seed"], checkpoint=checkpoint, tell=tell
    )
    save_weights(made.model, made.module, out / WEIGHTS)


def _read(run: Path) -> tuple[Recipe, Any]:
    """Read a pre-training stage: its recipe and its module, in eval mode."""
    spec = spec_of(run / WEIGHTS)
    recipe = RECIPES[spec["model"]]
    return recipe, load_weights(recipe.restore(spec), run / WEIGHTS)


@lru_cache(maxsize=1)
def embedded(run: Path, data: TaskData) -> NDArray[np.float32]:
    """Embed a task's places of the reported splits, (N, D) float32, others NaN.

    A worker keeps those of its last run and task.
    """
    recipe, module = _read(run)
    rows = np.flatnonzero(np.isin(data.task.split, [SPLITS.index("train"), SPLITS.index("test")]))
    found = recipe.embed(module, data, rows)
    whole = np.full((len(data.task), found.shape[1]), np.nan, np.float32)
    whole[rows] = found
    return whole


def finetuned(
    run: Path, options: dict[str, Any], data: TaskData, episodes: Episodes
) -> NDArray[np.int16]:
    """Fine-tune a run's whole model on each episode; predicted codes (S, T)."""
    recipe, module = _read(run)
    return recipe.finetune(module, options, data, episodes)
