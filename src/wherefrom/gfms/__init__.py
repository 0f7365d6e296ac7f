"""GFMs of a study, one file each, and the engine that trains and uses any of them."""

from wherefrom.gfms.base import Gfm, Modality, PretrainSpec

__all__ = ["Gfm", "Modality", "PretrainSpec"]
