"""From stored DICOM values to real ones: rescale slope and intercept, or a Modality LUT (PS3.3 C.11.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.images.slices import functional_group

Pixels = npt.NDArray[Any]
REMEDY = "export it again from its source"
BIG_ENDIAN = "1.2.840.10008.1.2.2"


@dataclass(frozen=True)
class Mapping:
    """Mapping of stored to real values: slope and intercept, or a lookup table."""

    slope: float = 1.0
    intercept: float = 0.0
    table: Pixels | None = None
    first: int = 0

    def apply(self, stored: Pixels) -> Pixels:
        """Real values: of the stored type if nothing changes, integers if slope and intercept are."""
        if self.table is not None:
            index = np.clip(stored.astype(np.int64) - self.first, 0, len(self.table) - 1)
            return np.asarray(self.table[index])
        if (self.slope, self.intercept) == (1.0, 0.0):
            return stored
        whole = self.slope.is_integer() and self.intercept.is_integer() and np.issubdtype(stored.dtype, np.integer)
        if whole and abs(self.slope) < 2**20 and abs(self.intercept) < 2**31:
            return stored.astype(np.int64) * int(self.slope) + int(self.intercept)
        return stored.astype(np.float64) * self.slope + self.intercept


def mapping_of(data: Any, frame: int | None, path: Path) -> Mapping:
    """The mapping of a file, or of one of its frames.

    Raises:
        InputError: the slope is 0, not finite or no number; or the table makes no sense.
    """
    groups = [data]
    if frame is not None:
        per_frame = data.get("PerFrameFunctionalGroupsSequence")
        shared = data.get("SharedFunctionalGroupsSequence")
        groups = [*([per_frame[frame]] if per_frame else []), *([shared[0]] if shared else []), data]
    where = functional_group(groups, "PixelValueTransformationSequence")
    for one in (where, data):
        if one.get("ModalityLUTSequence"):
            return _table(one.ModalityLUTSequence[0], data, path)
    slope, intercept = (_number(where, name, path) for name in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0:
        raise InputError(f"{path} has the rescale slope 0: every voxel would be the same", REMEDY)
    return Mapping(1.0 if slope is None else slope, intercept or 0.0)


def is_little(data: Any) -> bool:
    """Whether the bytes of a file's numbers are in little-endian order, as they nearly always are."""
    meta = getattr(data, "file_meta", None)
    return meta is None or str(meta.get("TransferSyntaxUID", "")) != BIG_ENDIAN


def _number(data: Any, name: str, path: Path) -> float | None:
    """A number of a header, None where it is missing or empty."""
    words = {"RescaleSlope": "rescale slope", "RescaleIntercept": "rescale intercept"}[name]
    if name not in data:
        return None
    try:
        value = data[name].value
        if value is None or value == "":
            return None
        number = float(value)
    except Exception:
        shown = getattr(data.get_item(name), "value", "")
        text = shown.decode("ascii", errors="replace") if isinstance(shown, bytes) else str(shown)
        raise InputError(f"{path} has the {words} {text.strip()[:30]!r}, which is no number", REMEDY) from None
    if not math.isfinite(number) or abs(number) > 1e12:
        raise InputError(f"{path} has the {words} {number:g}", REMEDY)
    return number


def _table(item: Any, data: Any, path: Path) -> Mapping:
    """The Modality LUT: a number of entries, the stored value of the first, and bits (PS3.3 C.11.1.1)."""
    try:
        count, first, bits = (int(v) for v in item.LUTDescriptor)
        raw = item["LUTData"].value
        if isinstance(raw, (bytes, bytearray)):
            wide = bits > 8 or len(raw) >= 2 * (count or 65536)
            values = np.frombuffer(raw, ("<" if is_little(data) else ">") + ("u2" if wide else "u1"))
        else:
            values = np.atleast_1d(np.asarray(raw, dtype=np.int64))
        count = count or 65536
        if len(values) < count or bits not in range(8, 17):
            raise ValueError
    except Exception:
        raise InputError(f"{path} has a Modality LUT that makes no sense", REMEDY) from None
    if int(data.get("PixelRepresentation") or 0) == 1 and first > 32767:
        first -= 65536
    return Mapping(table=values[:count].astype(np.int64), first=first)
