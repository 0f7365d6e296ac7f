"""What a GFM of a study is: the fields of a study file, what it reads and costs, and its maths.

Nothing here needs torch before something is computed, so that a study can be planned without.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
from pydantic import Field, model_validator

from wherefrom.errors import unknown
from wherefrom.part import OfKind, Part
from wherefrom.payload.base import NAMES, Modality, Payload

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from wherefrom.gfms.places import Places
    from wherefrom.models.base import Batch, GeoModel, Records

__all__ = [
    "FLOPS", "REGIONS", "AnyGfm", "Gfm", "Modality", "PretrainSpec", "Start", "fastest",
    "placed",
]  # fmt: skip

#: Single-precision operations per second that the models reach on one core of a server CPU of 2024
#: (see benchmarks/README.md).
FLOPS = 55e9


class PretrainSpec(Part):
    """Budget and optimiser of one pre-training; the budget is in samples seen."""

    samples_seen: int = Field(gt=0)
    batch: int = Field(gt=1)
    lr: float = Field(gt=0)
    warmup: int = Field(ge=0, default=0)
    schedule: Literal["cosine", "cosine-from-zero", "constant"] = "cosine"
    weight_decay: float = Field(ge=0, default=0.01)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.999,
    )

    @model_validator(mode="after")
    def _budget_is_met_exactly(self) -> Self:
        if self.samples_seen % self.batch:
            near = max(1, round(self.samples_seen / self.batch)) * self.batch
            raise ValueError(
                f"samples_seen = {self.samples_seen} is no multiple of batch = {self.batch}: "
                f"take {near}"
            )
        return self


def placed(train: int, test: int, tune: tuple[int, int]) -> dict[str, int]:
    """Give the places a region of a built-in task, as fields of a study file."""
    names = ("train", "test", "tune_train", "tune_test")
    counts = (train, test, *tune)
    return {f"{name}_per_region": count for name, count in zip(names, counts, strict=True)}


#: Places of a built-in task: as many in each continent, apart from all candidates.
REGIONS = {
    "region_layer": "continent",
    **placed(train=5500, test=2000, tune=(600, 1000)),
    "min_distance_km": 5.0,
}


@dataclass(frozen=True)
class Start:
    """What a first study file says of a kind of model, on data that everyone has.

    Attributes
    ----------
    fields : mapping
        Fields of the model, `pretrain` among them, for minutes on a laptop.
    debug : mapping
        What differs for seconds.
    payloads, debug_payloads : mapping
        The payload that it reads, by name, and the same.
    task, debug_task : mapping
        The built-in task that it is evaluated on without labels of one's own, by name.
    baselines : tuple of str
        What it is compared with, besides what goes with every model.
    head : str
        Of its headline on that task.
    """

    fields: Mapping[str, Any]
    debug: Mapping[str, Any]
    payloads: Mapping[str, Any]
    task: Mapping[str, Any]
    debug_payloads: Mapping[str, Any] = field(default_factory=dict)
    debug_task: Mapping[str, int] = field(
        default_factory=lambda: placed(train=300, test=200, tune=(50, 50))
    )
    baselines: tuple[str, ...] = ("raw-harmonics-L10",)
    head: str = "logistic"


class Gfm(Part):
    """A kind of geospatial foundation model: one class, whose fields a study file gives.

    A new kind states its fields and what it `reads`, and has `build`, `loss` and `encode`, or a
    `model` that has them. Its own are defaults of `wherefrom.models.base.GeoModel`: records
    become tensors as they are, a batch is gathered by rows, nothing is calibrated, and weights
    that are matrices decay. Seeds, order of the data, budget, checkpoints, episodes, heads, full
    fine-tuning and scores are the engine's.

    Attributes
    ----------
    kind : str
        Its name in the table of GFMs.
    tasks : tuple of str
        Keys of the study's tasks on which it is evaluated; the first is the headline's.
    payloads : tuple of str
        Names of the study's payloads that it reads, where several have what it `reads`.
    pretrain : PretrainSpec
    blocks : int
        How often it is pre-trained on each composition: block b is draw b of every composition
        with pre-training seed b, which all of them share.
    gpu_hours_per_run : float, optional
        For the plan of a scale that no laptop reaches.
    on_request : bool
        Left out unless it is asked for by name (``--models``).
    """

    #: Read of the places of a composition in pre-training, and of the labelled places of a task,
    #: besides where they are (`wherefrom.gfms.places.Places`).
    reads: ClassVar[frozenset[Modality]] = frozenset()
    reads_of_tasks: ClassVar[frozenset[Modality]] = frozenset()
    #: Earth layers, and sources of the catalog, that `records` looks up itself.
    layers: ClassVar[tuple[str, ...]] = ()
    sources: ClassVar[tuple[str, ...]] = ()
    #: Places that are embedded at a time.
    embed_batch: ClassVar[int] = 1024
    #: Whether processes may share a batch of its model (`wherefrom.models.base.GeoModel.shares`).
    shares: ClassVar[bool] = False
    #: What `wherefrom init` writes of it, if it can be tried on data that everyone has.
    start: ClassVar[Start | None] = None
    #: Raised by hand when the code changes what it computes: old results are then not reused.
    version: ClassVar[int] = 1

    kind: str
    tasks: tuple[str, ...] = Field(min_length=1)
    payloads: tuple[str, ...] = ()
    pretrain: PretrainSpec
    blocks: int = Field(gt=0)
    gpu_hours_per_run: float | None = None
    on_request: bool = False

    def settings(self) -> dict[str, Any]:
        """Give what a pre-training depends on: every field but the axes of the study."""
        axes = {"tasks", "payloads", "blocks", "gpu_hours_per_run", "on_request"}
        return self.model_dump(exclude=axes)

    def settled(self) -> Self:
        """Decide what depends on this machine, such as a precision; by default nothing."""
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """Files of the user's that it reads; what they hold is in its key."""
        return ()

    @classmethod
    def __pydantic_init_subclass__(cls, **more: Any) -> None:
        """Refuse a modality that nobody provides, where the class is made."""
        super().__pydantic_init_subclass__(**more)
        for name in (*cls.reads, *cls.reads_of_tasks):
            if name not in NAMES:
                raise unknown(f"modality that {cls.__name__} reads", name, NAMES)

    # What it costs.

    @property
    @abstractmethod
    def pretrain_flops(self) -> float:
        """Operations to evaluate the pre-training loss of one sample (without gradients)."""

    @property
    def embed_flops(self) -> float:
        """Operations to embed one labelled place; by default as many."""
        return self.pretrain_flops

    @property
    def parameters(self) -> float:
        """Numbers that training changes, for what is stored and held: about, of one kind of layer.

        By default those of a network that sees one vector of a place: each takes two operations.
        """
        return self.embed_flops / 2

    @property
    def finetune_seconds(self) -> float:
        """Seconds to fine-tune one seed on n = 100 and predict a region, on one core."""
        return (20 * 100 * 3 + 2000) * self.embed_flops / FLOPS

    def costed(self, bands: Mapping[Modality, tuple[str, ...]]) -> Self:
        """Return it as it costs on records of such channels; by default as it is.

        `bands` are those that payloads state before they are read: see `Payload.bands`.
        """
        return self

    # What it sees.

    def wants(self, band: str) -> bool:
        """Tell whether it reads a band of that name of its payload; by default any."""
        return True

    def refuses(self, payload: Payload) -> str:
        """Say why it cannot read a payload of its modalities, and the remedy; by default nothing.

        For a plan, before anything is read: of what a payload states (`Payload.bands`, empty where
        it states none, and `Payload.image_side`).
        """
        return ""

    def records(self, places: Places) -> Records:
        """Read what pre-training sees of places; by default where they are.

        Parameters
        ----------
        places : Places
            With what `reads` names.

        Returns
        -------
        mapping of str to array
            Places along each first axis.
        """
        return {"lon": places.lon, "lat": places.lat}

    def records_of_task(self, places: Places) -> Records:
        """Read what is embedded of labelled places; by default as `records`.

        Parameters
        ----------
        places : Places
            With what `reads_of_tasks` names.
        """
        return self.records(places)

    def calibration(self, places: Places) -> Records | None:
        """Give records that the model's inputs are scaled by, the same for all compositions."""
        return None

    # Its maths: `wherefrom.models.base.GeoModel`.

    def model(self, records: Records) -> GeoModel[Any]:
        """Make the model that trains on records like these; by default this GFM is the model."""
        return self

    def restore(self, spec: Mapping[str, Any]) -> GeoModel[Any]:
        """Make the model that gave a ``spec()``, which lies beside its weights."""
        return self

    def embedding(self, model: GeoModel[Any]) -> GeoModel[Any]:
        """Return a model as labelled places are embedded by it; by default as it trained."""
        return model

    @property
    def name(self) -> str:
        """Short name for tables."""
        return self.kind

    def spec(self) -> dict[str, Any]:
        """Give the configuration as plain values."""
        fields = self.settings()
        return {name: value for name, value in fields.items() if name != "pretrain"}

    def build(self, generator: torch.Generator) -> nn.Module:
        """Make the module, its initial weights drawn from `generator` (a CPU generator)."""
        raise NotImplementedError

    def loss(self, module: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        """Evaluate the pre-training loss of a batch; dropout and masks from `generator`."""
        raise NotImplementedError

    def encode(self, module: Any, batch: Batch) -> Tensor:
        """Embed a batch, shape (B, D), without randomness."""
        raise NotImplementedError

    def calibrate(self, module: Any, records: Records) -> None:
        """Set what is measured, not trained, from the records of the pool; by default nothing."""

    def prepare(self, records: Records, device: torch.device) -> Batch:
        """Move the records to the device, but for images, which stay until a batch is gathered."""
        import torch

        from wherefrom.models.base import OnDemand

        return {
            name: torch.from_numpy(np.array(values)).to(device)
            if isinstance(values, np.ndarray)
            else cast("torch.Tensor", OnDemand(values, device))
            for name, values in records.items()
        }

    def collate(self, prepared: Batch, rows: Tensor) -> Batch:
        """Gather the rows of a batch."""
        return {name: values.index_select(0, rows) for name, values in prepared.items()}

    def backward(self, module: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        """Add the gradients of `loss` to the parameters', and return the loss without one."""
        loss = self.loss(module, batch, generator)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def decays(self, name: str, parameter: nn.Parameter) -> bool:
        """Decay matrices and tables: no bias, no norm."""
        return parameter.ndim >= 2


def fastest() -> Literal["float32", "bfloat16"]:
    """Return the precision of matrix products that the device of this process is fastest in."""
    try:
        from wherefrom.train.device import device, multiplies_bfloat16
    except ModuleNotFoundError:
        return "float32"  # without torch nothing can be trained either
    return "bfloat16" if multiplies_bfloat16(device()) else "float32"


#: A GFM of a study file, of the class that its key ``kind`` names.
AnyGfm = Annotated[Gfm, OfKind("gfms", Gfm)]
