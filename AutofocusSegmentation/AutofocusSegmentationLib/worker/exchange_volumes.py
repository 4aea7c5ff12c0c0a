"""Volumes to and from the worker, as files. No scene and no VTK: these may run in a background thread.

Writing and reading leave Python's lock to the others, so that the application goes on drawing meanwhile.
"""

from __future__ import annotations

import os
from pathlib import Path

from AutofocusCore.io.nrrd import Nrrd as Volume
from AutofocusCore.io.nrrd import read_nrrd, write_nrrd
from AutofocusSegmentationLib.scene.geometry import VolumeSnapshot

__all__ = ["Volume", "read_volume", "write_volume"]


def write_volume(snapshot: VolumeSnapshot, path: str | os.PathLike[str]) -> Path:
    """Write a snapshot as uncompressed NRRD; the file has its name only when all of it is there.

    Raises:
        InputError: voxels of a type that NRRD does not hold.
        OutputError: the disk is full, or the folder not writable.
    """
    return write_nrrd(path, snapshot.array, snapshot.index_to_lps)


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a labelmap (z, y, x) or maps (k, z, y, x) with their place (4 × 4, LPS) and the header's fields.

    Raises:
        InputError: the file is missing, cut short or of another kind.
    """
    return read_nrrd(path)
