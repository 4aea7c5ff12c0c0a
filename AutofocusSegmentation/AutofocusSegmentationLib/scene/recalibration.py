"""What a network of scale streams did to the scores of each class: a volume a class, beside the attention.

From 0, suppressed, to 1, kept. The volumes lie in the folder of the run's attention; attributes say what they are:

    AutofocusSegmentation.Attention   "recalibration"
    AutofocusSegmentation.Class       the class's name
    AutofocusSegmentation.Set         as of the attention
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from AutofocusCore.result import Recalibration
from AutofocusSegmentationLib.scene.volume_node import NO_UNIT, add_volume, set_unit
from AutofocusSegmentationLib.scene.zoom_colours import weight_colours

RECALIBRATION = "recalibration"
CLASS = "AutofocusSegmentation.Class"


def add_recalibration(scene: Any, found: Recalibration, describe: Callable[[Any], None]) -> list[Any]:
    """A volume node for each class.

    Args:
        scene: where they go.
        found: what the worker told; its arrays are kept, not copied.
        describe: called with each node, says in attributes and in the subject hierarchy where it belongs.
    """
    nodes = []
    for name, factors in zip(found.classes, found.factors, strict=True):
        node = add_volume(scene, f"Recalibration, {name}", factors, found.grid.index_to_lps, window=(0.0, 1.0))
        node.SetAttribute(CLASS, name)
        describe(node)
        set_unit(node, NO_UNIT)
        node.GetDisplayNode().SetAndObserveColorNodeID(weight_colours(scene).GetID())
        nodes.append(node)
    return nodes
