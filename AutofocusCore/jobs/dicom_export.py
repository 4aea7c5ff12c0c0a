"""Labels to DICOM: an RTSTRUCT or SEG object that refers to the series the labels were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.io.atomic import Staging, suffix_of
from AutofocusCore.io.dicom_objects import DICOM_FORMATS, Algorithm, check_dicom_packages

if TYPE_CHECKING:
    import SimpleITK as sitk

    from AutofocusCore.images.dicom_planes import ScanFiles
    from AutofocusCore.models.parts import Structure

DICOM_SUFFIX = ".dcm"


def check_dicom_export(path: str | Path, kind: str, image: ScanFiles) -> None:
    """Refuse an object that could not be written, before the computation.

    Args:
        path: the output.
        kind: "rtstruct" or "seg".
        image: the scan, which must be DICOM.

    Raises:
        SettingError: an unknown kind, or another extension than .dcm.
        InputError: the scan is not DICOM.
        OutputError: a library is missing.
    """
    if kind not in DICOM_FORMATS:
        raise SettingError(f"The format is {kind!r}", f"use {' or '.join(DICOM_FORMATS)}")
    if suffix_of(path) != DICOM_SUFFIX:
        raise SettingError(
            f"The output {Path(path).name} is not a DICOM file name, but the format is {kind}",
            f"let the name end in {DICOM_SUFFIX}, or leave out the format",
        )
    check_dicom_packages(kind)
    from AutofocusCore.images.slices import is_dicom

    for source in map(Path, [image] if isinstance(image, (str, Path)) else image):
        if source.is_file() and not is_dicom(source):
            raise InputError(
                f"The format {kind} refers to the slices of a DICOM series, but {source.name} is not one",
                "give the DICOM folder of the scan, or write .seg.nrrd or .nii.gz",
            )


def export_dicom(
    path: str | Path,
    kind: str,
    labels: sitk.Image,
    structures: Sequence[Structure],
    provenance: Mapping[str, Any],
    scan: ScanFiles,
    *,
    series: str | int | None = None,
    frame: int | None = None,
    staging: Staging | None = None,
) -> Path:
    """Write labels as a DICOM object.

    Args:
        path: final name, .dcm.
        kind: "rtstruct" or "seg".
        labels: labelmap on any grid; each slice of the series takes the nearest voxels, in millimetres.
        structures: what each label value means.
        provenance: how the labels were made; the model in it is named as the algorithm.
        scan: DICOM folder, or file that holds a whole volume; or a list of the files of one volume.
        series, frame: which series of the folder and which volume of a 4-D series.
        staging: the file gets its name when that block ends; default: at once.

    Raises:
        InputError: the series cannot be used, or does not overlap with the labels.
        OutputError: a library is missing, or the file system refused.
        SettingError: an unknown kind.
    """
    if kind not in DICOM_FORMATS:
        raise SettingError(f"The format is {kind!r}", f"use {' or '.join(DICOM_FORMATS)}")
    from AutofocusCore.images.dicom_planes import labels_on_planes, read_planes

    planes = read_planes(scan, series, frame)
    own = labels_on_planes(labels, planes)
    algorithm = Algorithm.of_provenance(dict(provenance))
    if kind == "seg":
        from AutofocusCore.io.dicom_seg import write_dicom_seg

        return write_dicom_seg(path, own, planes, structures, algorithm, staging=staging)
    from AutofocusCore.io.rtstruct import write_rtstruct

    return write_rtstruct(path, own, planes, structures, algorithm, staging=staging)
