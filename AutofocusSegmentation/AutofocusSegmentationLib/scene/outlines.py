"""Display of segments under an attention overlay: outlines only, in colours that the overlay does not use.

The earlier display is stored in the segmentation's display node and restored when the overlay is removed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

Colour = tuple[float, float, float]

BEFORE = "AutofocusSegmentation.OutlinesBefore"
# Neither blue nor orange nor dark: white, green, magenta, pale yellow-green, pink, yellow, red, mint, violet, green.
OUTLINES: tuple[Colour, ...] = (
    (1.0, 1.0, 1.0), (0.16, 0.93, 0.30), (1.0, 0.30, 0.95), (0.80, 1.0, 0.35), (1.0, 0.72, 0.93),
    (1.0, 0.95, 0.10), (1.0, 0.12, 0.25), (0.60, 1.0, 0.85), (0.70, 0.20, 1.0), (0.35, 0.65, 0.05),
)  # fmt: skip
MARKERS: tuple[Colour, ...] = ((1.0, 0.95, 0.1), (0.1, 1.0, 1.0), (1.0, 0.1, 0.2), (0.1, 1.0, 0.2), (1.0, 1.0, 1.0))


def show_outlines_only(owner: Any) -> None:
    """Show all segmentations of the scene without fill, which would be read as colours of the overlay.

    Args:
        owner: the segmentation that the overlay belongs to. It gets colours of its own; others keep theirs, and their
            fill too if the user has switched it on again.
    """
    for node in _segmentations(owner.GetScene()):
        if node is owner:
            show_as_outlines(node)
        elif node.GetDisplayNode() is not None and node.GetDisplayNode().GetAttribute(BEFORE) is None:
            show_as_outlines(node, recolour=False)


def show_all_as_before(scene: Any) -> None:
    """Undo `show_outlines_only`."""
    for node in _segmentations(scene):
        show_as_before(node)


def show_as_outlines(segmentation: Any, *, recolour: bool = True) -> None:
    """Outlines without fill, each segment's in the next of OUTLINES or in its own colour."""
    display = segmentation.GetDisplayNode()
    if display is None:
        return
    if display.GetAttribute(BEFORE) is None:
        state = {
            "fill": bool(display.GetVisibility2DFill()),
            "outline": bool(display.GetVisibility2DOutline()),
            "opacity": display.GetOpacity2DOutline(),
        }
        display.SetAttribute(BEFORE, json.dumps(state))
    modified = display.StartModify()
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetOpacity2DOutline(1.0)
    for number, key in enumerate(segmentation.GetSegmentation().GetSegmentIDs() if recolour else ()):
        display.SetSegmentOverrideColor(key, *OUTLINES[number % len(OUTLINES)])
    display.EndModify(modified)


def show_as_before(segmentation: Any) -> None:
    """The segments as they were shown before `show_as_outlines`; nothing happens where that was not called."""
    display = segmentation.GetDisplayNode()
    noted = None if display is None else display.GetAttribute(BEFORE)
    if noted is None:
        return
    state = json.loads(noted)
    modified = display.StartModify()
    display.SetVisibility2DFill(state["fill"])
    display.SetVisibility2DOutline(state["outline"])
    display.SetOpacity2DOutline(state["opacity"])
    for key in segmentation.GetSegmentation().GetSegmentIDs():
        display.UnsetSegmentOverrideColor(key)
    display.RemoveAttribute(BEFORE)
    display.EndModify(modified)


def drawn_colours(segmentation: Any) -> dict[str, Colour]:
    """The colour in which each segment is drawn, by its id."""
    if segmentation is None:
        return {}
    display, colours = segmentation.GetDisplayNode(), {}
    for key in segmentation.GetSegmentation().GetSegmentIDs():
        override = (-1.0, -1.0, -1.0)
        if display is not None and display.GetAttribute(BEFORE) is not None:
            found = display.GetSegmentOverrideColor(key)
            override = (found[0], found[1], found[2])
        colour = segmentation.GetSegmentation().GetSegment(key).GetColor()
        colours[key] = override if min(override) >= 0 else (colour[0], colour[1], colour[2])
    return colours


def _segmentations(scene: Any) -> list[Any]:
    nodes = scene.GetNodesByClass("vtkMRMLSegmentationNode")
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]


def unlike(colours: Sequence[Colour]) -> Colour:
    """The one of MARKERS that is farthest from all of these colours."""

    def nearest(marker: Colour) -> float:
        return min((sum((a - b) ** 2 for a, b in zip(marker, c, strict=True)) for c in colours), default=1.0)

    return max(MARKERS, key=nearest)
