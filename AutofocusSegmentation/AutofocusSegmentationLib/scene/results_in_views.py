"""Contours belong to their scan: in views that show another patient, they would be read as that patient's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from AutofocusSegmentationLib.scene.result_identity import MADE, scan_of

AWAY = "AutofocusSegmentation.AwayWithScan"  # attribute of the display nodes that were hidden here


def show_results_of(scan: Any, channels: Iterable[Any] = ()) -> None:
    """Hide the results of other scans, and show again those of this scan that were hidden so.

    What the user shows again stays so: nothing is hidden twice before its scan has returned.

    Args:
        scan: the volume that the views show.
        channels: the volumes that are chosen as channels of one input, which all show the same patient.
    """
    together = list(channels)
    same = together if any(node is scan for node in together) else [scan]
    nodes = scan.GetScene().GetNodesByClass("vtkMRMLSegmentationNode")
    for node in [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]:
        display, its_scan = node.GetDisplayNode(), scan_of(node)
        if display is None or its_scan is None or not node.GetAttribute(MADE):
            continue
        away = display.GetAttribute(AWAY) is not None
        if any(its_scan is one for one in same):
            if away:
                display.RemoveAttribute(AWAY)
                display.SetVisibility(True)
        elif not away and display.GetVisibility():
            display.SetAttribute(AWAY, "1")
            display.SetVisibility(False)
