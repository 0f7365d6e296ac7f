"""Known lists of places, read as pools: what an audit can be tried on, and compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from wherefrom import earth
from wherefrom.earth.cities import SMALLEST
from wherefrom.errors import unknown
from wherefrom.pool.places import Pool

__all__ = ["KNOWN", "known_pool"]


def known_pool(name: str) -> Pool:
    """Read a known list of places as a pool, fetching it if need be.

    Parameters
    ----------
    name : str
        ``"geoclip-gallery"``: 100,000 places of geotagged photographs, the candidates among which
        GeoCLIP locates a photograph (Vivanco Cepeda et al. 2023); ids are row numbers, and 5,877
        rows repeat an earlier place. ``"geonames-cities"``: the cities with at least 15,000
        inhabitants (GeoNames); ids are ranks by population from 0, further columns ``city``,
        ``country_code`` (ISO 3166-1 alpha-2) and ``population``.

    Returns
    -------
    Pool

    Raises
    ------
    WherefromError
        If the name is not known, or the list cannot be had; the message says what to place where.

    Examples
    --------
    >>> pool = known_pool("geonames-cities")
    >>> pool.table.column_names
    ['id', 'lon', 'lat', 'city', 'country_code', 'population']
    >>> pool.table["city"][0].as_py()
    'Shanghai'
    """
    if name not in KNOWN:
        raise unknown("list of places", name, KNOWN)
    source = earth.source(name)
    return replace(KNOWN[name](), origin=f"{source.title}; {source.where_from}")


def _cities() -> Pool:
    found = earth.cities(SMALLEST)
    columns = {
        "lon": found.lon,
        "lat": found.lat,
        "city": found.name,
        # Not "country": a column of that name would be taken for the layer's labels.
        "country_code": found.country,
        "population": found.population,
    }
    return Pool.from_table(pa.table(columns))


#: Name in the catalog of data -> its reader.
KNOWN: dict[str, Callable[[], Pool]] = {
    "geoclip-gallery": lambda: Pool.read(earth.path_of("geoclip-gallery"), lon="LON", lat="LAT"),
    "geonames-cities": _cities,
}
