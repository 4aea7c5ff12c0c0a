"""Typed attributes over a parameter node, as the decorator `parameterNodeWrapper` makes them.

Stands for slicer.parameterNodeWrapper. An annotated attribute is read from and written to the vtkMRMLScriptedModuleNode
that the object is made with; what is not in the node yet is written there with its default. Values are remembered, and
read anew whenever the node is modified, not when a node that it references is removed. `connectGui` binds the widgets
whose dynamic property SlicerParameterName names a parameter.
"""

# ruff: noqa: N802, N815, RUF012 (the names are the application’s)

from __future__ import annotations

import itertools
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any, get_type_hints

import slicer
from vtkmodules.vtkCommonCore import vtkCommand

from Testing.SlicerHost import parameter_annotations
from Testing.SlicerHost.parameter_annotations import Default, first, split
from Testing.SlicerHost.parameter_storage import Storage, storage_for
from Testing.SlicerHost.parameter_widgets import Binding, bind
from Testing.SlicerHost.pythonqt import QtWidgets

NAME_PROPERTY = "SlicerParameterName"


class _Parameter:
    """One attribute of a wrapper class: a descriptor."""

    def __init__(self, owner: type, name: str, annotated: Any) -> None:
        self.name, self.annotated = name, annotated
        self.storage: Storage = storage_for(annotated)
        own = split(annotated)[1]
        self.default = (
            Default(getattr(owner, name))
            if name in vars(owner)
            else first(own, Default) or Default(self.storage.initial)
        )

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        return self if wrapper is None else wrapper._values[self.name]

    def __set__(self, wrapper: Any, value: Any) -> None:
        # Read back before others hear of the change, for they will ask.
        with slicer.util.NodeModify(wrapper.parameterNode):
            self.storage.write(wrapper.parameterNode, self.name, value)
            wrapper._values[self.name] = self.read(wrapper.parameterNode)

    def read(self, node: Any) -> Any:
        if not self.storage.is_in(node, self.name):
            self.storage.write(node, self.name, self.default.value)
        return self.storage.read(node, self.name)


def _reader(wrapper: weakref.ref[Any], parameter: _Parameter) -> Callable[..., None]:
    def read(*_: Any) -> None:
        found = wrapper()
        if found is not None:
            found._values[parameter.name] = parameter.read(found.parameterNode)

    return read


class _Wrapper:
    """What every wrapper has beside its parameters."""

    allParameters: dict[str, _Parameter] = {}

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._bindings: dict[int, dict[str, Binding]] = {}
        self._tags = itertools.count()
        self._showing = False
        self._values = {p.name: p.read(parameterNode) for p in self._parameters()}
        # One observer for each parameter, as in the application: VTK calls the one that was added first after all
        # others, so those may still see the first parameter's old value there, and do here.
        me = weakref.ref(self)  # the observers must not keep the wrapper alive
        self._reading = [
            parameterNode.AddObserver(vtkCommand.ModifiedEvent, _reader(me, p)) for p in self._parameters()
        ]
        self._observers: dict[int, int] = {}

    def __del__(self) -> None:
        for tag in getattr(self, "_reading", ()):
            self.parameterNode.RemoveObserver(tag)

    def _parameters(self) -> Iterable[_Parameter]:
        return self.allParameters.values()

    def getValue(self, name: str) -> Any:
        self._check(name)
        return getattr(self, name)

    def setValue(self, name: str, value: Any) -> None:
        self._check(name)
        setattr(self, name, value)

    def default(self, name: str) -> Default:
        self._check(name)
        return self.allParameters[name].default

    def isCached(self, name: str) -> bool:
        self._check(name)
        return True

    @classmethod
    def dataType(cls, name: str) -> Any:
        cls._check(name)
        return cls.allParameters[name].annotated

    @classmethod
    def _check(cls, name: str) -> None:
        if name not in cls.allParameters:
            raise ValueError(f"{cls.__name__} has no parameter {name}; it has {', '.join(cls.allParameters)}")

    def connectGui(self, gui: Any) -> int:
        """Bind the children of a widget, or the attributes of an object of widgets; returns what disconnects them."""
        is_widget = isinstance(gui, QtWidgets.QWidget)
        widgets = gui.findChildren(QtWidgets.QWidget) if is_widget else vars(gui).values()
        return self.connectParametersToGui({w.property(NAME_PROPERTY): w for w in widgets if w.property(NAME_PROPERTY)})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            self._check(name)
        bindings = {name: bind(widget, self.dataType(name)) for name, widget in mapping.items()}
        tag = next(self._tags)
        self._bindings[tag] = bindings
        for name, binding in bindings.items():
            binding.write(self.getValue(name))
            binding.on_changed(self._taking(name, binding))
        self._observers[tag] = self.AddObserver(vtkCommand.ModifiedEvent, self._show)
        return tag

    def disconnectGui(self, tag: int) -> None:
        for binding in self._bindings.pop(tag, {}).values():
            binding.on_changed(None)
        if tag in self._observers:
            self.RemoveObserver(self._observers.pop(tag))

    def _taking(self, name: str, binding: Binding) -> Any:
        def take() -> None:
            if not self._showing:
                with slicer.util.NodeModify(self):
                    self.setValue(name, binding.read())

        return take

    def _show(self, *_: Any) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            with slicer.util.NodeModify(self):
                for bindings in self._bindings.values():
                    for name, binding in bindings.items():
                        binding.write(self.getValue(name))
        finally:
            self._showing = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modified: int) -> int:
        return self.parameterNode.EndModify(was_modified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """The class decorator, with or without brackets."""
    if classtype is None:
        return parameterNodeWrapper
    hints = get_type_hints(classtype, vars(sys.modules[classtype.__module__]), include_extras=True)
    parameters = {name: _Parameter(classtype, name, hint) for name, hint in hints.items()}
    reserved = [name for name in parameters if hasattr(_Wrapper, name)]
    if reserved:
        raise ValueError(f"{classtype.__name__} cannot have parameters of the names {reserved}, which are taken")
    body = {**{k: v for k, v in vars(classtype).items() if k not in ("__dict__", "__weakref__")}, **parameters}
    body["allParameters"] = parameters
    return type(classtype.__name__, (_Wrapper, *(base for base in classtype.__bases__ if base is not object)), body)


def module() -> types.ModuleType:
    """The module `slicer.parameterNodeWrapper`."""
    made = types.ModuleType("slicer.parameterNodeWrapper", __doc__)
    made.parameterNodeWrapper = parameterNodeWrapper
    names = "Validator NotNone IsInstance WithinRange Minimum Maximum Choice Exclude Default Decimals SingleStep"
    for name in names.split():
        setattr(made, name, getattr(parameter_annotations, name))
    return made
