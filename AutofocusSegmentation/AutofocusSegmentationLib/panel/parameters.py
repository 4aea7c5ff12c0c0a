"""The user's choices, kept in the scene's parameter node and therefore in saved scenes.

The volumes of the channels are node references of the same node ("InputVolume0", "InputVolume1", …), as a model may
have any number of them.
"""

from __future__ import annotations

from typing import Annotated, Any

from slicer import vtkMRMLMarkupsROINode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

INPUT_ROLE = "InputVolume"


@parameterNodeWrapper
class AutofocusParameterNode:
    """Parameters of the module.

    model_name, device, precision, mode: as on the command line; "auto" leaves the choice to the engine.
    roi: segment inside this box only.
    output: the segmentation that the next run updates; None: it makes a new one.
    segmentation: the result that is shown.
    input_chosen: whether the user has chosen the input; otherwise it follows what the views show.
    every_frame: segment every frame of the sequence that the input belongs to.
    smallest_island: connected parts smaller than this, in mm³, are removed.
    keep_attention: compute the attention.
    attention_…: how they are shown.
    teach_minutes: how long a new model learns.
    """

    model_name: str = ""
    device: str = "auto"
    precision: str = "auto"
    mode: str = "exact"
    roi: vtkMRMLMarkupsROINode
    output: vtkMRMLSegmentationNode
    segmentation: vtkMRMLSegmentationNode
    input_chosen: bool = False
    every_frame: bool = False
    smallest_island: Annotated[float, WithinRange(0, 1_000_000)] = 0.0
    keep_attention: bool = True
    attention_shown: bool = False
    attention_layer: int = -1
    attention_map: str = "reach"
    attention_only: bool = False
    attention_opacity: Annotated[float, WithinRange(0, 1)] = 0.6
    attention_colours: str = ""
    attention_legend: bool = True
    attention_linked: bool = True
    attention_probe: bool = True
    teach_minutes: Annotated[float, WithinRange(1, 1440)] = 10.0


def choose_node(ui: Any, parameters: Any, name: str, node: Any) -> None:
    """Choose "output" or "segmentation", and let its selector show it.

    While Slicer is filling the selectors, it does not hear of choices that are made meanwhile.
    """
    setattr(parameters, name, node)
    getattr(ui, f"{name}Selector").setCurrentNode(node)
