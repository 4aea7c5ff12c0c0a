"""Position of nodes: under transforms, in the subject hierarchy, and relative to each other.

Matrices are 4 × 4 and act on columns (x, y, z, 1) in mm. Slicer's own axes are RAS; files and the engine use LPS.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from AutofocusCore.errors import InputError

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # and back
RIGID_TOLERANCE = 1e-4


def as_array(matrix: vtkMatrix4x4) -> NDArray[np.float64]:
    """A VTK matrix as an array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def as_vtk(matrix: NDArray[np.float64]) -> vtkMatrix4x4:
    """An array as a VTK matrix."""
    result = vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel().tolist())
    return result


def local_to_local(node: Any, reference: Any) -> NDArray[np.float64]:
    """The matrix from the local coordinates of `node` to those of `reference`, RAS mm.

    Common parents cancel, so two nodes under the same non-linear transform need no non-linear mapping.

    Raises:
        InputError: between the two there is a transform that no matrix can express.
    """
    above, below = _parents(node), _parents(reference)
    while above and below and above[-1] is below[-1]:
        above.pop()
        below.pop()
    up, down = np.eye(4), np.eye(4)
    for transforms, which in ((above, "up"), (below, "down")):
        for transform in transforms:
            step = vtkMatrix4x4()
            if not transform.GetMatrixTransformToParent(step):
                raise InputError(
                    f"{node.GetName()} and {reference.GetName()} do not share the non-linear transform "
                    f"{transform.GetName()}",
                    "put both under it, or harden it: right-click the node in the module Data, then Harden transform",
                )
            if which == "up":
                up = as_array(step) @ up
            else:
                down = as_array(step) @ down
    return np.asarray(np.linalg.solve(down, up), np.float64)


def is_rigid(matrix: NDArray[np.float64]) -> bool:
    """Whether a matrix keeps distances: no scale, no shear."""
    rotation = matrix[:3, :3]
    return bool(np.abs(rotation.T @ rotation - np.eye(3)).max() < RIGID_TOLERANCE)


def place_beside(node: Any, reference: Any, *, folder: int | None = None) -> None:
    """Put `node` where `reference` is: under its parent transform, and beside it in the subject hierarchy.

    Args:
        node: of the same scene.
        reference: of the scene.
        folder: the item of the subject hierarchy to put it into instead.
    """
    if node.IsA("vtkMRMLTransformableNode"):
        node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    hierarchy = hierarchy_of(reference.GetScene())
    parent = parent_item(reference) if folder is None else folder
    item = item_of(node)
    if hierarchy.GetItemParent(item) != parent:
        hierarchy.SetItemParent(item, parent)


def hierarchy_of(scene: Any) -> Any:
    """The scene's subject hierarchy."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def item_of(node: Any) -> int:
    """The node's item in the subject hierarchy; made if there is none."""
    hierarchy = hierarchy_of(node.GetScene())
    return int(hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node))


def parent_item(node: Any) -> int:
    """The item under which the node is: its DICOM study, a folder, or the scene."""
    return int(hierarchy_of(node.GetScene()).GetItemParent(item_of(node)))


def _parents(node: Any) -> list[Any]:
    """The transforms above a node, the nearest first."""
    found = []
    transform = node.GetParentTransformNode()
    while transform is not None:
        found.append(transform)
        transform = transform.GetParentTransformNode()
    return found
