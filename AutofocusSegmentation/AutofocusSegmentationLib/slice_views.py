"""The slice views that the application shows."""

from __future__ import annotations

from typing import Any

import slicer


def composite_nodes() -> list[Any]:
    """What says, for each slice view of the present layout, which volumes it shows.

    Without a main window there is no layout; then it is all that the scene holds.
    """
    manager = slicer.app.layoutManager()
    if manager is not None:
        return [manager.sliceWidget(name).mrmlSliceCompositeNode() for name in manager.sliceViewNames()]
    nodes = slicer.mrmlScene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
