"""The slice views that the application shows."""

from __future__ import annotations

from typing import Any

import slicer

COMPOSITE, SLICE = "vtkMRMLSliceCompositeNode", "vtkMRMLSliceNode"


def composite_nodes() -> list[Any]:
    """What says, for each slice view of the present layout, which volumes it shows; in the order of their making.

    Without a main window there is no layout; then it is all that the scene holds.
    """
    manager = slicer.app.layoutManager()
    if manager is None:
        return all_composite_nodes()
    return [manager.sliceWidget(node.GetLayoutName()).mrmlSliceCompositeNode() for node in slice_nodes()]


def slice_nodes() -> list[Any]:
    """The slice views of the present layout, Red first; the layout manager's own list holds those of all layouts."""
    nodes = slicer.mrmlScene.GetNodesByClass(SLICE)
    found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    return [node for node in found if node.IsMappedInLayout()]


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
