"""Slicer's slice and 3-D views, drawn offscreen by Slicer's displayable managers, as arrays of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtkmodules.vtkRenderingFreeType
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  VTK picks the window from what has been imported
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkRenderingCore import (
    vtkActor2D,
    vtkImageMapper,
    vtkRenderer,
    vtkRenderWindow,
    vtkRenderWindowInteractor,
    vtkWindowToImageFilter,
)

from Demo.layout import Picture
from Demo.scene import Scene

Point = tuple[float, float, float]  # (x, y, z), mm, RAS

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)
# As in the application, so that a saved scene opens there with the same slices.
LAYOUT_NAMES = {"Axial": "Red", "Sagittal": "Yellow", "Coronal": "Green"}
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)


class _View:
    """An offscreen window with one renderer that a group of displayable managers fills from the scene."""

    def __init__(self, scene: Scene, factory: Any, managers: tuple[str, ...], size: tuple[int, int]) -> None:
        self.scene = scene
        self.size = size
        self.renderer = vtkRenderer()
        self.window = vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(8)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self._interactor = vtkRenderWindowInteractor()  # the managers need one, although there is no interaction
        self._interactor.SetRenderWindow(self.window)
        factory.SetMRMLApplicationLogic(scene.application)
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.Initialize(factory, self.renderer)

    def picture(self) -> Picture:
        """Draw, and return the pixels."""
        self.window.Render()
        reader = vtkWindowToImageFilter()
        reader.SetInput(self.window)
        reader.ReadFrontBufferOff()
        reader.Update()
        image = reader.GetOutput()
        width, height, _ = image.GetDimensions()
        return np.flipud(vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)).copy()


class SliceView(_View):
    """One slice view, "Axial", "Sagittal" or "Coronal": volumes blended by Slicer's slice logic, the rest drawn on top.

    Create it before the volumes are loaded, as in the application: colour legends appear only in existing views.
    """

    def __init__(self, scene: Scene, orientation: str, size: tuple[int, int]) -> None:
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        super().__init__(scene, factory, SLICE_MANAGERS, size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtkImageMapper()
        self._mapper.SetColorWindow(255)  # the logic has applied window and level, and returns RGBA bytes
        self._mapper.SetColorLevel(127.5)
        image = vtkActor2D()
        image.SetMapper(self._mapper)
        image.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(image)  # first, so that everything else is above it
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(scene.application)
        scene.application.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene.mrml)
        self.node = self.logic.AddSliceNode(LAYOUT_NAMES[orientation])
        self.node.SetOrientation(orientation)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(*size)

    def show(self, background: Any, foreground: Any = None, opacity: float = 0.5) -> None:
        """Choose the volume nodes: the scan, and the overlay."""
        composite = self.logic.GetSliceCompositeNode()
        changes = composite.BackgroundVolumeFlag | composite.ForegroundVolumeFlag
        self.logic.StartSliceCompositeNodeInteraction(changes)  # colour legends react only to this event
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        composite.SetForegroundOpacity(opacity)
        self.logic.EndSliceCompositeNodeInteraction()

    def axes(self) -> tuple[int, int]:
        """Which of the patient's axes (0 x, 1 y, 2 z) run from left to right and from bottom to top of the picture."""
        matrix = self.node.GetSliceToRAS()
        across, up = (max(range(3), key=lambda axis: abs(matrix.GetElement(axis, column))) for column in (0, 1))
        return across, up

    def sides(self) -> tuple[str, str, str, str]:
        """The patient's side at the left, right, bottom and top of the picture, each one of R, L, A, P, S, I."""
        letters: list[str] = []
        for column, axis in enumerate(self.axes()):
            pair = ("LPI"[axis], "RAS"[axis])
            letters += pair if self.node.GetSliceToRAS().GetElement(axis, column) > 0 else pair[::-1]
        return (letters[0], letters[1], letters[2], letters[3])

    def look_at(self, through: Point, middle: Point, millimetres_per_pixel: float) -> None:
        """Cut through one point and centre the picture on another, (x, y, z) in RAS."""
        width, height = (millimetres_per_pixel * pixels for pixels in self.size)
        self.node.SetFieldOfView(width, height, self.node.GetFieldOfView()[2])
        self.node.JumpSliceByCentering(*middle)
        self.node.JumpSliceByOffsetting(*through)
        self.node.UpdateMatrices()

    def picture(self) -> Picture:
        self.logic.UpdatePipeline()
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        return super().picture()


class ThreeDView(_View):
    """One 3-D view on a light background."""

    def __init__(self, scene: Scene, size: tuple[int, int], name: str = "1") -> None:
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        super().__init__(scene, factory, THREE_D_MANAGERS, size)
        logic = slicer.vtkMRMLViewLogic()
        logic.SetMRMLApplicationLogic(scene.application)
        scene.application.GetViewLogics().AddItem(logic)
        logic.SetMRMLScene(scene.mrml)
        self.logic = logic
        self.node = logic.AddViewNode(name)
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        self.node.SetBackgroundColor(0.90, 0.92, 0.95)
        self.node.SetBackgroundColor2(1.0, 1.0, 1.0)
        self.managers.SetMRMLDisplayableNode(self.node)

    def look_from(self, direction: Point) -> None:
        """Show everything visible, seen from `direction` (x, y, z in RAS, from the anatomy to the eye)."""
        self.window.Render()  # so that the surfaces and their bounds are known
        bounds = self.renderer.ComputeVisiblePropBounds()
        if bounds[0] > bounds[1]:
            return  # nothing is visible
        centre = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
        camera = self.renderer.GetActiveCamera()
        camera.SetViewAngle(20)  # degrees; less distortion than Slicer's 30
        camera.SetFocalPoint(*centre)
        camera.SetPosition(*(centre[axis] + 1000 * direction[axis] for axis in range(3)))
        camera.SetViewUp(0, 0, 1)
        self.renderer.ResetCamera(bounds)
        self.renderer.ResetCameraScreenSpace(bounds, 0.9)  # as large as fits, with a margin
        self.renderer.ResetCameraClippingRange()
