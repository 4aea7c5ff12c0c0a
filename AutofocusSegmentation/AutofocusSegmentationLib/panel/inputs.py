"""The panel's inputs: one selector per channel of the model. They follow the views until the user chooses a volume."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.messages import plain
from AutofocusSegmentationLib.panel.parameters import INPUT_ROLE
from AutofocusSegmentationLib.panel.shown_volume import shown_volume
from AutofocusSegmentationLib.scene.attention_nodes import is_attention
from AutofocusSegmentationLib.scene.frames import frames_of
from AutofocusSegmentationLib.scene.results_in_views import show_results_of

VOLUME = "vtkMRMLScalarVolumeNode"


def candidates(scene: Any) -> list[Any]:
    """The scalar volumes that can be scans: without attention maps, hidden volumes and labelmaps."""
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
    """A volume for each channel: of a single one what the views show; else by the names, then the only one there is."""
    free = candidates(scene)
    if len(channels) == 1 and shown is not None and shown in free:
        return [shown]
    chosen: list[Any] = []
    for channel in channels:
        found = [node for node in free if match(node, channel.get("patterns") or ())]
        found = [node for node in found if node is shown] or found
        chosen.append(found[0] if found else None)
        free = [node for node in free if node is not chosen[-1]]
    if len(channels) == 1 and chosen[0] is None and free:
        chosen[0] = free[0]
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
        self._parameters: Any = None
        self._updating = False
        ui.useShownButton.connect("clicked(bool)", lambda checked=False: self._use_shown())
        ui.showInputButton.connect("clicked(bool)", lambda checked=False: self._show_input())

    def set_parameters(self, parameters: Any) -> None:
        """The parameter node that keeps the choice, or None while there is none."""
        self._parameters = parameters
        self.refresh()

    def set_channels(self, channels: Sequence[dict[str, Any]]) -> None:
        """Make the selectors for a model's channels; volumes that are chosen stay."""
        if [c["name"] for c in channels] == [c["name"] for c in self._channels]:
            self.follow()
            return
        self._channels = list(channels)
        layout = self._ui.inputsWidget.layout()
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
            layout.insertRow(number, f"{channel_title(channel)}:", selector)
            selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node, n=number: self._changed(n, node))
            self._selectors.append(selector)
        self.follow()

    def follow(self) -> bool:
        """Choose what the views show, or what the names say, unless the user has chosen; whether anything changed."""
        changed = False
        if self._parameters is not None and self._channels:
            shown, may_follow = shown_volume(), not self._parameters.input_chosen
            for number, node in enumerate(suggest(slicer.mrmlScene, self._channels, shown)):
                now = self._reference(number)
                if node is not None and node is not now and (now is None or (may_follow and node is shown)):
                    self._refer(number, node)
                    changed = True
        self.refresh()
        return changed

    def refresh(self) -> None:
        """Show in the selectors what the parameter node says, hide attention maps from them, compare with the views."""
        count = slicer.mrmlScene.GetNumberOfNodesByClass(VOLUME)
        nodes = [slicer.mrmlScene.GetNthNodeByClass(index, VOLUME) for index in range(count)]
        hidden = [node.GetID() for node in nodes if is_attention(node)]
        self._updating = True
        try:
            for number, selector in enumerate(self._selectors):
                selector.sortFilterProxyModel().hiddenNodeIDs = hidden
                selector.setCurrentNode(self._reference(number))
        finally:
            self._updating = False
        self._ui.everyFrameCheckBox.visible = self._has_frames()
        self._compare_with_views()

    def nodes(self) -> list[Any]:
        """The chosen volume of each channel, None where none is chosen."""
        return [self._reference(number) for number in range(len(self._channels))]

    def missing(self) -> list[str]:
        """Sentences about what has still to be chosen."""
        nodes = self.nodes()
        if not candidates(slicer.mrmlScene):
            return [_("Load a scan: drop it onto the views, or take one from the module Sample Data.")]
        lacking = [c["name"] for c, node in zip(self._channels, nodes, strict=True) if node is None]
        sentences = [_("Choose the volume for {name}.").format(name=name) for name in lacking]
        chosen = [node.GetID() for node in nodes if node is not None]
        if len(set(chosen)) < len(chosen):
            sentences.append(_("The same volume is chosen for two channels: choose another one for one of them."))
        return sentences

    def _compare_with_views(self) -> None:
        """Warn where the views show another scan than the input, and hide the contours of other scans."""
        shown, nodes = shown_volume(), [node for node in self.nodes() if node is not None]
        is_scan = shown is not None and shown in candidates(slicer.mrmlScene)
        if is_scan:
            show_results_of(shown, nodes)
        differs = bool(is_scan and nodes and shown not in nodes)
        self._ui.viewsNoticeWidget.visible = differs
        if differs:
            sentence = _("The views show {shown}, the input is {input}.")
            self._ui.viewsNoticeLabel.text = plain(sentence.format(shown=shown.GetName(), input=nodes[0].GetName()))
        self._ui.useShownButton.visible = len(self._channels) == 1

    def _use_shown(self) -> None:
        self._refer(0, shown_volume())
        self._parameters.input_chosen = False
        self.refresh()
        self._on_change()

    def _show_input(self) -> None:
        slicer.util.setSliceViewerLayers(background=self.nodes()[0], fit=True)
        self.refresh()

    def _has_frames(self) -> bool:
        node = self._reference(0)
        return node is not None and frames_of(node) is not None

    def _reference(self, number: int) -> Any:
        if self._parameters is None:
            return None
        return self._parameters.parameterNode.GetNodeReference(f"{INPUT_ROLE}{number}")

    def _refer(self, number: int, node: Any) -> None:
        identifier = node.GetID() if node is not None else None
        self._parameters.parameterNode.SetNodeReferenceID(f"{INPUT_ROLE}{number}", identifier)

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
        selector.setSizePolicy(self._ui.outputSelector.sizePolicy)
        selector.setMRMLScene(slicer.mrmlScene)
        return selector

    def _changed(self, number: int, node: Any) -> None:
        if self._updating or self._parameters is None:
            return
        self._refer(number, node)
        self._parameters.input_chosen = node is not None
        self.refresh()
        self._on_change()


def channel_title(channel: dict[str, Any]) -> str:
    """Label of a channel's row: its name, and the modality unless the name contains it."""
    name, modality = channel["name"], channel.get("modality") or ""
    return name if not modality or modality in name else f"{name} ({modality})"
