"""What the slice views show behind everything else, and a call when that, or the size of a view, changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

from AutofocusSegmentationLib.scene.slice_views import COMPOSITE, SLICE, composite_nodes, slice_node_of


def shown_volume() -> Any:
    """The background of the first slice view that has one; None where no view shows a volume."""
    for composite in composite_nodes():
        node = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
        if node is not None:
            return node
    return None


class ViewsWatch:
    """Calls back once, some moments after the volumes in slice views, or the views' sizes, have changed.

    Args:
        on_change: what to call.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._observed: dict[Any, int] = {}
        self._state: Any = None
        self._on_change = on_change
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._look)
        for kind in (COMPOSITE, SLICE):
            nodes = slicer.mrmlScene.GetNodesByClass(kind)
            for index in range(nodes.GetNumberOfItems()):
                self.add(nodes.GetItemAsObject(index))

    def add(self, node: Any) -> None:
        """A slice view has come."""
        if (node.IsA(COMPOSITE) or node.IsA(SLICE)) and node not in self._observed:
            self._observed[node] = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._timer.start())

    def stop(self) -> None:
        """Look no longer."""
        self._timer.stop()
        for node, tag in self._observed.items():
            node.RemoveObserver(tag)
        self._observed = {}

    def _look(self) -> None:
        state = [(composite.GetBackgroundVolumeID(), _size_of(composite)) for composite in composite_nodes()]
        if state != self._state:
            self._state = state
            self._on_change()


def _size_of(composite: Any) -> Any:
    """Width and height of a view in pixels; None where nobody knows it."""
    view = slice_node_of(composite)
    return None if view is None else view.GetDimensions()[:2]
