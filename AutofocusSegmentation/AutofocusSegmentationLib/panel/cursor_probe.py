"""The network's attention at the cursor: the weights as bars, the reach as a circle of true size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.chart import draw_chart
from AutofocusSegmentationLib.scene.outlines import drawn_colours, unlike
from AutofocusSegmentationLib.scene.probe import OUTSIDE, DistanceMarker, Probe, probe_at
from AutofocusSegmentationLib.scene.zoom_colours import BETWEEN, ZOOMED_IN, ZOOMED_OUT, rate_colour


def millimetres(value: float) -> str:
    """A length in words: "6 mm", "2.5 mm"."""
    return f"{round(value, 1):g} mm"


def show_probe(label: Any, found: Probe | None) -> None:
    """Draw a probe's weights on a QLabel; None: a hint in words."""
    if found is None or not found.inside:
        label.setText(_("Move the mouse over the patient to see how far the network looked there."))
        return
    caption = _("looked {value:.0f} mm far here") if found.all_layers else _("effective dilation {value:.1f} mm")
    caption = caption.format(value=found.distance_mm)
    if not found.rates:
        label.setText(caption)
        return
    low, high = min(found.rates_mm), max(found.rates_mm)
    colours = [rate_colour((rate - low) / (high - low) if high > low else 0.5) for rate in found.rates_mm]
    titles = [millimetres(rate) for rate in found.rates_mm]
    ratio = float(label.devicePixelRatioF()) if hasattr(label, "devicePixelRatioF") else 1.0
    label.setPixmap(draw_chart([float(w) for w in found.weights], titles, colours, caption, label.width, ratio))


class CursorProbe:
    """Shows the attention at the mouse in the slice views; hidden outside the views and the patient.

    Args:
        label: the QLabel to draw on.
        subject: gives the attention that is looked at and its layer (None: all layers), or None.
    """

    def __init__(self, label: Any, subject: Callable[[], tuple[Any, Any] | None]) -> None:
        self._label = label
        self._subject = subject
        self._crosshair: Any = None
        self._tag: int | None = None
        self._marker: DistanceMarker | None = None
        show_probe(label, None)

    @property
    def circle(self) -> Any:
        """The node of the circle, while there is one."""
        return None if self._marker is None else self._marker.node

    def start(self) -> None:
        """Start following the mouse."""
        if self._crosshair is not None:
            return
        self._crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if self._crosshair is not None:
            event = slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
            self._tag = self._crosshair.AddObserver(event, self._moved)

    def stop(self) -> None:
        """Stop following the mouse, and remove the circle."""
        if self._crosshair is not None and self._tag is not None:
            self._crosshair.RemoveObserver(self._tag)
        self._crosshair = self._tag = None
        self._leave()

    def look_at(self, point: tuple[float, float, float]) -> Probe:
        """Show the attention at a point, (x, y, z) in mm, RAS, in world coordinates."""
        subject = self._subject()
        found = OUTSIDE if subject is None else probe_at(*subject, point)
        if subject is None or not found.inside:
            self._leave()
            return found
        show_probe(self._label, found)
        if self._marker is None:
            drawn = list(drawn_colours(subject[0].owner).values()) if subject[0].owner.IsA(SEGMENTATION) else []
            self._marker = DistanceMarker(slicer.mrmlScene, unlike([*drawn, ZOOMED_IN, BETWEEN, ZOOMED_OUT]))
        self._marker.update(point, found.distance_mm)
        return found

    def _leave(self) -> None:
        if self._marker is not None:
            self._marker.remove()
            self._marker = None
        show_probe(self._label, None)

    def _moved(self, caller: Any, event: Any) -> None:
        point = [0.0, 0.0, 0.0]
        if self._crosshair.GetCursorPositionRAS(point):
            self.look_at((point[0], point[1], point[2]))
        else:
            self._leave()


SEGMENTATION = "vtkMRMLSegmentationNode"
