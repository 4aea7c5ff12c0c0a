"""Common parts of the DICOM objects written here: patient and study, algorithm, references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from AutofocusCore._version import __version__
from AutofocusCore.errors import OutputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from AutofocusCore.models.parts import Code

SOFTWARE = "AutofocusSegmentation"
DICOM_FORMATS = ("rtstruct", "seg")
UTF_8 = "ISO_IR 192"
FAMILY = ("123110", "DCM", "Artificial Intelligence")
"""Value, scheme and meaning of the code for the kind of algorithm."""

# Of the patient and the study, with the value where a header lacks them (type 2 attributes may be empty, not absent).
SHARED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
IF_THERE = ("StudyDescription", "PatientAge", "PatientWeight", "PositionReferenceIndicator", "InstitutionName")


class PlaneLike(Protocol):
    """A slice of the series that an object refers to; see `AutofocusCore.images.dicom_planes.Plane`."""

    @property
    def header(self) -> Any: ...
    @property
    def frame(self) -> int | None: ...
    @property
    def spacing(self) -> tuple[float, float]: ...
    @property
    def row(self) -> npt.NDArray[np.float64]: ...
    @property
    def column(self) -> npt.NDArray[np.float64]: ...
    @property
    def normal(self) -> npt.NDArray[np.float64]: ...
    @property
    def position(self) -> npt.NDArray[np.float64]: ...
    def to_mm(self, pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...


@dataclass(frozen=True)
class Algorithm:
    """The algorithm that made a segmentation, for the algorithm identification of DICOM objects.

    Args:
        name: the model's name; or that of another tool.
        version: the model's.
        checksum: SHA-256 of the weights in hexadecimal, or "".
        software: program and version.
    """

    name: str
    version: str
    checksum: str = ""
    software: str = f"{SOFTWARE} {__version__}"

    @property
    def summary(self) -> str:
        """Name, version and the beginning of the checksum, in the 64 characters that DICOM gives."""
        return f"{self.name} {self.version}{f' sha256 {self.checksum[:12]}' if self.checksum else ''}"[:64]

    @property
    def parameters(self) -> dict[str, str]:
        """Further parameters for the algorithm identification."""
        return {"software": self.software, **({"sha256 of the weights": self.checksum} if self.checksum else {})}

    @classmethod
    def of_provenance(cls, record: Any) -> Algorithm:
        """From the provenance in a result's header; "unknown" if there is none."""
        record = record if isinstance(record, dict) else {}
        model = record.get("model") if isinstance(record.get("model"), dict) else {}
        return cls(
            str(model.get("name") or "unknown"),
            str(model.get("version") or "unknown"),
            str(model.get("sha256") or ""),
            str(record.get("software") or f"{SOFTWARE} {__version__}"),
        )


def need(package: str, what: str) -> Any:
    """An optional library.

    Raises:
        OutputError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise OutputError(
            f"{what} needs the Python package {package.split('.')[0]}, which cannot be loaded ({error})",
            'install it: pip install "autofocus-segmentation[dicom]"',
        ) from None


def check_dicom_packages(kind: str) -> None:
    """Check before the computation that objects of this kind, "rtstruct" or "seg", can be written.

    Raises:
        OutputError: a library is missing.
    """
    if kind == "seg":
        need("highdicom", "A DICOM segmentation")
    else:
        need("contourpy", "An RTSTRUCT")


def shared_attributes(header: Any) -> dict[str, Any]:
    """Patient and study of a source image, blank if missing, with decoded texts.

    Names are given as text, because a copied value would keep the source's character set.
    """
    values: dict[str, Any] = {name: _text(header, name) for name in SHARED}
    values["StudyInstanceUID"] = values["StudyInstanceUID"] or made_uid(header, "study")
    if values["PatientSex"] not in ("M", "F", "O"):
        values["PatientSex"] = ""
    for name, form in (("PatientBirthDate", r"\d{8}"), ("StudyDate", r"\d{8}"), ("StudyTime", r"\d{2,6}(\.\d{1,6})?")):
        if not re.fullmatch(form, values[name]):
            values[name] = ""
    more = {name: _text(header, name) for name in IF_THERE if _text(header, name)}
    if not re.fullmatch(r"\d{3}[DWMY]", more.get("PatientAge", "000Y")):
        del more["PatientAge"]
    return values | more


def frame_of_reference(header: Any) -> str:
    """The series' frame of reference; if it has none, a UID derived from the series' UID, always the same."""
    return _text(header, "FrameOfReferenceUID") or made_uid(header, "frame of reference")


def made_uid(header: Any, what: str) -> str:
    """A UID for a part of the series that has none; always the same for the same series."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=[_text(header, "SeriesInstanceUID"), what]))


def series_number(header: Any) -> int:
    """The number of the new series: 1000 and the source's."""
    try:
        return 1000 + max(0, int(header.get("SeriesNumber") or 0))
    except (TypeError, ValueError):
        return 1000


def different_headers(planes: Sequence[PlaneLike]) -> list[Any]:
    """The headers of the planes' files, each once, in order."""
    return list({str(plane.header.get("SOPInstanceUID")): plane.header for plane in planes}.values())


def code_item(code: Code, modifiers: Iterable[tuple[str, Code | None]] = ()) -> Any:
    """A coded concept as an item of a sequence, with its modifiers as sequences in it.

    Args:
        code: the concept.
        modifiers: (keyword of the sequence, code or None).
    """
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    for keyword, modifier in modifiers:
        if modifier is not None:
            setattr(item, keyword, Items([code_item(modifier)]))
    return item


def _text(header: Any, name: str) -> str:
    value = header.get(name)
    return "" if value is None else str(value).strip()
