"""The scene in which a batch builds its cases: Slicer's own or, without the application, a new one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer

from AutofocusCore.errors import OutputError
from AutofocusSegmentationLib.batch.exit import running_application

VIEWS = (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal"))
BORDER = 1.1  # of the views around the volume


@dataclass
class BatchScene:
    """A scene that is emptied for every case.

    Attributes:
        mrml: the vtkMRMLScene.
    """

    mrml: Any
    _kept: list[Any] = field(default_factory=list)  # logics, which the scene does not keep alive

    def clear(self) -> None:
        """Empty the scene; singleton nodes stay."""
        self.mrml.Clear(0)

    def show(self, volume: Any) -> None:
        """Have the slice views show this volume, whole, when the scene is opened."""
        bounds = [0.0] * 6
        volume.GetRASBounds(bounds)
        middle = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
        extent = BORDER * max(bounds[2 * axis + 1] - bounds[2 * axis] for axis in range(3))
        for name, orientation in VIEWS:
            composite = self._view("vtkMRMLSliceCompositeNode", name)
            composite.SetBackgroundVolumeID(volume.GetID())
            view = self._view("vtkMRMLSliceNode", name)
            view.SetOrientation(orientation)
            view.JumpSliceByCentering(*middle)
            view.SetFieldOfView(extent, extent, 1.0)

    def save(self, path: Path) -> None:
        """Write all of it into one `.mrb` file.

        Raises:
            OutputError: it could not be written.
        """
        if not self.mrml.WriteToMRB(str(path)) or not path.is_file() or path.stat().st_size == 0:
            raise OutputError(
                f"The scene {path.name} could not be written", "check the free space and the rights there"
            )

    def _view(self, kind: str, name: str) -> Any:
        """The node of a slice view; made where the application has no views."""
        for index in range(self.mrml.GetNumberOfNodesByClass(kind)):
            node = self.mrml.GetNthNodeByClass(index, kind)
            if node.GetLayoutName() == name:
                return node
        node = getattr(slicer, kind)()
        default = self.mrml.GetDefaultNodeByClass(kind)  # it has the orientation presets
        if default is not None:
            node.Copy(default)
        node.SetName(name)
        node.SetLayoutName(name)
        node.SetSingletonTag(name)
        return self.mrml.AddNode(node)


def open_scene() -> BatchScene:
    """The application's scene, or a new one with the logics that know colours, volumes and segmentations."""
    if running_application() is not None:
        return BatchScene(slicer.mrmlScene)
    mrml = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(mrml)
    colours = application.GetColorLogic()
    colours.SetMRMLScene(mrml)
    application.SetModuleLogic("Colors", colours)
    kept = [application]
    for name, kind in (
        ("Volumes", slicer.vtkSlicerVolumesLogic),
        ("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic),
    ):
        logic = kind()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(mrml)
        application.SetModuleLogic(name, logic)
        kept.append(logic)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(mrml)
    return BatchScene(mrml, kept)
