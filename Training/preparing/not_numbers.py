"""NaN and infinity in NIfTI, which the library under ITK turns into 0 without a word: found in the file's own bytes."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid
from AutofocusCore.images.checks import repair_values
from AutofocusCore.images.headers import open_maybe_gzip, read_nifti_header
from AutofocusCore.images.reading import Scan
from AutofocusCore.images.resampling import to_image

FLOATS = {16: "f4", 64: "f8"}
"""NIfTI's codes of the data types that have such values."""


def with_repaired_values(scan: Scan, frame: int | None) -> Scan:
    """The scan with voxels that the file has no number for filled as in other formats, from neighbours, and a warning.

    Raises:
        InputError: more than half of them are no numbers, or they cannot be found again in a sheared image.
    """
    lost = _not_finite(scan.path, frame)
    if lost is None or not lost.any():
        return scan
    values = sitk.GetArrayFromImage(scan.image)
    if values.shape != lost.shape:
        raise InputError(f"{scan.path} has sheared axes and voxels without a value (NaN)", "mend them in the source")
    values = values.astype(np.result_type(values.dtype, np.float32))
    values[lost] = np.nan
    image, warnings = repair_values(to_image(values, Grid.of(scan.image)), str(scan.path))
    return replace(scan, image=image, warnings=(*scan.warnings, *warnings))


def _not_finite(path: Path, frame: int | None) -> NDArray[np.bool_] | None:
    """Where (z, y, x) the file's own values are no numbers; None for files that are not floating-point NIfTI."""
    header = read_nifti_header(path) if path.is_file() else None
    if header is None or not header.single_file:
        return None
    with open_maybe_gzip(path) as file:
        (kind,) = struct.unpack(header.order + "h", file.read(72)[70:72])
        if kind not in FLOATS:
            return None
        shape = [max(1, n) for n in header.dim[1:4]]
        dtype = np.dtype(header.order + FLOATS[kind])
        volume = int(np.prod(shape)) * dtype.itemsize
        file.seek(header.offset + volume * (frame or 0))
        return ~np.isfinite(np.frombuffer(file.read(volume), dtype).reshape(shape[::-1]))
