"""The autofocus layer during inference: attention, and K convolutions blended by it.

This is the one place where the layer is computed: another way to do so is a class beside :class:`ConvolvedAutofocus`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from AutofocusCore.inference.boxes import Box, Window, place, shape_of, voxels, with_planes
from AutofocusCore.inference.filters import Filter, Weights
from AutofocusCore.inference.operations import (
    Shortcut,
    finish,
    project,
    shortcut_multiplications,
    shortcut_workspace,
)


@dataclass(frozen=True, kw_only=True)
class Autofocus(Weights):
    """Attention over K dilation rates, features blended by it, an optional shortcut, ReLU.

    Args:
        rates: the dilation rates, ascending.
        hidden, score_weight, score_bias: the two convolutions of the attention.
        shortcut: a residual connection.
    """

    exact: ClassVar[tuple[str, ...]] = ("score_weight", "score_bias")
    rates: tuple[int, ...]
    hidden: Filter
    score_weight: Tensor
    score_bias: Tensor
    shortcut: Shortcut | None = None

    def __call__(self, windows: list[Window], box: Box, out: Tensor) -> Tensor:
        attention = self.attend(windows[0], box)
        self.blend(windows[0], box, attention, out)
        finish(out, windows, box, self.shortcut, relu=True)
        return attention

    def attend(self, window: Window, box: Box) -> Tensor:
        """Attention (1, K, d, h, w) in float32 over the rates."""
        wide = window.widen(box, 1, self.rates[0])
        attention = self.score_bias.new_empty((1, len(self.rates), *shape_of(wide)))
        for planes, hidden in self.hidden.parts(window, wide):
            scores = project(hidden.relu_(), self.score_weight, self.score_bias)
            place(with_planes(wide, planes), attention, wide).copy_(scores.softmax(dim=1))
        return Window(attention, wide).crop(box)

    def blend(self, window: Window, box: Box, attention: Tensor, out: Tensor) -> None:
        """Fill ``out`` with the sum of the K branches, weighted by attention."""
        raise NotImplementedError

    def blending_workspace(self, box: Box, itemsize: int) -> int:
        """Bytes that :meth:`blend` holds beside its arguments."""
        raise NotImplementedError

    def blending_multiplications(self) -> int:
        """Multiplications of :meth:`blend` for each voxel."""
        raise NotImplementedError

    def workspace(self, box: Box, itemsize: int) -> int:
        rounded = itemsize if itemsize < 4 else 0  # of the shares as they multiply, beside those in float32
        attention = voxels(box) * len(self.rates) * (4 + rounded)
        during = max(self.hidden.workspace(box, itemsize + 4), self.blending_workspace(box, itemsize))
        return max(attention + during, shortcut_workspace(self.shortcut, box, itemsize))

    def multiplications(self) -> int:
        attending = self.hidden.multiplications() + self.score_weight.numel()
        return self.blending_multiplications() + attending + shortcut_multiplications(self.shortcut)


@dataclass(frozen=True, kw_only=True)
class ConvolvedAutofocus(Autofocus):
    """One convolution after the other.

    Args:
        branches: K filters, one for each rate: with a BatchNorm for each branch their folded weights differ.
    """

    branches: tuple[Filter, ...]

    def blend(self, window: Window, box: Box, attention: Tensor, out: Tensor) -> None:
        spread = out.dtype != torch.float32 and out.device.type == "cpu"
        shares = (attention.to(out.dtype) if spread else attention).split(1, dim=1)
        for number, (branch, share) in enumerate(zip(self.branches, shares, strict=True)):
            for planes, part in branch.parts(window, box):
                piece = with_planes(box, planes)
                target, weight = place(piece, out, box), place(piece, share, box)
                if spread:  # over the channels: PyTorch multiplies tensors of one shape three times faster
                    weight = torch.empty_like(part).copy_(weight)
                if number == 0:
                    torch.mul(part, weight, out=target)
                else:
                    target.addcmul_(part, weight)

    def blending_workspace(self, box: Box, itemsize: int) -> int:
        plane, depth = voxels(with_planes(box, (0, 1))), box[0][1] - box[0][0]
        outputs = self.branches[0].weight.shape[0]
        spread = plane * max(branch.most_planes(depth) for branch in self.branches) * outputs * itemsize
        return max(branch.workspace(box, itemsize) for branch in self.branches) + spread

    def blending_multiplications(self) -> int:
        return sum(branch.multiplications() for branch in self.branches)
