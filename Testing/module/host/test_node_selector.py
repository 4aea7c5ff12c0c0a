"""The node selector follows the scene as qMRMLNodeComboBox does."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from Testing.SlicerHost import Host

VOLUME = "vtkMRMLScalarVolumeNode"


@pytest.fixture
def selector(host: Host) -> Any:
    import slicer

    widget = slicer.qMRMLNodeComboBox()
    widget.nodeTypes = [VOLUME]
    widget.noneEnabled = True
    widget.setMRMLScene(host.scene)
    return widget


def names(selector: Any) -> list[str]:
    return [selector.nodeFromIndex(index).GetName() for index in range(selector.nodeCount())]


def test_nodes_come_and_go_and_change_their_names(host: Host, selector: Any) -> None:
    first = host.scene.AddNewNodeByClass(VOLUME, "first")
    host.scene.AddNewNodeByClass(VOLUME, "second")
    host.scene.AddNewNodeByClass("vtkMRMLModelNode", "of another class")
    assert names(selector) == ["first", "second"]
    first.SetName("renamed")
    selector.setCurrentNode(first)
    assert selector.findChild(type(selector._combo)).currentText == "renamed"
    host.scene.RemoveNode(first)
    assert names(selector) == ["second"]


def test_the_choice_is_told_by_signals(host: Host, selector: Any) -> None:
    heard: list[Any] = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    selector.connect("currentNodeChanged(bool)", heard.append)
    node = host.scene.AddNewNodeByClass(VOLUME, "first")
    assert selector.currentNode() is None
    selector.setCurrentNode(node)
    assert heard == [node, True]
    assert selector.currentNodeID == node.GetID()
    host.scene.RemoveNode(node)
    assert heard == [node, True, None, False]


def test_without_none_the_first_node_is_chosen(host: Host, selector: Any) -> None:
    selector.noneEnabled = False
    node = host.scene.AddNewNodeByClass(VOLUME, "first")
    host.scene.AddNewNodeByClass(VOLUME, "second")
    assert selector.currentNode() is node


def test_when_the_chosen_node_is_removed_the_one_before_it_is_chosen(host: Host, selector: Any) -> None:
    selector.noneEnabled = False
    first, second, third = (host.scene.AddNewNodeByClass(VOLUME, name) for name in ("first", "second", "third"))
    selector.setCurrentNode(third)
    host.scene.RemoveNode(third)
    assert selector.currentNode() is second
    host.scene.RemoveNode(second)
    assert selector.currentNode() is first


def test_hidden_nodes_are_shown_on_request_only(host: Host, selector: Any) -> None:
    node = host.scene.AddNewNodeByClass(VOLUME, "hidden")
    node.SetHideFromEditors(True)
    assert names(selector) == []
    selector.showHidden = True
    assert names(selector) == ["hidden"]
    selector.showHidden = False
    node.SetHideFromEditors(False)
    assert names(selector) == ["hidden"]


def test_derived_classes_are_shown_unless_unwanted(host: Host, selector: Any) -> None:
    host.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert names(selector) == ["labels"]
    selector.showChildNodeTypes = False
    assert names(selector) == []


def test_an_attribute_can_be_asked_for(host: Host, selector: Any) -> None:
    marked = host.scene.AddNewNodeByClass(VOLUME, "marked")
    marked.SetAttribute("Role", "CT")
    host.scene.AddNewNodeByClass(VOLUME, "unmarked")
    selector.addAttribute(VOLUME, "Role", "CT")
    assert names(selector) == ["marked"]
    assert selector.addNode().GetAttribute("Role") == "CT"


def test_closing_the_scene_empties_it_and_a_node_of_the_same_name_after_it_is_followed(
    host: Host, selector: Any
) -> None:
    host.scene.AddNewNodeByClass(VOLUME, "before")
    host.scene.Clear(0)
    assert (names(selector), selector.currentNode()) == ([], None)
    after = host.scene.AddNewNodeByClass(VOLUME, "after")
    after.SetName("renamed")
    selector.setCurrentNode(after)
    assert selector.findChild(type(selector._combo)).currentText == "renamed"


def test_a_selector_that_is_gone_hears_nothing(host: Host, selector: Any) -> None:
    node = host.scene.AddNewNodeByClass(VOLUME, "first")
    selector.delete()
    gc.collect()
    host.scene.AddNewNodeByClass(VOLUME, "second")
    node.SetName("renamed")
    assert host.faults == []
