# ruff: noqa: N801, N802, N815 (the names are the application’s)
"""The layout manager and its views: real view nodes and slice logics, without windows."""

from __future__ import annotations

from typing import Any

import slicer

from Testing.SlicerHost.mrml_widgets import qMRMLWidget


class qMRMLSliceView(qMRMLWidget):
    """qMRMLSliceView, as far as one asks for it without drawing: its node, and that it be drawn again some time."""

    def __init__(self, parent: Any, node: Any) -> None:
        super().__init__(parent)
        self._node = node

    def mrmlSliceNode(self) -> Any:
        return self._node

    def scheduleRender(self) -> None:
        """Nothing is drawn here."""

    def forceRender(self) -> None:
        """Nothing is drawn here."""


class qMRMLSliceWidget(qMRMLWidget):
    """qMRMLSliceWidget: a slice view with its logic."""

    def __init__(self, node: Any, application: Any) -> None:
        super().__init__()
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application)
        self._logic.SetMRMLScene(node.GetScene())
        self._logic.SetSliceNode(node)
        application.GetSliceLogics().AddItem(self._logic)
        self._view = qMRMLSliceView(self, node)

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> qMRMLSliceView:
        return self._view

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class qMRMLThreeDView(qMRMLWidget):
    """qMRMLThreeDView, as far as one asks for it without drawing."""

    def __init__(self, parent: Any, node: Any) -> None:
        super().__init__(parent)
        self._node = node

    def mrmlViewNode(self) -> Any:
        return self._node

    def resetFocalPoint(self) -> None:
        """Nothing is drawn here."""

    resetCamera = scheduleRender = forceRender = resetFocalPoint


class qMRMLThreeDWidget(qMRMLWidget):
    """qMRMLThreeDWidget: a 3-D view with its node."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        self._view = qMRMLThreeDView(self, node)

    def threeDView(self) -> qMRMLThreeDView:
        return self._view

    def mrmlViewNode(self) -> Any:
        return self._view.mrmlViewNode()


class LayoutManager:
    """qSlicerLayoutManager: which views there are follows from the layout, by the real vtkMRMLLayoutLogic."""

    tableViewCount = plotViewCount = 0

    def __init__(self, scene: Any, application: Any) -> None:
        self._scene, self._application = scene, application
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(application)
        self._logic.SetMRMLScene(scene)
        self._slices: dict[str, qMRMLSliceWidget] = {}
        self._three_d: dict[str, qMRMLThreeDWidget] = {}
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def layoutLogic(self) -> Any:
        return self._logic

    def setLayout(self, layout: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(layout)
        shown = self._views("vtkMRMLSliceNode")
        for widget in self._slices.values():
            widget.mrmlSliceNode().SetMappedInLayout(False)
        for node in shown:
            node.SetMappedInLayout(True)
            self.sliceWidget(node.GetLayoutName())

    def _layout(self) -> int:
        return self._logic.GetLayoutNode().GetViewArrangement()

    layout = property(_layout, setLayout)

    def _views(self, kind: str) -> list[Any]:
        views = self._logic.GetViewNodes()
        nodes = [views.GetItemAsObject(index) for index in range(views.GetNumberOfItems())]
        return [node for node in nodes if node.IsA(kind)]

    def sliceViewNames(self) -> tuple[str, ...]:
        """Of the views of every layout that has been shown, in no order, as the application has it."""
        return tuple(sorted(self._slices, reverse=True))

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        node = next((node for node in self._views("vtkMRMLSliceNode") if node.GetLayoutName() == name), None)
        if node is not None and name not in self._slices:
            self._slices[name] = qMRMLSliceWidget(node, self._application)
        return self._slices.get(name)

    def mrmlSliceLogics(self) -> Any:
        return self._application.GetSliceLogics()

    @property
    def threeDViewCount(self) -> int:
        return len(self._views("vtkMRMLViewNode"))

    def threeDWidget(self, which: int | str) -> qMRMLThreeDWidget | None:
        nodes = self._views("vtkMRMLViewNode")
        index = which if isinstance(which, int) else [node.GetLayoutName() for node in nodes].index(which)
        if not 0 <= index < len(nodes):
            return None
        name = nodes[index].GetLayoutName()
        if name not in self._three_d:
            self._three_d[name] = qMRMLThreeDWidget(nodes[index])
        return self._three_d[name]

    def resetSliceViews(self) -> None:
        for name in self.sliceViewNames():
            self.sliceWidget(name).sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for index in range(self.threeDViewCount):
            self.threeDWidget(index).threeDView().resetFocalPoint()

    def viewport(self) -> Any:
        return None
