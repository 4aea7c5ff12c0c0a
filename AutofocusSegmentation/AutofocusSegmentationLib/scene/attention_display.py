"""Display of attention volumes over the scan: overlay, range, colours and legend.

The earlier foreground is stored in each slice view's composite node and restored when the overlay is removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import slicer

from AutofocusSegmentationLib.scene.attention_nodes import (
    ATTENTION,
    HIDDEN_VALUES,
    LEAST,
    RATE_KIND,
    REACH,
    SEQUENCE,
    UNCERTAINTY,
    ZOOM,
    first_range,
    is_attention,
    leave_air_out,
)
from AutofocusSegmentationLib.scene.recalibration import RECALIBRATION
from AutofocusSegmentationLib.scene.zoom_colours import colour_choices, colour_node

__all__ = ["colour_choices", "hide_overlay", "set_colours", "set_range", "show_legend", "show_overlay"]

BEFORE_ROLE = "AutofocusForegroundBefore"
BEFORE = "AutofocusSegmentation.Before"
TITLES = {
    REACH: "Reach (mm)",
    ZOOM: "Dilation (mm)",
    SEQUENCE: "Dilation (mm)",
    RATE_KIND: "Weight (0-1)",
    RECALIBRATION: "Kept (0-1)",
    UNCERTAINTY: "Uncertainty (bits)",
}
# At the right edge, in the middle: the corners hold Slicer's own texts, the bottom its ruler.
LEGEND_SIZE = (0.10, 0.36)  # width and height, as shares of the view's, where its size is not known
LEGEND_PIXELS = (36, 170)  # in a view: the text fills the legend, and is so about as large as the view's other texts
LEGEND_SHARE = 0.71  # of a view's height at most
LEGEND_PLACE = (0.99, 0.5)
LABELS = 5


def show_overlay(composite_nodes: Iterable[Any], volume: Any, *, opacity: float, linked: bool = True) -> None:
    """Blend a volume over what slice views show.

    Args:
        composite_nodes: of the slice views (vtkMRMLSliceCompositeNode).
        volume: what comes in front.
        opacity: of the front, 0 to 1.
        linked: whether the user's further changes in one of the views hold for all.
    """
    for composite in composite_nodes:
        _remember(composite)
        with _ChangingLayers(composite):
            composite.SetForegroundVolumeID(volume.GetID())
            composite.SetForegroundOpacity(opacity)
            composite.SetLinkedControl(linked)


def show_behind(composite_nodes: Iterable[Any], scan: Any) -> None:
    """Show a scan behind everything else in slice views."""
    for composite in composite_nodes:
        with _ChangingLayers(composite):
            composite.SetBackgroundVolumeID(scan.GetID())


def hide_overlay(composite_nodes: Iterable[Any]) -> None:
    """Remove the attention from slice views and restore their foreground; views without attention are left alone."""
    for composite in composite_nodes:
        before = composite.GetAttribute(BEFORE)
        shown = composite.GetScene().GetNodeByID(composite.GetForegroundVolumeID() or "")
        if before is None:
            continue
        # A view whose foreground was removed may show its background there; all else the user has chosen meanwhile.
        if shown is None or is_attention(shown) or shown.GetID() == composite.GetBackgroundVolumeID():
            state = json.loads(before)
            foreground = composite.GetNodeReference(BEFORE_ROLE)
            with _ChangingLayers(composite):
                composite.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
                composite.SetForegroundOpacity(state["opacity"])
                composite.SetLinkedControl(state["linked"])
        composite.RemoveAttribute(BEFORE)
        composite.SetNodeReferenceID(BEFORE_ROLE, None)


def set_range(volume: Any, low: float, high: float, *, only: bool = False) -> None:
    """Let the colours run from `low` to `high`, in mm or as weights.

    Values beyond get the colours of the ends; with `only` they become transparent, as air always is.
    """
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(low, high if high > low else low + 1e-3)
    display.SetAutoThreshold(False)
    display.SetThreshold(*((low, high) if only else (-HIDDEN_VALUES, HIDDEN_VALUES)))
    display.SetApplyThreshold(only)
    if not only and volume.GetAttribute(LEAST):
        leave_air_out(volume)


def shown_range(volume: Any) -> tuple[float, float]:
    """The values that the colours run over."""
    display = volume.GetDisplayNode()
    return float(display.GetWindowLevelMin()), float(display.GetWindowLevelMax())


def limits(volume: Any) -> tuple[float, float]:
    """How far the range can be moved: the lowest and the highest value in the patient."""
    first, last = first_range(volume)
    if volume.GetImageData() is None:
        return first, last  # a scene is being loaded, and the voxels have not come yet
    low, high = volume.GetImageData().GetScalarRange()
    if volume.GetAttribute(LEAST):
        low = float(volume.GetAttribute(LEAST))
    return min(low, first), max(high, last)


def set_colours(volume: Any, name: str) -> None:
    """Choose the colour map by its name, one of `colour_choices`."""
    volume.GetDisplayNode().SetAndObserveColorNodeID(colour_node(volume.GetScene(), name).GetID())


def show_legend(volume: Any, *, visible: bool = True, view: str | None = None, pixel_ratio: float = 1.0) -> Any:
    """Show or hide a volume's colour legend; returns its node, None if there never was one.

    Args:
        volume: an attention volume.
        visible: whether it is wanted.
        view: id of the one view that it is drawn in, so that there is one legend and not one in each view; None: all.
        pixel_ratio: the screen's pixels for one of the user's, 2 on a screen scaled to 200 %.
    """
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volume)
    if legend is None and visible:
        legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(volume)
        _style(legend, volume)
    if legend is not None:
        _format(legend, volume)
        if visible:
            legend.RemoveAllViewNodeIDs()
            if view is not None:
                legend.AddViewNodeID(view)
            legend.SetSize(*_legend_size(volume.GetScene().GetNodeByID(view or ""), pixel_ratio))
        legend.SetVisibility(visible)
    return legend


def _style(legend: Any, volume: Any) -> None:
    legend.SetTitleText(TITLES[volume.GetAttribute(ATTENTION)])
    legend.SetNumberOfLabels(LABELS)
    legend.SetOrientation(legend.Vertical)
    legend.SetPosition(*LEGEND_PLACE)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontFamilyToArial()
        text.SetColor(1.0, 1.0, 1.0)
        text.SetShadow(True)
        text.SetFontSize(14)


def _legend_size(view: Any, pixel_ratio: float) -> tuple[float, float]:
    """Width and height as shares of the view's: as many pixels in a view of any size."""
    if view is None:
        return LEGEND_SIZE
    columns, rows, _ = view.GetDimensions()
    ratio = min(pixel_ratio, LEGEND_SHARE * rows / LEGEND_PIXELS[1])  # its title stands above it
    return min(ratio * LEGEND_PIXELS[0] / max(columns, 1), 0.5), ratio * LEGEND_PIXELS[1] / max(rows, 1)


def _format(legend: Any, volume: Any) -> None:
    """As many digits as the range needs."""
    low, high = shown_range(volume)
    step = (high - low) / (LABELS - 1)
    legend.SetLabelFormat("%.0f" if step >= 2 else "%.1f" if step >= 0.5 else "%.2f")


class _ChangingLayers:
    """Marks a change of a slice view's volumes as made by the user, because colour legends react only to those."""

    def __init__(self, composite: Any) -> None:
        self._composite = composite

    def __enter__(self) -> None:
        flags = self._composite.BackgroundVolumeFlag | self._composite.ForegroundVolumeFlag
        self._composite.SetInteractionFlags(flags)

    def __exit__(self, *error: object) -> None:
        self._composite.SetInteractionFlags(0)


def _remember(composite: Any) -> None:
    if composite.GetAttribute(BEFORE) is not None:
        return  # the overlay is on already
    state = {"opacity": composite.GetForegroundOpacity(), "linked": bool(composite.GetLinkedControl())}
    foreground = composite.GetScene().GetNodeByID(composite.GetForegroundVolumeID() or "")
    ours = foreground is not None and is_attention(foreground)
    composite.SetAttribute(BEFORE, json.dumps(state))
    composite.SetNodeReferenceID(BEFORE_ROLE, None if ours or foreground is None else foreground.GetID())
