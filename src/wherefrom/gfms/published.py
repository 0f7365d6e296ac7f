"""Published rows of a study: labelled places as encoders that others trained describe them.

They stand beside the study's models, are pre-trained on other data at another size, and hence are
neither a composition nor trivial. Nothing of them is trained but the heads.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from wherefrom.earth.fetch import path_of
from wherefrom.errors import unknown
from wherefrom.gfms.base import Modality
from wherefrom.gfms.tower import PUBLISHED
from wherefrom.part import OfKind, Part

if TYPE_CHECKING:
    from torch import nn

    from wherefrom.gfms.places import Places
    from wherefrom.models.base import Embedder, Records

__all__ = ["AnyPublished", "Encoder", "Features", "Published"]


class Published(Part):
    """A kind of published row: one class, whose fields a study file gives.

    A new kind states what it reads of labelled places (`reads_of_tasks`) and has `features`.

    Attributes
    ----------
    kind : str
        Its name in the table of published rows.
    tasks : tuple of str
        Keys of the study's tasks on which it is evaluated; by default all.
    payloads : tuple of str
        Names of the study's payloads that it reads, where several have what it reads.
    """

    #: Read of the labelled places of a task, besides where they are.
    reads_of_tasks: ClassVar[frozenset[Modality]] = frozenset()
    #: Numbers of a place, about: what heads cost.
    width: ClassVar[int] = 256
    #: Operations to embed a place.
    embed_flops: ClassVar[float] = 0.0
    #: Raised by hand when the code changes what it computes: old results are then not reused.
    version: ClassVar[int] = 1

    kind: str
    tasks: tuple[str, ...] = ()
    payloads: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Sources of the catalog that it needs; the row is left out where they are not."""
        return ()

    @property
    def files(self) -> tuple[str, ...]:
        """Files of the user's that it reads; what they hold, not where they lie, is in its key."""
        return ()

    def settings(self) -> dict[str, Any]:
        """Give what features depend on: every field but the axes of the study."""
        return self.model_dump(exclude={"tasks", "payloads"})

    @abstractmethod
    def features(self, places: Places) -> NDArray[np.float32]:
        """Describe places, (N, D) float32, a row a place and without randomness.

        Parameters
        ----------
        places : Places
            With what `reads_of_tasks` names.
        """


class Encoder(Published):
    """A kind with weights: those of the catalog, or a file of the user's.

    Attributes
    ----------
    weights : str
        ``published``, the first of the catalog's; a source of the catalog that has weights of this
        kind; or a file.
    """

    #: Sources of the catalog that have weights of this kind.
    catalog: ClassVar[tuple[str, ...]]

    weights: str = Field(min_length=1, default=PUBLISHED)

    @field_validator("weights")
    @classmethod
    def _are_a_source_or_a_file(cls, weights: str) -> str:
        known = (PUBLISHED, *cls.catalog)
        # A name without a dot or folder is hardly one of a file.
        if weights in known or weights != Path(weights).stem or Path(weights).exists():
            return weights
        raise ValueError(f"{unknown('weights', weights, known)}; or give the path of a file")

    @property
    def sources(self) -> tuple[str, ...]:
        """The catalog's, if they are asked for."""
        if self.weights == PUBLISHED:
            return self.catalog[:1]
        return (self.weights,) if self.weights in self.catalog else ()

    @property
    def files(self) -> tuple[str, ...]:
        """The weights, if they are a file."""
        return () if self.sources else (self.weights,)

    def settings(self) -> dict[str, Any]:
        """Give all but where the weights lie."""
        return super().settings() | {"weights": self.sources[0] if self.sources else "a file"}

    @property
    def path(self) -> Path:
        """The weights on this machine."""
        return path_of(self.sources[0], download=False) if self.sources else Path(self.weights)

    def embedded(
        self, model: Embedder[Any], module: nn.Module, records: Records, batch: int
    ) -> NDArray[np.float32]:
        """Embed records on the device of this process; `batch` is one that suits a CPU."""
        from wherefrom.train.device import at_once, device
        from wherefrom.train.embed import embed

        return embed(model, module.to(device()), records, at_once(batch, device()))


class Features(Published):
    """Features of a payload as they are: another model's embeddings, a frozen tower's, and so on.

    The study's payload of kind ``columns`` reads a table of embeddings, one of kind ``tower`` shows
    images to published weights; `payloads` names it.
    """

    reads_of_tasks: ClassVar[frozenset[Modality]] = frozenset({"features"})
    width: ClassVar[int] = 512

    payloads: tuple[str, ...] = Field(min_length=1, max_length=1)

    def features(self, places: Places) -> NDArray[np.float32]:
        """Read them."""
        return places.features()


#: A published row of a study file, of the class that its key ``kind`` names.
AnyPublished = Annotated[Published, OfKind("published", Published)]
