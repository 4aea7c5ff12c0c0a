"""What a parameter's type may be annotated with: validators, the default, and hints for widgets.

Stands for slicer.parameterNodeWrapper's validators, Default, Decimals and SingleStep: writing a value that a validator
refuses raises ValueError (TypeError for the wrong type), and leaves the stored value as it was.
"""

# ruff: noqa: N815 (the names are the application’s)

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

T = TypeVar("T")


class Validator:
    """Base of what refuses values."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


class NotNone(Validator):
    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("The value must not be None")


@dataclass
class IsInstance(Validator):
    classtype: Any

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"The value must be a {self.classtype}, not {value!r}")


@dataclass
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


@dataclass
class Minimum(Validator):
    minimum: float

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is less than {self.minimum}")


@dataclass
class Maximum(Validator):
    maximum: float

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is more than {self.maximum}")


@dataclass
class Choice(Validator):
    choices: Any

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


@dataclass
class Exclude(Validator):
    excludedValues: Container[Any]

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"{value!r} is excluded")


class Default:
    """The value that a parameter begins with, or what makes it."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value


@dataclass
class Decimals:
    """For spin boxes and sliders."""

    value: int


@dataclass
class SingleStep:
    """For spin boxes and sliders."""

    value: float


def split(annotated: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type and its annotations; none where it is a bare type."""
    arguments = get_args(Annotated[annotated, None])
    return arguments[0], arguments[1:-1]


def first(annotations: tuple[Any, ...], kind: type[T]) -> T | None:
    """The first annotation of a kind."""
    return next((found for found in annotations if isinstance(found, kind)), None)
