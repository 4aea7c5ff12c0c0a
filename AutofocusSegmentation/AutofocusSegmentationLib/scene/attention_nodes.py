"""The attention of a run in the scene: scalar volumes, in a folder beside the segmentation.

    Attention                          folder in the subject hierarchy, in the volume's study
      Effective dilation, layer 1      mm: Σₖ Λᵏ rₖ, small where the network zoomed in, large where it zoomed out
      Attention, layer 1, rate 2       0 to 1: the weight Λᵏ of one dilation rate
      …

Each volume lies on the model's own grid, under the parent transform of the volume that was segmented, and says in
attributes what it is, so that all is found again in a scene that was saved and opened:

    AutofocusSegmentation.Attention   "zoom", "rate", or "sequence" for what plays over the layers
    AutofocusSegmentation.Layer       index of the autofocus layer, from 0
    AutofocusSegmentation.Rate        of a "rate": the dilation rate in voxels
    AutofocusSegmentation.Set         number of the run among those of the volume
    AutofocusSegmentation.Rates       of a "zoom": all rates of the layer, in voxels
    AutofocusSegmentation.RatesMm     of a "zoom": the same in mm
    AutofocusSegmentation.AirIsZero   "1" where the volume is 0 in the air around the patient, and the air is not shown

and which volume it belongs to by a node reference. Array axes are (z, y, x).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from AutofocusSegmentationLib.scene.attention_layer import Layer, Recalibration, effective_dilation, rates_of
from AutofocusSegmentationLib.scene.placing import hierarchy_of, parent_item, place_beside
from AutofocusSegmentationLib.scene.recalibration import RECALIBRATION, add_recalibration
from AutofocusSegmentationLib.scene.removing import remove_with_folders
from AutofocusSegmentationLib.scene.volume_node import LENGTH, MILLIMETRES, NO_UNIT, add_volume, set_unit
from AutofocusSegmentationLib.scene.zoom_colours import add_zoom_colours, weight_colours

ATTENTION, LAYER, RATE, SET = (f"AutofocusSegmentation.{name}" for name in ("Attention", "Layer", "Rate", "Set"))
RATES, RATES_MM = "AutofocusSegmentation.Rates", "AutofocusSegmentation.RatesMm"
AIR_IS_ZERO = "AutofocusSegmentation.AirIsZero"
REFERENCE_ROLE = "AutofocusReference"
FOLDER_NAME = "Attention"
HIDDEN_VALUES = 1e6  # above every value of attention
LEAST_WEIGHT = 1e-6

__all__ = ["AttentionLayer", "AttentionSet", "Layer", "add_attention", "effective_dilation", "is_attention"]


class AttentionLayer:
    """The volume nodes of one autofocus layer.

    Args:
        zoom: the volume of effective dilations.
        made_from: the layer that came from the worker, from which volumes of single rates are made when first asked
            for; None: those in the scene are all there are.
    """

    def __init__(self, zoom: Any, made_from: Layer | None = None) -> None:
        self.zoom = zoom
        self.index = int(zoom.GetAttribute(LAYER))  # which autofocus layer, from 0
        self.rates = rates_of(zoom.GetAttribute(RATES))  # in voxels
        self.rates_mm = tuple(float(rate) for rate in zoom.GetAttribute(RATES_MM).split())
        self._made_from = made_from
        self._volumes: dict[float, Any] = {}

    def rate_volumes(self) -> list[Any]:
        """The volumes of the single rates, in the order of `rates`; those that are not there are made.

        In a scene that was opened, what is not there is left out.
        """
        while self.make_next():
            pass
        return [self._volumes[rate] for rate in self.rates if rate in self._volumes]

    def make_next(self) -> bool:
        """Make one volume that is not there; False if none is missing or nothing is known to make it from."""
        if self.zoom.GetScene() is None:
            self._volumes = {}
            return False
        self._look_for_volumes()
        missing = [k for k, rate in enumerate(self.rates) if rate not in self._volumes]
        if self._made_from is None or not missing:
            return False
        self._volumes[self.rates[missing[0]]] = self._make_rate(self._made_from, missing[0])
        return True

    def weights(self, i: int, j: int, k: int) -> NDArray[np.float32] | None:
        """The weights of the rates in a voxel that is in the grid; None if a volume of them is missing."""
        if self._made_from is not None:
            return self._made_from.weights[:, k, j, i]
        self._look_for_volumes()
        if len(self._volumes) < len(self.rates):
            return None
        images = [self._volumes[rate].GetImageData() for rate in self.rates]
        return np.array([image.GetScalarComponentAsFloat(i, j, k, 0) for image in images], np.float32)

    def _look_for_volumes(self) -> None:
        """Fill `_volumes`; quick while all of them are there."""
        self._volumes = {rate: node for rate, node in self._volumes.items() if node.GetScene() is not None}
        if len(self._volumes) < len(self.rates) and self.zoom.GetScene() is not None:
            reference = self.zoom.GetNodeReference(REFERENCE_ROLE)
            for node in _volumes(self.zoom.GetScene(), reference, "rate", self.zoom.GetAttribute(SET)):
                if node.GetAttribute(LAYER) == str(self.index):
                    self._volumes[rates_of(node.GetAttribute(RATE))[0]] = node

    def _make_rate(self, layer: Layer, k: int) -> Any:
        scene = self.zoom.GetScene()
        name = f"Attention, layer {layer.index + 1}, rate {layer.rates[k]}"
        weights = layer.weights[k]
        if layer.air_is_zero:
            weights = np.where(layer.effective_mm, weights, np.float32(0))
        node = add_volume(scene, name, weights, layer.index_to_lps, window=(0.0, 1.0))
        node.SetAttribute(RATE, str(layer.rates[k]))
        _describe(node, "rate", self.index, self.zoom.GetNodeReference(REFERENCE_ROLE), self.zoom.GetAttribute(SET))
        if layer.air_is_zero:
            leave_air_out(node)
        place_beside(node, self.zoom)
        set_unit(node, NO_UNIT)
        node.GetDisplayNode().SetAndObserveColorNodeID(weight_colours(scene).GetID())
        return node


class AttentionSet:
    """The attention volumes of one run on a volume."""

    def __init__(self, reference: Any, layers: Sequence[AttentionLayer]) -> None:
        self.reference = reference
        self.layers = sorted(layers, key=lambda layer: layer.index)

    @classmethod
    def find(cls, scene: Any, reference: Any) -> AttentionSet | None:
        """The attention of the last run on a volume that the scene holds; None if it holds none."""
        number = str(_last_set(scene, reference))
        layers = [AttentionLayer(node) for node in _volumes(scene, reference, "zoom", number)]
        return cls(reference, layers) if layers else None

    def layer(self, index: int) -> AttentionLayer:
        """The autofocus layer of this index, from 0.

        Raises:
            KeyError: there is none.
        """
        return {layer.index: layer for layer in self.layers}[index]

    def _zooms(self) -> list[Any]:
        return [layer.zoom for layer in self.layers]

    def zoom(self, layer: int) -> Any:
        """The volume of effective dilations of a layer."""
        return self.layer(layer).zoom

    def rates(self, layer: int) -> list[Any]:
        """The volumes of the single rates of a layer."""
        return self.layer(layer).rate_volumes()

    def recalibration(self) -> list[Any]:
        """The volumes of the classes, background first; none where the network has no recalibration."""
        return [node for node in self.volumes() if node.GetAttribute(ATTENTION) == RECALIBRATION]

    def make_next(self) -> bool:
        """Make one volume of a single rate that is not there yet; False if none is missing.

        For an application that does not want to wait for all of them at once.
        """
        return any(layer.make_next() for layer in self.layers)

    def volumes(self) -> list[Any]:
        """All that are in the scene, of every layer and kind."""
        numbers = {zoom.GetAttribute(SET) for zoom in self._zooms()}
        scene = self.reference.GetScene()
        return [] if scene is None else [v for v in _volumes(scene, self.reference) if v.GetAttribute(SET) in numbers]

    def holds(self, node: Any) -> bool:
        """Whether a node is one of the zoom maps, of the volumes of single rates that were made, or of the classes."""
        if node.GetAttribute(ATTENTION) == RECALIBRATION:  # by identifier: a node that left the scene knows no other
            own = [(zoom.GetAttribute(SET), zoom.GetNodeReferenceID(REFERENCE_ROLE)) for zoom in self._zooms()]
            return (node.GetAttribute(SET), node.GetNodeReferenceID(REFERENCE_ROLE)) in own
        return any(node is layer.zoom or node in layer._volumes.values() for layer in self.layers)

    def remove(self) -> None:
        """Take all volumes, the sequence over them, and their folder if nothing else is in it, out of the scene."""
        if self.reference.GetScene() is not None:
            remove_sequence(self.reference.GetScene(), self.reference)
        remove_with_folders(self.volumes(), ATTENTION)
        self.layers = []


def add_attention(
    reference: Any,
    layers: Sequence[Layer],
    *,
    segmentation: Any = None,
    replace: bool = True,
    rates: bool = True,
    recalibration: Recalibration | None = None,
) -> AttentionSet:
    """Put the attention of a run into the scene.

    Args:
        reference: the volume that was segmented.
        layers: what the worker told; their arrays are kept, not copied.
        segmentation: what came of it, beside which the folder is put; default: beside the volume.
        replace: take away the attention of the volume's earlier runs.
        rates: make the volumes of the single rates at once; otherwise when they are first asked for, or by
            `make_next`. Only what has been made is saved with the scene.
        recalibration: of a network of scale streams.
    """
    scene = reference.GetScene()
    number = str(_last_set(scene, reference) + 1)
    if replace:
        remove_sequence(scene, reference)
        remove_with_folders(list(_volumes(scene, reference)), ATTENTION)
    hierarchy = hierarchy_of(scene)
    folder = hierarchy.CreateFolderItem(parent_item(segmentation or reference), FOLDER_NAME)
    hierarchy.SetItemAttribute(folder, ATTENTION, "folder")
    made = []
    for layer in layers:
        assert layer.effective_mm is not None
        name = f"Effective dilation, layer {layer.index + 1}"
        window = (min(layer.rates_mm), max(layer.rates_mm))
        zoom = add_volume(scene, name, layer.effective_mm, layer.index_to_lps, window=window)
        zoom.SetAttribute(RATES, " ".join(map(str, layer.rates)))
        zoom.SetAttribute(RATES_MM, " ".join(repr(float(rate)) for rate in layer.rates_mm))
        _describe(zoom, "zoom", layer.index, reference, number)
        if layer.air_is_zero:
            leave_air_out(zoom)
        place_beside(zoom, reference, folder=folder)
        set_unit(zoom, MILLIMETRES, quantity=LENGTH)
        zoom.GetDisplayNode().SetAndObserveColorNodeID(add_zoom_colours(scene).GetID())
        made.append(AttentionLayer(zoom, layer))
        if rates:
            made[-1].rate_volumes()

    def describe(node: Any) -> None:
        _describe(node, RECALIBRATION, made[0].index, reference, number)
        place_beside(node, reference, folder=folder)

    if recalibration is not None:
        add_recalibration(scene, recalibration, describe)
    return AttentionSet(reference, made)


def is_attention(node: Any) -> bool:
    """Whether a volume node is one of these, and hence no scan to segment."""
    return bool(node.GetAttribute(ATTENTION))


def remove_sequence(scene: Any, reference: Any) -> None:
    """Take the sequence over the layers, its browser and the volume that plays out of the scene."""
    for kind in ("vtkMRMLSequenceBrowserNode", "vtkMRMLSequenceNode", "vtkMRMLScalarVolumeNode"):
        nodes = scene.GetNodesByClass(kind)
        found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
        ours = [node for node in found if node.GetAttribute(ATTENTION) == "sequence"]
        remove_with_folders([node for node in ours if node.GetNodeReference(REFERENCE_ROLE) is reference], ATTENTION)


def leave_air_out(volume: Any) -> None:
    """Show all values of a volume but the zeros in the air around the patient."""
    volume.SetAttribute(AIR_IS_ZERO, "1")
    display = volume.GetDisplayNode()
    rates = [float(rate) for rate in (volume.GetAttribute(RATES_MM) or "").split()]
    # Between air and the lowest rate lies what interpolation makes at the skin. Weights are never quite 0.
    display.SetThreshold(0.98 * min(rates) if rates else LEAST_WEIGHT, HIDDEN_VALUES)
    display.SetApplyThreshold(True)


def _describe(node: Any, kind: str, layer: int, reference: Any, number: str) -> None:
    node.SetAttribute(ATTENTION, kind)
    node.SetAttribute(LAYER, str(layer))
    node.SetAttribute(SET, number)
    if reference is not None:
        node.SetNodeReferenceID(REFERENCE_ROLE, reference.GetID())


def _volumes(scene: Any, reference: Any, kind: str | None = None, number: str | None = None) -> Iterator[Any]:
    """The attention volumes of a volume: of one kind or of both, of one run or of all."""
    nodes = scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    for index in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(index)
        what, run = node.GetAttribute(ATTENTION), node.GetAttribute(SET)
        wanted = what in ("zoom", "rate", RECALIBRATION) and kind in (None, what) and number in (None, run)
        if wanted and node.GetNodeReference(REFERENCE_ROLE) is reference:
            yield node


def _last_set(scene: Any, reference: Any) -> int:
    """The number of the last run on a volume whose attention is there; 0 if none is."""
    return max((int(node.GetAttribute(SET)) for node in _volumes(scene, reference, "zoom")), default=0)
