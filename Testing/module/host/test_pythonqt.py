"""Qt has PythonQt's habits: those that a panel rests on, and those that would fail in the application."""

from __future__ import annotations

import gc

import pytest

from Testing.SlicerHost import Host
from Testing.waiting import patience


def test_a_property_is_read_and_written_as_an_attribute(host: Host) -> None:
    import qt

    label = qt.QLabel("before")
    label.text = "after"
    label.toolTip = "hint"
    assert (label.text, label.toolTip, label.visible) == ("after", "hint", False)
    with pytest.raises(TypeError):
        label.text()


def test_a_property_of_a_base_class_stays_an_attribute_where_a_class_overrides_its_getter(host: Host) -> None:
    import qt

    assert qt.QPushButton("a").sizeHint.width() > 0
    assert qt.QTreeWidget().sizeHint.width() > 0


def test_what_takes_arguments_or_is_no_property_stays_a_method(host: Host) -> None:
    import qt

    combo = qt.QComboBox()
    combo.addItem("one", 1)
    combo.addItem("two", 2)
    combo.currentIndex = combo.findData(2)
    assert (combo.count, combo.currentText, combo.itemText(0)) == (2, "two", "one")
    assert combo.isEnabled()
    assert qt.QSize(3, 4).width() == 3  # no QObject, and so without properties


def test_a_read_only_property_refuses_to_be_written(host: Host) -> None:
    import qt

    with pytest.raises(AttributeError, match="count"):
        qt.QComboBox().count = 3


def test_no_attribute_can_be_invented_on_an_object_of_a_c_plus_plus_class(host: Host) -> None:
    import ctk
    import qt

    for widget in (qt.QLabel(), ctk.ctkSliderWidget()):
        with pytest.raises(AttributeError, match="titel"):
            widget.titel = "a slip of the pen"

    class Derived(qt.QLabel):
        pass

    derived = Derived()
    derived.own = 3
    assert derived.own == 3


def test_signals_are_connected_by_their_c_plus_plus_signature(host: Host) -> None:
    import qt

    heard: list[object] = []
    button = qt.QPushButton()
    button.checkable = True
    button.connect("clicked(bool)", heard.append)
    button.connect("clicked()", lambda: heard.append("clicked"))
    button.click()
    assert heard == [True, "clicked"]
    assert button.disconnect("clicked(bool)", heard.append)
    button.click()
    assert heard == [True, "clicked", "clicked"]
    spin = qt.QDoubleSpinBox()
    spin.connect("valueChanged(double)", heard.append)
    spin.value = 2.5
    assert heard[-1] == 2.5


def test_a_signal_that_does_not_exist_cannot_be_connected(host: Host) -> None:
    import qt

    for wrong in ("clickd()", "clicked(int)"):
        with pytest.raises(ValueError, match="QPushButton"):
            qt.QPushButton().connect(wrong, print)


def test_a_connected_method_keeps_its_object_alive(host: Host) -> None:
    import qt

    heard: list[str] = []

    class Listener:
        def hear(self) -> None:
            heard.append("heard")

    button = qt.QPushButton()
    button.connect("clicked()", Listener().hear)
    gc.collect()
    button.click()
    assert heard == ["heard"]


def test_a_timer_fires_and_its_class_has_the_static_single_shot(host: Host) -> None:
    import qt

    heard: list[str] = []
    timer = qt.QTimer()
    timer.setInterval(5)
    timer.connect("timeout()", lambda: heard.append("tick"))
    timer.start()
    qt.QTimer.singleShot(0, lambda: heard.append("once"))
    assert host.run(lambda: heard.count("tick") > 1 and "once" in heard, patience()).reached
    assert timer.active
    timer.stop()
    assert not timer.active


def test_names_and_class_names_are_told(host: Host) -> None:
    import qt
    import slicer

    button = qt.QPushButton()
    button.name = "apply"
    assert button.objectName == "apply"
    assert button.className() == "QPushButton"
    assert slicer.qMRMLNodeComboBox().className() == "qMRMLNodeComboBox"
    button.delete()
    with pytest.raises(RuntimeError):
        button.text  # noqa: B018


def test_what_pyside_alone_has_is_not_in_qt(host: Host) -> None:
    import qt

    assert not hasattr(qt, "Signal")
    assert not hasattr(qt, "Slot")
