"""How values of a type are kept in a vtkMRMLScriptedModuleNode: as text, and nodes as references.

Stands for the serializers of slicer.parameterNodeWrapper, and writes what they write, so that scenes saved by either
open in the other: numbers and strings as str(), True/False, an enum's name, a node as an empty parameter beside the
reference of the same name, a list as "name.len", "name.0", …, and one of several types as "name.<position>".
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, Union, get_args, get_origin

import slicer

from Testing.SlicerHost.parameter_annotations import IsInstance, NotNone, Validator, split


class Storage:
    """Values of one type; `validators` are asked before anything is written."""

    validators: tuple[Validator, ...]
    initial: Any

    def is_in(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        raise NotImplementedError

    def read(self, node: Any, name: str) -> Any:
        raise NotImplementedError

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)

    def validate(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)


@dataclass
class TextStorage(Storage):
    """What has a text: numbers, strings, truth values, enums, paths."""

    initial: Any
    to_text: Callable[[Any], str]
    from_text: Callable[[str], Any]
    validators: tuple[Validator, ...]

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        node.SetParameter(name, self.to_text(value))

    def read(self, node: Any, name: str) -> Any:
        return self.from_text(node.GetParameter(name))


@dataclass
class NodeStorage(Storage):
    """A node of the scene, or None."""

    validators: tuple[Validator, ...]
    initial: Any = None

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, None if value is None else value.GetID())

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        super().remove(node, name)
        node.RemoveNodeReferenceIDs(name)


@dataclass
class ListStorage(Storage):
    """A list. What is read is a copy of its own, which writes itself back when it is changed."""

    element: Storage
    validators: tuple[Validator, ...] = ()
    initial: Any = ()

    def is_in(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(f"{name}.len"))

    def write(self, node: Any, name: str, value: Iterable[Any]) -> None:
        value = list(value)
        self.validate(value)
        for each in value:
            self.element.validate(each)
        with slicer.util.NodeModify(node):
            self.remove(node, name)
            for index, each in enumerate(value):
                self.element.write(node, f"{name}.{index}", each)
            node.SetParameter(f"{name}.len", str(len(value)))

    def read(self, node: Any, name: str) -> ObservedList:
        count = int(node.GetParameter(f"{name}.len") or 0)
        found = [self.element.read(node, f"{name}.{index}") for index in range(count)]
        return ObservedList(found, lambda changed: self.write(node, name, changed))

    def remove(self, node: Any, name: str) -> None:
        for index in range(int(node.GetParameter(f"{name}.len") or 0)):
            self.element.remove(node, f"{name}.{index}")
        node.UnsetParameter(f"{name}.len")


class ObservedList(list):
    """A list that tells of its changes."""

    def __init__(self, values: Iterable[Any], changed: Callable[[ObservedList], None]) -> None:
        super().__init__(values)
        self._changed = changed


def _telling(name: str) -> Callable[..., Any]:
    def method(self: ObservedList, *args: Any, **kwargs: Any) -> Any:
        result = getattr(list, name)(self, *args, **kwargs)
        self._changed(self)
        return result

    return method


for _name in ("__setitem__", "__delitem__", "__iadd__", "__imul__", "append", "extend", "insert", "remove", "pop"):
    setattr(ObservedList, _name, _telling(_name))
for _name in ("clear", "sort", "reverse"):
    setattr(ObservedList, _name, _telling(_name))


@dataclass
class UnionStorage(Storage):
    """One of several types, such as an optional node."""

    members: tuple[Storage | None, ...]  # None stands for None's type
    validators: tuple[Validator, ...] = ()

    def __post_init__(self) -> None:
        self.initial = None if None in self.members else next(m for m in self.members if m is not None).initial

    def is_in(self, node: Any, name: str) -> bool:
        return any(node.HasParameter(f"{name}.{index}") for index in range(len(self.members)))

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        index = self._member(value)
        member = self.members[index]
        with slicer.util.NodeModify(node):
            self.remove(node, name)
            if member is None:
                node.SetParameter(f"{name}.{index}", "None")
            else:
                member.write(node, f"{name}.{index}", value)

    def _member(self, value: Any) -> int:
        refused: Exception = TypeError(f"{value!r} is of none of the parameter's types")
        for index, member in enumerate(self.members):
            if (member is None) != (value is None):
                continue
            try:
                if member is not None:
                    member.validate(value)
                return index
            except (TypeError, ValueError) as error:
                refused = error
        raise refused

    def read(self, node: Any, name: str) -> Any:
        for index, member in enumerate(self.members):
            if node.HasParameter(f"{name}.{index}"):
                return None if member is None else member.read(node, f"{name}.{index}")
        raise KeyError(name)

    def remove(self, node: Any, name: str) -> None:
        for index, member in enumerate(self.members):
            (member or Storage()).remove(node, f"{name}.{index}")


def storage_for(annotated: Any) -> Storage:
    """How values of a type, with its validators, are kept.

    Raises:
        TypeError: if the application could not keep such values either.
    """
    kind, annotations = split(annotated)
    own = tuple(found for found in annotations if isinstance(found, Validator))
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return UnionStorage(tuple(None if a is type(None) else storage_for(a) for a in arguments), own)
    if origin is list:
        return ListStorage(storage_for(arguments[0]), own)
    if not isinstance(kind, type):
        raise TypeError(f"Values of {kind} cannot be kept in a parameter node")
    if issubclass(kind, slicer.vtkMRMLNode):
        return NodeStorage((IsInstance(kind), *own))
    if issubclass(kind, Enum):
        return TextStorage(next(iter(kind)), lambda v: v.name, lambda text: kind[text], (IsInstance(kind), *own))
    checks = (NotNone(), IsInstance((int, float) if kind is float else kind), *own)
    if kind is bool:
        return TextStorage(False, str, lambda text: text == "True", checks)
    if kind in (int, float):
        return TextStorage(0, str, kind, checks)
    if kind is str or issubclass(kind, PurePath):
        return TextStorage(kind(), str, kind, checks)
    raise TypeError(f"Values of {kind} cannot be kept in a parameter node")
