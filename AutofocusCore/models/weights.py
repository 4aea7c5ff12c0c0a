"""Weights as safetensors: the same bytes on every machine; reading executes nothing and checks names and shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import AutofocusError, ModelError
from AutofocusCore.models.safetensors_reader import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from AutofocusCore.networks.build import Network

LARGEST_HEADER = 16 * 1024**2
GET_ANOTHER = "get the model from its source again"
MOST_TEXT = 300
"""Characters of what is said of a value that may be very long."""


def network_of(architecture: Mapping[str, Any]) -> Network:
    """Build the network that the options describe.

    Raises:
        ModelError: this version does not know the architecture or an option.
    """
    from AutofocusCore.networks.build import build_network

    try:
        return build_network(**architecture)
    except AutofocusError as error:
        cause = f"The model's architecture cannot be built: {_shortened(error.cause)}"
        raise ModelError(cause, f"{error.remedy}, or update AutofocusSegmentation") from None
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        cause = f"The model's architecture cannot be built ({_shortened(first)})"
        raise ModelError(cause, "update AutofocusSegmentation, or correct the model's metadata.json") from None


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"


def outline_of(architecture: Mapping[str, Any]) -> Network:
    """The network on torch's device "meta", without memory for its weights.

    Random initial values are left out: there they would change nothing, but torch would import its compiler and sympy
    to compute their shapes, which takes a new process more than a second.

    Raises:
        ModelError: as `network_of`.
    """
    import torch
    from torch.nn import init
    from torch.overrides import TorchFunctionMode

    random = (init.normal_, init.uniform_, init.kaiming_uniform_, torch.Tensor.normal_, torch.Tensor.uniform_)

    class WithoutRandomValues(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function in random:
                return args[0] if args else (kwargs or {})["tensor"]
            return function(*args, **(kwargs or {}))

    with torch.device("meta"), WithoutRandomValues():
        return network_of(architecture)


def check_shapes(state: Mapping[str, Tensor], architecture: Mapping[str, Any]) -> None:
    """Refuse weights with names or shapes that do not fit the architecture, without building the network in memory."""
    _check_fit(state, outline_of(architecture).state_dict())


def pack_weights(state: Mapping[str, Tensor]) -> bytes:
    """Tensors as safetensors bytes: floating-point ones as float32, on the CPU, without shared memory."""
    import torch

    copies = {}
    for name in sorted(state):
        tensor = state[name].detach().to("cpu")
        tensor = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
        copies[name] = tensor.clone().contiguous()
    return write_safetensors(copies)


def check_header(data: bytes) -> None:
    """Refuse bytes that are not a complete safetensors file, and say what they are; torch is not needed.

    The format is 8 bytes with the length of a JSON header, the header (a dtype, shape and byte range for each tensor),
    and the tensors.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8 or length > LARGEST_HEADER or data[8:9] != b"{":
        if data[:1] == b"\x80":
            raise ModelError("The weights are a pickle named .safetensors; it was not opened", "do not use this model")
        if data[:2] == b"PK":
            cause = "The weights are a zip archive (PyTorch's pickles look so) named .safetensors; it was not opened"
            raise ModelError(cause, "do not use this model")
        raise ModelError("The weights are no safetensors file, or one cut short", GET_ANOTHER)
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"))
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        whole = end == len(data) - 8 - length
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise ModelError("The weights have a damaged header", GET_ANOTHER) from None
    if not whole:
        raise ModelError("The weights were cut short or have bytes too many", GET_ANOTHER)


def unpack_weights(data: bytes) -> dict[str, Tensor]:
    """Tensors of safetensors bytes.

    Raises:
        ModelError: the bytes have another format, are incomplete or damaged.
    """
    check_header(data)
    return read_safetensors(data)


def check_weights(state: Mapping[str, Tensor], network: nn.Module) -> None:
    """Refuse weights whose names, shapes or types do not fit the network, or that contain NaN or infinity."""
    import torch

    _check_fit(state, network.state_dict())
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            cause = f"The weights' {name} holds NaN or infinite values"
            raise ModelError(cause, "train the model again, or take an earlier checkpoint")


def _check_fit(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    other = "use weights of the architecture that metadata.json names, or correct the architecture there"
    for what, names in (("lack", wanted.keys() - state.keys()), ("have the unknown", state.keys() - wanted.keys())):
        if names:
            shown = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise ModelError(f"The weights {what} {shown}", other)
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            cause = f"The weights' {name} has shape {tuple(tensor.shape)}, the network's {tuple(wanted[name].shape)}"
            raise ModelError(cause, other)
        if tensor.dtype != wanted[name].dtype:
            raise ModelError(f"The weights' {name} is of type {tensor.dtype}, not {wanted[name].dtype}", other)
