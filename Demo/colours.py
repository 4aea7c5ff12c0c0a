"""The colours of the attention overlay, from the definition in the module for Slicer.

The module's library is not an installed package; its folder beside this one in the checkout is put on the path here.
"""

from __future__ import annotations

import sys
from pathlib import Path

MODULE_FOLDER = str(Path(__file__).resolve().parents[1] / "AutofocusSegmentation")
if MODULE_FOLDER not in sys.path:
    sys.path.append(MODULE_FOLDER)

from AutofocusSegmentationLib.scene.zoom_colours import NODE_NAME, add_zoom_colours  # noqa: E402

__all__ = ["NODE_NAME", "add_zoom_colours"]
