# ruff: noqa: N802 (the names are the application’s)
"""Reading and writing nodes and scenes, through which slicer.util.loadVolume, saveNode and their like go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

SCENES = (".mrml", ".mrb")


class CoreIOManager:
    """qSlicerCoreIOManager, for volumes, segmentations and scenes, by the real logics and storage nodes."""

    def __init__(self, scene: Any, logics: dict[str, Any]) -> None:
        self._scene, self._logics = scene, logics

    def fileType(self, path: str) -> str:
        name = path.lower()
        if name.endswith(SCENES):
            return "SceneFile"
        return "SegmentationFile" if name.endswith((".seg.nrrd", ".seg.nhdr")) else "VolumeFile"

    def fileWriterFileType(self, node: Any) -> str:
        return node.GetClassName()

    def loadNodes(self, kind: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        path, name = str(properties["fileName"]), properties.get("name")
        if kind == "SceneFile":
            self._scene.SetURL(path)
            if path.endswith(".mrb"):
                return bool(self._scene.ReadFromMRB(path, bool(properties.get("clear", False))))
            return bool(self._scene.Connect() if properties.get("clear", False) else self._scene.Import())
        name = name or Path(path).name.split(".")[0]
        if kind == "VolumeFile":
            node = self._logics["Volumes"].AddArchetypeVolume(path, name, int(bool(properties.get("labelmap"))))
            if node is not None and properties.get("show", True) and node.IsA("vtkMRMLScalarVolumeNode"):
                slicer.util.setSliceViewerLayers(background=node, fit=True)
        elif kind == "SegmentationFile":
            node = self._logics["Segmentations"].LoadSegmentationFromFile(path, True, name)
        else:
            raise NotImplementedError(f"The host cannot load a {kind}")
        if node is not None and loaded is not None:
            loaded.AddItem(node)
        return node is not None

    def saveNodes(self, kind: str, properties: dict[str, Any], messages: Any = None) -> bool:
        path = Path(properties["fileName"]).absolute()
        if kind == "SceneFile":
            if path.suffix == ".mrb":
                return bool(self._scene.WriteToMRB(str(path)))
            self._scene.SetURL(str(path))
            return bool(self._scene.Commit(str(path)))
        node = self._scene.GetNodeByID(properties["nodeID"])
        node.AddDefaultStorageNode(str(path))
        storage = node.GetStorageNode()
        storage.SetFileName(str(path))
        if "useCompression" in properties:
            storage.SetUseCompression(int(properties["useCompression"]))
        return bool(storage.WriteData(node))

    def addDefaultStorageNodes(self) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
            node.AddDefaultStorageNode()
