"""Tells the panel of nodes that come into the scene and of those that leave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from AutofocusSegmentationLib.panel.observers import Observers


class NodesWatch:
    """Observes the scene of the application.

    Args:
        on_added, on_removed: take the node; one that has just been added may have neither name nor image yet.
    """

    def __init__(self, on_added: Callable[[Any], None], on_removed: Callable[[Any], None]) -> None:
        scene, self._observers = slicer.mrmlScene, Observers()
        self._observers.add(scene, scene.NodeAddedEvent, _with_node(on_added))
        self._observers.add(scene, scene.NodeRemovedEvent, _with_node(on_removed))

    def stop(self) -> None:
        """The panel goes."""
        self._observers.stop()


def _with_node(call: Callable[[Any], None]) -> Callable[..., None]:
    @vtk.calldata_type(vtk.VTK_OBJECT)
    def heard(source: Any, name: Any, node: Any) -> None:
        call(node)

    return heard
