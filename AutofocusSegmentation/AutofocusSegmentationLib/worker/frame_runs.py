"""Every frame of a sequence, one run after the other; the scene changes when all are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from AutofocusSegmentationLib.scene.frames import Frames, SegmentationFrames, frames_of
from AutofocusSegmentationLib.scene.geometry import VolumeSnapshot, snapshot

if TYPE_CHECKING:
    from AutofocusCore.result import SegmentationResult


@dataclass
class FrameRuns:
    """The frames of one run: those still to do, and the results so far.

    Args:
        channels: the volume nodes, in the model's order; the first one is the reference.
        frames: of each channel, None for one that does not change in time.
        number: of the frame that is being segmented, from 0.
    """

    channels: Sequence[Any]
    frames: Sequence[Frames | None]
    number: int = 0
    _results: dict[int, SegmentationResult] = field(default_factory=dict)

    @classmethod
    def of(cls, channels: Sequence[Any]) -> FrameRuns | None:
        """For volume nodes of which the first is a frame of a sequence; None if it is not."""
        frames = [frames_of(node) for node in channels]
        return None if frames[0] is None else cls(channels, frames)

    @property
    def reference(self) -> Frames:
        """The frames of the first channel."""
        assert self.frames[0] is not None
        return self.frames[0]

    def images(self) -> list[VolumeSnapshot]:
        """Each channel at the present frame; one that does not change, or has fewer frames, as it is now.

        Raises:
            InputError: a frame cannot be segmented.
        """
        images = []
        for node, frames in zip(self.channels, self.frames, strict=True):
            if frames is not None and self.number < len(frames):
                images.append(frames.snapshot(self.number))
            else:
                images.append(snapshot(node, None if node is self.channels[0] else self.channels[0]))
        return images

    @property
    def shows(self) -> bool:
        """Whether the present frame is the one that the views show, whose attention is wanted."""
        return self.number == self.reference.chosen

    def take(self, result: SegmentationResult) -> bool:
        """Keep the present frame's result and go on to the next; False if that was the last."""
        self._results[self.number] = result
        self.number += 1
        return self.number < len(self.reference)

    def shown_result(self) -> SegmentationResult:
        """The result of the frame that the views show."""
        return self._results[self.reference.chosen]

    def into_scene(self, name: str, *, replace: Any = None) -> Any:
        """One segmentation node for all frames, which the sequence's browser plays; `replace`: the node to reuse."""
        structures = [structure.to_dict() for structure in self.shown_result().structures]
        collected = SegmentationFrames(self.reference, structures, name=name, replace=replace)
        for number, result in self._results.items():
            collected.add(number, result.label_array, result.grid.index_to_lps)
        return collected.node
