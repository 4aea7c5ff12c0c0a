"""How attention volumes are laid over the scan: overlay, threshold, colours and legend.

What was in the foreground before is noted at each slice view's own node, and comes back when the overlay goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import slicer

from AutofocusSegmentationLib.scene.attention_nodes import (
    AIR_IS_ZERO,
    ATTENTION,
    HIDDEN_VALUES,
    RATES_MM,
    is_attention,
    leave_air_out,
)
from AutofocusSegmentationLib.scene.recalibration import RECALIBRATION
from AutofocusSegmentationLib.scene.zoom_colours import colour_choices, colour_node

__all__ = ["colour_choices", "hide_overlay", "set_colours", "set_threshold", "show_legend", "show_overlay"]

BEFORE_ROLE = "AutofocusForegroundBefore"
BEFORE = "AutofocusSegmentation.Before"
TITLES = {"zoom": "Effective dilation (mm)", "rate": "Attention weight", RECALIBRATION: "Suppressed (0) or kept (1)"}
LEGEND_SIZE = (0.10, 0.5)  # height and width, as shares of the view's
LEGEND_PLACE = (0.5, 0.02)  # at the bottom, in the middle
MOST_LABELS = 7


def show_overlay(
    composite_nodes: Iterable[Any], volume: Any, *, background: Any, opacity: float, linked: bool = True
) -> None:
    """Blend a volume over another one in slice views.

    Args:
        composite_nodes: of the slice views (vtkMRMLSliceCompositeNode).
        volume: what comes in front.
        background: what is behind; None leaves what is there.
        opacity: of the front, 0 to 1.
        linked: whether the user's further changes in one of the views hold for all.
    """
    for composite in composite_nodes:
        _remember(composite)
        with _ChangingLayers(composite):
            if background is not None:
                composite.SetBackgroundVolumeID(background.GetID())
            composite.SetForegroundVolumeID(volume.GetID())
            composite.SetForegroundOpacity(opacity)
            composite.SetLinkedControl(linked)


def hide_overlay(composite_nodes: Iterable[Any]) -> None:
    """Take the attention off slice views and put back what was in front; views without attention stay as they are."""
    for composite in composite_nodes:
        before = composite.GetAttribute(BEFORE)
        shown = composite.GetScene().GetNodeByID(composite.GetForegroundVolumeID() or "")
        if before is None:
            continue
        if shown is None or is_attention(shown):  # else the user has chosen something else meanwhile
            state = json.loads(before)
            foreground = composite.GetNodeReference(BEFORE_ROLE)
            with _ChangingLayers(composite):
                composite.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
                composite.SetForegroundOpacity(state["opacity"])
                composite.SetLinkedControl(state["linked"])
        composite.RemoveAttribute(BEFORE)
        composite.SetNodeReferenceID(BEFORE_ROLE, None)


def set_threshold(volume: Any, low: float, high: float) -> None:
    """Show only values from `low` to `high`, in mm or as weights; others become transparent, as air always is."""
    display = volume.GetDisplayNode()
    everything = low <= _lowest(volume) and high >= _highest(volume)
    display.SetAutoThreshold(False)
    display.SetThreshold(*((-HIDDEN_VALUES, HIDDEN_VALUES) if everything else (low, high)))
    display.SetApplyThreshold(not everything)
    if everything and volume.GetAttribute(AIR_IS_ZERO):
        leave_air_out(volume)


def set_colours(volume: Any, name: str) -> None:
    """Choose the colour map by its name, one of `colour_choices`."""
    volume.GetDisplayNode().SetAndObserveColorNodeID(colour_node(volume.GetScene(), name).GetID())


def show_legend(volume: Any, *, visible: bool = True) -> Any:
    """Show or hide the colour legend in the views that show the volume; returns its node, None if there never was one.

    The legend runs over the whole window; where a zoom map's rates are evenly apart, its labels are the rates.
    """
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volume)
    if legend is None and visible:
        legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(volume)
        _style(legend, volume)
    if legend is not None:
        legend.SetVisibility(visible)
    return legend


def _style(legend: Any, volume: Any) -> None:
    zoom = volume.GetAttribute(ATTENTION) == "zoom"
    rates = [float(rate) for rate in (volume.GetAttribute(RATES_MM) or "").split()]
    legend.SetTitleText(TITLES[volume.GetAttribute(ATTENTION)])
    legend.SetNumberOfLabels(len(rates) if 2 <= len(rates) <= MOST_LABELS else 5)
    legend.SetLabelFormat("%.0f" if zoom and all(rate.is_integer() for rate in rates) else "%.1f" if zoom else "%.2f")
    legend.SetOrientation(legend.Horizontal)
    legend.SetSize(*LEGEND_SIZE)
    legend.SetPosition(*LEGEND_PLACE)
    legend.GetLabelTextProperty().SetFontFamilyToArial()


class _ChangingLayers:
    """Around a change of a slice view's volumes: colour legends look at nothing less than a change by the user."""

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


def _lowest(volume: Any) -> float:
    display = volume.GetDisplayNode()
    return float(display.GetLevel() - display.GetWindow() / 2) + 1e-6


def _highest(volume: Any) -> float:
    display = volume.GetDisplayNode()
    return float(display.GetLevel() + display.GetWindow() / 2) - 1e-6
