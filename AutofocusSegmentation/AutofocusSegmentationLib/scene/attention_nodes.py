"""The attention of a run in the scene: scalar volumes, bound to its segmentation.

    CT - Pelvic CT phantom                    the segmentation, beside the scan
    CT - Pelvic CT phantom: details           folder in the subject hierarchy, collapsed
      Reach in mm: …                          how far the network looked, all layers together; made with the run
      Dilation in mm, layer 1: …              Σₖ Λᵏ rₖ, small where the layer zoomed in, large where it zoomed out
      Weight of rate 2 (8 mm), layer 1: …     0 to 1: the weight Λᵏ of one dilation rate
      Uncertainty in bits: …                  entropy of the classes; no attention, but shown and kept as it is
      …

Each volume lies on the model's own grid, under the parent transform of the volume that was segmented, is bound by a
node reference to the segmentation that it belongs to, and says in attributes what it is, so that all is found again in
a scene that was saved and opened:

    AutofocusSegmentation.Attention   "reach", "zoom", "rate", "recalibration", "uncertainty", or "sequence" for what
                                      plays the layers
    AutofocusSegmentation.Layer       index of the autofocus layer, from 0
    AutofocusSegmentation.Rate        of a "rate": the dilation rate in voxels
    AutofocusSegmentation.Rates       of "zoom" and "rate": all rates of the layer, in voxels
    AutofocusSegmentation.RatesMm     the same in mm
    AutofocusSegmentation.Range       lowest and highest value that the colours run over at first
    AutofocusSegmentation.Least       lowest value in the patient, where the volume is 0 (a length: far below 0) in the
                                      air, which is not shown; of an uncertainty, the lowest value that is shown

Array axes are (z, y, x).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from AutofocusSegmentationLib.scene.recalibration import RECALIBRATION
from AutofocusSegmentationLib.scene.removing import DETAILS, remove_with_folders

ATTENTION, LAYER, RATE = (f"AutofocusSegmentation.{name}" for name in ("Attention", "Layer", "Rate"))
RATES, RATES_MM = "AutofocusSegmentation.Rates", "AutofocusSegmentation.RatesMm"
LEAST, RANGE = "AutofocusSegmentation.Least", "AutofocusSegmentation.Range"
REFERENCE_ROLE, OWNER_ROLE = "AutofocusReference", "AutofocusOwner"
REACH, ZOOM, RATE_KIND, SEQUENCE, UNCERTAINTY = "reach", "zoom", "rate", "sequence", "uncertainty"
HIDDEN_VALUES = 1e6  # above every value of attention


def remove_attention(owner: Any) -> None:
    """Remove the attention of a segmentation from the scene, if it has any."""
    scene = owner.GetScene()
    remove_sequence(scene, owner)
    remove_with_folders(list(volumes_of(scene, owner)), DETAILS)


def is_attention(node: Any) -> bool:
    """Whether a volume node is an attention map, and therefore no scan to segment."""
    return bool(node.GetAttribute(ATTENTION))


def remove_sequence(scene: Any, owner: Any) -> None:
    """Remove the sequence over the layers, its browser and its proxy volume from the scene."""
    for kind in ("vtkMRMLSequenceBrowserNode", "vtkMRMLSequenceNode", "vtkMRMLScalarVolumeNode"):
        nodes = scene.GetNodesByClass(kind)
        found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
        ours = [node for node in found if node.GetAttribute(ATTENTION) == SEQUENCE]
        remove_with_folders([node for node in ours if node.GetNodeReference(OWNER_ROLE) is owner], DETAILS)


def leave_air_out(volume: Any) -> None:
    """Show all values of a volume but those in the air around the patient."""
    least = volume.GetAttribute(LEAST)
    if least:
        display = volume.GetDisplayNode()
        # Interpolation at the skin gives values between air and the lowest value.
        display.SetThreshold(0.98 * float(least), HIDDEN_VALUES)
        display.SetApplyThreshold(True)


def first_range(volume: Any) -> tuple[float, float]:
    """The range that the colours of a map run over at first: what occurs in the patient."""
    text = volume.GetAttribute(RANGE)
    if not text:
        return 0.0, 1.0
    low, high = map(float, text.split())
    return low, high


def volumes_of(scene: Any, owner: Any) -> Iterator[Any]:
    """The attention volumes of a segmentation."""
    nodes = scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    for index in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(index)
        shown = node.GetAttribute(ATTENTION) in (REACH, ZOOM, RATE_KIND, RECALIBRATION, UNCERTAINTY)
        if shown and node.GetNodeReference(OWNER_ROLE) is owner:
            yield node
