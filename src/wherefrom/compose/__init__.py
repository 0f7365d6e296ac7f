"""Samplers: from a pool to a composition, with every inclusion probability known."""

from wherefrom.compose.allocate import Allocation, allocate
from wherefrom.compose.base import (
    DesignSampler,
    InputFile,
    Inputs,
    LayerName,
    Names,
    NumbersName,
    Sampler,
    SamplerModel,
    StreamedSampler,
)
from wherefrom.compose.composition import Composition
from wherefrom.compose.design import Design
from wherefrom.compose.registry import called, drawn, sampler, text_of
from wherefrom.compose.spec import spec_text
from wherefrom.compose.strata import Groups, Plan, Strata

__all__ = [
    "called",
    "Allocation",
    "Composition",
    "Design",
    "DesignSampler",
    "Groups",
    "InputFile",
    "Inputs",
    "LayerName",
    "Names",
    "NumbersName",
    "Plan",
    "Sampler",
    "SamplerModel",
    "Strata",
    "StreamedSampler",
    "allocate",
    "drawn",
    "sampler",
    "spec_text",
    "text_of",
]
