"""NaN and infinity in NIfTI, which the library under ITK turns into 0 without a word: found in the file's own bytes."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from AutofocusCore.images.headers import NiftiHeader

FLOATS = {16: "f4", 64: "f8"}
"""NIfTI's codes of the data types that have such values."""


def with_not_numbers(image: sitk.Image, header: NiftiHeader, frame: int) -> sitk.Image:
    """The image with NaN wherever the file's own values are no numbers; itself where they all are.

    Args:
        image: the volume, of three dimensions, as ITK read it, its voxels in the file's order.
        header: of the file, or pair of files, that it was read from.
        frame: which of its volumes the image is.
    """
    if header.datatype not in FLOATS:
        return image
    dtype = np.dtype(header.order + FLOATS[header.datatype])
    width, height, depth = image.GetSize()
    plane = width * height * dtype.itemsize
    values = None
    with header.open_data() as file:
        file.seek(header.offset + plane * depth * frame)
        for z in range(depth):
            lost = ~np.isfinite(np.frombuffer(file.read(plane), dtype).reshape(height, width))
            if lost.any():
                if values is None:
                    values = sitk.GetArrayFromImage(image)
                values[z, lost] = np.nan
    if values is None:
        return image
    marked = sitk.GetImageFromArray(values)
    marked.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        marked.SetMetaData(key, image.GetMetaData(key))
    return marked
