"""The colours of the attention overlay: those of the module for Slicer, from one definition.

The module's library lies beside this package in the checkout and is no installed package, so its folder is named here.
"""

from __future__ import annotations

import sys
from pathlib import Path

MODULE_FOLDER = str(Path(__file__).resolve().parents[1] / "AutofocusSegmentation")
if MODULE_FOLDER not in sys.path:
    sys.path.append(MODULE_FOLDER)

from AutofocusSegmentationLib.scene.zoom_colours import NODE_NAME, add_zoom_colours  # noqa: E402

__all__ = ["NODE_NAME", "add_zoom_colours"]
