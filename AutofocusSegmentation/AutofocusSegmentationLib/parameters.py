"""What the user has chosen, kept in the scene's parameter node, and so in saved scenes.

The volumes of the channels are node references of the same node ("InputVolume0", "InputVolume1", …), as a model may
have any number of them.
"""

from __future__ import annotations

from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

INPUT_ROLE = "InputVolume"


@parameterNodeWrapper
class AutofocusParameterNode:
    """Parameters of the module.

    modelName, device, precision, mode: as on the command line; "auto" leaves the choice to the engine.
    roi: segment inside this box only.
    segmentation: the result that is shown, and updated by the next run if `updateResult`.
    everyFrame: segment every frame of the sequence that the input belongs to.
    smallestIsland: connected parts smaller than this, in mm³, are removed.
    keepAttention: bring the attention maps into the scene.
    attention…: how they are shown.
    """

    modelName: str = ""
    device: str = "auto"
    precision: str = "auto"
    mode: str = "exact"
    roi: vtkMRMLMarkupsROINode
    segmentation: vtkMRMLSegmentationNode
    updateResult: bool = True
    everyFrame: bool = False
    smallestIsland: Annotated[float, WithinRange(0, 1_000_000)] = 0.0
    keepAttention: bool = True
    attentionShown: bool = False
    attentionLayer: int = -1
    attentionMap: str = "zoom"
    attentionOpacity: Annotated[float, WithinRange(0, 1)] = 0.6
    attentionColours: str = ""
    attentionLegend: bool = True
    attentionLinked: bool = True
    attentionProbe: bool = True
