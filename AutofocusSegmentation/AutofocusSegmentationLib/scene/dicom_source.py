"""The DICOM files that a volume was loaded from: what an RTSTRUCT or a DICOM SEG has to refer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from AutofocusCore.errors import InputError
from AutofocusCore.images.slices import is_dicom

INSTANCES = "DICOM.instanceUIDs"  # Slicer's attribute of volumes that its DICOM module has loaded


def dicom_files(volume: Any) -> list[str] | str:
    """The files of a volume, or the folder that they lie in.

    Args:
        volume: the scan's node, or None.

    Raises:
        InputError: it did not come from DICOM, or its files are no longer there.
    """
    if volume is None:
        raise InputError(_("The scan of this result is not in the scene"), _("load it, and segment it again"))
    name = volume.GetName()
    uids = (volume.GetAttribute(INSTANCES) or "").split()
    if uids:
        database = getattr(slicer, "dicomDatabase", None)
        files = [] if database is None else [str(database.fileForInstance(uid) or "") for uid in uids]
        lost = sum(not (file and Path(file).is_file()) for file in files) if files else len(uids)
        if lost:
            cause = _("{lost} of the {count} DICOM files of {name} are no longer where Slicer expects them")
            raise InputError(
                cause.format(lost=lost, count=len(uids), name=name),
                _("import the series again, and load it from there"),
            )
        return files
    storage = volume.GetStorageNode()
    file = Path(storage.GetFileName() or "") if storage is not None else Path()
    if file.is_file() and is_dicom(file):
        several = storage.GetNumberOfFileNames() > 1
        listed = [storage.GetNthFileName(number) for number in range(storage.GetNumberOfFileNames())] if several else []
        return listed if listed and all(Path(one).is_file() for one in listed) else str(file.parent)
    raise InputError(
        _("{name} was not loaded from DICOM, so that there are no slices to refer to").format(name=name),
        _("import its DICOM series with the module DICOM and segment that, or export .seg.nrrd or NIfTI"),
    )
