"""Loads the native library, checks its version, chooses the instruction set, and calls its functions.

The library lies beside this file. It is built by `make kernel`, by the wheel and by the extension's CMake. If it is
missing, or belongs to another version of this package, everything runs in PyTorch instead.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from AutofocusCore.errors import SettingError
from AutofocusCore.kernels.threads import CHUNK, in_chunks

ABI = 3
"""Version of the C interface, AF_ABI in native/kernel.h; a library with another one is not used."""
VARIABLE = "AUTOFOCUS_KERNEL"
"""Environment variable that forces an instruction set, or "fallback" for PyTorch."""
FALLBACK = "fallback"
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
LIBRARY = Path(__file__).with_name("_native" + SUFFIX)
"""Path of the library; the file exists only if the library was built."""

_pointer, _int, _long = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


class Layer(ctypes.Structure):
    """One layer, as native/kernel.h describes it (af_layer)."""

    _fields_ = (
        ("features", _pointer),
        ("feature_stride", _long),
        ("attention", _pointer),
        ("table", _pointer),
        ("places", _pointer),
        ("steps", _pointer),
        ("empty", _pointer),
        ("weight", _pointer),
        ("bias", _pointer),
        ("first_bias", _pointer),
        ("residual", _pointer),
        ("residual_stride", _long),
        ("out", _pointer),
        ("out_stride", _long),
        ("gradient", _pointer),
        ("gradient_stride", _long),
        ("rates", _int),
        ("channels", _int),
        ("outputs", _int),
        ("neighbours_attention", _int),
        ("relu", _int),
    )


class Rows(ctypes.Structure):
    """One pass over rows, as native/kernel.h describes it (af_rows)."""

    _fields_ = (
        ("x", _pointer),
        ("x_stride", _long),
        ("y", _pointer),
        ("y_stride", _long),
        ("gradient", _pointer),
        ("gradient_stride", _long),
        ("residual", _pointer),
        ("residual_stride", _long),
        ("out", _pointer),
        ("out_stride", _long),
        ("out_residual", _pointer),
        ("out_residual_stride", _long),
        ("scale", _pointer),
        ("slope", _pointer),
        ("shift", _pointer),
        ("weight", _pointer),
        ("attention", _pointer),
        ("of_attention", _pointer),
        ("channels", _int),
        ("rates", _int),
        ("relu", _int),
    )


_layer, _rows = ctypes.POINTER(Layer), ctypes.POINTER(Rows)
_SIGNATURES = {
    "af_abi": (_int, ()),
    "af_sets": (_int, ()),
    "af_name": (ctypes.c_char_p, (_int,)),
    "af_usable": (_int, (_int,)),
    "af_packed_units": (_long, (_int, _int, _int, _int)),
    "af_pack": (None, (_int, _int, _pointer, _int, _int, _int, _pointer)),
    "af_product": (_int, (_int, _int, _layer, _long, _long)),
    "af_weight_columns": (_int, (_int, _int, _int)),
    "af_weight_rows": (_int, (_int, _int, _int, _int)),
    "af_weight_order": (None, (_int, _int, _int, _int, _pointer)),
    "af_gradients": (_int, (_int, _int, _layer, _long, _long, _pointer, _pointer)),
    "af_sums": (_int, (_int, _int, _rows, _long, _long, _pointer)),
    "af_apply": (_int, (_int, _int, _rows, _long, _long)),
    "af_attend": (_int, (_int, _int, _rows, _long, _long)),
    "af_attend_gradients": (_int, (_int, _int, _rows, _long, _long, _pointer)),
}


@cache
def load(path: Path) -> ctypes.CDLL | None:
    """The library with its functions declared; None where it is missing, unreadable or of another version."""
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
            if name == "af_abi" and function() != ABI:
                return None
    except (OSError, AttributeError):
        return None
    return library


@cache
def usable_sets(path: Path | None = None) -> dict[str, int]:
    """Instruction sets that were built and that this processor has, best first, by name; their numbers in C."""
    library = load(path or LIBRARY)
    if library is None:
        return {}
    return {library.af_name(i).decode(): i for i in range(library.af_sets()) if library.af_usable(i)}


def chosen_set() -> str | None:
    """Name of the instruction set to use: the best, or the one that AUTOFOCUS_KERNEL names; None for PyTorch.

    Raises:
        SettingError: for a name that is not built or that this processor lacks.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted == FALLBACK:
        return None
    sets = usable_sets()
    if not wanted:
        return next(iter(sets), None)
    if wanted not in sets:
        raise SettingError(
            f"{VARIABLE}={wanted} names a kernel that is not built or that this processor lacks",
            f"choose one of {', '.join([*sets, FALLBACK])}, or leave the variable out",
        )
    return wanted


def run(
    function: str,
    which: tuple[int, int],
    layer_or_rows: Layer | Rows,
    count: int,
    *,
    of_workers: Sequence[Callable[[int], int | None]] = (),
    chunk: int = CHUNK,
    fixed: bool = False,
) -> None:
    """Call a C function for ``count`` voxels or rows, in chunks, from several threads at a time.

    Args:
        function: its name.
        which: number of the instruction set, and of the features' type.
        layer_or_rows: the addresses of all tensors, which stay alive until this returns.
        count: of voxels or rows.
        of_workers: further addresses, each by the number of the thread that calls.
        chunk: how many voxels or rows at a time.
        fixed: see :func:`AutofocusCore.kernels.threads.in_chunks`.

    Raises:
        MemoryError: the function found no memory for its block.
    """
    call = getattr(load(LIBRARY), function)

    def work(worker: int, first: int, last: int) -> None:
        if call(*which, ctypes.byref(layer_or_rows), first, last, *(address(worker) for address in of_workers)):
            raise MemoryError(f"{function} found no memory for its block")

    in_chunks(count, work, chunk, fixed=fixed)
