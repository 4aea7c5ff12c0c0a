"""Take nodes out of the scene with all that belongs to them: displays and folders, which Slicer would leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vtkmodules.vtkCommonCore import vtkIdList

from AutofocusSegmentationLib.scene.placing import hierarchy_of, item_of, parent_item

DETAILS = "AutofocusSegmentation.Details"  # attribute of the folders of results' details


def remove_with_folders(nodes: Sequence[Any], folder_attribute: str) -> None:
    """Remove nodes, and those of their folders that become empty.

    Args:
        nodes: of one scene.
        folder_attribute: only folders in the subject hierarchy that have this attribute go.
    """
    if not nodes:
        return
    hierarchy = hierarchy_of(nodes[0].GetScene())
    items = {item_of(node): parent_item(node) for node in nodes}
    for node in nodes:
        remove_node(node)
    for item, folder in items.items():
        if item in _children(hierarchy, folder):  # else the application has done so already
            hierarchy.RemoveItem(item, False)
    for folder in set(items.values()):
        if hierarchy.HasItemAttribute(folder, folder_attribute) and not _children(hierarchy, folder):
            hierarchy.RemoveItem(folder)


def remove_node(node: Any) -> None:
    """Remove a node with the display and storage nodes that it may have."""
    scene = node.GetScene()
    belongings = []
    if node.IsA("vtkMRMLDisplayableNode"):
        belongings += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        belongings += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for other in belongings:
        if other is not None and other.GetScene() is scene:
            scene.RemoveNode(other)


def _children(hierarchy: Any, item: int) -> set[int]:
    found = vtkIdList()
    hierarchy.GetItemChildren(item, found, False)
    return {found.GetId(index) for index in range(found.GetNumberOfIds())}
