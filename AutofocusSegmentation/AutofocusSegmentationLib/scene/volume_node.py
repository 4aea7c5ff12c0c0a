"""An array as a scalar volume node, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import ArrayLike, NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkImageData

from AutofocusSegmentationLib.scene.placing import RAS_TO_LPS, as_vtk

# What the voxels mean, as DICOM codes it: value, scheme, meaning.
MILLIMETRES = ("mm", "UCUM", "millimeter")
NO_UNIT = ("1", "UCUM", "no units")
LENGTH = ("410668003", "SCT", "Length")
BITS = ("bit", "UCUM", "bit")
ENTROPY = ("entropy", "99AUTOFOCUS", "Entropy of the classes")


def add_volume(
    scene: Any,
    name: str,
    array: NDArray[Any],
    index_to_lps: ArrayLike,
    *,
    window: tuple[float, float] | None = None,
) -> Any:
    """A scalar volume node with a display node.

    Args:
        scene: where it goes.
        name: what it is called.
        array: (z, y, x); the node keeps this very array if it is in C order.
        index_to_lps: 4 × 4, from (i, j, k, 1) to mm, LPS.
        window: the values that the colours run over, lowest and highest; None lets Slicer look for them, which takes a
            quarter of a second for 256 × 256 × 150 voxels.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    if window is not None:
        add_display(node, window)
        set_voxels(node, array, index_to_lps)
    else:
        set_voxels(node, array, index_to_lps)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetInterpolate(True)
    return node


def add_display(node: Any, window: tuple[float, float]) -> Any:
    """A display node for a scalar volume that has no voxels yet, so that Slicer does not search them for a window.

    The colours run from the lowest to the highest value of `window`, somewhat further where these are equal.
    """
    low, high = window
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetAutoThreshold(False)
    display.SetWindowLevelMinMax(low, high if high > low else low + 1.0)
    display.SetInterpolate(True)
    return display


def set_voxels(node: Any, array: NDArray[Any], index_to_lps: ArrayLike) -> None:
    """Give a scalar volume node voxels and their place."""
    array = np.require(array, requirements=["C", "W"])
    image = vtkImageData()
    image.SetDimensions(array.shape[::-1])
    scalars = numpy_to_vtk(array.reshape(-1), deep=False)  # which keeps the array
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    node.SetIJKToRASMatrix(as_vtk(RAS_TO_LPS @ np.asarray(index_to_lps, dtype=np.float64)))
    node.SetAndObserveImageData(image)


def set_unit(node: Any, unit: tuple[str, str, str], *, quantity: tuple[str, str, str] | None = None) -> None:
    """Say what the voxels measure, and in what: a code (value, scheme, meaning) each."""
    node.SetVoxelValueUnits(_code(unit))
    if quantity is not None:
        node.SetVoxelValueQuantity(_code(quantity))


def _code(triplet: tuple[str, str, str]) -> Any:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(*triplet)
    return entry
