"""Weights as safetensors: the same bytes on every machine; reading executes nothing and checks names and shapes.

The format is read and written here, with torch alone, because Slicer's Python may lack the library of that name:

    8 bytes      length n of the header, little-endian
    n bytes      JSON: {"name": {"dtype": "F32", "shape": [40, 30], "data_offsets": [0, 4800]}, …, "__metadata__": {…}}
    the rest     the tensors, row by row, little-endian, one after the other: no gap, no overlap, nothing after them

The whole header is checked before any tensor is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from AutofocusCore.errors import AutofocusError, ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from AutofocusCore.networks.build import Network

# torch's names, and bytes of a value
DTYPES = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "I64": ("int64", 8), "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1), "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}  # fmt: skip
# The library's order of types in a file, largest first; within a type tensors are sorted by name.
ORDER = ("I64", "F64", "F32", "I32", "BF16", "F16", "I16", "I8", "U8", "BOOL")
LARGEST_HEADER = 16 * 1024**2
METADATA = "__metadata__"
GET_ANOTHER = "get the model from its source again"
MOST_TEXT = 300
"""Characters of what is said of a value that may be very long."""

Entry = tuple[str, tuple[int, ...], int, int]
"""Type of a tensor under torch's name, shape, first byte, and the byte after the last."""


def network_of(architecture: Mapping[str, Any], *, outline: bool = False) -> Network:
    """Build the network that the options describe.

    Args:
        architecture: keyword arguments of `build_network`.
        outline: on torch's device "meta", without memory for its weights.

    Raises:
        ModelError: this version does not know the architecture or an option.
    """
    from AutofocusCore.networks.build import build_network, outline_network

    try:
        return (outline_network if outline else build_network)(**architecture)
    except AutofocusError as error:
        cause = f"The model's architecture cannot be built: {_shortened(error.cause)}"
        raise ModelError(cause, f"{error.remedy}, or update AutofocusSegmentation") from None
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        cause = f"The model's architecture cannot be built ({_shortened(first)})"
        raise ModelError(cause, "update AutofocusSegmentation, or correct the model's metadata.json") from None


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"


def trained_network(architecture: Mapping[str, Any], weights: bytes) -> Network:
    """The network with its weights, float32 on the CPU, in evaluation mode.

    It is built without memory for its weights, which the tensors of the file then become: an architecture that does not
    fit them takes none.

    Raises:
        ModelError: the weights are damaged, do not fit the architecture, or hold NaN.
    """
    network = network_of(architecture, outline=True)
    state = unpack_weights(weights)
    check_weights(state, network)
    network.load_state_dict(state, assign=True)
    return network.eval()


def pack_weights(state: Mapping[str, Tensor]) -> bytes:
    """Tensors as safetensors bytes: floating-point ones as float32, on the CPU, without shared memory."""
    import torch

    copies = {}
    for name in sorted(state):
        tensor = state[name].detach().to("cpu")
        tensor = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
        copies[name] = tensor.clone().contiguous()
    return write_safetensors(copies)


def write_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes of a file with these CPU tensors, equal to those that the library writes.

    Raises:
        ModelError: a type that networks have no weights of.
    """
    import torch

    words = {getattr(torch, name): word for word, (name, _) in DTYPES.items()}
    for name, tensor in tensors.items():
        if tensor.dtype not in words:
            raise ModelError(f"The weights' {name} is of type {tensor.dtype}", "convert it to float32")
    header, blocks, end = {}, [], 0
    for name in sorted(tensors, key=lambda name: (ORDER.index(words[tensors[name].dtype]), name)):
        tensor = tensors[name].contiguous()
        blocks.append(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
        start, end = end, end + len(blocks[-1])
        header[name] = {"dtype": words[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(blocks)


def unpack_weights(data: bytes) -> dict[str, Tensor]:
    """The tensors of a file's bytes, on the CPU.

    Raises:
        ModelError: as `read_header`.
    """
    import torch

    entries = read_header(data)
    body = memoryview(data)[8 + int.from_bytes(data[:8], "little") :]
    tensors = {}
    for name, (dtype, shape, start, stop) in entries.items():
        # A copy: it can be written to, and its memory is aligned for the type.
        values = torch.frombuffer(bytearray(body[start:stop]), dtype=getattr(torch, dtype)) if stop > start else None
        tensors[name] = torch.empty(0, dtype=getattr(torch, dtype)) if values is None else values
        tensors[name] = tensors[name].reshape(shape)
    return tensors


def read_header(data: bytes) -> dict[str, Entry]:
    """Type, shape and byte range of every tensor by its name; torch is not needed.

    Raises:
        ModelError: another kind of file, cut short, damaged, or a type that networks have no weights of.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, LARGEST_HEADER) or data[8:9] != b"{":
        if data[:1] == b"\x80":
            raise ModelError("The weights are a pickle named .safetensors; it was not opened", "do not use this model")
        if data[:2] == b"PK":
            cause = "The weights are a zip archive (PyTorch's pickles look so) named .safetensors; it was not opened"
            raise ModelError(cause, "do not use this model")
        _refuse("they are no safetensors file, or one cut short")
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        _refuse(str(error))
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse(f"{METADATA} contains values that are not texts")
    entries = {name: _entry(name, value) for name, value in header.items()}
    end = 0
    for name, (_, _, start, stop) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if start != end:
            _refuse(f"{name} does not begin where the tensor before it ends")
        end = stop
    if end != len(data) - 8 - length:
        _refuse(f"cut short or with bytes too many: the tensors take {end}, and there are {len(data) - 8 - length}")
    return entries


def _entry(name: str, value: Any) -> Entry:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(f"the entry of {name} lacks the fields dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        _refuse(f"{name} is of the type {dtype!r}")
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
            _refuse(f"the shape or data_offsets of {name} are not lists of whole numbers")
    if len(offsets) != 2:
        _refuse(f"{name} has {len(offsets)} data_offsets")
    start, stop = offsets
    word, size = DTYPES[dtype]
    if stop - start != math.prod(shape) * size:
        _refuse(f"{name} has {stop - start} bytes, but its shape {shape} needs {math.prod(shape) * size}")
    return word, tuple(shape), start, stop


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        _refuse("a name occurs twice in the header")
    return values


def _refuse(reason: str) -> NoReturn:
    raise ModelError(f"The weights are damaged ({reason})", GET_ANOTHER)


def check_weights(state: Mapping[str, Tensor], network: nn.Module) -> None:
    """Refuse weights whose names, shapes or types do not fit the network, or that contain NaN or infinity.

    The network may be an outline.
    """
    import torch

    wanted = network.state_dict()
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
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            cause = f"The weights' {name} holds NaN or infinite values"
            raise ModelError(cause, "train the model again, or take an earlier checkpoint")
