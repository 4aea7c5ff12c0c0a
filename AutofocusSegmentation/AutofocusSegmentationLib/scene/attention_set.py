"""The maps of one run: volumes in the scene, and volumes that are made on demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from AutofocusCore.result import AttentionMap, ReachMap, Recalibration, UncertaintyMap, rates_of
from AutofocusSegmentationLib.scene.attention_nodes import (
    LAYER,
    RATES,
    RATES_MM,
    REACH,
    REFERENCE_ROLE,
    UNCERTAINTY,
    remove_attention,
    remove_sequence,
    volumes_of,
)
from AutofocusSegmentationLib.scene.layer_volumes import AttentionLayer
from AutofocusSegmentationLib.scene.map_volumes import MapVolumes
from AutofocusSegmentationLib.scene.recalibration import CLASS, RECALIBRATION, add_recalibration
from AutofocusSegmentationLib.scene.removing import DETAILS, remove_with_folders
from AutofocusSegmentationLib.scene.uncertainty import add_uncertainty
from AutofocusSegmentationLib.scene.volume_node import LENGTH, MILLIMETRES, set_unit
from AutofocusSegmentationLib.scene.zoom_colours import add_zoom_colours


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
        self._maps = MapVolumes(owner, reference)
        self._recalibration, self._uncertainty = recalibration, uncertainty
        if layers is not None:
            self.layers = [AttentionLayer(self._maps, i, one.rates, one.rates_mm, one) for i, one in layers.items()]
        else:
            described = {
                int(node.GetAttribute(LAYER)): (
                    rates_of(node.GetAttribute(RATES)),
                    tuple(float(rate) for rate in node.GetAttribute(RATES_MM).split()),
                )
                for node in self.volumes()
                if node.GetAttribute(RATES)
            }
            self.layers = [AttentionLayer(self._maps, index, *rates) for index, rates in described.items()]
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
        return self._maps.find(REACH)

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
        return tuple(node.GetAttribute(CLASS) for node in self._maps.of_kind(RECALIBRATION))

    def recalibration(self) -> list[Any]:
        """The volumes of the classes, background first; none where the network has no recalibration."""
        if self._recalibration is not None and not self._maps.of_kind(RECALIBRATION):

            def describe(node: Any) -> None:
                self._maps.describe(node, RECALIBRATION)

            add_recalibration(self.reference.GetScene(), self._recalibration, describe)
        return self._maps.of_kind(RECALIBRATION)

    @property
    def looked(self) -> bool:
        """Whether something is known of how far the network looked; else there is a map of uncertainty alone."""
        return bool(self.layers) or self.reach is not None

    @property
    def has_uncertainty(self) -> bool:
        """Whether there is a map of uncertainty, or one can be made."""
        return self._uncertainty is not None or self._maps.find(UNCERTAINTY) is not None

    @property
    def uncertainty(self) -> Any:
        """The volume of the uncertainty; None where it is not there and cannot be made."""
        found = self._maps.find(UNCERTAINTY)
        return (
            add_uncertainty(self._maps, self._uncertainty) if found is None and self._uncertainty is not None else found
        )

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
        return self._maps.all()

    def holds(self, node: Any) -> bool:
        """Whether a node, which may just have left the scene, is one of the volumes."""
        return self._maps.holds(node)

    def remove(self) -> None:
        """Remove all volumes, the sequence over them, and their folder if it is empty then, from the scene."""
        if self.owner.GetScene() is not None:
            remove_sequence(self.owner.GetScene(), self.owner)
        remove_with_folders(self.volumes(), DETAILS)
        self.layers = []


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
        node = MapVolumes(owner, reference).add("Reach in mm", REACH, reach.values, reach)
        set_unit(node, MILLIMETRES, quantity=LENGTH)
        node.GetDisplayNode().SetAndObserveColorNodeID(add_zoom_colours(node.GetScene()).GetID())
    if everything:
        found.make_all()
    elif reach is None:
        _ = found.anchor  # at least one volume, by which the run is found again
    return found
