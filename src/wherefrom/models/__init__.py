"""Geospatial foundation models: maths only, no loops."""
