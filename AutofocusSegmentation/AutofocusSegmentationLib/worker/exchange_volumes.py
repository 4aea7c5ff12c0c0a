"""Volumes for the worker, as files. No scene and no VTK: this may run in a background thread.

Writing leaves Python's lock to the others, so that the application goes on drawing meanwhile.
"""

from __future__ import annotations

import os
from pathlib import Path

from AutofocusCore.io.nrrd import write_nrrd
from AutofocusSegmentationLib.scene.geometry import VolumeSnapshot


def write_volume(snapshot: VolumeSnapshot, path: str | os.PathLike[str]) -> Path:
    """Write a snapshot as uncompressed NRRD; the file has its name only when all of it is there.

    Raises:
        InputError: voxels of a type that NRRD does not hold.
        OutputError: the disk is full, or the folder not writable.
    """
    return write_nrrd(path, snapshot.array, snapshot.index_to_lps)
