"""Full fine-tuning of Presto: the encoder and a linear head, for all seeds at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wherefrom.errors import WherefromError
from wherefrom.models import stacked
from wherefrom.models.presto import Encoder, Presto
from wherefrom.models.stacked import Design
from wherefrom.models.tokens import Inputs, check_inputs, kinds, slots
from wherefrom.train.threads import over_threads
from wherefrom.train.tuning import TuneSettings, Tuning, targets

__all__ = ["FineTuneSeries", "TunedSeries", "start"]

#: Tokens that are evaluated in one pass. Of training it keeps some 25 kB a token (0.5 kB more for
#: each hundred tokens of a sample); a pass of this size still lies in a processor's last cache.
PASS_TOKENS = 2000
_RECORDS = ("x", "hidden", "dynamic_world", "lon", "lat", "month")


@dataclass(frozen=True)
class FineTuneSeries(TuneSettings):
    """Train all of Presto's encoder together with a linear head, few-shot.

    Parameters are those of `wherefrom.train.tuning.TuneSettings`; the encoder's fixed tables of
    months and positions stay as they are.

    Notes
    -----
    Memory: 6.5 MB a seed of those that are trained together (weights, gradients and AdamW's two
    moments), `PASS_TOKENS` tokens' activations (some 60 MB), and the rows' design, 0.14 to 0.3 kB a
    token, four times that while it is made.
    Seeds are trained together as far as one pass takes them, so that small n does not cost more.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.zeros((60, 12, 17), np.float32)
    >>> x[..., 12] = rng.normal(size=(60, 12))
    >>> records = {"x": x, "hidden": np.broadcast_to(np.arange(17) != 12, x.shape).copy(),
    ...            "dynamic_world": np.full((60, 12), 9, np.uint8), "lon": np.zeros(60),
    ...            "lat": np.zeros(60), "month": np.tile(np.arange(12, dtype=np.int8), (60, 1))}
    >>> records["hidden"][..., 12:14] = False
    >>> train = np.stack([rng.permutation(40)[:10] for _ in range(3)])
    >>> label = (x[:, 0, 12] > 0).astype(int)
    >>> kind = FineTuneSeries(steps=2)
    >>> kind.fit_predict(Presto(), records, label, train, np.arange(40, 60)).shape
    (3, 20)
    """

    def fit_predict(
        self,
        presto: Presto,
        records: Mapping[str, NDArray[Any]],
        labels: NDArray[np.integer[Any]],
        train: NDArray[np.int64],
        test: NDArray[np.int64],
    ) -> NDArray[np.int16]:
        """Fine-tune a copy of the encoder on each seed's training rows and predict the test rows.

        Parameters
        ----------
        presto : Presto
            Pre-trained; left as it is. Whatever its device, the work is done on the CPU.
        records : dict of arrays
            As `wherefrom.models.masked.records_of` makes them, N rows.
        labels : (N,) integer array
            Class codes of the rows.
        train : (S, n) int64 array
            Training rows of each seed.
        test : (T,) int64 array
            Test rows.

        Returns
        -------
        (S, T) int16 array
            Predicted class codes.

        Raises
        ------
        WherefromError
            If an array is absent or of another shape, a value that is not hidden is not finite, a
            month, class or coordinate is out of range, or a row is not in the records.
        """
        train, test = np.asarray(train), np.asarray(test)
        made = _design(records, labels, train, test)
        tokens = made.z.shape[1]
        # Half a pass: each seed's weights and moments want room in the cache, too.
        together = max(1, PASS_TOKENS // 2 // (train.shape[1] * tokens))

        def tuned(begin: int) -> NDArray[np.int16]:
            few = start(presto, made, labels, train[begin : begin + together], self.C)
            few.tune(self)
            return few.predict(made, test)

        return np.concatenate(over_threads(tuned, range(0, len(train), together)))


@dataclass
class TunedSeries(Tuning):
    """Copies of Presto's encoder and heads for S seeds.

    Attributes
    ----------
    encoder : Encoder
        Its fixed tables are read.
    used : (77,) bool tensor
        Columns of the design that are not zero throughout.
    there : (S, n, 1 + K) bool tensor, or None if all tokens of all rows are there
    """

    encoder: Encoder = field(kw_only=True)
    used: Tensor = field(kw_only=True)
    there: Tensor | None = field(kw_only=True)

    def embed(self, rows: slice = slice(None)) -> Tensor:
        """Embed some of each seed's training rows with its own encoder: (S, rows, 128)."""
        copies = stacked.fold(self.encoder, self.weights, self.used)
        there = None if self.there is None else self.there[:, rows]
        return stacked.embed(copies, self.few.x[:, rows], there)

    def passes(self) -> list[slice]:
        """Cut each seed's rows into parts of `PASS_TOKENS` tokens, all seeds' together."""
        seeds, n, tokens, _ = self.few.x.shape
        size = max(1, PASS_TOKENS // (seeds * tokens))
        parts = -(-n // size)
        size = -(-n // parts)
        return [slice(begin, begin + size) for begin in range(0, n, size)]

    @torch.inference_mode()
    def predict(self, made: Design, test: NDArray[np.int64]) -> NDArray[np.int16]:
        """Predict test rows of a design: (S, T) int16."""
        size = max(1, PASS_TOKENS // made.z.shape[1])
        where = torch.from_numpy(test)
        winners = torch.empty(len(self.few.y), len(test), dtype=torch.int64)
        for s in range(len(winners)):
            one = {name: w[s : s + 1] for name, w in self.weights.items()}
            copy = stacked.fold(self.encoder, one, self.used)
            for begin in range(0, len(test), size):
                rows = where[begin : begin + size]
                there = None if made.there is None else made.there[None, rows]
                features = stacked.embed(copy, made.z[None, rows], there)[0]
                winners[s, begin : begin + size] = self.winner(features, s)
        return self.few.codes(winners)


def start(
    presto: Presto,
    made: Design,
    labels: NDArray[np.integer[Any]],
    train: NDArray[np.int64],
    C: float,
) -> TunedSeries:
    """Copy the encoder for every seed and fit the heads on the frozen copies.

    Parameters
    ----------
    presto, labels, train
        As of `FineTuneSeries.fit_predict`.
    made : Design
        Of all rows.
    C : float
        Inverse penalty of the heads.

    Returns
    -------
    TunedSeries
    """
    where = torch.from_numpy(train)
    tuned = TunedSeries(
        stacked.stack(presto.encoder, len(train)),
        targets(labels, train, made.z[where]),
        encoder=presto.encoder,
        used=made.used,
        there=None if made.there is None else made.there[where],
    )
    tuned.begin(C)
    return tuned


def _design(
    records: Mapping[str, NDArray[Any]],
    labels: NDArray[np.integer[Any]],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> Design:
    """Check the arrays and write all rows as a design."""
    missing = [name for name in _RECORDS if name not in records]
    if missing:
        raise WherefromError(
            f"finetune: records lack {', '.join(missing)}: make them with "
            "wherefrom.models.masked.records_of"
        )
    x, hidden, world, lon, lat, month = (
        torch.from_numpy(np.array(records[name])) for name in _RECORDS
    )
    if lon.ndim != 1 or lon.shape != lat.shape:
        raise WherefromError(
            f"finetune: lon and lat have shapes {tuple(lon.shape)} and {tuple(lat.shape)}, "
            "not (N,) both"
        )
    lonlat = torch.stack([lon, lat], dim=1)
    months = check_inputs(x, world, lonlat, month, hidden)
    if np.shape(labels) != (len(x),):
        raise WherefromError(
            f"finetune: labels have shape {np.shape(labels)}, not ({len(x)},), one a record"
        )
    for name, rows, axes in (("train", train, 2), ("test", test, 1)):
        if rows.ndim != axes or not rows.size or rows.min() < 0 or rows.max() >= len(x):
            raise WherefromError(
                f"finetune: {name} of shape {rows.shape} must be row numbers of the {len(x)} "
                f"records, on {axes} axes and not empty"
            )
    absent = hidden.bool()
    bad = torch.nonzero(~(torch.isfinite(x) | absent))
    if len(bad):
        row, step, column = bad[0].tolist()
        raise WherefromError(
            f"finetune: x of row {row}, step {step}, column {column} is not finite and not hidden "
            f"({len(bad)} such values): hide it, as wherefrom.models.masked.records_of does"
        )
    x = torch.where(absent, 0, x).float()
    visible = slots(kinds(absent, world))[0]
    return stacked.design(Inputs(x, world.long(), lonlat, months), visible)
