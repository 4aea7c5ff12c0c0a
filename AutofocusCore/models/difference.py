"""What differs between two models: descriptions, structures, figures and weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from AutofocusCore.models.bundle import Model
from AutofocusCore.models.weights import unpack_weights

if TYPE_CHECKING:
    from torch import Tensor

PARTS = {
    "description": ("name", "title", "description", "version", "intended_use", "licence", "authors", "references",
                    "synthetic", "changelog"),
    "input": ("channels", "spacing", "orientation", "roi", "normalization"),
    "structures": ("structures",),
    "architecture": ("architecture",),
    "training": ("training_data", "training_command"),
    "figures": ("dice", "figures"),
    "calibration": ("calibration",),
}  # fmt: skip
"""Fields of `ModelSpec` by the part of the comparison that they are reported in."""


@dataclass(frozen=True)
class FieldDifference:
    """A field whose values differ.

    Args:
        part: one of `PARTS`.
        field: name; below a field, with dots: "architecture.norm", "structures.Bladder.color".
        first, second: the values; None where a model does not have the field.
    """

    part: str
    field: str
    first: Any
    second: Any


@dataclass(frozen=True)
class WeightDifference:
    """A tensor of the weights that differs.

    Args:
        name: of the tensor.
        relative: size of the difference, as a share of the first tensor's: |second - first| / |first|, Euclidean norms;
            None if only one model has the tensor, its shapes differ, or the first is all zeros.
        largest: largest difference of a value, or None likewise.
        first, second: shapes; None where a model does not have it.
    """

    name: str
    relative: float | None
    largest: float | None
    first: tuple[int, ...] | None
    second: tuple[int, ...] | None


@dataclass(frozen=True)
class ModelDifference:
    """Result of `compare_models`.

    Args:
        fields: of the descriptions, in the order of `PARTS`.
        weights: the tensors that differ, the most different first.
        tensors: number of tensors that both models have.
        relative: of all tensors of one shape together, as for one tensor, without BatchNorm's statistics; None without
            any.
    """

    fields: tuple[FieldDifference, ...]
    weights: tuple[WeightDifference, ...]
    tensors: int
    relative: float | None

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.fields and not self.weights


def compare_models(first: Model, second: Model) -> ModelDifference:
    """Compare two models, field by field and tensor by tensor.

    Raises:
        ModelError: the weights of one cannot be read.
    """
    one, two = (_fields(model) for model in (first, second))
    fields = [
        FieldDifference(part, *found)
        for part, names in PARTS.items()
        for name in names
        for found in _differences(name, one[name], two[name])
    ]
    before, after = unpack_weights(first.weights), unpack_weights(second.weights)
    found = [_tensor(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]
    differing = [tensor for tensor in found if tensor is not None]
    differing.sort(key=_by_change)
    return ModelDifference(
        tuple(fields), tuple(differing), len(before.keys() & after.keys()), _all_together(before, after)
    )


def _fields(model: Model) -> dict[str, Any]:
    """The fields of a description; lists of structures, channels and cases are by their names."""
    fields = dataclasses.asdict(model.spec)
    for name in ("structures", "channels"):
        fields[name] = {entry["name"]: entry for entry in fields[name]}
    figures = fields["figures"]
    for name, value in figures.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) and row for row in value):
            figures[name] = {str(next(iter(row.values()))): row for row in value}
    return fields


def _differences(name: str, first: Any, second: Any) -> list[tuple[str, Any, Any]]:
    """Names and values of what differs, as deep as both values are objects."""
    if first == second:
        return []
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        found = []
        for key in dict.fromkeys([*first, *second]):
            found += _differences(f"{name}.{key}", first.get(key), second.get(key))
        return found
    return [(name, first, second)]


def _tensor(name: str, first: Tensor | None, second: Tensor | None) -> WeightDifference | None:
    """The difference of a tensor; None if there is none."""
    shapes = [None if tensor is None else tuple(tensor.shape) for tensor in (first, second)]
    if first is None or second is None or shapes[0] != shapes[1]:
        return WeightDifference(name, None, None, *shapes)
    change = second.double() - first.double()
    if not change.any():
        return None
    size = float(first.double().norm())
    relative = float(change.norm()) / size if size else None
    return WeightDifference(name, relative, float(change.abs().max()), *shapes)


def _by_change(one: WeightDifference) -> tuple[bool, float, str]:
    return one.first == one.second, -math.inf if one.relative is None else -one.relative, one.name


def _all_together(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> float | None:
    squares = [0.0, 0.0]
    for name in before.keys() & after.keys():
        first, second = before[name].double(), after[name].double()
        counts = before[name].is_floating_point() and "running_" not in name  # whose variances would hide the rest
        if first.shape == second.shape and counts:
            squares[0] += float((second - first).square().sum())
            squares[1] += float(first.square().sum())
    return (squares[0] / squares[1]) ** 0.5 if squares[1] else None
