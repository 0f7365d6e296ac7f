"""Presto: pixel series of climate, relief and land cover, hidden in part and reconstructed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from wherefrom.gfms.base import REGIONS, Gfm, Modality, Start, fastest
from wherefrom.gfms.published import Encoder

if TYPE_CHECKING:
    from torch import nn

    from wherefrom.gfms.places import Places
    from wherefrom.models.base import GeoModel, Records
    from wherefrom.models.masked import PrestoConfig

__all__ = ["Presto", "PublishedPresto", "embed_series"]

#: Channel groups of a climatology, as a study makes it of its places (`earth_series`).
_CLIMATE = frozenset({"ERA5", "SRTM", "dynamic_world"})
#: A band of each group that has a token a month.
_MONTHLY = frozenset(
    ("VV", "B4", "B5", "B8", "B8A", "B11", "temperature_2m", "NDVI", "dynamic_world")
)


def _transformer(tokens: int, width: int = 128, depth: int = 2) -> float:
    """Operations of Presto's blocks: projections and perceptron of a token, and attention."""
    return depth * tokens * (2 * 12 * width**2 + 4 * tokens * width)


class Presto(Gfm):
    """Presto (arXiv 2304.14065): a masked auto-encoder of pixel series, in its published size.

    It reads the channel groups that the pool's series have, of labelled places too. In a study
    these are by default the monthly climate, the relief and, in pre-training alone, the land cover
    of a place (`wherefrom.pool.series.earth`): ERA5, SRTM and Dynamic World.

    Attributes
    ----------
    mask_ratio : float
        Share of the tokens that are hidden.
    precision : {"float32", "bfloat16", "fastest"}
        Of the matrix products in pre-training; weights and optimiser stay float32. "fastest" is
        bfloat16 on processors and GPUs that multiply in it, else float32; the report says which it
        was.
    """

    reads: ClassVar[frozenset[Modality]] = frozenset({"series"})
    reads_of_tasks: ClassVar[frozenset[Modality]] = frozenset({"series"})
    embed_batch: ClassVar[int] = 128  # what lies between layers stays in the processor's cache
    shares: ClassVar[bool] = True
    start: ClassVar[Start | None] = Start(
        fields={
            "precision": "fastest",
            "pretrain": {
                "samples_seen": 32000,
                "batch": 64,
                "lr": 1e-3,
                "warmup": 50,
                "schedule": "cosine-from-zero",
                "weight_decay": 0.05,
                "betas": [0.9, 0.95],
            },
        },
        debug={"pretrain": {"samples_seen": 512, "batch": 64, "warmup": 1}},
        payloads={"earth-series": {}},
        task={"cropland": {"kind": "cropland", **REGIONS}},
        baselines=("raw-harmonics-L10", "raw-series"),
        head="logistic-balanced",
    )

    #: For what it costs.
    _bands: frozenset[str] = PrivateAttr(
        frozenset({"temperature_2m", "elevation", "dynamic_world"})
    )

    mask_ratio: float = Field(gt=0, lt=1, default=0.75)
    precision: Literal["float32", "bfloat16", "fastest"] = "float32"

    def settled(self) -> Self:
        """Choose what is fastest on this processor, where that is asked for."""
        if self.precision != "fastest":
            return self
        return self.model_copy(update={"precision": fastest()})

    def costed(self, bands: Mapping[Modality, tuple[str, ...]]) -> Self:
        """Return it as it costs on series of such bands."""
        made = self.model_copy()
        made._bands = frozenset(bands.get("series", ())) or self._bands
        return made

    def _tokens(self, *hidden: str) -> int:
        """Count the tokens of a series: one a month of each group of bands, of relief one."""
        return 12 * len(_MONTHLY & self._bands - {*hidden}) + ("elevation" in self._bands)

    @property
    def pretrain_flops(self) -> float:
        """Visible tokens through the encoder; all tokens and the location's through the decoder."""
        every = self._tokens()
        visible = every - int(every * self.mask_ratio) + 1
        return _transformer(visible) + _transformer(every + 1)

    @property
    def embed_flops(self) -> float:
        """The encoder's, of a labelled place, without Dynamic World."""
        return _transformer(self._tokens("dynamic_world") + 1)

    @property
    def parameters(self) -> float:
        """Of encoder and decoder, whatever the tokens."""
        return 2 * 2 * 12 * 128.0**2

    def records(self, places: Places) -> Records:
        """Read the series; the scales are the model's own."""
        from wherefrom.models.masked import records_of

        return records_of(places.series())

    def model(self, records: Records) -> PrestoConfig:
        """Make the model that reads what the series have.

        A climatology has no first month: a sample begins in one of its own, and goes on round the
        year's end. Series are one if they have twelve steps, all begin in the same month, and have
        but weather, relief and land cover. Of more than twelve steps a run of twelve is taken.
        """
        from wherefrom.models.masked import PrestoConfig, groups_of

        assert self.precision != "fastest"  # settled
        groups, month = groups_of(records), records["month"]
        steps = month.shape[1]
        months: Literal["given", "cyclic", "sliding"] = "sliding" if steps > 12 else "given"
        if steps == 12 and _CLIMATE.issuperset(groups) and (month[:, 0] == month[:1, 0]).all():
            months = "cyclic"
        return PrestoConfig(
            groups=groups,
            steps=min(steps, 12),
            months=months,
            mask_ratio=self.mask_ratio,
            precision=self.precision,
        )

    def restore(self, spec: Mapping[str, Any]) -> PrestoConfig:
        """Make the model that gave a spec."""
        from wherefrom.models.masked import PrestoConfig

        fields = {name: value for name, value in spec.items() if name != "model"}
        return PrestoConfig(**fields | {"groups": tuple(fields["groups"])})

    def embedding(self, model: GeoModel[Any]) -> GeoModel[Any]:
        """Embed in single precision, whatever it was trained in."""
        from wherefrom.models.masked import PrestoConfig

        assert isinstance(model, PrestoConfig)
        return replace(model, precision="float32")


class PublishedPresto(Encoder):
    """Presto (arXiv 2304.14065): the published weights, frozen, on all that pixel series have.

    Attributes
    ----------
    weights : str
        ``published`` or a file of the same shapes, ``default_model.pt``.
    """

    reads_of_tasks: ClassVar[frozenset[Modality]] = frozenset({"series"})
    width: ClassVar[int] = 128
    embed_flops: ClassVar[float] = _transformer(12 + 1 + 1)
    catalog: ClassVar[tuple[str, ...]] = ("presto",)

    def features(self, places: Places) -> NDArray[np.float32]:
        """Embed the series."""
        from wherefrom.models.masked import PrestoConfig, records_of
        from wherefrom.models.presto import Presto

        records = records_of(places.series())
        return self.embedded(PrestoConfig(), Presto.load_official(self.path), records, 64)


def embed_series(
    module: nn.Module,
    records: Records,
    batch: int = 64,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> NDArray[np.float32]:
    """Embed series, as `wherefrom.models.masked.records_of` makes them, by all that is there.

    See `wherefrom.train.embed.embed`; `precision` is that of matrix products. Series
    of more than 24 steps raise a `WherefromError`.

    Examples
    --------
    >>> from wherefrom.models.masked import records_of
    >>> from wherefrom.models.presto import Presto
    >>> from wherefrom.pool.series import PixelSeries
    >>> series = PixelSeries.from_bands({"B8": np.full((2, 12), 3100.0)},
    ...                                 lon=[10.0, 20.0], lat=[0.0, 5.0], month=0)
    >>> embed_series(Presto(), records_of(series)).shape
    (2, 128)
    """
    from wherefrom.models.masked import PrestoConfig
    from wherefrom.train.embed import embed

    return embed(PrestoConfig(precision=precision), module, records, batch)
