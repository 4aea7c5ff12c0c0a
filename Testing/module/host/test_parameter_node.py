"""Parameter nodes keep what the application keeps, where it keeps it, and are bound to widgets as there."""

from collections.abc import Iterator
from enum import Enum
from types import SimpleNamespace
from typing import Annotated, Any

import pytest

from Testing.SlicerHost import Host


class Mode(Enum):
    EXACT = 1
    PAPER = 2


@pytest.fixture
def wrapper(host: Host) -> Iterator[Any]:
    """An object of a wrapper class over a new node."""
    import slicer
    from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        count: int = 3
        opacity: Annotated[float, WithinRange(0, 1)] = 0.5
        label: Annotated[str, Default("all")]
        colours: Annotated[str, Choice(["hot", "cold"])] = "cold"
        shown: bool
        mode: Mode
        names: list[str]
        roi: slicer.vtkMRMLMarkupsROINode
        volume: slicer.vtkMRMLScalarVolumeNode | None

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    return Parameters(node)


def bound(wrapper: Any, name: str, widget: Any) -> Any:
    widget.setProperty("SlicerParameterName", name)
    wrapper.connectGui(SimpleNamespace(widget=widget))
    return widget


def test_a_new_node_gets_the_defaults(wrapper: Any) -> None:
    node = wrapper.parameterNode
    assert (wrapper.count, wrapper.opacity, wrapper.label, wrapper.shown) == (3, 0.5, "all", False)
    assert (wrapper.mode, wrapper.names, wrapper.roi, wrapper.volume) == (Mode.EXACT, [], None, None)
    assert {name: node.GetParameter(name) for name in ("count", "opacity", "label", "shown", "mode")} == {
        "count": "3",
        "opacity": "0.5",
        "label": "all",
        "shown": "False",
        "mode": "EXACT",
    }


def test_values_are_kept_as_text_and_nodes_as_references(host: Host, wrapper: Any) -> None:
    roi = host.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    wrapper.shown, wrapper.mode, wrapper.roi = True, Mode.PAPER, roi
    wrapper.names = ["a", "b"]
    wrapper.names.append("c")
    node = wrapper.parameterNode
    assert node.GetParameter("shown") == "True"
    assert node.GetParameter("mode") == "PAPER"
    assert node.GetNodeReferenceID("roi") == roi.GetID()
    assert [node.GetParameter(f"names.{index}") for index in ("len", 0, 1, 2)] == ["3", "a", "b", "c"]
    assert wrapper.names == ["a", "b", "c"]


def test_an_optional_node_is_kept_as_one_of_two_types(host: Host, wrapper: Any) -> None:
    volume = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    wrapper.volume = volume
    assert wrapper.parameterNode.GetNodeReferenceID("volume.0") == volume.GetID()
    wrapper.volume = None
    assert wrapper.volume is None
    assert not wrapper.parameterNode.HasParameter("volume.0")


def test_what_does_not_fit_is_refused_and_changes_nothing(host: Host, wrapper: Any) -> None:
    with pytest.raises(ValueError, match="within 0 and 1"):
        wrapper.opacity = 2.0
    with pytest.raises(ValueError, match="none of"):
        wrapper.colours = "green"
    with pytest.raises(TypeError):
        wrapper.count = 1.5
    with pytest.raises(TypeError):
        wrapper.roi = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert (wrapper.opacity, wrapper.colours, wrapper.count, wrapper.roi) == (0.5, "cold", 3, None)


def test_a_change_of_the_node_is_read_back_and_the_observers_hear_of_it_once(wrapper: Any) -> None:
    import vtk

    heard: list[float] = []
    wrapper.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: heard.append(wrapper.opacity))
    wrapper.parameterNode.SetParameter("opacity", "0.25")
    assert heard == [0.25]
    wrapper.opacity = 0.75
    assert heard == [0.25, 0.75]
    wrapper.opacity = 0.75
    assert heard == [0.25, 0.75]


def test_the_name_of_a_method_cannot_be_a_parameter(host: Host) -> None:
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    class Parameters:
        connectGui: int  # noqa: N815

    with pytest.raises(ValueError, match="connectGui"):
        parameterNodeWrapper(Parameters)


@pytest.mark.parametrize(
    ("name", "make", "attribute", "from_node", "from_gui"),
    [
        ("shown", lambda qt, ctk: qt.QCheckBox(), "checked", True, False),
        ("shown", lambda qt, ctk: qt.QPushButton(), "checked", True, False),
        ("count", lambda qt, ctk: qt.QSpinBox(), "value", 1000, 12),
        ("opacity", lambda qt, ctk: qt.QDoubleSpinBox(), "value", 0.25, 0.75),
        ("opacity", lambda qt, ctk: ctk.ctkSliderWidget(), "value", 0.25, 0.75),
        ("label", lambda qt, ctk: qt.QLineEdit(), "text", "some", "none"),
        ("colours", lambda qt, ctk: qt.QComboBox(), "currentText", "hot", "cold"),
    ],
)
def test_a_widget_shows_the_parameter_and_changes_it(
    wrapper: Any, name: str, make: Any, attribute: str, from_node: Any, from_gui: Any
) -> None:
    import ctk
    import qt

    widget = bound(wrapper, name, make(qt, ctk))
    assert getattr(widget, attribute) == getattr(wrapper, name)
    setattr(wrapper, name, from_node)
    assert getattr(widget, attribute) == from_node
    setattr(widget, attribute, from_gui)
    assert getattr(wrapper, name) == from_gui


def test_an_enum_is_chosen_by_its_name(wrapper: Any) -> None:
    import qt

    combo = bound(wrapper, "mode", qt.QComboBox())
    assert [combo.itemText(index) for index in range(combo.count)] == ["EXACT", "PAPER"]
    combo.currentIndex = 1
    assert wrapper.mode is Mode.PAPER


def test_a_selector_of_nodes_shows_the_type_of_its_parameter(host: Host, wrapper: Any) -> None:
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.noneEnabled = True
    selector.setMRMLScene(host.scene)
    bound(wrapper, "roi", selector)
    assert selector.nodeTypes == ["vtkMRMLMarkupsROINode"]
    roi = host.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    selector.setCurrentNode(roi)
    assert wrapper.roi is roi
    wrapper.roi = None
    assert selector.currentNode() is None


def test_a_disconnected_widget_is_left_alone(wrapper: Any) -> None:
    import qt

    box = qt.QCheckBox()
    box.setProperty("SlicerParameterName", "shown")
    tag = wrapper.connectGui(SimpleNamespace(box=box))
    wrapper.disconnectGui(tag)
    wrapper.shown = True
    assert not box.checked
    box.checked = True
    box.checked = False
    assert wrapper.shown


def test_pairs_that_the_application_cannot_bind_are_refused(wrapper: Any) -> None:
    import ctk
    import qt

    with pytest.raises(RuntimeError, match="Choice"):
        bound(wrapper, "label", qt.QComboBox())
    with pytest.raises(RuntimeError, match="bounds"):
        bound(wrapper, "count", ctk.ctkSliderWidget())
    with pytest.raises(RuntimeError, match="QGroupBox"):
        bound(wrapper, "shown", qt.QGroupBox())
    with pytest.raises(ValueError, match="no parameter"):
        bound(wrapper, "unknown", qt.QCheckBox())
