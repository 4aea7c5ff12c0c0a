"""The panel's inputs: one selector for each channel of the chosen model, and the region of interest."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.parameters import INPUT_ROLE
from AutofocusSegmentationLib.scene.attention_nodes import is_attention
from AutofocusSegmentationLib.scene.frames import frames_of

VOLUME = "vtkMRMLScalarVolumeNode"


def candidates(scene: Any) -> list[Any]:
    """The scalar volumes that could be somebody's scan: no attention maps, nothing hidden, no labelmaps."""
    nodes = [scene.GetNthNodeByClass(index, VOLUME) for index in range(scene.GetNumberOfNodesByClass(VOLUME))]
    return [
        node
        for node in nodes
        if not node.GetHideFromEditors()
        and not is_attention(node)
        and not node.IsA("vtkMRMLLabelMapVolumeNode")
        and not node.IsA("vtkMRMLVectorVolumeNode")
    ]


def match(node: Any, patterns: Sequence[str]) -> bool:
    """Whether the node's name, or that of its file, is like one of a channel's patterns ("*_t1c*", say)."""
    names = [node.GetName() or ""]
    storage = node.GetStorageNode()
    if storage is not None and storage.GetFileName():
        names.append(PurePath(storage.GetFileName()).name)
    return any(fnmatch.fnmatch(name.lower(), pattern.lower()) for name in names for pattern in patterns)


def suggest(scene: Any, channels: Sequence[dict[str, Any]], shown: Any = None) -> list[Any]:
    """A volume for each channel: by the names, then what the views show, then the only one there is; else None."""
    free = candidates(scene)
    chosen: list[Any] = []
    for channel in channels:
        found = [node for node in free if match(node, channel.get("patterns") or ())]
        found = [node for node in found if node is shown] or found
        chosen.append(found[0] if found else None)
        free = [node for node in free if node is not chosen[-1]]
    if len(channels) == 1 and chosen[0] is None and free:
        chosen[0] = shown if shown in free else free[0]
    return chosen


class Inputs:
    """The selectors, and the references that the parameter node keeps of their volumes.

    Args:
        ui: the panel's widgets.
        on_change: called when another volume is chosen.
    """

    def __init__(self, ui: Any, on_change: Callable[[], None]) -> None:
        self._ui = ui
        self._on_change = on_change
        self._channels: list[dict[str, Any]] = []
        self._selectors: list[Any] = []
        self._parameter_node: Any = None
        self._updating = False

    def set_parameter_node(self, node: Any) -> None:
        """The vtkMRMLScriptedModuleNode that keeps the choice, or None while there is none."""
        self._parameter_node = node
        self.refresh()

    def set_channels(self, channels: Sequence[dict[str, Any]]) -> None:
        """Make the selectors for a model's channels; volumes that are chosen stay."""
        if [c["name"] for c in channels] == [c["name"] for c in self._channels]:
            self.prefill()
            return
        self._channels = list(channels)
        layout = self._ui.channelsWidget.layout()
        for selector in self._selectors:
            label = layout.labelForField(selector)
            for widget in (selector, label):
                if widget is not None:
                    layout.removeWidget(widget)
                    widget.hide()
                    widget.deleteLater()
        self._selectors = []
        for number, channel in enumerate(channels):
            selector = self._selector(channel)
            modality = channel.get("modality") or ""
            name = channel["name"]
            title = name if not modality or modality in name else f"{name} ({modality})"
            layout.addRow(f"{title}:", selector)
            selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node, n=number: self._changed(n, node))
            self._selectors.append(selector)
        self.refresh()
        self.prefill()

    def prefill(self) -> None:
        """Choose by the names of the volumes where nothing is chosen yet."""
        if self._parameter_node is None or not self._channels:
            return
        for number, node in enumerate(suggest(slicer.mrmlScene, self._channels, _shown_volume())):
            if self._reference(number) is None and node is not None:
                self._parameter_node.SetNodeReferenceID(f"{INPUT_ROLE}{number}", node.GetID())
        self.refresh()

    def refresh(self) -> None:
        """Show in the selectors what the parameter node says, and hide attention maps from them."""
        hidden = [
            node.GetID()
            for node in (
                slicer.mrmlScene.GetNthNodeByClass(index, VOLUME)
                for index in range(slicer.mrmlScene.GetNumberOfNodesByClass(VOLUME))
            )
            if is_attention(node)
        ]
        self._updating = True
        try:
            for number, selector in enumerate(self._selectors):
                selector.sortFilterProxyModel().hiddenNodeIDs = hidden
                selector.setCurrentNode(self._reference(number))
        finally:
            self._updating = False
        self._ui.everyFrameCheckBox.visible = self._has_frames()
        self._ui.inputsHintLabel.visible = not candidates(slicer.mrmlScene)
        self._ui.inputsHintLabel.text = _("No volume is loaded: drop a scan onto the views, or try a sample data set.")

    def nodes(self) -> list[Any]:
        """The chosen volume of each channel, None where none is chosen."""
        return [self._reference(number) for number in range(len(self._channels))]

    def missing(self) -> list[str]:
        """Sentences about what has still to be chosen."""
        nodes = self.nodes()
        lacking = [c["name"] for c, node in zip(self._channels, nodes, strict=True) if node is None]
        sentences = [_("Choose the volume for {name}.").format(name=name) for name in lacking]
        chosen = [node.GetID() for node in nodes if node is not None]
        if len(set(chosen)) < len(chosen):
            sentences.append(_("The same volume is chosen for two channels."))
        return sentences

    def _has_frames(self) -> bool:
        node = self._reference(0)
        return node is not None and frames_of(node) is not None

    def _reference(self, number: int) -> Any:
        return None if self._parameter_node is None else self._parameter_node.GetNodeReference(f"{INPUT_ROLE}{number}")

    def _selector(self, channel: dict[str, Any]) -> Any:
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = [VOLUME]
        selector.showChildNodeTypes = False
        selector.noneEnabled = True
        selector.addEnabled = False
        selector.removeEnabled = True
        selector.renameEnabled = True
        selector.noneDisplay = _("Select a volume")
        selector.toolTip = ", ".join(channel.get("patterns") or ())
        selector.setMRMLScene(slicer.mrmlScene)
        return selector

    def _changed(self, number: int, node: Any) -> None:
        if self._updating or self._parameter_node is None:
            return
        self._parameter_node.SetNodeReferenceID(f"{INPUT_ROLE}{number}", node.GetID() if node is not None else None)
        self._ui.everyFrameCheckBox.visible = self._has_frames()
        self._on_change()


def _shown_volume() -> Any:
    """The volume behind everything else in the slice views."""
    selection = slicer.app.applicationLogic().GetSelectionNode()
    identifier = selection.GetActiveVolumeID() if selection is not None else None
    return slicer.mrmlScene.GetNodeByID(identifier) if identifier else None
