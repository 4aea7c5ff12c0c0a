"""qMRMLNodeComboBox: the list of the scene's nodes of some classes, from which one is chosen."""

# ruff: noqa: N801, N802, N815, RUF012 (the names are the application’s)

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, Signal
from vtkmodules.util.misc import calldata_type
from vtkmodules.util.vtkConstants import VTK_OBJECT
from vtkmodules.vtkCommonCore import vtkCommand

from Testing.SlicerHost.observations import Observations
from Testing.SlicerHost.pythonqt import QtWidgets


def _flag(name: str) -> tuple[Any, Any]:
    """A property that is a yes or no, and its setter."""

    def set_flag(self: qMRMLNodeComboBox, value: bool) -> None:
        self._flags[name] = bool(value)
        self._fill()

    return Property(bool, lambda self: self._flags[name], set_flag), set_flag


class qMRMLSortFilterProxyModel:
    """Stands for qMRMLSortFilterProxyModel, as far as its property hiddenNodeIDs: nodes that the list leaves out."""

    def __init__(self, changed: Any) -> None:
        self._hidden: tuple[str, ...] = ()
        self._tell = changed

    @property
    def hiddenNodeIDs(self) -> tuple[str, ...]:
        return self._hidden

    @hiddenNodeIDs.setter
    def hiddenNodeIDs(self, ids: Any) -> None:
        self._hidden = tuple(ids)
        self._tell()


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Stands for qMRMLNodeComboBox: follows the scene, hides what is hidden from editors, "None" where enabled.

    Without "None" the first node is chosen as soon as there is one. When the chosen node is removed, the entry before
    it is chosen. currentNodeChanged(vtkMRMLNode*) tells of both. The entries for creating, renaming and deleting nodes
    are methods only (addNode, removeCurrentNode), not lines of the list.
    """

    currentNodeChanged = Signal(object)
    currentNodeChangedToAny = Signal(bool)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)
    nodeActivated = Signal(object)
    SIGNALS = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "currentNodeChangedToAny",
        "currentNodeIDChanged(QString)": "currentNodeIDChanged",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo)
        self._scene: Any = None
        self._observations = Observations(self)
        self._attributes: list[tuple[str, str, Any]] = []
        self._flags = {
            "showHidden": False,
            "showChildNodeTypes": True,
            "noneEnabled": False,
            "addEnabled": True,
            "removeEnabled": True,
            "editEnabled": False,
            "renameEnabled": False,
            "selectNodeUponCreation": True,
        }
        self._proxy = qMRMLSortFilterProxyModel(self._fill)
        self._types: list[str] = []
        self._none = "None"
        self._base_name = ""
        self._wanted: str | None = None  # asked for before it could be shown
        self._combo.currentIndexChanged.connect(self._changed)
        self._combo.activated.connect(lambda _: self.nodeActivated.emit(self.currentNode()))

    def sortFilterProxyModel(self) -> qMRMLSortFilterProxyModel:
        return self._proxy

    # The scene

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._observations.drop()
        self._scene = scene
        if scene is not None:
            for event in ("NodeAddedEvent", "EndImportEvent", "EndCloseEvent", "EndBatchProcessEvent"):
                self._observations.add(scene, getattr(scene, event), self._follow)
            self._observations.add(scene, scene.NodeAboutToBeRemovedEvent, self._leave_out)
        self._fill()

    def _follow(self, *_: Any) -> None:
        self._fill()

    @calldata_type(VTK_OBJECT)
    def _leave_out(self, scene: Any, event: str, node: Any) -> None:
        self._fill(without=node)
        self._observations.drop(node)

    def _fill(self, without: Any = None) -> None:
        """Bring the list up to date, entry by entry, so that the choice changes only where it must."""
        combo = self._combo
        nodes = [node for node in self._fitting() if node is not without]
        wanted = ([(self._none, "")] if self._flags["noneEnabled"] and self._scene else []) + [
            (node.GetName() or "", node.GetID()) for node in nodes
        ]
        keys = {key for _, key in wanted}
        for index in reversed(range(combo.count)):
            if combo.itemData(index) not in keys:
                combo.removeItem(index)
        for index, (text, key) in enumerate(wanted):
            if index < combo.count and combo.itemData(index) == key:
                combo.setItemText(index, text)
            else:
                combo.insertItem(index, text, key)
        if self._wanted is not None and self._wanted in keys:
            asked, self._wanted = self._wanted, None
            self.setCurrentNodeID(asked)

    def _fitting(self) -> list[Any]:
        scene, found = self._scene, []
        if scene is None:
            return []
        for index in range(scene.GetNumberOfNodes()):
            node = scene.GetNthNode(index)
            kind = next((kind for kind in self._types if node.IsA(kind)), None)
            if kind is None or node.GetID() is None:
                continue
            if not self._observations.observes(node):  # its name, or whether it is hidden, may change
                self._observations.add(node, vtkCommand.ModifiedEvent, self._follow)
            if node.GetID() in self._proxy.hiddenNodeIDs:
                continue
            if node.GetHideFromEditors() and not self._flags["showHidden"]:
                continue
            if not self._flags["showChildNodeTypes"] and node.GetClassName() not in self._types:
                continue
            if self._has_attributes(node):
                found.append(node)
        return found

    def _has_attributes(self, node: Any) -> bool:
        for kind, name, value in self._attributes:
            if node.IsA(kind):
                own = node.GetAttribute(name)
                if own is None or (value is not None and own != str(value)):
                    return False
        return True

    # The choice

    def currentNode(self) -> Any:
        key = self._combo.currentData
        return self._scene.GetNodeByID(key) if key and self._scene else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, key: str | None) -> None:
        index = self._combo.findData(key or "")
        self._wanted = key if key and index < 0 else None
        if index >= 0 or not key:
            self._combo.setCurrentIndex(index)

    def setCurrentNodeIndex(self, index: int) -> None:
        self._combo.setCurrentIndex(index + int(self._flags["noneEnabled"]))

    def nodeCount(self) -> int:
        return self._combo.count - (int(self._flags["noneEnabled"]) if self._scene else 0)

    def nodeFromIndex(self, index: int) -> Any:
        key = self._combo.itemData(index + int(self._flags["noneEnabled"]))
        return self._scene.GetNodeByID(key) if key else None

    def _changed(self, _: int) -> None:
        node = self.currentNode()
        self.currentNodeChanged.emit(node)
        self.currentNodeChangedToAny.emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def addNode(self, kind: str | None = None) -> Any:
        node = self._scene.CreateNodeByClass(kind or self._types[0])
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(self._base_name or node.GetNodeTagName()))
        for owner, name, value in self._attributes:
            if node.IsA(owner):
                node.SetAttribute(name, "" if value is None else str(value))
        node = self._scene.AddNode(node)
        if self._flags["selectNodeUponCreation"]:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    # What fits

    def addAttribute(self, kind: str, name: str, value: Any = None) -> None:
        self._attributes.append((kind, name, value))
        self._fill()

    def removeAttribute(self, kind: str, name: str) -> None:
        self._attributes = [entry for entry in self._attributes if entry[:2] != (kind, name)]
        self._fill()

    def setNodeTypes(self, types: Any) -> None:
        self._types = list(types)
        self._fill()

    def setNoneDisplay(self, text: str) -> None:
        self._none = text
        self._fill()

    def setBaseName(self, name: str, kind: str = "") -> None:
        self._base_name = name

    nodeTypes = Property("QStringList", lambda self: self._types, setNodeTypes)
    noneDisplay = Property(str, lambda self: self._none, setNoneDisplay)
    baseName = Property(str, lambda self: self._base_name, setBaseName)
    currentNodeID = Property(str, lambda self: self._combo.currentData or "", setCurrentNodeID)
    showHidden, setShowHidden = _flag("showHidden")
    showChildNodeTypes, setShowChildNodeTypes = _flag("showChildNodeTypes")
    noneEnabled, setNoneEnabled = _flag("noneEnabled")
    addEnabled, setAddEnabled = _flag("addEnabled")
    removeEnabled, setRemoveEnabled = _flag("removeEnabled")
    editEnabled, setEditEnabled = _flag("editEnabled")
    renameEnabled, setRenameEnabled = _flag("renameEnabled")
    selectNodeUponCreation, setSelectNodeUponCreation = _flag("selectNodeUponCreation")
