"""What a worker does with stages, wherever it runs: compute them, tell how far, say what failed."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from wherefrom import parallel
from wherefrom.errors import MachineError, WherefromError, speaking_flags
from wherefrom.progress import noted
from wherefrom.study import stages
from wherefrom.study.stage import Stage
from wherefrom.study.store import Store
from wherefrom.train.heads import kind_of_head

__all__ = ["FAILED", "Failure", "Told", "work"]

#: The notes of a store that hold what is known of failed stages.
FAILED = "failed"


class Told(NamedTuple):
    """How far a stage is, a share of 0 to 1, and which machine and process computes it."""

    kind: str
    key: str
    label: str
    cost: float
    share: float
    where: str


class Failure(NamedTuple):
    """A stage that failed, in words, since not every exception survives the way to the parent."""

    message: str
    is_defect: bool
    #: Whether another machine may do better: this one lacks something.
    elsewhere: bool = False


@speaking_flags()
def work(
    bundle: list[Stage], store: Store, tell: Callable[[Told | str], None], where: str = ""
) -> list[Failure]:
    """Compute a bundle's stages, but for those that are there; return what failed.

    One that fails stops only those made from it. `tell` is given how far each is, and notes on it.
    With `where` (of a cluster, whose screens nobody sees), what is known of a failure is kept as a
    note of the store.
    """
    failures: list[Failure] = []
    lost: set[str] = set()
    for stage in bundle:
        if lost & {other.key for other in stage.inputs.values()}:
            lost.add(stage.key)
            continue
        share = partial(_tell, stage, tell, where)
        share(0.0)
        try:
            if not store.done(stage.kind, stage.key):
                with noted(partial(_note, stage, tell)):
                    stages.compute(stage, store, share)
                if where:
                    store.forget(FAILED, f"{stage.kind}-{stage.key}")
        except Exception as err:
            # Another process that shares the store may have finished it and cleared its ground.
            if store.done(stage.kind, stage.key):
                store.tidy(stage.kind, stage.key)
            else:
                failures.append(_failure(stage, err, where))
                lost.add(stage.key)
                if where:
                    _log(stage, err, store, where)
        share(1.0)
    return failures


def _tell(stage: Stage, tell: Callable[[Told | str], None], where: str, share: float) -> None:
    tell(Told(stage.kind, stage.key, stage.label, stage.cost, share, where))


def _note(stage: Stage, tell: Callable[[Told | str], None], text: str) -> None:
    tell(f"note: {stage.label}: {text}")


def _log(stage: Stage, err: Exception, store: Store, where: str) -> None:
    lines = traceback.format_exception(err)
    store.note(FAILED, f"{stage.kind}-{stage.key}", f"{stage.label}\n{where}\n{''.join(lines)}")


def _failure(stage: Stage, err: Exception, where: str) -> Failure:
    """Put an exception into words; the traceback of a defect is lost unless written down here."""
    at = f"{stage.label} (on {where})" if where else stage.label
    if isinstance(err, WherefromError):
        return Failure(f"{at}: {err}", False, isinstance(err, MachineError))
    if said := parallel.lack(err):
        return Failure(f"{at}: {said}", False, True)
    if foreign := _foreign(stage, err):
        said = " ".join(str(err).split())
        return Failure(
            f"{at}: {foreign} with {type(err).__name__}: {said}; mend it, and try "
            "wherefrom.testing on it",
            False,
        )
    return Failure(f"{at}: {err}\n{traceback.format_exc()}", True)


def _foreign(stage: Stage, err: Exception) -> str:
    """Say which code of other people a failed stage was in, or was given something by; or none."""
    kinds = [type(stage.of).__module__]
    if "head" in stage.spec:
        kinds.append(kind_of_head(stage.spec["head"]).__module__)
    there = {name.partition(".")[0] for name in kinds} - {"wherefrom", "builtins"}
    frames = [
        frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(err.__traceback__)
    ]
    inside = next((name for name in reversed(frames) if name.partition(".")[0] in there), "")
    if inside:
        return f"{inside} fails"
    return f"wherefrom fails on what {', '.join(sorted(there))} gave it" if there else ""
