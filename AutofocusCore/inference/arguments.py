"""Checks of what is given to `predict_volume`: each argument becomes what it means, or is refused in one sentence.

A script or a notebook may give anything: a text, None, NaN, a boolean, a numpy scalar. What is no doubt a number, or a
list of them, is taken; what may be a mistake is refused before anything is computed.
"""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from AutofocusCore.errors import SettingError
from AutofocusCore.inference.boxes import Box
from AutofocusCore.inference.devices import PRECISIONS
from AutofocusCore.inference.task import Task
from AutofocusCore.networks.build import Network
from AutofocusCore.networks.scale_streams import ScaleStreams

Mode = Literal["exact", "paper"]
AttentionSelection: TypeAlias = Literal["all"] | Sequence[int] | None

OF_A_NETWORK = ("in_channels", "num_classes", "margin", "autofocus_layers", "dilation_rates", "forward_with_attention")
"""Attributes that inference asks of a network."""


def shown(value: object) -> str:
    """A value as a message shows it: an array by its type and shape, anything else as Python writes it, cut short."""
    if isinstance(value, (Tensor, np.ndarray)):
        kind = "a tensor" if isinstance(value, Tensor) else "an array"
        return f"{kind} of {str(value.dtype).removeprefix('torch.')}, shape {tuple(value.shape)}"
    return reprlib.repr(value)


def check_network(network: object) -> None:
    """Refuse what is no network of this package."""
    if not isinstance(network, nn.Module) or not all(hasattr(network, name) for name in OF_A_NETWORK):
        raise SettingError(f"The network is {shown(network)}", "give one that build_network or a model's build() made")


def check_options(
    mode: object, precision: object, memory_limit: object, attention: object, progress: object, cancelled: object
) -> None:
    """Refuse options of a wrong type, and names that there are not; what depends on network and volume comes later."""
    if not isinstance(mode, str) or mode not in get_args(Mode):
        raise SettingError(f"There is no mode {shown(mode)}", "choose 'exact' or 'paper'")
    if not isinstance(precision, str) or precision not in ("auto", *PRECISIONS):
        raise SettingError(f"There is no precision {shown(precision)}", f"choose one of auto, {', '.join(PRECISIONS)}")
    if memory_limit is not None and not _is_real(memory_limit, least=1):
        raise SettingError(f"memory_limit is {shown(memory_limit)}", "give a positive number of bytes, or None")
    if attention is not None and not (isinstance(attention, str) and attention == "all"):
        _indices(attention)
    for name, function in (("progress", progress), ("cancelled", cancelled)):
        if function is not None and not callable(function):
            raise SettingError(f"{name} is {shown(function)}", "give a function, or None")


def as_task(network: Network, volume: Any, background: Any, region: Any, attention: Any, device: str = "cpu") -> Task:
    """The task that a volume, its background, the region and the selection of attention maps describe.

    Raises:
        SettingError: one of them makes no sense, or the volume does not fit the network.
    """
    volume = as_volume(volume, device)
    if volume.ndim != 4 or volume.shape[0] != network.in_channels or min(volume.shape) < 1:
        raise SettingError(
            f"The volume has shape {tuple(volume.shape)}",
            f"give (C, D, H, W) with {network.in_channels} channel(s) and at least one voxel",
        )
    values = as_background(background, network.in_channels)
    box = as_region(region, cast("tuple[int, int, int]", tuple(volume.shape[1:])))
    return Task.of(network, volume, values, box, as_layers(attention, network), device)


def as_volume(volume: Any, device: str) -> Tensor:
    """The volume as a float32 tensor, whatever its byte order and strides.

    Raises:
        SettingError: it holds anything but real numbers.
    """
    wrong = SettingError(f"The volume is {shown(volume)}", "give an array or a tensor (C, D, H, W) of real numbers")
    if isinstance(volume, Tensor):
        if volume.layout != torch.strided or volume.is_complex() or volume.is_quantized:
            raise wrong
        return torch.as_tensor(volume, device=device).float()
    try:
        array = np.asarray(volume)
    except (TypeError, ValueError, RuntimeError):  # lists of several lengths
        raise wrong from None
    if array.dtype.kind not in "biuf":
        raise wrong
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused by name
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device)


def as_background(background: Any, channels: int) -> Tensor:
    """The background's value in each channel, (C,) float32.

    Raises:
        SettingError: not one finite number, nor one for each channel.
    """
    wrong = SettingError(
        f"background is {shown(background)}", f"give a finite number, or one for each of {channels} channel(s)"
    )
    if isinstance(background, Tensor):
        background = background.detach().cpu()
        background = background.float() if background.dtype == torch.bfloat16 else background
    try:
        values = np.asarray(background)
    except (TypeError, ValueError, RuntimeError):
        raise wrong from None
    if values.dtype.kind not in "iuf" or values.ndim > 1 or values.size not in (1, channels):
        raise wrong
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise wrong
    return torch.from_numpy(values.reshape(-1)).expand(channels)


def as_shape(shape: Any) -> tuple[int, ...]:
    """The shape of a volume as whole numbers, at least 1.

    Raises:
        SettingError: anything else.
    """
    sizes = _whole_numbers(shape)
    if sizes is None or len(sizes) != 4 or min(sizes) < 1:
        raise SettingError(f"The volume's shape is {shown(shape)}", "give (C, D, H, W), each at least 1")
    return sizes


def as_region(region: Any, size: tuple[int, int, int]) -> Box:
    """The region, or all of a volume of ``size`` (D, H, W) where it is None.

    Raises:
        SettingError: not three pairs of whole numbers inside the volume.
    """
    if region is None:
        return (0, size[0]), (0, size[1]), (0, size[2])
    try:
        pairs = [_whole_numbers(pair) for pair in region]
    except TypeError:
        pairs = []
    ends = [(pair[0], pair[1]) for pair in pairs if pair is not None and len(pair) == 2]
    if len(pairs) != 3 or len(ends) != 3:
        raise SettingError(f"The region is {shown(region)}", "give ((z0, z1), (y0, y1), (x0, x1)) in whole numbers")
    if any(not 0 <= start < stop <= length for (start, stop), length in zip(ends, size, strict=True)):
        raise SettingError(f"The region {tuple(ends)} does not lie in the volume of {size} voxels", "give one inside")
    return ends[0], ends[1], ends[2]


def as_layers(attention: Any, network: Network) -> tuple[int, ...] | None:
    """The indices of the attention maps to return; None if attention is not asked for.

    Raises:
        SettingError: an index of no map.
    """
    count = network.autofocus_layers
    if attention is None:
        return None
    if isinstance(attention, str) and attention == "all":
        return tuple(range(count))
    wanted = _indices(attention)
    if any(index not in range(count) for index in wanted):
        kind = "map(s) of location attention" if isinstance(network, ScaleStreams) else "autofocus layer(s)"
        raise SettingError(
            f"Attention is asked for of layers {list(wanted)}",
            f"this network has {count} {kind}, counted from 0; give some of those, 'all' or None",
        )
    return wanted


def as_mask(mask: Any, network: Network, size: tuple[int, ...]) -> Tensor | None:
    """The ROI mask of a volume of ``size`` (D, H, W) as a boolean tensor on the CPU; None: all voxels are active.

    Raises:
        SettingError: another shape, no booleans, or a network of the box domain.
    """
    if mask is None:
        return None
    if getattr(network, "domain", "box") != "roi":
        raise SettingError(
            "A network of the box domain takes no ROI mask", "build it with domain='roi', or leave the mask out"
        )
    if isinstance(mask, np.ndarray) and mask.dtype == bool:
        mask = torch.from_numpy(np.ascontiguousarray(mask))
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) != size:
        raise SettingError(
            f"The mask is {shown(mask)}",
            f"give booleans of the volume's shape {size}, true where the region of interest is",
        )
    return mask.cpu()


def as_share(share: Any) -> float:
    """The share of voxels inside a mask.

    Raises:
        SettingError: not a number from 0 to 1.
    """
    if not _is_real(share, least=0) or share > 1:
        raise SettingError(f"active_share is {shown(share)}", "give a number from 0 to 1")
    return float(share)


def _is_real(value: Any, least: float) -> bool:
    """Whether a value is one finite number, numpy's included, of at least ``least``; booleans are not numbers."""
    try:
        return not isinstance(value, bool) and isinstance(value, Real) and least <= float(value) < math.inf
    except OverflowError:  # an int of 400 digits
        return False


def _indices(attention: Any) -> tuple[int, ...]:
    indices = _whole_numbers(attention)
    if indices is None:
        raise SettingError(f"attention is {shown(attention)}", "give 'all', a list of layers counted from 0, or None")
    return indices


def _whole_numbers(values: Any) -> tuple[int, ...] | None:
    """The values as ints; None where they are no list, or hold anything but whole numbers. Booleans are not numbers."""
    if isinstance(values, (str, bytes)):
        return None
    try:
        values = tuple(values)
        if any(isinstance(value, bool) for value in values):
            return None
        return tuple(operator.index(value) for value in values)
    except TypeError:
        return None
