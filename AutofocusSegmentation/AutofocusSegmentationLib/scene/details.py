"""The folder of a result's details in the subject hierarchy, with provenance and attention."""

from __future__ import annotations

from typing import Any

from AutofocusSegmentationLib.scene.placing import hierarchy_of, item_of, parent_item
from AutofocusSegmentationLib.scene.removing import DETAILS

FOLDER_ROLE = "AutofocusDetails"  # refers to a node that lies in the folder


def details_folder(owner: Any) -> int:
    """The item of the folder beside a result; made, and collapsed, where there is none.

    Args:
        owner: the segmentation node (or the volume, where attention stands alone).
    """
    hierarchy = hierarchy_of(owner.GetScene())
    for index in range(owner.GetNumberOfNodeReferences(FOLDER_ROLE)):
        inside = owner.GetNthNodeReference(FOLDER_ROLE, index)
        if inside is not None and hierarchy.HasItemAttribute(parent_item(inside), DETAILS):
            return parent_item(inside)
    folder = hierarchy.CreateFolderItem(parent_item(owner), f"{owner.GetName()}: details")
    hierarchy.SetItemAttribute(folder, DETAILS, "1")
    hierarchy.SetItemExpanded(folder, False)
    return int(folder)


def put_into_details(node: Any, owner: Any) -> None:
    """Put a node into the folder of a result's details; the folder is found again by it."""
    folder = details_folder(owner)
    hierarchy_of(owner.GetScene()).SetItemParent(item_of(node), folder)
    owner.AddNodeReferenceID(FOLDER_ROLE, node.GetID())
