"""The maps of one run: volumes in the scene, and volumes that are made on demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.result import AttentionMap, ReachMap, Recalibration, UncertaintyMap, rates_of
from AutofocusSegmentationLib.scene.attention_nodes import (
    ATTENTION,
    LAYER,
    LEAST,
    OWNER_ROLE,
    RANGE,
    RATE,
    RATES,
    RATES_MM,
    REACH,
    REFERENCE_ROLE,
    UNCERTAINTY,
    leave_air_out,
    remove_attention,
    remove_sequence,
    volumes_of,
)
from AutofocusSegmentationLib.scene.colour_range import occurring_range
from AutofocusSegmentationLib.scene.details import put_into_details
from AutofocusSegmentationLib.scene.layer_volumes import AttentionLayer
from AutofocusSegmentationLib.scene.placing import place_beside
from AutofocusSegmentationLib.scene.recalibration import CLASS, RECALIBRATION, add_recalibration
from AutofocusSegmentationLib.scene.removing import DETAILS, remove_with_folders
from AutofocusSegmentationLib.scene.uncertainty import add_uncertainty
from AutofocusSegmentationLib.scene.volume_node import LENGTH, MILLIMETRES, add_volume, set_unit
from AutofocusSegmentationLib.scene.zoom_colours import add_zoom_colours

LEAST_WEIGHT = 1e-6  # in the patient weights are never quite 0


class AttentionSet:
    """The attention of one run, found through the segmentation that it belongs to.

    Args:
        owner: the segmentation node (or, where there is none, the volume).
        reference: the volume that was segmented.
        layers: attention by index of the layer; None: what the scene holds is all there is.
        recalibration: of a network of scale streams.
        uncertainty: how unsure the network was.
    """

    def __init__(
        self,
        owner: Any,
        reference: Any,
        layers: Mapping[int, AttentionMap] | None = None,
        recalibration: Recalibration | None = None,
        uncertainty: UncertaintyMap | None = None,
    ) -> None:
        self.owner, self.reference = owner, reference
        self._recalibration, self._uncertainty = recalibration, uncertainty
        if layers is not None:
            self.layers = [AttentionLayer(self, i, one.rates, one.rates_mm, one) for i, one in layers.items()]
        else:
            described = {
                int(node.GetAttribute(LAYER)): (
                    rates_of(node.GetAttribute(RATES)),
                    tuple(float(rate) for rate in node.GetAttribute(RATES_MM).split()),
                )
                for node in self.volumes()
                if node.GetAttribute(RATES)
            }
            self.layers = [AttentionLayer(self, index, *rates) for index, rates in described.items()]
        self.layers.sort(key=lambda layer: layer.index)

    @classmethod
    def find(cls, scene: Any, owner: Any) -> AttentionSet | None:
        """The attention that the scene holds of a segmentation; None if it holds none."""
        first = next(volumes_of(scene, owner), None)
        return None if first is None else cls(owner, first.GetNodeReference(REFERENCE_ROLE))

    @property
    def there(self) -> bool:
        """Whether owner and scan are still in a scene."""
        return all(node is not None and node.GetScene() is not None for node in (self.owner, self.reference))

    @property
    def reach(self) -> Any:
        """The volume of the reach; None where the run has none."""
        return self.node(REACH)

    @property
    def anchor(self) -> Any:
        """A volume of the run, by whose grid voxels are found; None where there is none."""
        return self.reach or next((layer.zoom for layer in self.layers), None)

    def layer(self, index: int) -> AttentionLayer:
        """The autofocus layer of this index, from 0.

        Raises:
            KeyError: there is none.
        """
        return {layer.index: layer for layer in self.layers}[index]

    def zoom(self, layer: int) -> Any:
        """The volume of effective dilations of a layer."""
        return self.layer(layer).zoom

    def rates(self, layer: int) -> list[Any]:
        """The volumes of the single rates of a layer."""
        return self.layer(layer).rate_volumes()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes whose recalibration can be shown, background first."""
        if self._recalibration is not None:
            return self._recalibration.classes
        return tuple(node.GetAttribute(CLASS) for node in self._of(RECALIBRATION))

    def recalibration(self) -> list[Any]:
        """The volumes of the classes, background first; none where the network has no recalibration."""
        if self._recalibration is not None and not self._of(RECALIBRATION):

            def describe(node: Any) -> None:
                self._describe(node, RECALIBRATION)

            add_recalibration(self.reference.GetScene(), self._recalibration, describe)
        return self._of(RECALIBRATION)

    @property
    def looked(self) -> bool:
        """Whether something is known of how far the network looked; else there is a map of uncertainty alone."""
        return bool(self.layers) or self.reach is not None

    @property
    def has_uncertainty(self) -> bool:
        """Whether there is a map of uncertainty, or one can be made."""
        return self._uncertainty is not None or self.node(UNCERTAINTY) is not None

    @property
    def uncertainty(self) -> Any:
        """The volume of the uncertainty; None where it is not there and cannot be made."""
        found = self.node(UNCERTAINTY)
        return add_uncertainty(self, self._uncertainty) if found is None and self._uncertainty is not None else found

    def make_all(self) -> list[Any]:
        """Make every volume, so that all of them are saved with the scene."""
        for layer in self.layers:
            _ = layer.zoom
            layer.rate_volumes()
        self.recalibration()
        _ = self.uncertainty
        return self.volumes()

    def volumes(self) -> list[Any]:
        """All attention volumes in the scene, of every layer and kind."""
        scene = None if self.owner is None else self.owner.GetScene()
        return [] if scene is None else list(volumes_of(scene, self.owner))

    def holds(self, node: Any) -> bool:
        """Whether a node, which may just have left the scene, is one of the volumes."""
        return bool(node.GetAttribute(ATTENTION)) and node.GetNodeReferenceID(OWNER_ROLE) == self.owner.GetID()

    def remove(self) -> None:
        """Remove all volumes, the sequence over them, and their folder if it is empty then, from the scene."""
        if self.owner.GetScene() is not None:
            remove_sequence(self.owner.GetScene(), self.owner)
        remove_with_folders(self.volumes(), DETAILS)
        self.layers = []

    def node(self, kind: str, layer: int | None = None, rate: float | None = None) -> Any:
        """The volume of a kind that is in the scene, or None."""
        for node in self._of(kind):
            here = layer is None or node.GetAttribute(LAYER) == str(layer)
            if here and (rate is None or node.GetAttribute(RATE) == str(rate)):
                return node
        return None

    def add(
        self,
        name: str,
        kind: str,
        values: NDArray[np.float32],
        place: AttentionMap | ReachMap | UncertaintyMap,
        *,
        layer: AttentionLayer | None = None,
        window: tuple[float, float] | None = None,
    ) -> Any:
        """Put a map into the scene; its colours run over the values in the patient, or over `window`."""
        low, high = window or occurring_range(values, air_is_zero=place.patient is not None)
        title = f"{name}: {self.owner.GetName()}"
        scene = self.reference.GetScene()
        node = add_volume(scene, title, values, place.grid.index_to_lps, window=(low, high))
        node.SetAttribute(RANGE, f"{low!r} {high!r}")
        if layer is not None:
            node.SetAttribute(LAYER, str(layer.index))
            node.SetAttribute(RATES, " ".join(map(str, layer.rates)))
            node.SetAttribute(RATES_MM, " ".join(repr(float(rate)) for rate in layer.rates_mm))
        self._describe(node, kind)
        if place.patient is not None and (values > 0).any():
            node.SetAttribute(LEAST, repr(max(float(values[values > 0].min()), LEAST_WEIGHT)))
            leave_air_out(node)
        return node

    def _describe(self, node: Any, kind: str) -> None:
        node.SetAttribute(ATTENTION, kind)
        node.SetNodeReferenceID(REFERENCE_ROLE, self.reference.GetID())
        node.SetNodeReferenceID(OWNER_ROLE, self.owner.GetID())
        place_beside(node, self.reference)
        put_into_details(node, self.owner)

    def _of(self, kind: str) -> list[Any]:
        return [node for node in self.volumes() if node.GetAttribute(ATTENTION) == kind]


def add_attention(
    reference: Any,
    layers: Mapping[int, AttentionMap],
    *,
    segmentation: Any = None,
    reach: ReachMap | None = None,
    recalibration: Recalibration | None = None,
    uncertainty: UncertaintyMap | None = None,
    everything: bool = False,
) -> AttentionSet:
    """Bind the attention of a run to its segmentation, in place of that of an earlier run.

    Args:
        reference: the volume that was segmented.
        layers: attention by index of the layer; their arrays are kept, not copied.
        segmentation: the node of the result; None: the attention is bound to the volume itself.
        reach: how far the network looked; its volume is made at once.
        recalibration: of a network of scale streams.
        uncertainty: how unsure the network was; its volume is made when it is first asked for.
        everything: make all volumes at once. Otherwise they are made when they are first asked for; only what has been
            made is saved with the scene.
    """
    owner = segmentation or reference
    remove_attention(owner)
    found = AttentionSet(owner, reference, layers, recalibration, uncertainty)
    if reach is not None:
        node = found.add("Reach in mm", REACH, reach.values, reach)
        set_unit(node, MILLIMETRES, quantity=LENGTH)
        node.GetDisplayNode().SetAndObserveColorNodeID(add_zoom_colours(node.GetScene()).GetID())
    if everything:
        found.make_all()
    elif reach is None:
        _ = found.anchor  # at least one volume, by which the run is found again
    return found
