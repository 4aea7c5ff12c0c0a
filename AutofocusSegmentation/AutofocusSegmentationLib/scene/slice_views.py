"""The slice views that the application shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer


def composite_nodes() -> list[Any]:
    """What says, for each slice view of the present layout, which volumes it shows.

    Without a main window there is no layout; then it is all that the scene holds.
    """
    manager = slicer.app.layoutManager()
    if manager is not None:
        return [manager.sliceWidget(name).mrmlSliceCompositeNode() for name in manager.sliceViewNames()]
    nodes = slicer.mrmlScene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]


def fit_slices(names: Sequence[str]) -> None:
    """Show the whole scan in these views, once they have got their size."""

    def fit() -> None:
        manager = slicer.app.layoutManager()
        for name in names if manager is not None else ():
            widget = manager.sliceWidget(name)
            if widget is not None:
                widget.sliceLogic().FitSliceToBackground()

    qt.QTimer.singleShot(0, fit)
