"""Checks that a kind of your own keeps what the rest of wherefrom relies on.

In the spirit of scikit-learn's ``check_estimator``: call one in a test of your package; it returns
nothing, or raises `BrokenPromiseError`, which names the promise that is broken.
"""

from wherefrom.testing.checks import BrokenPromiseError
from wherefrom.testing.gfms import check_gfm
from wherefrom.testing.grids import check_grid
from wherefrom.testing.layers import check_layer
from wherefrom.testing.payloads import check_payload
from wherefrom.testing.published import check_published
from wherefrom.testing.samplers import check_sampler
from wherefrom.testing.tasks import check_head, check_task

__all__ = [
    "BrokenPromiseError",
    "check_gfm",
    "check_grid",
    "check_head",
    "check_layer",
    "check_payload",
    "check_published",
    "check_sampler",
    "check_task",
]
