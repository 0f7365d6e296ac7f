"""What a loop asks of the allocator."""

from __future__ import annotations

import torch

__all__ = ["keep_freed_memory"]


def keep_freed_memory(device: torch.device) -> None:
    """Free one large piece, upon which glibc stops handing freed memory back to the system.

    Otherwise a loop asks for its pages anew at each turn, a tenth to a half of its time. Nothing is
    to be done on a GPU.
    """
    if device.type == "cpu":
        torch.empty(31 * 2**20, dtype=torch.uint8)
