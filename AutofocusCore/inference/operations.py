"""The arithmetic of one layer over one slab, with BatchNorm folded into the weights.

An operation takes windows of its inputs and the box of voxels that is wanted, and fills in the features there. The
autofocus layer has a file of its own, :mod:`AutofocusCore.inference.autofocus`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from AutofocusCore.inference.boxes import Box, Window, place, voxels, with_planes
from AutofocusCore.inference.filters import Filter, Weights

Kind = TypeVar("Kind")


class Operation(Protocol):
    """What the engine asks of a layer."""

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> Tensor | None:
        """Fill ``out`` (1, O, d, h, w) with the features of ``box``. Returns attention (1, K, d, h, w) or None."""
        ...

    def workspace(self, box: Box, itemsize: int) -> int:
        """Bytes that are held beside ``out`` while ``box`` is computed, at ``itemsize`` bytes a value."""
        ...

    def to(self: Kind, dtype: torch.dtype) -> Kind:
        """The operation with its weights in ``dtype``."""
        ...

    def multiplications(self) -> int:
        """Multiplications for each voxel of the result."""
        ...


@dataclass(frozen=True)
class Shortcut(Weights):
    """A residual connection: the second window's centre, projected by a 1x1x1 convolution where ``weight`` is given."""

    weight: Tensor | None = None
    bias: Tensor | None = None

    def add_to(self, features: Tensor, window: Window, box: Box) -> None:
        source = window.crop(box)
        if self.weight is not None:
            source = functional.conv3d(source, self.weight, self.bias)
        features.narrow(1, 0, source.shape[1]).add_(source)

    def workspace(self, box: Box, itemsize: int) -> int:
        return 0 if self.weight is None else voxels(box) * self.weight.shape[0] * itemsize


@dataclass(frozen=True)
class Convolution(Weights):
    """A 3x3x3 convolution at one dilation rate, an optional shortcut, an optional ReLU."""

    filter: Filter
    relu: bool = True
    shortcut: Shortcut | None = None

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> None:
        self.filter(windows[0], box, out)
        finish(out, windows, box, self.shortcut, self.relu)

    def workspace(self, box: Box, itemsize: int) -> int:
        return max(self.filter.workspace(box, itemsize), shortcut_workspace(self.shortcut, box, itemsize))

    def multiplications(self) -> int:
        return self.filter.multiplications() + shortcut_multiplications(self.shortcut)


@dataclass(frozen=True)
class Classifier(Weights):
    """The last 1x1x1 convolution, in float32 whatever the features are."""

    exact = ("weight", "bias")
    weight: Tensor
    bias: Tensor

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> None:
        out.copy_(project(windows[0].crop(box), self.weight, self.bias))

    def workspace(self, box: Box, itemsize: int) -> int:
        return voxels(box) * 4 * (self.weight.shape[0] + self.weight.shape[1])

    def multiplications(self) -> int:
        return self.weight.numel()


@dataclass(frozen=True)
class Pyramid(Weights):
    """An ASPP head: K dilated convolutions of the same input, zero-padded, each with its share of the classifier.

    Concatenation and one classifier (ASPP-C) equals the sum of K classifiers (ASPP-S) on the parts of its weight.
    """

    branches: tuple[Filter, ...]
    classifiers: tuple[Classifier, ...]

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> None:
        out.zero_()
        for branch, classifier in zip(self.branches, self.classifiers, strict=True):
            for planes, part in branch.parts(windows[0], box):
                scores = project(part.relu_(), classifier.weight, classifier.bias)
                place(with_planes(box, planes), out, box).add_(scores)

    def workspace(self, box: Box, itemsize: int) -> int:
        branch = max(branch.workspace(box, itemsize) for branch in self.branches)
        return branch + self.classifiers[0].workspace(box, itemsize)

    def multiplications(self) -> int:
        convolutions = sum(branch.multiplications() for branch in self.branches)
        return convolutions + sum(classifier.multiplications() for classifier in self.classifiers)


@dataclass(frozen=True)
class ScaledPReLU(Weights):
    """DeepMedic's activation: a scale and a shift for each channel (BatchNorm), then PReLU."""

    scale: Tensor
    shift: Tensor
    slope: Tensor

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> None:
        features = torch.addcmul(self.shift, windows[0].crop(box), self.scale)
        out.copy_(functional.prelu(features, self.slope))

    def workspace(self, box: Box, itemsize: int) -> int:
        return 2 * voxels(box) * self.slope.numel() * itemsize

    def multiplications(self) -> int:
        return 2 * self.slope.numel()


@dataclass(frozen=True)
class Repeat(Weights):
    """DeepMedic's second pathway: each voxel of ``features`` (1, C, d, h, w) stands for ``scale`` voxels on each axis.

    ``origin`` is the voxel of the padded volume at which the first voxel of ``features`` starts.
    """

    features: Tensor
    origin: tuple[int, int, int]
    scale: int

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> None:
        features = self.features
        for axis, ((start, stop), origin) in enumerate(zip(box, self.origin, strict=True), start=2):
            index = (torch.arange(start, stop, device=features.device) - origin).div_(self.scale, rounding_mode="floor")
            features = features.index_select(axis, index)
        out.copy_(features)

    def workspace(self, box: Box, itemsize: int) -> int:
        return 2 * voxels(box) * self.features.shape[1] * itemsize

    def multiplications(self) -> int:
        return self.features.shape[1]


@dataclass(frozen=True)
class Perceptron(Weights):
    """DeepMedic's last layers: 1x1x1 convolutions over both pathways, ReLU between them, the classifier in float32."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    classifier: Classifier

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> None:
        features = torch.cat([window.crop(box) for window in windows], dim=1)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            features = functional.conv3d(features, weight, bias).relu_()
        self.classifier([Window(features, box)], box, out)

    def workspace(self, box: Box, itemsize: int) -> int:
        return voxels(box) * itemsize * 2 * self.weights[0].shape[0] + self.classifier.workspace(box, itemsize)

    def multiplications(self) -> int:
        return sum(weight.numel() for weight in self.weights) + self.classifier.weight.numel()


def project(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 1x1x1 convolution in float32: (1, O, d, h, w), channels first, of (1, C, d, h, w), channels last."""
    outputs, channels = weight.shape[:2]
    voxels_last = features.permute(0, 2, 3, 4, 1).reshape(-1, channels).float().t()
    return torch.addmm(bias[:, None], weight.reshape(outputs, channels), voxels_last).view(1, -1, *features.shape[2:])


def finish(features: Tensor, windows: list[Window], box: Box, shortcut: Shortcut | None, relu: bool) -> None:
    """Add the shortcut where there is one, and apply the ReLU where there is one."""
    if shortcut is not None:
        shortcut.add_to(features, windows[1], box)
    if relu:
        features.relu_()


def shortcut_workspace(shortcut: Shortcut | None, box: Box, itemsize: int) -> int:
    """Bytes that a shortcut needs, if there is one; see :meth:`Operation.workspace`."""
    return 0 if shortcut is None else shortcut.workspace(box, itemsize)


def shortcut_multiplications(shortcut: Shortcut | None) -> int:
    """Multiplications of a shortcut for each voxel, if there is one."""
    return shortcut.weight.numel() if shortcut is not None and shortcut.weight is not None else 0
