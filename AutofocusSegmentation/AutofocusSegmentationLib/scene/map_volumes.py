"""The volume nodes of one run's maps: each is found, and put into the scene, through the segmentation it belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.result import AttentionMap, ReachMap, UncertaintyMap
from AutofocusSegmentationLib.scene.attention_nodes import (
    ATTENTION,
    LAYER,
    LEAST,
    OWNER_ROLE,
    RANGE,
    RATE,
    REACH,
    REFERENCE_ROLE,
    ZOOM,
    leave_air_out,
    volumes_of,
)
from AutofocusSegmentationLib.scene.colour_range import occurring_range
from AutofocusSegmentationLib.scene.details import put_into_details
from AutofocusSegmentationLib.scene.placing import place_beside
from AutofocusSegmentationLib.scene.volume_node import add_volume

LEAST_WEIGHT = 1e-6  # in the patient weights are never quite 0
AIR = -10.0  # value of a length in the air next to the patient, as a multiple of where the colours end


class MapVolumes:
    """The map volumes in the scene that belong to one segmentation.

    Args:
        owner: the segmentation node (or, where there is none, the volume).
        reference: the volume that was segmented.
    """

    def __init__(self, owner: Any, reference: Any) -> None:
        self.owner, self.reference = owner, reference

    def all(self) -> list[Any]:
        """Every one that is there."""
        scene = None if self.owner is None else self.owner.GetScene()
        return [] if scene is None else list(volumes_of(scene, self.owner))

    def of_kind(self, kind: str) -> list[Any]:
        """Those of one kind."""
        return [node for node in self.all() if node.GetAttribute(ATTENTION) == kind]

    def find(self, kind: str, layer: int | None = None, rate: float | None = None) -> Any:
        """The first one of a kind, of a layer and a rate where these are given; None where there is none."""
        for node in self.of_kind(kind):
            here = layer is None or node.GetAttribute(LAYER) == str(layer)
            if here and (rate is None or node.GetAttribute(RATE) == str(rate)):
                return node
        return None

    def holds(self, node: Any) -> bool:
        """Whether a node, which may just have left the scene, is one of them."""
        return bool(node.GetAttribute(ATTENTION)) and node.GetNodeReferenceID(OWNER_ROLE) == self.owner.GetID()

    def add(
        self,
        name: str,
        kind: str,
        values: NDArray[np.float32],
        place: AttentionMap | ReachMap | UncertaintyMap,
        *,
        window: tuple[float, float] | None = None,
    ) -> Any:
        """Put a map into the scene; its colours run over the values in the patient, or over `window`."""
        low, high = window or occurring_range(values, air_is_zero=place.patient is not None)
        if kind in (REACH, ZOOM) and place.patient is not None:
            # Interpolated from 0, lengths would pass through "near" at the skin, and the patient have a rim of blue.
            values = np.where(beside(values > 0), np.float32(AIR * high), values)
        title = f"{name}: {self.owner.GetName()}"
        node = add_volume(self.reference.GetScene(), title, values, place.grid.index_to_lps, window=(low, high))
        node.SetAttribute(RANGE, f"{low!r} {high!r}")
        self.describe(node, kind)
        if place.patient is not None and (values > 0).any():
            node.SetAttribute(LEAST, repr(max(float(values[values > 0].min()), LEAST_WEIGHT)))
            leave_air_out(node)
        return node

    def describe(self, node: Any, kind: str) -> None:
        """Say in a node's attributes and references what it is and where it belongs, and put it there."""
        node.SetAttribute(ATTENTION, kind)
        node.SetNodeReferenceID(REFERENCE_ROLE, self.reference.GetID())
        node.SetNodeReferenceID(OWNER_ROLE, self.owner.GetID())
        place_beside(node, self.reference)
        put_into_details(node, self.owner)


def beside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels outside a mask (D, H, W) that touch it, be it at a corner."""
    grown = mask
    for axis in range(mask.ndim):
        padded = np.pad(grown, [(1, 1) if other == axis else (0, 0) for other in range(mask.ndim)])
        lines, extent = np.moveaxis(padded, axis, 0), mask.shape[axis]
        grown = np.moveaxis(lines[:extent] | lines[1 : extent + 1] | lines[2:], 0, axis)
    return grown & ~mask
