"""Sizes of SatMAE, as numbers: a plan needs them, and no torch."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SIZES", "Size"]


class Size(NamedTuple):
    """Pixels, widths, blocks and heads, as of `wherefrom.models.satmae.SatMAE`."""

    image: int
    patch: int
    width: int
    channel_width: int
    depth: int
    heads: int
    decoder_width: int
    decoder_channel_width: int
    decoder_depth: int
    decoder_heads: int


#: The two published sizes, one for a processor, and one that trains in seconds.
SIZES: dict[str, Size] = {
    "base": Size(96, 8, 768, 256, 12, 12, 512, 128, 8, 16),
    "large": Size(96, 8, 1024, 256, 24, 16, 512, 128, 8, 16),
    "laptop": Size(32, 4, 192, 64, 6, 3, 96, 24, 2, 3),
    "tiny": Size(16, 8, 48, 16, 2, 4, 32, 8, 1, 4),
}
