"""Known lists of places: what a fetch brings must be usable as a pool at once."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from wherefrom import earth
from wherefrom.earth.fetch import fetch
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.gallery import KNOWN, known_pool


@pytest.fixture(scope="module")
def gallery() -> Pool:
    """Not among the data that every machine has: `wherefrom data fetch geoclip-gallery`."""
    problem = fetch(["geoclip-gallery"]).get("geoclip-gallery")
    if problem:
        pytest.skip(problem)
    return known_pool("geoclip-gallery")


def test_a_known_list_never_lacks_its_source_or_its_words() -> None:
    for name in KNOWN:
        assert earth.source(name).reader
    with pytest.raises(WherefromError, match="did you mean 'geoclip-gallery'"):
        known_pool("geoclip")


def test_the_gallery_is_never_read_with_its_axes_swapped(gallery: Pool) -> None:
    pool = gallery
    assert len(pool) == 100_000
    assert pool.lon.max() > 179
    assert np.abs(pool.lat).max() < 80
    # Swapped axes would put most places in the sea.
    assert (earth.layer("land").codes(pool.lon, pool.lat) >= 0).mean() > 0.9
    repeated = len(pool) - len(np.unique(pool.lon + 1j * pool.lat))
    assert repeated == 5_877  # as the docstring says
    assert "geoclip 1.3.0" in pool.origin


def test_the_shares_that_the_gallery_is_known_for_are_found(gallery: Pool) -> None:
    codes, labels = gallery.codes("continent")
    share = {label: float((codes == i).mean()) for i, label in enumerate(labels)}
    # Others count Europe as 38 %; here it holds all of Russia, 0.6 % of the places.
    assert share["Europe"] == pytest.approx(0.391, abs=0.001)
    assert share["Africa"] == pytest.approx(0.0156, abs=0.0002)


def test_a_city_column_never_stands_in_for_the_layer_of_countries() -> None:
    pool = known_pool("geonames-cities")
    assert "country" not in pool.table.column_names
    _, labels = pool.codes("country")
    assert "Germany" in labels


def test_the_fetched_file_is_a_pool_without_further_work(gallery: Pool) -> None:
    path = subprocess.run(
        [sys.executable, "-c", "from wherefrom.cli import main; main()",
         "data", "path", "geoclip-gallery"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    pool = Pool.read(path, lon="LON", lat="LAT")
    assert pool.key == gallery.key
