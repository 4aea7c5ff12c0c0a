"""The places to check as a point list of Slicer's Markups, for those who like to work with points."""

from __future__ import annotations

from typing import Any

from AutofocusSegmentationLib.scene.placing import place_beside
from AutofocusSegmentationLib.scene.review_record import places_of, to_ras

POINTS_ROLE = "AutofocusPlaces"  # refers from a segmentation to its points


def add_points(segmentation: Any) -> Any:
    """The point list of a result's places, made or brought up to date; points of done places are not selected.

    The points lie where the segmentation lies, under its parent transform, and are locked: moving one changes nothing.
    """
    scene = segmentation.GetScene()
    node = segmentation.GetNodeReference(POINTS_ROLE)
    if node is None:
        name = scene.GenerateUniqueName(f"{segmentation.GetName()}: places to check")
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        node.CreateDefaultDisplayNodes()
        node.SetLocked(True)
        segmentation.SetNodeReferenceID(POINTS_ROLE, node.GetID())
    place_beside(node, segmentation)
    modified = node.StartModify()
    node.RemoveAllControlPoints()
    for number, place in enumerate(places_of(segmentation), start=1):
        index = node.AddControlPoint(to_ras(place["position_mm"]), f"{number} {place['structure']}")
        node.SetNthControlPointDescription(index, f"{place['volume_ml']:.2f} mL could change")
        node.SetNthControlPointSelected(index, not place.get("done"))
    node.EndModify(modified)
    return node


def update_points(segmentation: Any) -> None:
    """Bring the point list up to date, where there is one."""
    if segmentation is not None and segmentation.GetNodeReference(POINTS_ROLE) is not None:
        add_points(segmentation)
