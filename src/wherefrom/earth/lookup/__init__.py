"""Which polygon holds a place: exact answers at the speed of a table."""

from wherefrom.earth.lookup.index import PolygonIndex

__all__ = ["PolygonIndex"]
