"""The colours of attention: one map that diverges, for lengths in mm, and one that rises, for weights.

Near and far: pale blue where the network looked near, pale orange where it looked far, and dark between. Either half is
a straight line through CIELAB, cut into equal steps, and both lines are equally long: equal steps in mm look equal.
Lightness falls towards the middle and rises again, so that what is unusual shines on a grey scan, and what is usual
leaves the scan to be read. Blue and orange are told apart by colour-blind readers too. The map is computed here.

Weights: Slicer's Inferno. Where it is absent, a map of our own whose lightness rises evenly, from a dark violet over
orange to a pale yellow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

Colour = tuple[float, float, float]  # sRGB, 0 to 1

# In CIELAB: lightness 72, chroma 44, hue 257 degrees; 14, grey; 66, 51, 60. Either end is 73 units from the middle.
ZOOMED_IN: Colour = (0.296, 0.728, 0.997)  # looked near
BETWEEN: Colour = (0.140, 0.140, 0.140)
ZOOMED_OUT: Colour = (0.873, 0.554, 0.319)  # looked far
# CIELAB lightness 5, 23, 41, 59, 77 and 95.
RISING: tuple[Colour, ...] = (
    (0.089, 0.042, 0.151),
    (0.314, 0.139, 0.381),
    (0.670, 0.200, 0.374),
    (0.884, 0.418, 0.290),
    (0.964, 0.694, 0.313),
    (1.000, 0.942, 0.732),
)
NUMBER_OF_COLOURS = 256
NODE_NAME = "Near (blue) to far (orange)"
WEIGHTS_NAME = "Attention weight"
BUILT_IN = ("Inferno", "Viridis", "Plasma", "Grey")


def colour_choices(scene: Any, kind: str) -> list[tuple[str, str]]:
    """The colour maps to choose from, as (title, name), the one to begin with first.

    Args:
        scene: whose colours are looked through.
        kind: "rate" for weights, anything else for lengths in mm.
    """
    built_in = [name for name in BUILT_IN if scene.GetFirstNode(name, "vtkMRMLColorTableNode")]
    rising = built_in if "Inferno" in built_in else [WEIGHTS_NAME, *built_in]
    names = [NODE_NAME, *rising] if kind != "rate" else [*rising, NODE_NAME]
    return [(name, name) for name in names]


def colour_node(scene: Any, name: str) -> Any:
    """The colour node of one of `colour_choices`, made if it is ours; the zoom map for an unknown name."""
    if name == WEIGHTS_NAME:
        return _add_table(scene, WEIGHTS_NAME, RISING)
    return scene.GetFirstNode(name, "vtkMRMLColorTableNode") or add_zoom_colours(scene)


def add_zoom_colours(scene: Any) -> Any:
    """The diverging colour table as a vtkMRMLColorTableNode of `scene`; the one already there on a second call."""
    return _add_table(scene, NODE_NAME, (ZOOMED_IN, BETWEEN, ZOOMED_OUT))


def weight_colours(scene: Any) -> Any:
    """A perceptually ordered sequential colour node for weights from 0 to 1."""
    return scene.GetFirstNode("Inferno", "vtkMRMLColorTableNode") or colour_node(scene, WEIGHTS_NAME)


def rate_colour(fraction: float) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of a bar between the smallest dilation rate (0) and the largest (1)."""
    red, green, blue = colour_function((ZOOMED_IN, BETWEEN, ZOOMED_OUT)).GetColor(fraction)
    return round(255 * red), round(255 * green), round(255 * blue)


def colour_function(colours: Sequence[Colour], low: float = 0.0, high: float = 1.0) -> vtkColorTransferFunction:
    """Colours evenly apart between two values, blended in CIELAB."""
    function = vtkColorTransferFunction()
    function.SetColorSpaceToLab()
    for index, colour in enumerate(colours):
        function.AddRGBPoint(low + (high - low) * index / (len(colours) - 1), *colour)
    return function


def _add_table(scene: Any, name: str, colours: Sequence[Colour]) -> Any:
    known = scene.GetFirstNode(name, "vtkMRMLColorTableNode")
    if known is not None:
        return known
    function = colour_function(colours)
    table = slicer.vtkMRMLColorTableNode()
    table.SetName(name)
    table.SetTypeToUser()
    table.SetNumberOfColors(NUMBER_OF_COLOURS)
    for index in range(NUMBER_OF_COLOURS):
        fraction = index / (NUMBER_OF_COLOURS - 1)
        table.SetColor(index, f"{fraction:.3f}", *function.GetColor(fraction), 1.0)
    table.SetHideFromEditors(False)
    return scene.AddNode(table)
