"""Images: reading them, checking them, bringing them onto the grid and scale that a model wants."""

from .geometry import Grid, Region
from .preparing import Prepared, prepare
from .reading import Scan, frame_count, read_image
from .roi import RoiBox

__all__ = ["Grid", "Prepared", "Region", "RoiBox", "Scan", "frame_count", "prepare", "read_image"]
