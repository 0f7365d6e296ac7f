"""What making a stage took: seconds, the device, peak memory, and the bytes that it left."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["Meter", "peak_bytes"]


def peak_bytes(who: int = resource.RUSAGE_SELF) -> int:
    """Return the peak of resident memory so far, in bytes: this process's, or its children's."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit


class Meter:
    """Measures from when it is made until it is read.

    A worker computes many stages, and its peak is that of all so far: an upper bound on what one
    of them takes, which `wherefrom.study.price` takes the least of among like ones.

    Examples
    --------
    >>> sorted(Meter().read(Path("studies")))
    ['bytes', 'device', 'peak_bytes', 'seconds']
    """

    def __init__(self) -> None:
        self.began, self.before = time.perf_counter(), _allocations()

    def read(self, folder: Path) -> dict[str, Any]:
        """Return what was used since, for ``env.json``.

        Returns
        -------
        dict
            ``seconds``; ``device``: the name of the GPU on which something was allocated, else
            "cpu"; ``peak_bytes`` of resident memory of the process; ``bytes`` of the files that
            lie in `folder`.
        """
        after = _allocations()
        used = [index for index, count in after.items() if count > self.before.get(index, 0)]
        return {
            "seconds": round(time.perf_counter() - self.began, 3),
            "device": sys.modules["torch"].cuda.get_device_name(used[0]) if used else "cpu",
            "peak_bytes": peak_bytes(),
            "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        }


def _allocations() -> dict[int, int]:
    """Count what this process ever allocated on each GPU, without waking one that sleeps."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {
        index: int(torch.cuda.memory_stats(index).get("allocation.all.allocated", 0))
        for index in range(torch.cuda.device_count())
    }
