"""Reads and writes safetensors files with torch alone, because Slicer's Python may lack the library of that name.

    8 bytes      length n of the header, little-endian
    n bytes      JSON: {"name": {"dtype": "F32", "shape": [40, 30], "data_offsets": [0, 4800]}, …, "__metadata__": {…}}
    the rest     the tensors, row by row, little-endian, one after the other: no gap, no overlap, nothing after them

Nothing is executed, and the whole header is checked before any tensor is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from AutofocusCore.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

# torch's names, and bytes of a value
DTYPES = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "I64": ("int64", 8), "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1), "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}  # fmt: skip
LARGEST_HEADER = 100_000_000
METADATA = "__metadata__"


# The library's order of types in a file, largest first; within a type tensors are sorted by name.
ORDER = ("I64", "F64", "F32", "I32", "BF16", "F16", "I16", "I8", "U8", "BOOL")


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


def read_safetensors(data: bytes) -> dict[str, Tensor]:
    """The tensors of a file's bytes, on the CPU.

    Raises:
        ModelError: cut short, damaged, or of a type that networks have no weights of.
    """
    import torch

    header, body = _header(data)
    tensors = {}
    for name, (dtype, shape, start, stop) in header.items():
        # A copy: it can be written to, and its memory is aligned for the type.
        values = torch.frombuffer(bytearray(body[start:stop]), dtype=getattr(torch, dtype)) if stop > start else None
        tensors[name] = torch.empty(0, dtype=getattr(torch, dtype)) if values is None else values
        tensors[name] = tensors[name].reshape(shape)
    return tensors


Entry = tuple[str, tuple[int, ...], int, int]


def _header(data: bytes) -> tuple[dict[str, Entry], memoryview]:
    """Type, shape and byte range of every tensor by its name, and the bytes that they are in."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, LARGEST_HEADER):
        _refuse("the header is longer than the file")
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        _refuse(str(error))
    if data[8:9] != b"{" or not isinstance(header, dict):
        _refuse("the header is not a JSON object")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse(f"{METADATA} contains values that are not texts")
    body = memoryview(data)[8 + length :]
    entries = {name: _entry(name, value) for name, value in header.items()}
    end = 0
    for name, (_, _, start, stop) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if start != end:
            _refuse(f"{name} does not begin where the tensor before it ends")
        end = stop
    if end != len(body):
        _refuse(f"the tensors take {end} bytes, and there are {len(body)}")
    return entries, body


def _entry(name: str, value: Any) -> Entry:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(f"the entry of {name} lacks the fields dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        _refuse(f"{name} is of the type {dtype!r}")
    if not _whole(shape) or not _whole(offsets) or len(offsets) != 2:
        _refuse(f"the shape or data_offsets of {name} are not lists of whole numbers")
    start, stop = offsets
    word, size = DTYPES[dtype]
    if stop - start != math.prod(shape) * size:
        _refuse(f"{name} has {stop - start} bytes, but its shape {shape} needs {math.prod(shape) * size}")
    return word, tuple(shape), start, stop


def _whole(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        _refuse("a name occurs twice in the header")
    return values


def _refuse(reason: str) -> NoReturn:
    raise ModelError(f"The weights are damaged ({reason})", "get the model from its source again")
