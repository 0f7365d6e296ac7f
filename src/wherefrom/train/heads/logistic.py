"""Multinomial logistic regression for all seeds at once, by Newton's method on the Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.train.heads.base import FewShot, chunks

__all__ = ["Logistic", "fit"]

# Largest entry of the gradient at the solution, over max(1, C) since the penalty 1 / C bounds the
# curvature from below; so probabilities are within 1e-5.
TOLERANCE = 1e-6
NEWTON_STEPS = 60
CG_STEPS = 60


@dataclass(frozen=True)
class Logistic:
    """Logistic regression with an L2 penalty, as scikit-learn's ``LogisticRegression(C=C)``.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty; features are standardised per seed.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(300, 5)).astype(np.float32)
    >>> train = np.stack([rng.permutation(200)[:50] for _ in range(4)])
    >>> guess = Logistic().fit_predict(
    ...     x, (x[:, 0] > 0).astype(int), train, np.arange(200, 300), np.random.SeedSequence(0))
    >>> guess.shape, guess.dtype.name
    ((4, 100), 'int16')
    """

    name: ClassVar[str] = "logistic"
    C: float = 1.0

    def __post_init__(self) -> None:
        if not self.C > 0:
            raise WherefromError(f"logistic head: C must be positive, not {self.C}")

    def spec(self) -> dict[str, Any]:
        """Return name and hyper-parameters."""
        return {"name": self.name, "C": self.C}

    def fit_predict(
        self,
        features: NDArray[np.float32],
        labels: NDArray[np.integer[Any]],
        train: NDArray[np.int64],
        test: NDArray[np.int64],
        seed: np.random.SeedSequence,
    ) -> NDArray[np.int16]:
        """Fit and predict; see `wherefrom.train.heads.base.Head`. Nothing here is random."""
        n, dim = train.shape[1], features.shape[1]
        found = []
        for part in chunks(len(train), n * (12 * dim + 40 * min(n, dim) + 800)):
            few = FewShot.of(features, labels, train[part], test)
            weight, bias = fit(few, self.C)
            scores = few.linear(weight.float(), bias.float())
            found.append(few.codes(scores.argmax(dim=2).T))
        return np.concatenate(found)


def fit(few: FewShot, C: float) -> tuple[Tensor, Tensor]:
    """Minimise sum of log-losses + |W|^2 / (2 C) for each seed; biases are free of penalty.

    Parameters
    ----------
    few : FewShot
        Standardised training rows of S seeds.
    C : float
        Inverse strength of the penalty. A seed with two classes gets the optimum of one logit
        (which halves the effective penalty of two), as scikit-learn does.

    Returns
    -------
    weight : (S, C, D) float64 tensor
        Weights on standardised features.
    bias : (S, C) float64 tensor
        Biases; minus infinity for a class absent from the seed's training rows.

    Raises
    ------
    WherefromError
        If Newton's method does not converge.

    Notes
    -----
    The weights lie in the span of the n training rows, so the problem is solved in coordinates of
    dimension r = min(n, D) in which the Gram matrix is diagonal: exact, and small where n is 100.
    There, an approximate Hessian is diagonal too and preconditions the conjugate gradients that
    give each Newton step. Gradients are float64, the steps' inner products float32: an inexact
    step only costs a further step.
    """
    solved = _solve(_Problem.of(few, C), TOLERANCE / max(1.0, C))
    absent = torch.where(few.present, 0.0, -torch.inf)
    return solved[..., :-1] @ few.axes.back, solved[..., -1] + absent


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each seed's part: (S, 1, 1)."""
    return (a * b).sum(dim=(1, 2), keepdim=True)


@dataclass(frozen=True)
class _Problem:
    """The penalised losses of S seeds; a point (S, C, r + 1) is weights, then the bias."""

    z: Tensor
    half: Tensor
    power: Tensor
    truth: Tensor
    absent: Tensor
    penalty: Tensor

    @classmethod
    def of(cls, few: FewShot, C: float) -> _Problem:
        """Set up the problem in the coordinates of the principal axes, and one for the bias."""
        z = nn.functional.pad(few.axes.z, (0, 1), value=1.0)
        power = nn.functional.pad(few.axes.power, (0, 1), value=float(z.shape[1]))
        truth = torch.zeros(len(z), len(few.classes), z.shape[1], dtype=torch.float64)
        truth.scatter_(1, few.y[:, None], 1.0)
        absent = torch.where(few.present, 0.0, -torch.inf).double()[:, :, None]
        penalty = torch.ones(len(z), 1, z.shape[2], dtype=torch.float64) / C
        penalty[few.present.sum(dim=1) == 2] *= 2
        penalty[..., -1] = 0
        return cls(z, z.float(), power.float()[:, None], truth, absent, penalty)

    def only(self, keep: Tensor) -> _Problem:
        """Return the problem of some seeds."""
        return _Problem(*(getattr(self, f.name)[keep] for f in fields(self)))

    def value(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objective (S,) and the probabilities (S, C, n)."""
        logit = torch.bmm(point, self.z.mT) + self.absent
        top = logit.amax(dim=1, keepdim=True)
        e = (logit - top).exp_()
        total = e.sum(dim=1, keepdim=True)
        own = torch.where(self.truth > 0, logit, 0).sum(dim=1, keepdim=True)
        loss = (top + total.log() - own).sum(dim=(1, 2))
        return loss + (self.penalty * point.square()).sum(dim=(1, 2)) / 2, e.div_(total)

    def gradient(self, point: Tensor, chance: Tensor) -> Tensor:
        """Return the gradient, shaped as the point."""
        return torch.bmm(chance - self.truth, self.z) + self.penalty * point

    def newton(self, chance: Tensor, gradient: Tensor) -> Tensor:
        """Solve Hessian * step = -gradient by preconditioned conjugate gradients, inexactly."""
        chance, penalty = chance.float(), self.penalty.float()
        size = gradient.flatten(1).norm(dim=1)[:, None, None]
        spread = (chance * (1 - chance)).mean(dim=2, keepdim=True)
        inverse = 1 / (penalty + spread * self.power).clamp(min=1e-6)
        share = spread[..., 0] / spread[..., 0].sum(dim=1, keepdim=True).clamp(min=1e-30)
        residual = (-gradient / size).float()
        step = torch.zeros_like(residual)
        towards = inverse * residual
        search = towards.clone()
        fall = _dot(residual, towards)
        # A rough step far from the solution, a finer one near it: Newton's fast end is kept.
        enough = size.sqrt().clamp(1e-2, 1e-1).float()
        for k in range(1, CG_STEPS + 1):
            turn = torch.bmm(search, self.half.mT)
            turn.mul_(chance)
            turn.sub_(chance * turn.sum(dim=1, keepdim=True))
            curved = torch.bmm(turn, self.half).addcmul_(penalty, search)
            length = fall / _dot(search, curved).clamp(min=1e-30)
            step.addcmul_(length, search)
            residual.addcmul_(length, curved, value=-1)
            # Equal changes of all biases change nothing: rounding in that direction of no
            # curvature would grow without bounds.
            bias = residual[..., -1]
            bias.sub_(share * bias.sum(dim=1, keepdim=True))
            if k % 3 == 0 and bool((_dot(residual, residual).sqrt() <= enough).all()):
                break
            towards = inverse * residual
            fall, before = _dot(residual, towards), fall
            search = towards.addcmul_(fall / before.clamp(min=1e-30), search)
        scaled: Tensor = step.double() * size
        return scaled


def _solve(problem: _Problem, tolerance: float) -> Tensor:
    """Return the minima (S, C, r + 1), float64."""
    seeds, classes, _ = problem.truth.shape
    solved = torch.zeros(seeds, classes, problem.z.shape[2], dtype=torch.float64)
    live, point = torch.arange(seeds), solved.clone()
    value, chance = problem.value(point)
    gradient = problem.gradient(point, chance)
    for _ in range(NEWTON_STEPS):
        keep = ~(gradient.abs().amax(dim=(1, 2)) <= tolerance)
        if not bool(keep.all()):
            # Seeds that are solved leave the batch: the last steps concern only a few.
            solved[live] = point
            live, problem = live[keep], problem.only(keep)
            point, value, chance, gradient = (t[keep] for t in (point, value, chance, gradient))
        if not len(live):
            return solved
        direction = problem.newton(chance, gradient)
        slope = _dot(direction, gradient)[:, 0, 0]
        length = torch.ones_like(value)
        for _ in range(30):
            trial = point + length[:, None, None] * direction
            reached, chance = problem.value(trial)
            # The slack keeps rounding of the value from rejecting the last steps.
            poor = ~(reached <= value + 1e-4 * length * slope + 1e-12 * value.abs())
            if not bool(poor.any()):
                break
            length = torch.where(poor, length / 2, length)
        point, value = trial, reached
        gradient = problem.gradient(point, chance)
    raise WherefromError(
        f"logistic head: {len(live)} of {seeds} seeds did not converge in {NEWTON_STEPS} Newton "
        "steps; choose a smaller C"
    )
