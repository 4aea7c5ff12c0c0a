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

    model_name, device, precision, mode: as on the command line; "auto" leaves the choice to the engine.
    roi: segment inside this box only.
    segmentation: the result that is shown, and updated by the next run if `update_result`.
    every_frame: segment every frame of the sequence that the input belongs to.
    smallest_island: connected parts smaller than this, in mm³, are removed.
    keep_attention: bring the attention maps into the scene.
    attention_…: how they are shown.
    """

    model_name: str = ""
    device: str = "auto"
    precision: str = "auto"
    mode: str = "exact"
    roi: vtkMRMLMarkupsROINode
    segmentation: vtkMRMLSegmentationNode
    update_result: bool = True
    every_frame: bool = False
    smallest_island: Annotated[float, WithinRange(0, 1_000_000)] = 0.0
    keep_attention: bool = True
    attention_shown: bool = False
    attention_layer: int = -1
    attention_map: str = "zoom"
    attention_opacity: Annotated[float, WithinRange(0, 1)] = 0.6
    attention_colours: str = ""
    attention_legend: bool = True
    attention_linked: bool = True
    attention_probe: bool = True
