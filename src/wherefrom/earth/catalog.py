"""What data exist, whose they are and how their files are recognised: ``catalog.toml``, typed."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files as resources
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from wherefrom.errors import unknown

__all__ = ["DataFile", "Source", "source", "sources"]


class DataFile(BaseModel):
    """One file of a source.

    `member` is its path inside the wheel or zip, or the plain name; `bytes` is 0 if not known.
    `sha256` has the first digits alone if the publisher states no more, and is empty if none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    member: str
    bytes: int = 0
    sha256: str = ""

    @property
    def name(self) -> str:
        """Plain name of the file, as it lies in the cache or in ``WHEREFROM_DATA``."""
        return PurePosixPath(self.member).name


class Source(BaseModel):
    """One source of data: what it is, where it is published, under which licence.

    Attributes
    ----------
    name : str
        Key in the catalog, e.g. ``"resolve-ecoregions"``.
    title, address, licence, citation : str
        For people; `licence` is that of the data, ``"unknown"`` where nobody states one.
    kind : {"wheel", "official", "own"}
        Carried by a Python package, published as a file, or only placed by the user.
    default : bool
        Does ``wherefrom data fetch`` without names get it?
    reader : bool
        Does this version read it?
    files : tuple of DataFile
        The first is the principal one.
    url : str
        Direct address of an official file; a zip is unpacked.
    package, version, package_licence : str
        The carrying package and the licence of its code.
    download_bytes : int
        Size of the download; 0 if not known.
    download_sha256 : str
        Checksum of the download (the wheel or the official file).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    kind: Literal["wheel", "official", "own"]
    default: bool
    reader: bool = True
    address: str
    licence: str
    citation: str
    files: tuple[DataFile, ...]
    url: str = ""
    package: str = ""
    version: str = ""
    package_licence: str = ""
    download_bytes: int = 0
    download_sha256: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Source:
        if not self.files:
            raise ValueError("a source needs at least one file")
        if self.kind == "wheel" and not (self.package and self.version and self.download_sha256):
            raise ValueError("a wheel needs package, version and download_sha256")
        if self.kind == "official" and not self.url:
            raise ValueError("an official source needs its url")
        return self

    @property
    def size(self) -> int:
        """Bytes to download, or those of the files if the download's size is not known."""
        return self.download_bytes or sum(file.bytes for file in self.files)

    @property
    def where_from(self) -> str:
        """Where a fetch goes: the pinned package, or the publisher's address."""
        if self.kind == "wheel":
            return f"package {self.package} {self.version}"
        return self.url or self.address


@cache
def sources() -> dict[str, Source]:
    """Return all sources of the catalog by name."""
    text = resources("wherefrom.earth").joinpath("catalog.toml").read_text("utf-8")
    return {name: Source(name=name, **entry) for name, entry in tomllib.loads(text).items()}


def source(name: str) -> Source:
    """Return one source.

    Raises
    ------
    WherefromError
        If the catalog has no such name; names the nearest one.

    Examples
    --------
    >>> source("altitude").package
    'pvlib'
    """
    try:
        return sources()[name]
    except KeyError:
        raise unknown("source", name, sources()) from None
