"""Writes images through SimpleITK and reads them back, because ITK may not notice a full disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import OutputError
from AutofocusCore.io.atomic import suffix_of
from AutofocusCore.io.slicer_nrrd import PROVENANCE_KEY, header_json

if TYPE_CHECKING:
    import SimpleITK as sitk


def write_image(path: Path, image: sitk.Image, *, provenance: Mapping[str, Any] | None = None) -> None:
    """Write an image through SimpleITK to a temporary name, and read it back."""
    import SimpleITK as sitk

    from AutofocusCore.io.sheared_nifti import is_sheared, put_axes

    if provenance is not None and suffix_of(path) == ".nrrd":
        image = sitk.Image(image)
        image.SetMetaData(PROVENANCE_KEY, header_json(provenance))
    reason = "it reads back differently"
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        sitk.WriteImage(image, str(path), useCompression=suffix_of(path) != ".nii")
        nifti = suffix_of(path) in (".nii", ".nii.gz")
        if nifti and image.GetDimension() == 3 and is_sheared(image.GetDirection()):
            put_axes(path, image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        if sitk.Hash(sitk.ReadImage(str(path))) == sitk.Hash(image):
            return
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else "unknown reason"
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
    _provoke_os_error(path)
    raise OutputError(f"Cannot write to {path.parent} ({reason})", "choose another place or format")


def _provoke_os_error(path: Path) -> None:
    """The reason why a file cannot be written, from a test with the operating system: ITK's messages lack it."""
    with path.open("ab") as stream:
        stream.write(b"\0" * 65536)
        stream.flush()
        os.fsync(stream.fileno())
