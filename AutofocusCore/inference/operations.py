"""What each kind of layer computes for one slab, with BatchNorm folded into the weights (box domain).

An operation takes windows of its inputs and a box of voxels, and fills in the features of that box. The autofocus layer
is computed in :class:`Autofocus` alone; another way to compute it needs no other change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from AutofocusCore.inference.boxes import Box, Window, convolve, input_of, place, shape_of, voxels, with_planes
from AutofocusCore.inference.filters import Filter, Weights

Kind = TypeVar("Kind")


class Operation(Protocol):
    """One layer of a network, as the engine uses it."""

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> Tensor | None:
        """Fill ``out`` (1, O, d, h, w) with the features of ``box``. Returns attention (1, K, d, h, w) or None."""
        ...

    def workspace(self, held: list[Box], box: Box, itemsize: int) -> int:
        """Bytes of temporary tensors while ``box`` is computed, without ``out``, at ``itemsize`` bytes a value.

        ``held``: the voxels of the windows.
        """
        ...

    def to(self: Kind, dtype: torch.dtype) -> Kind:
        """The operation with its weights in ``dtype``."""
        ...

    def multiplications(self) -> int:
        """Multiplications for each voxel of the result."""
        ...


@dataclass(frozen=True)
class Shortcut(Weights):
    """A residual connection: adds the second window's centre, with ``weight`` after a 1x1x1 convolution."""

    weight: Tensor | None = None
    bias: Tensor | None = None

    def add_to(self, features: Tensor, window: Window, box: Box) -> None:
        source = window.crop(box)
        if self.weight is not None:
            source = convolve(source, self.weight, self.bias)
        features.narrow(1, 0, source.shape[1]).add_(source)

    def workspace(self, held: Box, box: Box, itemsize: int) -> int:
        if self.weight is None:
            return 0
        outputs, channels = self.weight.shape[:2]
        return voxels(box) * (outputs + channels * input_of(box, 0, held)[1]) * itemsize


@dataclass(frozen=True)
class Convolution(Weights):
    """A 3x3x3 convolution at one dilation rate, then an optional shortcut and an optional ReLU."""

    filter: Filter
    relu: bool = True
    shortcut: Shortcut | None = None

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> None:
        self.filter(windows[0], box, out)
        _finish(out, windows, box, self.shortcut, self.relu)

    def workspace(self, held: list[Box], box: Box, itemsize: int) -> int:
        return max(
            self.filter.workspace(held[0], box, itemsize), _shortcut_workspace(self.shortcut, held, box, itemsize)
        )

    def multiplications(self) -> int:
        return self.filter.multiplications() + _shortcut_multiplications(self.shortcut)


@dataclass(frozen=True)
class Autofocus(Weights):
    """An autofocus layer: K convolutions weighted by attention and summed, an optional shortcut, ReLU.

    ``branches`` holds K filters, one for each rate: with a BatchNorm in each branch their folded weights differ.
    """

    exact = ("score_weight", "score_bias")
    branches: tuple[Filter, ...]
    hidden: Filter
    score_weight: Tensor
    score_bias: Tensor
    shortcut: Shortcut | None = None

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> Tensor:
        attention = self.attend(windows[0], box)
        self.blend(windows[0], box, attention, out)
        _finish(out, windows, box, self.shortcut, relu=True)
        return attention

    @property
    def rates(self) -> tuple[int, ...]:
        """The dilation rates."""
        return tuple(branch.rate for branch in self.branches)

    def attend(self, window: Window, box: Box) -> Tensor:
        """Attention (1, K, d, h, w) over the K rates, in float32."""
        wide = window.widen(box, 1, self.rates[0])
        attention = self.score_bias.new_empty((1, len(self.rates), *shape_of(wide)))
        for planes, hidden in self.hidden.parts(window, wide):
            scores = _project(hidden.relu_(), self.score_weight, self.score_bias)
            place(with_planes(wide, planes), attention, wide).copy_(scores.softmax(dim=1))
            del hidden, scores
        return Window(attention, wide).crop(box)

    def blend(self, window: Window, box: Box, attention: Tensor, out: Tensor) -> None:
        """Fill ``out`` with the weighted sum of the K branches."""
        expand = out.dtype != torch.float32 and out.device.type == "cpu"
        shares = (attention.to(out.dtype) if expand else attention).split(1, dim=1)
        for number, (branch, share) in enumerate(zip(self.branches, shares, strict=True)):
            for planes, part in branch.parts(window, box):
                piece = with_planes(box, planes)
                target, weight = place(piece, out, box), place(piece, share, box)
                if expand:  # to all channels: PyTorch multiplies tensors of equal shape three times faster
                    weight = torch.empty_like(part).copy_(weight)
                if number == 0:
                    torch.mul(part, weight, out=target)
                else:
                    target.addcmul_(part, weight)
                del part, weight

    def workspace(self, held: list[Box], box: Box, itemsize: int) -> int:
        plane = voxels(with_planes(box, (0, 1)))
        rounded = itemsize if itemsize < 4 else 0  # a copy of the weights in the features' precision
        attention = voxels(box) * len(self.branches) * (4 + rounded)
        outputs, hidden = self.score_weight.shape[:2]
        scores = 4 * outputs + _projection_bytes(outputs, hidden, False, itemsize)
        attending = self.hidden.workspace(held[0], box, itemsize) + plane * self.hidden.most_planes(box) * scores
        most = max(branch.most_planes(box) for branch in self.branches)
        expanded = plane * most * self.branches[0].weight.shape[0] * rounded
        blending = max(branch.workspace(held[0], box, itemsize) for branch in self.branches) + expanded
        return attention + max(attending, blending, _shortcut_workspace(self.shortcut, held, box, itemsize))

    def multiplications(self) -> int:
        branches = sum(branch.multiplications() for branch in self.branches)
        attending = self.hidden.multiplications() + self.score_weight.numel()
        return branches + attending + _shortcut_multiplications(self.shortcut)


@dataclass(frozen=True)
class Classifier(Weights):
    """The last 1x1x1 convolution, in float32 for features of any precision."""

    exact = ("weight", "bias")
    weight: Tensor
    bias: Tensor

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> None:
        out.copy_(_project(windows[0].crop(box), self.weight, self.bias))

    def workspace(self, held: list[Box], box: Box, itemsize: int) -> int:
        outputs, channels = self.weight.shape[:2]
        return voxels(box) * _projection_bytes(outputs, channels, input_of(box, 0, held[0])[1], itemsize)

    def multiplications(self) -> int:
        return self.weight.numel()


@dataclass(frozen=True)
class Pyramid(Weights):
    """An ASPP head: K zero-padded dilated convolutions of one input, each with a classifier; their scores are summed.

    One classifier on concatenated features (ASPP-C) is the same as K classifiers with the parts of its weight.
    """

    branches: tuple[Filter, ...]
    classifiers: tuple[Classifier, ...]

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> None:
        out.zero_()
        for branch, classifier in zip(self.branches, self.classifiers, strict=True):
            for planes, part in branch.parts(windows[0], box):
                scores = _project(part.relu_(), classifier.weight, classifier.bias)
                place(with_planes(box, planes), out, box).add_(scores)
                del part, scores

    def workspace(self, held: list[Box], box: Box, itemsize: int) -> int:
        plane = voxels(with_planes(box, (0, 1)))
        outputs, channels = self.classifiers[0].weight.shape[:2]
        most = max(branch.most_planes(box) for branch in self.branches)
        scores = plane * most * _projection_bytes(outputs, channels, False, itemsize)
        return max(branch.workspace(held[0], box, itemsize) for branch in self.branches) + scores

    def multiplications(self) -> int:
        convolutions = sum(branch.multiplications() for branch in self.branches)
        return convolutions + sum(classifier.multiplications() for classifier in self.classifiers)


@dataclass(frozen=True)
class ScaledPReLU(Weights):
    """DeepMedic's activation: scale and shift of each channel (BatchNorm), then PReLU."""

    scale: Tensor
    shift: Tensor
    slope: Tensor

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> None:
        features = torch.addcmul(self.shift, windows[0].crop(box), self.scale)
        out.copy_(functional.prelu(features, self.slope))

    def workspace(self, held: list[Box], box: Box, itemsize: int) -> int:
        return 2 * voxels(box) * self.slope.numel() * itemsize

    def multiplications(self) -> int:
        return 2 * self.slope.numel()


@dataclass(frozen=True)
class Repeat(Weights):
    """DeepMedic's second pathway: repeats each voxel of ``features`` (1, C, d, h, w) ``scale`` times along each axis.

    ``origin`` is the voxel of the padded volume where the first voxel of ``features`` starts.
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

    def workspace(self, held: list[Box], box: Box, itemsize: int) -> int:
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
            features = convolve(features, weight, bias).relu_()
        self.classifier([Window(features, box)], box, out)

    def workspace(self, held: list[Box], box: Box, itemsize: int) -> int:
        layers = max(weight.shape[0] + weight.shape[1] for weight in self.weights) * voxels(box) * itemsize
        last = self.weights[-1].shape[0] * voxels(box) * itemsize
        return max(layers, last + self.classifier.workspace([box], box, itemsize))

    def multiplications(self) -> int:
        return sum(weight.numel() for weight in self.weights) + self.classifier.weight.numel()


def _project(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 1x1x1 convolution in float32: from (1, C, d, h, w), channels last, to (1, O, d, h, w), channels first."""
    outputs, channels = weight.shape[:2]
    voxels_last = features.permute(0, 2, 3, 4, 1).reshape(-1, channels).float().t()
    return torch.addmm(bias[:, None], weight.reshape(outputs, channels), voxels_last).view(1, -1, *features.shape[2:])


def _projection_bytes(outputs: int, channels: int, copied: bool, itemsize: int) -> int:
    """Bytes of temporary tensors for each voxel of :func:`_project`, its result included."""
    return 4 * outputs + copied * channels * itemsize + (4 * channels if itemsize < 4 else 0)


def _finish(features: Tensor, windows: list[Window], box: Box, shortcut: Shortcut | None, relu: bool) -> None:
    if shortcut is not None:
        shortcut.add_to(features, windows[1], box)
    if relu:
        features.relu_()


def _shortcut_workspace(shortcut: Shortcut | None, held: list[Box], box: Box, itemsize: int) -> int:
    return 0 if shortcut is None else shortcut.workspace(held[1], box, itemsize)


def _shortcut_multiplications(shortcut: Shortcut | None) -> int:
    return shortcut.weight.numel() if shortcut is not None and shortcut.weight is not None else 0
