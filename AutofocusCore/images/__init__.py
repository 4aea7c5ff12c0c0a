"""Images: reading, checking, resampling and normalising them for a model."""

from AutofocusCore.images.geometry import Grid, Region
from AutofocusCore.images.preparing import Prepared, prepare
from AutofocusCore.images.reading import Scan, frame_count, read_image
from AutofocusCore.images.roi import RoiBox

__all__ = ["Grid", "Prepared", "Region", "RoiBox", "Scan", "frame_count", "prepare", "read_image"]
