"""Parameters bound to widgets, both ways.

Stands for the GUI connectors of slicer.parameterNodeWrapper: which pairs of a parameter's type and a widget's class it
can bind, and what it sets up in the widget (range, decimals, choices). Like it, it takes exactly these classes, none
derived from them, and raises RuntimeError for other pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, Union, get_args, get_origin

import slicer

from Testing.SlicerHost import ctk_widgets as ctk
from Testing.SlicerHost.node_selector import qMRMLNodeComboBox
from Testing.SlicerHost.parameter_annotations import (
    Choice,
    Decimals,
    Maximum,
    Minimum,
    SingleStep,
    WithinRange,
    first,
    split,
)
from Testing.SlicerHost.pythonqt import QtWidgets as Qt


@dataclass
class Binding:
    """How a widget's value is read and written, and which signal tells of its change."""

    widget: Any
    signal: str | None
    read: Callable[[], Any]
    write: Callable[[Any], None]
    _callback: Callable[..., None] | None = None

    def on_changed(self, callback: Callable[[], None] | None) -> None:
        """Call back on each change; None ends that."""
        if self.signal is None:
            return
        if self._callback is not None:
            getattr(self.widget, self.signal).disconnect(self._callback)
        self._callback = None if callback is None else lambda *_: callback()
        if self._callback is not None:
            getattr(self.widget, self.signal).connect(self._callback)


def bind(widget: Any, annotated: Any) -> Binding:
    """The binding of a widget to a parameter of this type.

    Raises:
        RuntimeError: if the application could not bind them.
    """
    kind, annotations = split(annotated)
    widget_class = type(widget)
    if kind is bool and widget_class in (Qt.QCheckBox, ctk.ctkCheckBox):
        return _attribute(widget, "checked", "stateChanged")
    if kind is bool and widget_class is Qt.QPushButton:
        widget.checkable = True
        return _attribute(widget, "checked", "toggled")
    if kind is int and widget_class in (Qt.QSlider, Qt.QSpinBox):
        return _number(widget, int, annotations, bounded=widget_class is Qt.QSlider, unbounded=(-(2**31), 2**31 - 1))
    if kind in (int, float) and widget_class in (
        Qt.QDoubleSpinBox,
        ctk.ctkSliderWidget,
        ctk.ctkDoubleSlider,
        ctk.ctkDoubleSpinBox,
    ):
        unbounded = (float("-inf"), float("inf"))
        bounded = widget_class is ctk.ctkSliderWidget
        return _number(widget, kind, annotations, bounded=bounded, unbounded=unbounded)
    if kind in (int, float, str, bool) and widget_class in (Qt.QComboBox, ctk.ctkComboBox):
        choice = first(annotations, Choice)
        if choice is None:
            raise RuntimeError(f"A combo box can be bound to {kind} only if it is annotated with Choice")
        return _choice(widget, {str(value): value for value in choice.choices})
    if isinstance(kind, type) and issubclass(kind, Enum) and widget_class in (Qt.QComboBox, ctk.ctkComboBox):
        label = getattr(kind, "label", lambda value: value.name)
        return _choice(widget, {label(value): value for value in kind})
    if kind is str and widget_class is Qt.QLineEdit:
        return Binding(
            widget, "textChanged", lambda: widget.text, lambda v: None if v == widget.text else _text(widget, v)
        )
    if kind is str and widget_class is Qt.QLabel:
        return Binding(widget, None, lambda: widget.text, lambda value: _text(widget, value))
    if kind is str and widget_class is Qt.QTextEdit:
        return Binding(widget, "textChanged", widget.toPlainText, widget.setPlainText)
    if isinstance(kind, type) and issubclass(kind, PurePath) and widget_class is ctk.ctkPathLineEdit:
        return Binding(
            widget, "currentPathChanged", lambda: kind(widget.currentPath), lambda v: widget.setCurrentPath(str(v))
        )
    if widget_class is qMRMLNodeComboBox and (classes := node_classes(kind)):
        widget.nodeTypes = classes
        return Binding(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"A parameter of type {annotated} cannot be bound to a {widget_class.__name__}")


def node_classes(kind: Any) -> list[str]:
    """The node classes that a type names, alone or optional; empty if it names others too."""
    members = [split(a)[0] for a in get_args(kind)] if get_origin(kind) is Union else [kind]
    members = [m for m in members if m is not type(None)]
    if not all(isinstance(m, type) and issubclass(m, slicer.vtkMRMLNode) for m in members):
        return []
    return [m.__name__ for m in members]


def _text(widget: Any, value: str) -> None:
    if value != widget.text:  # writing it would move the cursor to the end
        widget.text = value


def _attribute(widget: Any, name: str, signal: str) -> Binding:
    return Binding(widget, signal, lambda: getattr(widget, name), lambda value: setattr(widget, name, value))


def _number(
    widget: Any, kind: type, annotations: tuple[Any, ...], *, bounded: bool, unbounded: tuple[float, float]
) -> Binding:
    decimals, step = first(annotations, Decimals), first(annotations, SingleStep)
    if hasattr(widget, "decimals") and (kind is int or decimals is not None):
        widget.decimals = 0 if kind is int else decimals.value
    if step is not None:
        widget.singleStep = step.value
    within, low, high = first(annotations, WithinRange), first(annotations, Minimum), first(annotations, Maximum)
    if bounded and within is None and (low is None or high is None):
        raise RuntimeError(f"A {type(widget).__name__} can be bound only to a number with bounds")
    widget.minimum = within.minimum if within else low.minimum if low else unbounded[0]
    widget.maximum = within.maximum if within else high.maximum if high else unbounded[1]
    return Binding(
        widget, "valueChanged", lambda: kind(widget.value), lambda value: setattr(widget, "value", kind(value))
    )


def _choice(widget: Any, choices: dict[str, Any]) -> Binding:
    values = list(choices.values())

    def write(value: Any) -> None:
        if value not in values:
            raise ValueError(f"{value!r} is none of {values}")
        widget.currentIndex = values.index(value)

    widget.clear()
    widget.addItems(list(choices))
    return Binding(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)
