"""Tells the panel of nodes that come into the scene and of those that leave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk


class NodesWatch:
    """Observes the scene of the application.

    Args:
        on_added, on_removed: take the node; one that has just been added may have neither name nor image yet.
    """

    def __init__(self, on_added: Callable[[Any], None], on_removed: Callable[[Any], None]) -> None:
        scene = slicer.mrmlScene
        self._observed = [
            (scene, self._observe(scene, scene.NodeAddedEvent, on_added)),
            (scene, self._observe(scene, scene.NodeRemovedEvent, on_removed)),
        ]

    def stop(self) -> None:
        """The panel goes."""
        for scene, tag in self._observed:
            scene.RemoveObserver(tag)
        self._observed = []

    def _observe(self, scene: Any, event: Any, call: Callable[[Any], None]) -> int:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def heard(source: Any, name: Any, node: Any) -> None:
            call(node)

        return int(scene.AddObserver(event, heard))
