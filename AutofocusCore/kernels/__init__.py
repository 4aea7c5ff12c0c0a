"""The operator of the ROI domain: a blended convolution over the active voxels of a mask.

A volume is a list of active voxels, its features a matrix (voxels, channels). One operator,
:func:`blended_convolution`, carries every 3x3x3 convolution and every fused autofocus layer of a network. It runs in
native code where that is built for this processor (:func:`native_kernel` says which), and in PyTorch elsewhere, with
the same result.
"""

from __future__ import annotations

from AutofocusCore.kernels.library import chosen_set
from AutofocusCore.kernels.normalisation import normalise_rows
from AutofocusCore.kernels.operator import attention_over_rates, blended_convolution, infer_attention, infer_layer
from AutofocusCore.kernels.threads import set_threads, threads, torch_on_one_thread
from AutofocusCore.kernels.voxels import ActiveVoxels


def native_kernel() -> str | None:
    """Name of the native code in use on a CPU, for example "avx512-bf16"; None where the PyTorch fallback computes."""
    return chosen_set()


__all__ = [
    "ActiveVoxels",
    "attention_over_rates",
    "blended_convolution",
    "infer_attention",
    "infer_layer",
    "native_kernel",
    "normalise_rows",
    "set_threads",
    "threads",
    "torch_on_one_thread",
]
