"""PythonQt's habits, taught to PySide6's classes when this file is imported.

PythonQt is what Slicer wraps Qt with. There, unlike in PySide6:

- a Qt property is an attribute, `label.text`, `label.text = "a"`, and not a method of that name; other methods stay;
- `widget.connect("clicked(bool)", f)` and `disconnect` take the signal's C++ signature, and keep `f` alive;
- `name` is another word for `objectName`, `className()` tells the C++ class, `delete()` destroys;
- no attribute can be invented on an object of a C++ class; only on one of a class derived in Python.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, QMetaObject, QObject

# Modules whose classes stand for C++ ones, on whose objects a module cannot invent attributes.
CPP_MODULES = ("PySide6.", "Testing.SlicerHost.")

_set_attribute = shiboken6.Shiboken.Object.__setattr__
_set_property = QObject.setProperty
_get_property = QObject.property
_qt_connect, _qt_disconnect = QObject.connect, QObject.disconnect


class PropertyAttribute:
    """A Qt property as an attribute. On the class itself, the function of the same name stays: `QTimer.singleShot`."""

    def __init__(self, owner: type, name: str, writable: bool) -> None:
        self.name = name
        self.writable = writable
        found = getattr(owner, name, None)
        self.function = getattr(found, "function", found) if not isinstance(found, property) else None
        capital = name[0].upper() + name[1:]
        names = (name, f"is{capital}")
        self.getter = next((f for f in (owner.__dict__.get(n) for n in names) if callable(f)), None)
        self.setter = getattr(owner, f"set{capital}", None)

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self.function if self.function is not None else self
        if isinstance(self.getter, staticmethod) or self.getter is None:
            return _get_property(instance, self.name)
        return self.getter(instance)

    def __set__(self, instance: Any, value: Any) -> None:
        if self.setter is not None:
            self.setter(instance, value)
        elif self.writable:
            _set_property(instance, self.name, value)
        else:
            raise AttributeError(f"The property {self.name} of {instance.className()} cannot be written")


def _adopt(cls: type) -> None:
    """Turn the properties that a class adds to its base, or whose getter it overrides, into attributes."""
    meta = cls.staticMetaObject
    for index in range(meta.propertyCount()):
        prop = meta.property(index)
        if index >= meta.propertyOffset() or prop.name() in vars(cls):
            setattr(cls, prop.name(), PropertyAttribute(cls, prop.name(), prop.isWritable()))
    cls.__setattr__ = _checked_set_attribute
    if "__getattribute__" in vars(cls):
        cls.__getattribute__ = _with_own_connect(cls.__getattribute__)


def _with_own_connect(original: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """PySide6 looks its own `connect` and `disconnect` up past the class, as they are static and not static at once."""
    own = {"connect": _connect, "disconnect": _disconnect}

    def get(self: Any, name: str) -> Any:
        return MethodType(own[name], self) if name in own else original(self, name)

    return get


def _checked_set_attribute(self: Any, name: str, value: Any) -> None:
    cls = type(self)
    if name.startswith("_"):
        _set_attribute(self, name, value)
        return
    own = getattr(cls, name, None)
    if isinstance(own, Property):  # of a stand-in; no descriptor, so it must be asked here
        own.fset(self, value)
    elif hasattr(cls, name) or not cls.__module__.startswith(CPP_MODULES):
        _set_attribute(self, name, value)
    elif not (isinstance(value, QObject) and value.objectName == name):  # as PySide6's QUiLoader gives the children
        raise AttributeError(
            f"{cls.__name__} has no attribute {name!r}, and PythonQt lets nobody invent one on a C++ object"
        )


def _signal(self: Any, signature: str) -> Any:
    """The bound signal of a C++ signature such as "clicked(bool)"; one that does not exist is an error."""
    normal = bytes(QMetaObject.normalizedSignature(signature)).decode()
    known = getattr(type(self), "SIGNALS", {})  # of a stand-in, whose own signals have Python's types
    if normal in known:
        return getattr(self, known[normal])
    meta = self.metaObject()
    if meta.indexOfSignal(normal) < 0:
        raise ValueError(f"{self.className()} has no signal {signature}")
    name, types = normal[:-1].split("(")
    signal = getattr(self, name)
    try:
        return signal[types] if types else signal  # PySide6 knows clicked() and clicked(bool) as one signal's forms
    except IndexError:
        return signal


# What was connected by signature: for each C++ object, signature and slot, that which Qt calls in the slot's stead.
_relays: dict[int, list[tuple[str, Callable[..., Any], Callable[..., Any]]]] = {}


def _relay(signature: str, slot: Callable[..., Any]) -> Callable[..., Any]:
    """Calls the slot with as many arguments as the signature has, or fewer if it is a function that takes fewer."""
    count = 0 if "()" in signature else signature.count(",") + 1
    code = getattr(slot, "__code__", None)
    if code is not None and not code.co_flags & inspect.CO_VARARGS:
        count = min(count, code.co_argcount - int(inspect.ismethod(slot)))
    return lambda *args: slot(*args[:count])


def _connect(self: Any, *args: Any) -> Any:
    if len(args) < 2 or not isinstance(args[0], str) or not callable(args[1]):
        return _qt_connect(*args) if isinstance(args[0], QObject) else _qt_connect(self, *args)
    signature, slot = args[:2]
    relay = _relay(signature, slot)
    _signal(self, signature).connect(relay)
    key = shiboken6.getCppPointer(self)[0]
    if key not in _relays:
        _relays[key] = []
        self.destroyed.connect(lambda *_: _relays.pop(key, None))
    _relays[key].append((signature, slot, relay))
    return True


def _disconnect(self: Any, *args: Any) -> Any:
    if len(args) < 2 or not isinstance(args[0], str) or not callable(args[1]):
        return _qt_disconnect(*args) if isinstance(args[0], QObject) else _qt_disconnect(self, *args)
    relays = _relays.get(shiboken6.getCppPointer(self)[0], [])
    found = next((entry for entry in relays if entry[0] == args[0] and entry[1] == args[1]), None)
    if found is None:
        return False  # it was not connected
    relays.remove(found)
    _signal(self, args[0]).disconnect(found[2])
    return True


def classes() -> dict[str, Any]:
    """Every public name of Qt's core, drawing and widgets."""
    found: dict[str, Any] = {}
    for module in (QtCore, QtGui, QtWidgets):  # which come into being when they are asked for, so not by vars()
        found.update({name: getattr(module, name) for name in dir(module) if not name.startswith("_")})
    return found


def _adopt_all() -> None:
    wrapped = {cls for cls in classes().values() if isinstance(cls, type) and issubclass(cls, QObject)}
    for cls in sorted(wrapped, key=lambda cls: len(cls.__mro__)):
        _adopt(cls)
    QObject.name = property(lambda self: self.objectName, lambda self, value: self.setObjectName(value))
    QObject.className = lambda self: self.metaObject().className()
    QObject.delete = lambda self: shiboken6.delete(self)


_adopt_all()
