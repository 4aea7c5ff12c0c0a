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

REST_MS = 250


class RateViews:
    """The layout, and the one that the user had before."""

    def __init__(self) -> None:
        self._before: int | None = None

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
            # Once more when the views have got their size, which is not before they have been drawn, and when the
            # sliders of new views, which go to the end of their range at first, have come to rest.
            for pause in (0, REST_MS):
                qt.QTimer.singleShot(pause, lambda: self._same_place(layout, source))
        return volumes

    def _same_place(self, layout: views.Layout, source: Any) -> None:
        if self._before is not None:  # otherwise the user has gone back meanwhile
            views.same_place(slicer.mrmlScene, layout, source)

    def leave(self) -> None:
        """Show the layout that was there before."""
        manager = slicer.app.layoutManager()
        if self._before is not None and manager is not None:
            manager.setLayout(self._before)
        self._before = None
