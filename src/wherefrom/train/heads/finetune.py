"""Full fine-tuning of any model: the encoder and a linear head, few-shot, for all seeds at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from wherefrom.errors import WherefromError
from wherefrom.train.heads.base import Codes, HeadOptions, Labels, Rows

if TYPE_CHECKING:
    from torch import nn

    from wherefrom.models.base import GeoModel, Records

__all__ = ["FineTune"]


@dataclass(frozen=True)
class FineTune(HeadOptions):
    """Train all of a model that its embedding depends on together with a linear head, few-shot.

    The head starts as the logistic head of the frozen model (linear probe, then fine-tune: Kumar
    et al. 2022, arXiv 2202.10054); AdamW then moves everything on all n training places at once.
    Nothing here is random, and nothing is dropped out.

    Parameters
    ----------
    steps : int
        Steps of AdamW.
    lr, head_lr : float
        Learning rates of the model and of the head.
    weight_decay : float
        Decoupled weight decay.
    C : float
        Inverse penalty of the logistic head at the start.

    Notes
    -----
    Each seed has a copy of the weights. Copies are stacked and evaluated by `torch.func.vmap`, as
    many as `PASS_BYTES` hold, where a try shows that this gives what the module alone gives; else
    one after the other. Memory: 16 bytes a weight and copy, and `PASS_BYTES`, for each thread; on a
    GPU, which does one part of the seeds after the other, `GPU_PASS_BYTES`, or half of it as often
    as memory runs out, which is said.

    Examples
    --------
    >>> import torch
    >>> from wherefrom.models.satclip import SatCLIPConfig
    >>> model, rng = SatCLIPConfig(degrees=4, inputs=73), np.random.default_rng(0)
    >>> module = model.build(torch.Generator().manual_seed(0))
    >>> records = {"lon": rng.uniform(-180, 180, 60), "lat": rng.uniform(-90, 90, 60)}
    >>> train = np.stack([rng.permutation(40)[:10] for _ in range(3)])
    >>> label = (records["lat"] > 0).astype(int)
    >>> FineTune(steps=2).fit_predict(
    ...     model, module, records, label, train, np.arange(40, 60)).shape
    (3, 20)
    """

    name: ClassVar[str] = "finetune"
    tunes_encoder: ClassVar[bool] = True
    steps: int = 20
    lr: float = 1e-4
    head_lr: float = 1e-3
    weight_decay: float = 0.01
    C: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1 or min(self.lr, self.head_lr, self.C) <= 0 or self.weight_decay < 0:
            raise WherefromError(
                "finetune: steps must be at least 1, rates and C positive and weight_decay not "
                f"negative, not {self.spec()}"
            )

    def fit_predict(
        self,
        model: GeoModel[Any],
        module: nn.Module,
        records: Records,
        labels: Labels,
        train: Rows,
        test: Rows,
    ) -> Codes:
        """Fine-tune a copy of the module on each seed's training rows and predict the test rows.

        Parameters
        ----------
        model : GeoModel
        module : torch.nn.Module
            Of `model`, pre-trained; left as it is. The work is done on its device, in float32
            whatever its precision. Tuned are the parameters that require a gradient and that
            `model.encode` reaches from any training row.
        records : mapping of str to (N, ...) array
            As the model reads them; what only its loss reads may be absent.
        labels : (N,) integer array
            Class codes of the rows, 0 to 32767.
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
            If the model refuses the records, an embedding is not finite or no row a place, labels
            are not one code a record, or a row is not in the records.
        """
        from wherefrom.progress import say
        from wherefrom.train.device import CPU, halving, memory_of, precise
        from wherefrom.train.finetune import Start, pass_bytes
        from wherefrom.train.threads import over_threads

        train, test = np.asarray(train), np.asarray(test)
        device = next((weight.device for weight in module.parameters()), CPU)

        def predicted(room: int) -> Codes:
            begun = Start.of(model, module, records, labels, train, test, room)

            def tuned(part: slice) -> Codes:
                tuning = begun.tuning(train[part], self.C)
                tuning.tune(self.steps, self.lr, self.head_lr, self.weight_decay)
                return tuning.predict(test)

            parts = begun.chunks(train)
            if device.type == "cpu":
                return np.concatenate(over_threads(tuned, parts))
            return np.concatenate([tuned(part) for part in parts])

        what, room = f"fine-tuning {model.name}, bytes of a pass", pass_bytes(device)
        with precise(device, tf32=False):
            found, fitting = halving(predicted, room, what, device, least=2**20)
        if fitting < room:
            say(f"{what}: {room:,} are more than {memory_of(device)} holds: {fitting:,} at a time")
        return found
