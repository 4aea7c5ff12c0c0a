"""Images: reading them, checking them, bringing them onto the grid and scale that a model wants."""

from .geometry import Grid, Region
from .reading import Scan, frame_count, read_image

__all__ = ["Grid", "Region", "Scan", "frame_count", "read_image"]
