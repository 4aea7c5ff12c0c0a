"""What the network did where the cursor is: the weights as bars, the effective field as a circle of true size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.chart import draw_chart
from AutofocusSegmentationLib.scene.probe import FieldMarker, Probe, weights_at
from AutofocusSegmentationLib.scene.zoom_colours import zoom_colour

OUTSIDE = _("Move the mouse over the scan to see the weights there.")


def millimetres(value: float) -> str:
    """A length in words: "6 mm", "2.5 mm"."""
    return f"{round(value, 1):g} mm"


def show_probe(label: Any, found: Probe | None) -> None:
    """Draw a probe's weights on a QLabel; None: a hint in words."""
    if found is None or not found.inside:
        label.setText(OUTSIDE)
        return
    low, high = min(found.rates_mm), max(found.rates_mm)
    colours = [zoom_colour((rate - low) / (high - low) if high > low else 0.5) for rate in found.rates_mm]
    caption = _("effective dilation {value:.1f} mm").format(value=found.effective_mm)
    titles = [millimetres(rate) for rate in found.rates_mm]
    label.setPixmap(draw_chart([float(w) for w in found.weights], titles, colours, caption, label.width))


class CursorProbe:
    """Follows the mouse over the slice views.

    Args:
        label: the QLabel to draw on.
        layer: gives the layer that is looked at, or None.
    """

    def __init__(self, label: Any, layer: Callable[[], Any]) -> None:
        self._label = label
        self._layer = layer
        self._crosshair: Any = None
        self._tag: int | None = None
        self._marker: FieldMarker | None = None
        show_probe(label, None)

    def start(self) -> None:
        """Begin to follow."""
        self.stop()
        self._crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if self._crosshair is not None:
            event = slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
            self._tag = self._crosshair.AddObserver(event, self._moved)

    def stop(self) -> None:
        """Follow no longer; the circle goes."""
        if self._crosshair is not None and self._tag is not None:
            self._crosshair.RemoveObserver(self._tag)
        self._crosshair = self._tag = None
        if self._marker is not None:
            self._marker.remove()
            self._marker = None
        show_probe(self._label, None)

    def look_at(self, point: tuple[float, float, float]) -> Probe | None:
        """Show what the network did at a point, (x, y, z) in mm, RAS, of the world."""
        layer = self._layer()
        found = weights_at(layer, point) if layer is not None else None
        show_probe(self._label, found)
        if found is None or not found.inside:
            if self._marker is not None:
                self._marker.remove()
                self._marker = None
            return found
        if self._marker is None:
            self._marker = FieldMarker(slicer.mrmlScene)
        self._marker.update(point, found.effective_mm)
        return found

    def _moved(self, caller: Any, event: Any) -> None:
        point = [0.0, 0.0, 0.0]
        if self._crosshair.GetCursorPositionRAS(point):
            self.look_at((point[0], point[1], point[2]))
