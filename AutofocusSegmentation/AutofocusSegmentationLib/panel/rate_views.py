"""All rates of a layer side by side: a layout of its own, which shows the same place as the views before."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.cursor_probe import millimetres
from AutofocusSegmentationLib.scene import attention_views as views
from AutofocusSegmentationLib.scene.attention_set import AttentionSet
from AutofocusSegmentationLib.scene.layer_volumes import AttentionLayer
from AutofocusSegmentationLib.scene.slice_views import slice_nodes

LOOK_MS = 100
RESTED, MOST_LOOKS = 5, 40  # looks at which new views must be in their place to have come to rest; looks in all


class RateViews:
    """The layout, and the one that the user had before."""

    def __init__(self) -> None:
        self._before: int | None = None
        self._held: Any = None  # layout and source of views that have not come to rest
        self._looks = self._rested = 0
        self._timer = qt.QTimer()
        self._timer.setInterval(LOOK_MS)
        self._timer.connect("timeout()", self._hold)

    def enter(self, attention: AttentionSet, layer: AttentionLayer, *, opacity: float, linked: bool) -> list[Any]:
        """Show each rate in a view with its label; place and zoom are those of the first slice view before.

        Returns:
            The volumes that are shown.
        """
        volumes = layer.rate_volumes()
        labels = [_("rate {rate} ({size})").format(rate=rate, size=millimetres(size))
                  for rate, size in zip(layer.rates, layer.rates_mm, strict=True)]  # fmt: skip
        manager = slicer.app.layoutManager()
        source = None
        if manager is not None and self._before is None:
            source = next(iter(slice_nodes()), None)
        layout = views.side_by_side_layout(slicer.mrmlScene, labels[: len(volumes)] or labels)
        if manager is not None and manager.layout != layout.identifier:
            self._before = manager.layout
            manager.setLayout(layout.identifier)
        views.label_views(slicer.mrmlScene, layout, labels)
        views.show_side_by_side(
            slicer.mrmlScene, layout, volumes, background=attention.reference, opacity=opacity, linked=linked
        )
        if source is not None:
            views.same_place(slicer.mrmlScene, layout, source)
            # Again until they rest: new views get their size when they are drawn, and their sliders go to the end of
            # their range at first, which takes longer where much is to be drawn.
            self._held, self._looks, self._rested = (layout, source), 0, 0
            self._timer.start()
        return volumes

    def _hold(self) -> None:
        self._looks += 1
        if views.same_place(slicer.mrmlScene, *self._held):
            self._rested = 0
        else:
            self._rested += 1
        if self._rested >= RESTED or self._looks >= MOST_LOOKS:
            self._timer.stop()

    def leave(self) -> None:
        """Show the layout that was there before."""
        self._timer.stop()
        manager = slicer.app.layoutManager()
        if self._before is not None and manager is not None:
            manager.setLayout(self._before)
        self._before = None
