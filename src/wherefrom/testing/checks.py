"""What the checks share."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from wherefrom import keys
from wherefrom.errors import WherefromError
from wherefrom.part import OfKind, Part

if TYPE_CHECKING:
    from wherefrom.gfms.base import Gfm
    from wherefrom.gfms.published import Published
    from wherefrom.payload.base import Payload
    from wherefrom.tasks.base import TaskSpec

__all__ = [
    "BrokenPromiseError",
    "checking",
    "described",
    "elsewhere",
    "own_randomness",
    "part_of",
    "promise",
    "torch_left_alone",
]

P = TypeVar("P", bound=Part)
T = TypeVar("T")
Given = ParamSpec("Given")


class BrokenPromiseError(AssertionError):
    """A promise that wherefrom relies on is broken; the message says which."""


def promise(kept: bool | np.bool_, broken: str) -> None:
    """Raise a `BrokenPromiseError` that says what is wrong, unless a promise is kept."""
    if not kept:
        raise BrokenPromiseError(broken)


def checking(check: Callable[Given, None]) -> Callable[Given, None]:
    """Make a check say that what is checked fails, in place of an error out of its depths."""

    @wraps(check)
    def checked(*given: Given.args, **named: Given.kwargs) -> None:
        try:
            check(*given, **named)
        except (BrokenPromiseError, WherefromError):
            raise
        except Exception as err:
            first: Any = next(iter((*given, *named.values())))
            what = getattr(first, "name", None) or getattr(first, "__name__", first)
            said = f"{type(err).__name__}: {err}"
            raise BrokenPromiseError(
                f"{what!r} fails, or gives what wherefrom fails on, with {said}"
            ) from err

    return checked


@contextmanager
def own_randomness(what: str) -> Iterator[None]:
    """Fail if the block, where `what` runs, draws from a global generator of NumPy or Python."""
    before = _global_state()
    yield
    promise(
        before == _global_state(),
        f"{what} draws from a global random generator: draw from the Generator that it is given",
    )


def _global_state() -> tuple[object, ...]:
    """Return where the global generators of NumPy and Python are."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return state["state"]["key"].tobytes(), state["state"]["pos"], random.getstate()


@contextmanager
def torch_left_alone(what: str) -> Iterator[None]:
    """Fail if the block, where `what` runs, draws from torch's global generator."""
    import torch

    state = torch.random.get_rng_state()
    yield
    promise(
        torch.equal(state, torch.random.get_rng_state()),
        f"{what} draws from torch's global generator (a layer's initial weights, or dropout): draw "
        "from the generator or seed that it is given",
    )


#: What another process runs: it calls what it is sent, and sends the answer back.
_ELSEWHERE = """
import pickle, sys
answers, sys.stdout = sys.stdout.buffer, sys.stderr
sys.path[:] = pickle.load(sys.stdin.buffer)
try:
    function, given = pickle.load(sys.stdin.buffer)
except Exception as err:
    sys.exit(f"cannot be loaded: {err}")
pickle.dump(function(*given), answers)
"""


def elsewhere(what: str, function: Callable[..., T], *given: object) -> T | None:
    """Call a function in another process, in which texts have other hashes, so sets other orders.

    What cannot be sent there, such as a class of a notebook, is not checked: None, and a warning.
    """
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    try:
        sent = pickle.dumps(sys.path) + pickle.dumps((function, given))
    except (pickle.PicklingError, AttributeError, TypeError) as err:
        warnings.warn(f"{what} is not checked in another process: {err}", stacklevel=2)
        return None
    done = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE],
        input=sent,
        capture_output=True,
        env=os.environ | {"PYTHONHASHSEED": seed},
        check=False,
    )
    said = (done.stderr.decode(errors="replace").strip().splitlines() or ["?"])[-1]
    if said.startswith("cannot be loaded"):
        warnings.warn(f"{what} is not checked in another process: it {said}", stacklevel=2)
        return None
    promise(done.returncode == 0, f"{what} fails in another process, with {said}")
    answer: T = pickle.loads(done.stdout)
    return answer


def part_of(given: P | type[P] | dict[str, Any], table: OfKind, **shared: Any) -> P:
    """Make a part of a study file of a class, or of a dict, that lacks the `shared` fields."""
    if isinstance(given, dict):
        made: Any = table.read(shared | given)
    elif isinstance(given, type):
        # By its fields alone: a class within a function has no address to load it from.
        address = f"{given.__module__}:{given.__qualname__}"
        made = given.model_validate(shared | {"kind": address})
    else:
        made = given
    part: P = made
    return part


def described(part: Gfm | Payload | Published | TaskSpec, noun: str) -> None:
    """Check that a kind says what it is, and that its fields make it again and go into a key."""
    name = f"{noun} {part.kind!r}"
    promise(bool(type(part).first_line()), f"{name} has no docstring: `wherefrom list` shows it")
    again = type(part).model_validate(part.model_dump())
    promise(again == part, f"the fields of {name} do not make the same {noun}")
    try:
        keys.canonical(part.settings())
    except (TypeError, ValueError) as err:
        raise BrokenPromiseError(f"settings() of {name} holds no plain values: {err}") from err
