"""Volumes to and from the worker, as files. No scene and no VTK: these may run in a background thread.

Writing and reading leave Python's lock to the others, so that the application goes on drawing meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from AutofocusCore.errors import InputError
from AutofocusCore.io.nrrd import write_nrrd
from AutofocusSegmentationLib.scene.geometry import VolumeSnapshot

__all__ = ["Volume", "read_volume", "write_volume"]


@dataclass(frozen=True)
class Volume:
    """A labelmap (z, y, x), or k maps (k, z, y, x) on one grid.

    Args:
        array: the values.
        index_to_lps: 4 × 4, from voxel indices (i, j, k) to millimetres (LPS).
    """

    array: np.ndarray
    index_to_lps: np.ndarray


def write_volume(snapshot: VolumeSnapshot, path: str | os.PathLike[str]) -> Path:
    """Write a snapshot as uncompressed NRRD; the file has its name only when all of it is there.

    Raises:
        InputError: voxels of a type that NRRD does not hold.
        OutputError: the disk is full, or the folder not writable.
    """
    return write_nrrd(path, snapshot.array, snapshot.index_to_lps)


def read_volume(told: Mapping[str, Any]) -> Volume:
    """Read a volume that the worker's answer tells of: its "path" (.npy) and "index_to_lps".

    Raises:
        InputError: the file is missing, cut short or of another kind.
    """
    try:
        matrix = np.asarray(told["index_to_lps"], dtype=np.float64).reshape(4, 4)
        return Volume(np.load(told["path"], allow_pickle=False), matrix)
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise InputError(f"A result of the segmentation cannot be read ({error})", "segment again") from None
