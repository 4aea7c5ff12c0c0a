"""Memory of a step, from the network's layers, before it is taken."""

from __future__ import annotations

from torch import nn

from AutofocusCore.errors import MemoryLimitError

SHARE = 0.7
"""Of the free memory that a step may take."""
SMALLEST_PART = 20_000
"""Voxels of a part of a scan below which there is little to learn from it."""


def bytes_of_a_voxel(network: nn.Module, element: int) -> int:
    """About how many bytes an active voxel takes in a step: the inputs and results of all convolutions are kept.

    Measured with AFN-4 on the CPU: 2.1 kB in bfloat16 and 4.3 kB in float32; this says a tenth more.

    Args:
        network: of the ROI domain.
        element: bytes of a number in the arithmetic of the step.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
    total = sum(one.in_channels + one.out_channels for one in convolutions)
    classes = int(network.num_classes)  # type: ignore[arg-type]
    return total * element + 8 * 4 * classes


def most_voxels(network: nn.Module, element: int, free: int, largest: int, wanted: int) -> int:
    """Active voxels that a step may take: 0 for whole scans, or fewer than the largest scan has.

    Args:
        network: of the ROI domain.
        element: bytes of a number.
        free: bytes of memory.
        largest: active voxels of the largest scan.
        wanted: active voxels of a step, if there is room for more.

    Raises:
        MemoryLimitError: there is not even room for a small part of a scan.
    """
    room = int(free * SHARE / bytes_of_a_voxel(network, element))
    if min(room, wanted) >= largest:
        return 0
    if room < min(SMALLEST_PART, largest):
        need = min(SMALLEST_PART, largest) * bytes_of_a_voxel(network, element) / SHARE
        raise MemoryLimitError(
            f"Teaching needs at least {need / 2**30:.1f} GiB of memory, and there are {free / 2**30:.1f} GiB",
            "close other programs, or raise --memory-limit",
        )
    return min(room, wanted)
