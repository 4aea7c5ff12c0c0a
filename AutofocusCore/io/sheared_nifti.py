"""NIfTI with axes that are not perpendicular (CT with tilted gantry), which ITK cannot write.

ITK writes the nearest perpendicular axes into both qform and sform. The qform cannot hold others; the sform can, and
gets the true ones here, which nibabel, FSL and this program read. ITK and Slicer use the qform.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SROW = 280
"""Byte at which the three rows of the sform begin in a NIfTI-1 header."""
SFORM_CODE = 254
SCANNER = 1
PERPENDICULAR = 1e-4


def is_sheared(direction: Sequence[float]) -> bool:
    """Whether axes (nine direction cosines, row by row) are too far from perpendicular for ITK's NIfTI."""
    cosines = np.reshape(np.asarray(direction, dtype=np.float64), (3, 3))
    return bool(np.abs(cosines.T @ cosines - np.eye(3)).max() > PERPENDICULAR)


def put_axes(path: Path, spacing: Sequence[float], origin: Sequence[float], direction: Sequence[float]) -> None:
    """Write the true axes, in LPS mm as SimpleITK has them, into the sform of a file that ITK wrote."""
    packed = path.name.lower().endswith(".gz")
    raw = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    steps = np.reshape(np.asarray(direction, dtype=np.float64), (3, 3)) * np.asarray(spacing)
    rows = np.diag([-1.0, -1.0, 1.0]) @ np.column_stack([steps, origin])
    struct.pack_into("<h", raw, SFORM_CODE, SCANNER)
    struct.pack_into("<12f", raw, SROW, *rows.ravel().tolist())
    path.write_bytes(gzip.compress(bytes(raw), 6, mtime=0) if packed else bytes(raw))
