"""Photographs: data, settings and measures of the two-dimensional networks of scale streams."""
