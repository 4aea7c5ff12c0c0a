"""The slice views that the application shows."""

from __future__ import annotations

from typing import Any

import slicer

COMPOSITE, SLICE = "vtkMRMLSliceCompositeNode", "vtkMRMLSliceNode"


def composite_nodes() -> list[Any]:
    """What says, for each slice view of the present layout, which volumes it shows.

    Without a main window there is no layout; then it is all that the scene holds.
    """
    manager = slicer.app.layoutManager()
    if manager is not None:
        return [manager.sliceWidget(name).mrmlSliceCompositeNode() for name in manager.sliceViewNames()]
    return all_composite_nodes()


def all_composite_nodes() -> list[Any]:
    """The same for the views of every layout that has been shown."""
    nodes = slicer.mrmlScene.GetNodesByClass(COMPOSITE)
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]


def slice_node_of(composite: Any) -> Any:
    """The vtkMRMLSliceNode of the view that a composite node belongs to; None where there is none."""
    nodes = slicer.mrmlScene.GetNodesByClass(SLICE)
    for index in range(nodes.GetNumberOfItems()):
        if nodes.GetItemAsObject(index).GetLayoutName() == composite.GetLayoutName():
            return nodes.GetItemAsObject(index)
    return None
