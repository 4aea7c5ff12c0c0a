"""The scene of the application, with the logics of its modules: all of them the real ones."""

from __future__ import annotations

from typing import Any

import slicer
from vtkmodules.vtkCommonCore import vtkCollection

# As slicer.modules names them, and the logic that `logic()` of that module is.
LOGICS = {
    "Units": "vtkSlicerUnitsLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
}


def new_scene(cache: str) -> tuple[Any, Any, dict[str, Any]]:
    """The scene, the application's logic, and the logics of the modules by the modules' names.

    Args:
        cache: folder in which bundles (.mrb) are unpacked for reading.
    """
    mrml = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(mrml)
    mrml.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    colours = application.GetColorLogic()
    colours.SetMRMLScene(mrml)
    application.SetModuleLogic("Colors", colours)
    application.SetSliceLogics(vtkCollection())
    application.SetViewLogics(vtkCollection())
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.GetCacheManager().SetRemoteCacheDirectory(cache)
    remote.SetMRMLScene(mrml)
    remote.AddDataIOToScene()
    logics = {"Colors": colours, "RemoteIO": remote}
    for name, kind in LOGICS.items():
        logic = getattr(slicer, kind)()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(mrml)
        application.SetModuleLogic(name, logic)  # which does not keep it alive
        logics[name] = logic
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(mrml, True)  # the patient's right is the screen's left
    crosshair = mrml.CreateNodeByClass("vtkMRMLCrosshairNode")  # which the application's start-up adds
    crosshair.UnRegister(None)
    crosshair.SetSingletonTag("default")
    mrml.AddNode(crosshair)
    return mrml, application, logics
