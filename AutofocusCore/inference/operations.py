"""The arithmetic of one layer over one slab, with BatchNorm folded into the weights.

An operation takes windows of its inputs and the box of voxels that is wanted, and gives the features there. This is the
one place where the autofocus layer is computed during inference: another way to compute it replaces :class:`Autofocus`
and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from AutofocusCore.inference.blending import blending_bytes, convolve_blended
from AutofocusCore.inference.boxes import Box, Window, grow, shape_of, voxels

Result = tuple[Tensor, Tensor | None]
Kind = TypeVar("Kind")
AnyWeights = TypeVar("AnyWeights", bound="Weights")


class Operation(Protocol):
    """What the engine asks of a layer."""

    def __call__(self, windows: list[Window], box: Box) -> Result:
        """Features (1, O, d, h, w) of ``box``, and attention (1, K, d, h, w) or None."""
        ...

    def workspace(self, box: Box, itemsize: int) -> int:
        """Bytes of temporary tensors, the result included, while ``box`` is computed at ``itemsize`` bytes a value."""
        ...

    def to(self: Kind, dtype: torch.dtype) -> Kind:
        """The operation with its weights in ``dtype``."""
        ...

    def multiplications(self) -> int:
        """Multiplications for each voxel of the result."""
        ...


@dataclass(frozen=True)
class Weights:
    """Base of the operations: frozen, and cast as a whole."""

    exact: ClassVar[tuple[str, ...]] = ()  # fields that stay in float32 whatever the features are

    def to(self: AnyWeights, dtype: torch.dtype) -> AnyWeights:
        """A copy with every tensor in ``dtype``, but those in ``exact``."""
        names = [field.name for field in fields(self) if field.name not in self.exact]
        return replace(self, **{name: _cast(getattr(self, name), dtype) for name in names})


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, (Tensor, Weights)):
        return value.to(dtype)
    if isinstance(value, tuple):
        return tuple(_cast(item, dtype) for item in value)
    return value


@dataclass(frozen=True)
class Shortcut(Weights):
    """A residual connection: the second window's centre, projected by a 1x1x1 convolution where ``weight`` is given."""

    weight: Tensor | None = None
    bias: Tensor | None = None

    def add_to(self, features: Tensor, window: Window, box: Box) -> Tensor:
        source = window.crop(box)
        if self.weight is not None:
            source = functional.conv3d(source, self.weight, self.bias)
        features.narrow(1, 0, source.shape[1]).add_(source)
        return features


@dataclass(frozen=True)
class Convolution(Weights):
    """A 3x3x3 convolution at one dilation rate, an optional shortcut, an optional ReLU."""

    weight: Tensor
    bias: Tensor | None
    dilation: int
    relu: bool = True
    shortcut: Shortcut | None = None

    def __call__(self, windows: list[Window], box: Box) -> Result:
        features = windows[0].convolve(box, self.weight, self.bias, self.dilation)
        return _finish(features, windows, box, self.shortcut, self.relu), None

    def workspace(self, box: Box, itemsize: int) -> int:
        projected = self.shortcut is not None and self.shortcut.weight is not None
        return _convolution_workspace(self.weight, box, itemsize) * (2 if projected else 1)

    def multiplications(self) -> int:
        return self.weight.numel() + _shortcut_multiplications(self.shortcut)


@dataclass(frozen=True)
class Autofocus(Weights):
    """K convolutions blended by attention; an optional shortcut; ReLU.

    ``weights`` and ``biases`` hold K tensors, one for each rate: with a BatchNorm for each branch the folded weights
    differ; with the fused norm they are one and the same tensor, and ``blend_first`` makes one convolution of all K.
    """

    exact = ("score_weight", "score_bias")
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    rates: tuple[int, ...]
    hidden_weight: Tensor
    hidden_bias: Tensor
    score_weight: Tensor
    score_bias: Tensor
    shortcut: Shortcut | None = None
    blend_first: bool = False

    def __call__(self, windows: list[Window], box: Box) -> Result:
        attention = self.attend(windows[0], box)
        features = self.blend(windows[0], box, attention)
        return _finish(features, windows, box, self.shortcut, relu=True), attention

    def attend(self, window: Window, box: Box) -> Tensor:
        """Attention (1, K, d, h, w) in float32 over the rates."""
        wide = window.widen(box, 1, self.rates[0])
        hidden = window.convolve(wide, self.hidden_weight, self.hidden_bias, 1).relu_()
        attention = functional.conv3d(hidden.float(), self.score_weight, self.score_bias).softmax(dim=1)
        return Window(attention, wide).crop(box)

    def blend(self, window: Window, box: Box, attention: Tensor) -> Tensor:
        """The weighted sum of the K branches."""
        attention = attention.to(window.tensor.dtype)
        shares = attention.split(1, dim=1)
        if self.blend_first:
            features = convolve_blended(window, box, self.weights[0], self.rates, attention)
            for bias, share in zip(self.biases, shares, strict=True):
                features.addcmul_(bias.reshape(1, -1, 1, 1, 1), share)
            return features
        branches = zip(self.weights, self.biases, self.rates, shares, strict=True)
        weight, bias, rate, share = next(branches)
        features = window.convolve(box, weight, bias, rate).mul_(share)
        for weight, bias, rate, share in branches:
            features.addcmul_(window.convolve(box, weight, bias, rate), share)
        return features

    def workspace(self, box: Box, itemsize: int) -> int:
        count = voxels(box)
        attention = count * len(self.rates) * (4 + itemsize)
        attending = _convolution_workspace(self.hidden_weight, box, itemsize + 4)
        outputs, channels = self.weights[0].shape[:2]
        blending = (
            blending_bytes(box, channels, outputs, max(self.rates), itemsize)
            if self.blend_first
            else 2 * _convolution_workspace(self.weights[0], box, itemsize)
        )
        return attention + max(attending, blending)

    def multiplications(self) -> int:
        kernels = sum(weight.numel() for weight in self.weights[: 1 if self.blend_first else None])
        return (
            kernels + self.hidden_weight.numel() + self.score_weight.numel() + _shortcut_multiplications(self.shortcut)
        )


@dataclass(frozen=True)
class Classifier(Weights):
    """The last 1x1x1 convolution, in float32 whatever the features are."""

    exact = ("weight", "bias")
    weight: Tensor
    bias: Tensor

    def __call__(self, windows: list[Window], box: Box) -> Result:
        return functional.conv3d(windows[0].crop(box).float(), self.weight, self.bias), None

    def workspace(self, box: Box, itemsize: int) -> int:
        return voxels(box) * 4 * (self.weight.shape[0] + self.weight.shape[1])

    def multiplications(self) -> int:
        return self.weight.numel()


@dataclass(frozen=True)
class Pyramid(Weights):
    """An ASPP head: K dilated convolutions of the same input, zero-padded, each with its share of the classifier.

    Concatenation and one classifier (ASPP-C) equals the sum of K classifiers (ASPP-S) on the parts of its weight.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    rates: tuple[int, ...]
    classifiers: tuple[Classifier, ...]

    def __call__(self, windows: list[Window], box: Box) -> Result:
        scores: Tensor | None = None
        for weight, bias, rate, classifier in zip(self.weights, self.biases, self.rates, self.classifiers, strict=True):
            features = windows[0].convolve(box, weight, bias, rate).relu_()
            part, _ = classifier([Window(features, box)], box)
            scores = part if scores is None else scores.add_(part)
        assert scores is not None
        return scores, None

    def workspace(self, box: Box, itemsize: int) -> int:
        branch = _convolution_workspace(self.weights[0], box, itemsize)
        return branch + self.classifiers[0].workspace(box, itemsize) * 2

    def multiplications(self) -> int:
        return sum(weight.numel() for weight in self.weights) + sum(c.weight.numel() for c in self.classifiers)


@dataclass(frozen=True)
class ScaledPReLU(Weights):
    """DeepMedic's activation: a scale and a shift for each channel (BatchNorm), then PReLU."""

    scale: Tensor
    shift: Tensor
    slope: Tensor

    def __call__(self, windows: list[Window], box: Box) -> Result:
        features = torch.addcmul(self.shift, windows[0].crop(box), self.scale)
        return functional.prelu(features, self.slope), None

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

    def __call__(self, windows: list[Window], box: Box) -> Result:
        features = self.features
        for axis, ((start, stop), origin) in enumerate(zip(box, self.origin, strict=True), start=2):
            index = (torch.arange(start, stop, device=features.device) - origin).div_(self.scale, rounding_mode="floor")
            features = features.index_select(axis, index)
        return features, None

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

    def __call__(self, windows: list[Window], box: Box) -> Result:
        features = torch.cat([window.crop(box) for window in windows], dim=1)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            features = functional.conv3d(features, weight, bias).relu_()
        return self.classifier([Window(features, box)], box)

    def workspace(self, box: Box, itemsize: int) -> int:
        return voxels(box) * itemsize * 2 * self.weights[0].shape[0] + self.classifier.workspace(box, itemsize)

    def multiplications(self) -> int:
        return sum(weight.numel() for weight in self.weights) + self.classifier.weight.numel()


def _finish(features: Tensor, windows: list[Window], box: Box, shortcut: Shortcut | None, relu: bool) -> Tensor:
    if shortcut is not None:
        features = shortcut.add_to(features, windows[1], box)
    return features.relu_() if relu else features


def _shortcut_multiplications(shortcut: Shortcut | None) -> int:
    return shortcut.weight.numel() if shortcut is not None and shortcut.weight is not None else 0


def _convolution_workspace(weight: Tensor, box: Box, itemsize: int) -> int:
    """Bytes for the result of a convolution, and for its columns where PyTorch unfolds the input (no oneDNN)."""
    count = voxels(box) * weight.shape[0] * itemsize
    if weight.device.type == "cpu" and not torch.backends.mkldnn.is_available():
        depth, height, width = shape_of(grow(box, 0))
        count += depth * height * width * weight[0].numel() * itemsize
    return count
