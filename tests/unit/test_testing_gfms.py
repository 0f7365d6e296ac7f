"""The checks of a GFM, a task and a head let ours pass and catch each broken promise."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn

from wherefrom import earth
from wherefrom.earth import Layer, layer
from wherefrom.gfms import Gfm
from wherefrom.gfms.places import PoolPlaces
from wherefrom.payload.stored import AT, MOMENTS, Stored
from wherefrom.pool import Pool
from wherefrom.tasks import Task
from wherefrom.tasks.base import TaskSpec
from wherefrom.testing import BrokenPromiseError, check_gfm, check_head, check_task
from wherefrom.train.heads import Head
from wherefrom.train.heads.finetune import FineTune
from wherefrom.train.heads.majority import Majority

NUMBERS = itertools.count()
by_chance = np.random.randint
FIELDS = {
    "kind": "demo",
    "tasks": ("any",),
    "pretrain": {"samples_seen": 96, "batch": 16, "lr": 1e-3},
    "blocks": 1,
}


class Net(nn.Module):
    """Two layers on a unit vector, with dropout between them in pre-training."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.first, self.last = (nn.utils.skip_init(nn.Linear, a, b) for a, b in ((3, 8), (8, 3)))
        for linear in (self.first, self.last):
            nn.init.normal_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)

    def embed(self, place: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.first(place))


class Demo(Gfm):
    """A GFM that keeps every promise."""

    @property
    def pretrain_flops(self) -> float:
        return 100.0

    def records(self, places: Any) -> dict[str, np.ndarray]:
        lon, lat = np.radians(places.lon), np.radians(places.lat)
        place = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)
        return {"place": place.astype(np.float32)}

    def build(self, generator: torch.Generator) -> nn.Module:
        return Net(generator)

    def loss(self, module: Any, batch: Any, generator: torch.Generator) -> torch.Tensor:
        noise = torch.rand(batch["place"].shape, generator=generator)
        guess = module.last(module.embed(batch["place"] + 0.1 * noise))
        return ((guess - batch["place"]) ** 2).mean()

    def encode(self, module: Any, batch: Any) -> torch.Tensor:
        embedding: torch.Tensor = module.embed(batch["place"])
        return embedding


class GlobalWeights(Demo):
    """Draws weights from torch's global generator."""

    def build(self, generator: torch.Generator) -> nn.Module:
        module = Net(generator)
        module.last = nn.Linear(8, 3)
        return module


class OrderedLoss(Demo):
    """Weighs the rows of a batch by their position."""

    def loss(self, module: Any, batch: Any, generator: torch.Generator) -> torch.Tensor:
        guess = module.last(module.embed(batch["place"]))
        square = ((guess - batch["place"]) ** 2).mean(dim=1)
        return (square * torch.linspace(0, 1, len(square))).mean()


class HalfLoss(Demo):
    """Looks at the first half of a batch alone."""

    def loss(self, module: Any, batch: Any, generator: torch.Generator) -> torch.Tensor:
        half = {"place": batch["place"][: -(-len(batch["place"]) // 2)]}
        return super().loss(module, half, generator)


class Dropout(Demo):
    """Drops units out of embeddings in train mode."""

    def encode(self, module: Any, batch: Any) -> torch.Tensor:
        embedding = module.embed(batch["place"])
        if module.training:
            keep = torch.rand(embedding.shape, generator=torch.Generator().manual_seed(0)) < 0.5
            return embedding * keep
        return embedding


class Company(Demo):
    """Centres embeddings on the batch."""

    def encode(self, module: Any, batch: Any) -> torch.Tensor:
        embedding: torch.Tensor = module.embed(batch["place"])
        return embedding - embedding.mean(dim=0)


class Plausible(Demo):
    """Takes NaN for zero."""

    def encode(self, module: Any, batch: Any) -> torch.Tensor:
        embedding: torch.Tensor = module.embed(torch.nan_to_num(batch["place"]))
        return embedding


class Counting(Demo):
    """Counts its steps outside of the weights."""

    def loss(self, module: Any, batch: Any, generator: torch.Generator) -> torch.Tensor:
        module.calls = getattr(module, "calls", 0) + module.training
        return super().loss(module, batch, generator) * (1 + module.calls // 4)


class Restored(Demo):
    """Restores another model than the one that gave the spec."""

    width: int = 3

    def restore(self, spec: Any) -> Any:
        return self.model_copy(update={"width": 4})


class LeftBehind(Demo):
    """Keeps a tensor that the module does not know of."""

    def build(self, generator: torch.Generator) -> nn.Module:
        module: Any = Net(generator)
        module.scale = torch.ones(3)
        return module


class Backwards(Demo):
    """Has gradients of another loss."""

    def backward(self, module: Any, batch: Any, generator: torch.Generator) -> torch.Tensor:
        loss = 2 * self.loss(module, batch, generator)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach() / 2


class Unrepeatable(Demo):
    """Draws noise from NumPy's global generator."""

    def loss(self, module: Any, batch: Any, generator: torch.Generator) -> torch.Tensor:
        return super().loss(module, batch, generator) * (1 + np.random.rand())  # noqa: NPY002


class Writing(Demo):
    """Writes into the records."""

    def prepare(self, records: Any, device: torch.device) -> Any:
        records["place"][0] += 1
        return super().prepare(records, device)


class Recurrent(Demo):
    """Holds a GRU, whose flat weights are a plain list of its parameters."""

    def build(self, generator: torch.Generator) -> nn.Module:
        module: Any = Net(generator)
        with torch.random.fork_rng():
            module.gru = nn.GRU(8, 8, batch_first=True)
        for parameter in module.gru.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
        module.all = [module.first, module.last]
        module.by_name = {"first": module.first.weight}
        return module

    def encode(self, module: Any, batch: Any) -> torch.Tensor:
        states: torch.Tensor = module.gru(module.embed(batch["place"])[:, None])[0][:, 0]
        return states

    def loss(self, module: Any, batch: Any, generator: torch.Generator) -> torch.Tensor:
        return ((module.last(self.encode(module, batch)) - batch["place"]) ** 2).mean()


class Caching(Demo):
    """Keeps activations of the last pass."""

    def encode(self, module: Any, batch: Any) -> torch.Tensor:
        module.last_seen = module.embed(batch["place"])
        embedding: torch.Tensor = module.last_seen
        return embedding

    def loss(self, module: Any, batch: Any, generator: torch.Generator) -> torch.Tensor:
        return ((module.last(self.encode(module, batch)) - batch["place"]) ** 2).mean()


class Cells(Demo):
    """Embeds the cell of a place, a whole number; the loss alone reads a float."""

    def records(self, places: Any) -> dict[str, np.ndarray]:
        cell = np.floor((places.lat + 90) / 30).astype(np.int64)
        return {"cell": cell, **super().records(places)}

    def build(self, generator: torch.Generator) -> nn.Module:
        module: Any = Net(generator)
        module.cells = nn.utils.skip_init(nn.Embedding, 7, 8)
        nn.init.normal_(module.cells.weight, generator=generator)
        return module

    def encode(self, module: Any, batch: Any) -> torch.Tensor:
        embedding: torch.Tensor = module.cells(batch["cell"])
        return embedding

    def loss(self, module: Any, batch: Any, generator: torch.Generator) -> torch.Tensor:
        return ((module.last(self.encode(module, batch)) - batch["place"]) ** 2).mean()


class Declaring(Demo):
    """Reads series, in pre-training alone, and says so."""

    reads: ClassVar[frozenset[Any]] = frozenset({"series"})

    def records(self, places: Any) -> dict[str, np.ndarray]:
        places.series()
        return super().records(places)

    def records_of_task(self, places: Any) -> dict[str, np.ndarray]:
        return super().records(places)


class Undeclared(Demo):
    """Reads series unsaid."""

    def records(self, places: Any) -> dict[str, np.ndarray]:
        places.series()
        return super().records(places)


class UndeclaredOfTasks(Undeclared):
    """Reads series, and says so for pre-training alone."""

    reads: ClassVar[frozenset[Any]] = frozenset({"series"})


class Imaging(Demo):
    """Reads images, which the places of the check lack."""

    reads: ClassVar[frozenset[Any]] = frozenset({"features"})

    def records(self, places: Any) -> dict[str, np.ndarray]:
        return {"image": places.features()}


class OfThePool(Demo):
    """Reads what only places of the pool have."""

    def records(self, places: Any) -> dict[str, np.ndarray]:
        return {"place": np.zeros((len(places.pool), 3), np.float32)}


class Weightless(Demo):
    """Has no parameter."""

    def build(self, generator: torch.Generator) -> nn.Module:
        return nn.Identity()


class Unbuilt(Gfm):
    """Has no build, loss or encode."""

    pretrain_flops: ClassVar[float] = 1.0  # type: ignore[misc]


class LeftInADict(Demo):
    """Keeps tensors in a dict that the module does not know of."""

    def build(self, generator: torch.Generator) -> nn.Module:
        module: Any = Net(generator)
        module.scales = {"place": [torch.ones(3)]}
        return module


class Listed(Demo):
    """Has a field that cannot be hashed."""

    widths: list[int] = Field([3, 4])


class Mapped(Demo):
    """Has another."""

    widths: dict[str, int] = Field({"a": 3})


class Set(Demo):
    """Has a field that is no JSON."""

    widths: frozenset[int] = frozenset({3, 4})


class Unseeded(Demo):
    """Draws records from a generator without a seed."""

    def records(self, places: Any) -> dict[str, np.ndarray]:
        noise = np.random.default_rng().normal(size=(len(places.lon), 3))
        return {"place": noise.astype(np.float32)}


class Flat(Demo):
    """Embeds a place by one number."""

    def encode(self, module: Any, batch: Any) -> torch.Tensor:
        embedding: torch.Tensor = module.embed(batch["place"])[:, 0]
        return embedding


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.build(48, seed=0)


def places(pool: Pool) -> PoolPlaces:
    return PoolPlaces(pool, np.arange(len(pool)))


@pytest.mark.slow
def test_a_sound_gfm_breaks_a_promise(pool: Pool) -> None:
    check_gfm(Demo, places=places(pool))
    check_gfm(FIELDS | {"kind": "presto"}, places=places(pool))


@pytest.mark.parametrize("kind", [Recurrent, Caching, Cells, Declaring])
def test_a_sound_gfm_of_another_make_breaks_a_promise(kind: type[Gfm], pool: Pool) -> None:
    check_gfm(kind, places=places(pool))


@pytest.mark.slow
@pytest.mark.parametrize("change", [{}, {"hidden": 4, "dropout": 0.3}])
def test_a_gfm_of_features_breaks_a_promise(
    pool: Pool, tmp_path: Path, change: dict[str, Any]
) -> None:
    features = np.random.default_rng(0).normal(size=(48, 5))
    np.save(tmp_path / "features.npy", features)
    np.save(tmp_path / AT, np.arange(48))
    squares = features.var(0) * 48
    np.save(tmp_path / MOMENTS, np.stack([np.full(5, 48.0), features.mean(0), squares]))
    seen = PoolPlaces(pool, np.arange(48), {"features": Stored("features", (tmp_path,))})
    check_gfm({"kind": "satclip", "degrees": 6, "width": 16, "out": 8, **change}, places=seen)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (GlobalWeights, "torch's global generator"),
        (OrderedLoss, "order of a batch's rows"),
        (HalfLoss, "order of a batch's rows"),
        (Dropout, "in train mode"),
        (Company, "alone another embedding"),
        (Plausible, "plausible embeddings"),
        (Counting, "differs from the same generator|interrupted"),
        (Restored, "makes another model"),
        (LeftBehind, "scale is a tensor"),
        (Backwards, "another gradient"),
        (Unrepeatable, "differs from the same generator|global random generator"),
        (Writing, "changes the record"),
        (Undeclared, "reads series of places, and its 'reads' does not"),
        (UndeclaredOfTasks, "reads series of places, and its 'reads_of_tasks' does not"),
        (Imaging, "reads features, and the places that it is checked on have none"),
        (OfThePool, "reads 'pool' of places"),
        (Weightless, "has no parameter"),
        (Unbuilt, r"has no build\(\)"),
        (LeftInADict, "scales is a tensor"),
        (Listed, "'widths' .* holds a list, which cannot be hashed"),
        (Mapped, "'widths' .* holds a dict, which cannot be hashed"),
        (Set, "no plain values"),
        (Unseeded, "another 'place' when it is asked again"),
        (Flat, r"gives shape \(48,\) for a batch of 48"),
    ],
)
def test_a_broken_gfm_passes(kind: type[Gfm], message: str, pool: Pool) -> None:
    with pytest.raises(BrokenPromiseError, match=message):
        check_gfm(kind, places=places(pool))


def made(seed: int = 0, *, same: bool = False, test: bool = True) -> Task:
    """Make a task of 80 places in one region."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-10, 10, 80), rng.uniform(40, 50, 80)
    split = np.arange(80) % (4 if test else 1)
    if same:
        lon[split == 1], lat[split == 1] = lon[split == 0], lat[split == 0]
    return Task(
        "demo", lon, lat, (np.arange(80) // 4) % 2, ("a", "b"), np.zeros(80), ("x",), split, "demo"
    )


class Fields(TaskSpec):
    """A task that keeps every promise."""

    layer_fields: ClassVar[tuple[str, ...]] = ("layer",)
    layer: str = "biome"

    @property
    def label(self) -> str:
        return "demo"

    @property
    def places(self) -> int:
        return 80

    def make(self, pool: Pool | None) -> Any:
        return made()


def variant(name: str, **members: Any) -> type[TaskSpec]:
    return type(name, (Fields,), {"__doc__": "A broken task.", "__module__": __name__, **members})


def opens_another(lon: Any, lat: Any) -> Any:
    return layer("forest").codes(lon, lat)


nested = Layer("nested", ("forest",), source=(), key="nested-1", lookup=opens_another)


@pytest.mark.slow
def test_a_sound_task_breaks_a_promise() -> None:
    check_task(Fields)
    other = variant("Declared", make=lambda self, pool: made() if layer(self.layer) else None)
    check_task(other(kind="demo", layer="climate_zone"))

    def of_a_layer(self: Any, pool: Any) -> Any:
        layer(self.layer)([10.0], [50.0])
        return made()

    check_task(variant("Nested", make=of_a_layer)(kind="demo", layer=f"{__name__}:nested"))
    placed = {"train_per_region": 40, "test_per_region": 20, "tune_train_per_region": 5,
              "tune_test_per_region": 5, "min_distance_km": 5}  # fmt: skip
    check_task({"kind": "ecoregions", "layer": "climate_zone", **placed})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (variant("A", make=lambda self, pool: made(by_chance(9**9))), "global random"),
        (variant("B", make=lambda self, pool: made(next(NUMBERS))), "another one when it is made"),
        (variant("C", make=lambda self, pool: replace(made(), name="x")), "is named 'x'"),
        (variant("D", make=lambda self, pool: made(same=True)), "tests on places"),
        (variant("E", make=lambda self, pool: made(test=False)), "to train and to test on"),
        (variant("F", renamed=lambda self, layers: self), "layer_fields"),
        (
            variant(
                "G",
                needs_pool=True,
                make=lambda self, pool: replace(made(), lon=pool.lon[:80], lat=pool.lat[:80]),
            ),
            "places of the pool",
        ),
        (variant("H", own_series=True), "own_series"),
        (variant("M", make=lambda self, pool: None), "fails on, with AttributeError"),
        (variant("I", places=property(lambda self: 500)), "says that it has 500 places"),
        (variant("J", places=property(lambda self: 10)), "says that it has 10 places"),
        (variant("K", make=lambda self, pool: made() if layer("forest") else None), "'forest'"),
        (variant("L", make=lambda self, pool: made() if earth.layer("land") else None), "'land'"),
    ],
)  # fmt: skip
def test_a_broken_task_passes(kind: type[TaskSpec], message: str) -> None:
    with pytest.raises(BrokenPromiseError, match=message):
        check_task(kind(kind="demo"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["logistic", "logistic-balanced", "mlp", "forest", "knn", "ridge", "knn-regression"]
)
def test_a_head_of_ours_breaks_a_promise(name: str) -> None:
    check_head(name)
    check_head("finetune")


Guess = Callable[..., np.ndarray]


def broken(guess: Guess) -> type[Head]:
    """Make a head that predicts as told."""

    @dataclass(frozen=True)
    class Broken(Majority):
        name: ClassVar[str] = "broken"

        def fit_predict(self, features: Any, labels: Any, train: Any, test: Any, seed: Any) -> Any:
            return guess(labels, train, test)

    return Broken


@pytest.mark.parametrize(
    ("guess", "message"),
    [
        (lambda labels, train, test: np.tile(labels[test], (len(train), 1)), "labels of test"),
        (lambda labels, train, test: np.zeros((len(train), 3), np.int16), "predicts shape"),
        (
            lambda labels, train, test: np.ones((len(train), len(test)), np.int16),
            "predicts 1, no class of",
        ),
        (lambda labels, train, test: np.zeros(len(test), np.int16), "predicts shape"),
        (lambda labels, train, test: np.full((len(train), len(test)), 0.5), "whole numbers"),
        (
            lambda labels, train, test: torch.zeros(len(train), len(test)).uniform_(0, 0).numpy(),
            "torch's global generator",
        ),
        (
            lambda labels, train, test: 2 * by_chance(0, 2, (len(train), len(test))),
            "global random generator",
        ),
        (
            lambda labels, train, test: np.full((len(train), len(test)), 2 * (len(train) == 1)),
            "depend on the others",
        ),
        (lambda labels, train, test: [][0], "fails, or gives what .* with IndexError"),
    ],
)
def test_a_broken_head_passes(guess: Guess, message: str) -> None:
    with pytest.raises(BrokenPromiseError, match=message):
        check_head(broken(guess))


@pytest.mark.parametrize("by", ["mean", "count", "position"])
def test_a_head_that_looks_at_the_other_test_places_passes(by: str) -> None:
    @dataclass(frozen=True)
    class Crowd(Majority):
        name: ClassVar[str] = "crowd"

        def fit_predict(self, x: Any, labels: Any, train: Any, test: Any, seed: Any) -> Any:
            if by == "mean":  # nearest class mean, features centred by the test places
                classes = np.unique(labels[train])
                at = np.stack([x[labels == c][:9].mean(0) for c in classes])
                at = at - at.mean(0)
                there = x[test] - x[test].mean(0)
                guess = classes[((there[:, None] - at) ** 2).sum(2).argmin(1)]
            elif by == "count":
                guess = np.full(len(test), 2 * (len(test) > 40))
            else:
                guess = 2 * (np.arange(len(test)) % 2)
            return np.tile(guess, (len(train), 1)).astype(np.int16)

    with pytest.raises(BrokenPromiseError, match="depend on the other places"):
        check_head(Crowd)


@pytest.mark.parametrize("around", [False, True])
def test_a_head_that_changes_its_features_passes(around: bool) -> None:
    @dataclass(frozen=True)
    class Scaling(Majority):
        name: ClassVar[str] = "scaling"

        def fit_predict(self, features: Any, *rest: Any) -> Any:
            if around:
                features.flags.writeable = True
            features /= 2
            return super().fit_predict(features, *rest)

    with pytest.raises(BrokenPromiseError, match="'scaling' changes what it is given"):
        check_head(Scaling)


def test_a_head_that_tunes_in_its_own_way_passes_unsaid() -> None:
    @dataclass(frozen=True)
    class Longer(FineTune):
        name: ClassVar[str] = "longer"
        steps: int = 40

    @dataclass(frozen=True)
    class Own(FineTune):
        name: ClassVar[str] = "own"

        def fit_predict(self, *given: Any) -> Any:
            return super().fit_predict(*given)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_head(Longer)
    with pytest.warns(UserWarning, match="checks the options of 'own' alone"):
        check_head(Own)
