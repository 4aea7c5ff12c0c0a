"""Sequences: every frame of a volume that changes in time, and a segmentation that the same browser plays with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import ArrayLike, NDArray

from AutofocusSegmentationLib.scene.geometry import VolumeSnapshot, snapshot
from AutofocusSegmentationLib.scene.placing import place_beside
from AutofocusSegmentationLib.scene.segmentation_node import fill_segmentation, show_segments


@dataclass(frozen=True)
class Frames:
    """The frames of a volume that a sequence browser plays.

    Attributes:
        browser: the vtkMRMLSequenceBrowserNode.
        sequence: the vtkMRMLSequenceNode that holds the frames.
        volume: the volume node that shows the chosen one.
    """

    browser: Any
    sequence: Any
    volume: Any

    def __len__(self) -> int:
        """How many there are."""
        return int(self.sequence.GetNumberOfDataNodes())

    def __iter__(self) -> Iterator[VolumeSnapshot]:
        """A snapshot of each, in their order."""
        return (self.snapshot(number) for number in range(len(self)))

    def snapshot(self, number: int) -> VolumeSnapshot:
        """The frame of a number from 0, in the volume's local coordinates; the browser does not move.

        Raises:
            InputError: the frame cannot be segmented.
        """
        return snapshot(self.sequence.GetNthDataNode(number))

    @property
    def chosen(self) -> int:
        """The number of the frame that is shown; 0 where the browser has not chosen one yet."""
        return max(0, min(int(self.browser.GetSelectedItemNumber()), len(self) - 1))


def frames_of(volume: Any) -> Frames | None:
    """The frames that a volume node is one of; None if it stands alone."""
    scene = volume.GetScene()
    nodes = scene.GetNodesByClass("vtkMRMLSequenceBrowserNode")
    for index in range(nodes.GetNumberOfItems()):
        browser = nodes.GetItemAsObject(index)
        sequence = browser.GetSequenceNode(volume)
        if sequence is not None and sequence.GetNumberOfDataNodes() > 1:
            return Frames(browser, sequence, volume)
    return None


def segmentation_frames(segmentation: Any) -> list[Any]:
    """The segmentation of every frame, where a browser plays this one; else the segmentation alone."""
    scene = segmentation.GetScene()
    nodes = scene.GetNodesByClass("vtkMRMLSequenceBrowserNode") if scene is not None else None
    for index in range(nodes.GetNumberOfItems() if nodes is not None else 0):
        sequence = nodes.GetItemAsObject(index).GetSequenceNode(segmentation)
        if sequence is not None:
            return [sequence.GetNthDataNode(number) for number in range(sequence.GetNumberOfDataNodes())]
    return [segmentation]


class SegmentationFrames:
    """Collects the labelmaps of frames as they come into one segmentation that the browser plays.

    Args:
        frames: of the volume that is segmented.
        structures: what the label values mean, as for `add_segmentation`.
        name: of a new segmentation.
        replace: the segmentation node to reuse, with its frames if it has any; None makes one.
    """

    def __init__(
        self, frames: Frames, structures: Sequence[Mapping[str, Any]], *, name: str, replace: Any = None
    ) -> None:
        self._frames = frames
        self._structures = structures
        scene = frames.volume.GetScene()
        known = None if replace is None else frames.browser.GetSequenceNode(replace)
        if known is not None:
            self.node, self.sequence = replace, known
            return
        source = frames.sequence
        self.sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", f"{name} frames")
        self.sequence.SetIndexName(source.GetIndexName())
        self.sequence.SetIndexUnit(source.GetIndexUnit())
        self.sequence.SetIndexType(source.GetIndexType())
        self.node = replace or scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        self.node.CreateDefaultDisplayNodes()
        if replace is None:
            show_segments(self.node)
        self.node.SetNodeReferenceID(self.node.GetReferenceImageGeometryReferenceRole(), frames.volume.GetID())
        place_beside(self.node, frames.volume)
        frames.browser.AddSynchronizedSequenceNode(self.sequence)
        frames.browser.AddProxyNode(self.node, self.sequence, False)
        frames.browser.SetSaveChanges(self.sequence, True)  # so that corrections of a frame stay

    def add(self, number: int, labels: NDArray[np.uint8], index_to_lps: ArrayLike) -> None:
        """Put the labelmap of a frame, from 0, into the sequence; one that is there already is replaced.

        Args:
            number: of the frame.
            labels: (z, y, x); kept, not copied.
            index_to_lps: 4 × 4, from (i, j, k, 1) to mm, LPS, in the volume's local coordinates.
        """
        frame = self._frames.sequence.GetNthDataNode(number)
        value = self._frames.sequence.GetNthIndexValue(number)
        data = self.sequence.SetDataNodeAtValue(slicer.vtkMRMLSegmentationNode(), value)
        data.SetName(self.node.GetName())
        fill_segmentation(data, labels, index_to_lps, self._structures)
        data.SetReferenceImageGeometryParameterFromVolumeNode(frame)
        data.SetNodeReferenceID(data.GetReferenceImageGeometryReferenceRole(), None)  # the frame is not in the scene
        shown = number == self._frames.chosen
        if shown and self.node.GetSegmentation() is not data.GetSegmentation():  # the application may have done it
            self.node.CopyContent(data, False)
