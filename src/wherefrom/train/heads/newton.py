"""Newton's method for the penalised multinomial losses of many seeds at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.train.heads.fewshot import FewShot

__all__ = ["Problem", "fit", "minimise"]

# Largest entry of the gradient, and Newton decrement (twice the loss that the last full step took
# away), at which a seed is solved. Both are over max(1, C): the penalty 1 / C bounds the curvature
# from below, so the weights are within C times the one, or the root of C times the other.
GRADIENT = 1e-6
DECREMENT = 1e-12
# When the steps are used up, a seed that is as near as this is solved, too.
NEAR = 1e-6
NEWTON_STEPS = 100
CG_STEPS = 300
# So many conjugate gradients for one step cost about as much as a new dense preconditioner: more on
# few rows, where a gradient is cheap (50 seeds of n = 100: 1.6 s with 20, 0.6 s with 80).
PATIENCE_FEW, PATIENCE_MANY = 80, 40
MANY_ROWS = 500
# Along an axis whose curvature is at most this multiple of the penalty, the penalty alone makes the
# step; below the second one, the dense preconditioner is diagonal.
FLAT = 1e-3
GENTLE = 30.0
# A row whose probabilities bend the loss less than this, over max(1, C), is left out of the dense
# preconditioner.
FAINT = 1e-3
DENSE_BYTES = 64 * 2**20


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each seed's part: (S, 1, 1)."""
    return (a * b).sum(dim=(1, 2), keepdim=True)


@dataclass(frozen=True)
class Problem:
    """The penalised losses of S seeds; a point (S, C, r + 1) is weights, then the bias.

    `z`, (S, n, r + 1) float64, are coordinates of the rows in their principal axes, ascending, then
    ones, and `power`, (S, 1, r + 1) float32, the squared lengths of these columns. `truth`, (S, C,
    n), is one for a row's own class; `absent`, (S, C, 1), minus infinity for a class that the seed
    has not seen; both else zero. `penalty`, (S, 1, r + 1), is zero for the bias, `weight`, (S, 1,
    n), that of the rows' losses.
    """

    z: Tensor
    power: Tensor
    truth: Tensor
    absent: Tensor
    penalty: Tensor
    weight: Tensor

    @classmethod
    def of(cls, few: FewShot, C: float, balanced: bool) -> Problem:
        """Set up the problem in the coordinates of the principal axes, and one for the bias."""
        z = nn.functional.pad(few.axes.z, (0, 1), value=1.0)
        power = nn.functional.pad(few.axes.power, (0, 1), value=float(z.shape[1]))
        truth = z.new_zeros(len(z), len(few.classes), z.shape[1])
        truth.scatter_(1, few.y[:, None], 1.0)
        absent = torch.where(few.present, 0.0, -torch.inf).double()[:, :, None]
        penalty = z.new_ones(len(z), 1, z.shape[2]) / C
        penalty[few.present.sum(dim=1) == 2] *= 2
        penalty[..., -1] = 0
        weight = z.new_ones(len(z), 1, z.shape[1])
        if balanced:
            rows = truth.sum(dim=2, keepdim=True)
            share = z.shape[1] / (few.present.sum(dim=1)[:, None, None] * rows.clamp(min=1))
            weight = (truth * share).sum(dim=1, keepdim=True)
        return cls(z, power.float()[:, None], truth, absent, penalty, weight)

    def only(self, keep: Tensor) -> Problem:
        """Return the problem of some seeds."""
        return Problem(*(getattr(self, f.name)[keep] for f in fields(self)))

    def value(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objective (S,) and the probabilities (S, C, n)."""
        logit = torch.bmm(point, self.z.mT) + self.absent
        top = logit.amax(dim=1, keepdim=True)
        e = (logit - top).exp_()
        total = e.sum(dim=1, keepdim=True)
        own = torch.where(self.truth > 0, logit, 0).sum(dim=1, keepdim=True)
        loss = (self.weight * (top + total.log() - own)).sum(dim=(1, 2))
        return loss + (self.penalty * point.square()).sum(dim=(1, 2)) / 2, e.div_(total)

    def gradient(self, point: Tensor, chance: Tensor) -> Tensor:
        """Return the gradient, shaped as the point."""
        return torch.bmm(self.weight * (chance - self.truth), self.z) + self.penalty * point

    def first_above(self, ratio: float) -> int:
        """Return the first axis with power above `ratio` times the penalty, in any seed."""
        above = (self.power[:, 0, :-1] > ratio * self.penalty[:, 0, :-1]).any(dim=0)
        return int(above.int().argmax()) if bool(above.any()) else len(above)


class _Dense:
    """Inverse of an approximate Hessian: dense along the k leading axes, diagonal along the others.

    Made of coordinates along the leading axes, then ones, (S, n, k); the probabilities at which it
    is taken, (S, C, n); weights of the rows' losses, (S, 1, n); the diagonal Hessian of all axes,
    (S, C, r + 1); and the penalty of the leading ones, (S, 1, k); all float32.
    """

    def __init__(
        self, z: Tensor, chance: Tensor, loads: Tensor, diagonal: Tensor, penalty: Tensor
    ) -> None:
        seeds, classes, n = chance.shape
        k = z.shape[2]
        self.inverse = 1 / diagonal
        blocks = z.new_empty(seeds, classes, k, classes, k)
        faint = FAINT * min(1.0, float(penalty.max()))
        for a in range(classes):
            for b in range(a + 1):
                weight = loads[:, 0] * chance[:, a] * (float(a == b) - chance[:, b])
                some, rows = z, (weight.abs() > faint).any(dim=0).nonzero()[:, 0]
                if len(rows) < 0.7 * n:
                    some, weight = z[:, rows], weight[:, rows]
                block = torch.bmm((some * weight[..., None]).mT, some)
                blocks[:, a, :, b] = block
                blocks[:, b, :, a] = block.mT
        # Equal changes of all biases change nothing. A spring makes the matrix definite in that
        # direction, in which no gradient ever points.
        seen = (chance.amax(dim=2) > 0).float()
        spring = diagonal[..., -1].amax(dim=1)[:, None, None]
        blocks[:, :, -1, :, -1] += spring * seen[:, :, None] * seen[:, None]
        matrix = blocks.view(seeds, classes * k, classes * k)
        own = matrix.diagonal(dim1=1, dim2=2)
        own += penalty.expand(seeds, classes, k).flatten(1) + 1e-6
        self.scale = own.rsqrt()
        matrix *= self.scale[:, :, None]
        matrix *= self.scale[:, None]
        for ridge in (1e-7, 1e-5, 1e-3, 1e-1):
            # Float32 may miss definiteness by a little; the diagonal is one.
            own += ridge
            self.factor, failed = torch.linalg.cholesky_ex(matrix)
            if not bool(failed.any()):
                break

    def only(self, keep: Tensor) -> None:
        """Go on with some seeds."""
        self.inverse, self.scale = self.inverse[keep], self.scale[keep]
        self.factor = self.factor[keep]

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to (S, C, r + 1)."""
        result = self.inverse * x
        k = self.scale.shape[1] // x.shape[1]
        inner = (x[..., -k:].flatten(1) * self.scale)[..., None]
        # Not `cholesky_solve`, which copies the factor.
        inner = torch.linalg.solve_triangular(self.factor, inner, upper=False)
        inner = torch.linalg.solve_triangular(self.factor.mT, inner, upper=True)
        inner = inner[..., 0] * self.scale
        result[..., -k:] = inner.view(len(x), -1, k)
        return result


class _Steps:
    """Newton steps of the seeds that are still live, by preconditioned conjugate gradients.

    Gradients are float64, the inner products here float32: an inexact step only costs a further
    step. The Hessian is diagonal in the principal axes if all places have the same probabilities;
    this preconditions the first steps. When conjugate gradients run long, they get the Hessian of
    the leading axes, made once and kept while it serves.
    """

    def __init__(self, problem: Problem) -> None:
        seeds, classes, _ = problem.truth.shape
        self.start = problem.first_above(FLAT)
        self.z = problem.z[..., self.start :].float()
        self.penalty = problem.penalty.float()
        self.power = problem.power
        self.loads = problem.weight.float()
        most = int((DENSE_BYTES / 4 / seeds) ** 0.5) // classes
        self.leading = min(self.power.shape[2] - problem.first_above(GENTLE), max(most, 1))
        self.dense: _Dense | None = None
        self.patience = PATIENCE_MANY if self.z.shape[1] >= MANY_ROWS else PATIENCE_FEW
        self.taken = 0

    def only(self, keep: Tensor) -> None:
        """Go on with some seeds."""
        self.z, self.penalty, self.power = self.z[keep], self.penalty[keep], self.power[keep]
        self.loads = self.loads[keep]
        if self.dense:
            self.dense.only(keep)

    def direction(self, chance: Tensor, gradient: Tensor) -> Tensor:
        """Solve Hessian * step = -gradient, inexactly; float64, shaped as the gradient."""
        chance, penalty = chance.float(), self.penalty[..., self.start :]
        spread = (self.loads * chance * (1 - chance)).mean(dim=2, keepdim=True)
        diagonal = (penalty + spread * self.power[..., self.start :]).clamp(min=1e-6)
        if self.taken > self.patience:
            k = self.leading
            own = self.z[..., -k:], chance, self.loads, diagonal, penalty[..., -k:]
            self.dense = _Dense(*own)
        precondition = self.dense or (lambda x: x / diagonal)
        share = spread[..., 0] / spread[..., 0].sum(dim=1, keepdim=True).clamp(min=1e-30)
        lead = gradient[..., self.start :]
        size = lead.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-300)
        residual = (-lead / size).float()
        step = torch.zeros_like(residual)
        search = precondition(residual)
        fall = _dot(residual, search)
        # A rough step far from the solution, a finer one near it: Newton's fast end is kept.
        enough = fall * (fall.double().sqrt() * size).clamp(1e-4, 1e-1).float()
        for self.taken in range(1, CG_STEPS + 1):
            turn = torch.bmm(search, self.z.mT)
            turn.mul_(chance)
            turn.sub_(chance * turn.sum(dim=1, keepdim=True)).mul_(self.loads)
            curved = torch.bmm(turn, self.z).addcmul_(penalty, search)
            length = fall / _dot(search, curved).clamp(min=1e-30)
            step.addcmul_(length, search)
            residual.addcmul_(length, curved, value=-1)
            # Rounding in the direction of equal biases, of no curvature, would grow without bounds.
            bias = residual[..., -1]
            bias.sub_(share * bias.sum(dim=1, keepdim=True))
            towards = precondition(residual)
            fall, before = _dot(residual, towards), fall
            if bool((fall <= enough).all()):
                break
            search = towards.addcmul_(fall / before.clamp(min=1e-30), search)
        flat = -gradient[..., : self.start] / self.penalty[..., : self.start]
        return torch.cat([flat, step.double() * size], dim=2)


def minimise(problem: Problem) -> Tensor:
    """Return the minima (S, C, r + 1), float64; a seed that is far from its own is an error."""
    seeds, classes, _ = problem.truth.shape
    softness = max(1.0, 1 / float(problem.penalty.max()))
    solved = problem.z.new_zeros(seeds, classes, problem.z.shape[2])
    live, point = torch.arange(seeds, device=solved.device), solved.clone()
    value, chance = problem.value(point)
    gradient = problem.gradient(point, chance)
    decrement = torch.full_like(value, torch.inf)
    steps = _Steps(problem)
    for _ in range(NEWTON_STEPS):
        steep = gradient.abs().amax(dim=(1, 2)) * softness
        keep = ~((steep <= GRADIENT) | (decrement * softness <= DECREMENT))
        if not bool(keep.all()):
            # Seeds that are solved leave the batch: the last steps concern only a few.
            solved[live] = point
            live, problem = live[keep], problem.only(keep)
            steps.only(keep)
            point, value, chance, gradient = (t[keep] for t in (point, value, chance, gradient))
        if not len(live):
            return solved
        direction = steps.direction(chance, gradient)
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
        decrement = torch.where(length == 1, -slope, torch.inf)
    solved[live] = point
    far = ~(decrement * softness <= NEAR)
    if not bool(far.any()):
        return solved
    raise WherefromError(
        f"logistic head: {int(far.sum())} of {seeds} seeds did not converge in {NEWTON_STEPS} "
        "Newton steps; choose a smaller C"
    )


def fit(few: FewShot, C: float, balanced: bool = False) -> tuple[Tensor, Tensor]:
    """Minimise sum of log-losses + |W|^2 / (2 C) for each seed; biases are free of penalty.

    A seed with two classes gets the optimum of one logit (which halves the effective penalty of
    two), as scikit-learn does. If `balanced`, log-losses are weighted by n / (classes x rows of the
    class). Returns float64 weights (S, C, D) on standardised features, and biases (S, C): minus
    infinity for a class absent from the seed's training rows.

    The weights lie in the span of the n training rows, so the problem is solved in coordinates of
    dimension r = min(n, D) in which the Gram matrix is diagonal: exact, and small where n is 100.
    """
    solved = minimise(Problem.of(few, C, balanced))
    absent = torch.where(few.present, 0.0, -torch.inf)
    return solved[..., :-1] @ few.axes.back, solved[..., -1] + absent
