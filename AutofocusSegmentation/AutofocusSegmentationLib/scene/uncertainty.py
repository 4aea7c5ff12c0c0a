"""The map of uncertainty: where the network wavered, as a volume that lies over the scan as attention maps do."""

from __future__ import annotations

from typing import Any

from AutofocusCore.result import UncertaintyMap
from AutofocusSegmentationLib.scene.attention_nodes import LEAST, UNCERTAINTY, leave_air_out
from AutofocusSegmentationLib.scene.map_volumes import MapVolumes
from AutofocusSegmentationLib.scene.volume_node import BITS, ENTROPY, set_unit
from AutofocusSegmentationLib.scene.zoom_colours import weight_colours

LEAST_BITS = 0.1  # less is certain (0.987 against 0.013), and would only veil the scan
RANGE_BITS = (0.0, 1.0)  # of the colours; 1 bit is undecided between two classes


def add_uncertainty(maps: MapVolumes, found: UncertaintyMap) -> Any:
    """Make the volume node of a run's uncertainty, bound to its segmentation."""
    node = maps.add("Uncertainty in bits", UNCERTAINTY, found.values, found, window=RANGE_BITS)
    set_unit(node, BITS, quantity=ENTROPY)
    node.GetDisplayNode().SetAndObserveColorNodeID(weight_colours(node.GetScene()).GetID())
    node.SetAttribute(LEAST, repr(LEAST_BITS))
    leave_air_out(node)
    return node
