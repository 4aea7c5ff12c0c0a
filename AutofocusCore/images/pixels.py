"""Pixels of DICOM slices as real values: the stored values, checked against the header, through the Modality LUT.

Uncompressed values are read here. Compressed values are decoded by GDCM, in
another process, from files that hold only the compressed frames, so that nothing else in the header changes them.
MONOCHROME1 only says how to show an image; its values are taken as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.images.codestreams import check_frames
from AutofocusCore.images.files import check_memory, damaged
from AutofocusCore.images.itk_process import ItkProcess
from AutofocusCore.images.real_values import Mapping, is_little, mapping_of
from AutofocusCore.images.slices import Slice, read_dataset
from AutofocusCore.io.texts import check_name

Pixels = npt.NDArray[Any]

RLE = "1.2.840.10008.1.2.5"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.3"
SPARE = 0.01
"""Share by which pixel data may be longer than the header says: some writers pad."""


def pixels_of(slices: Sequence[Slice]) -> list[Pixels]:
    """Real values (y, x) of each slice, all of one type: 16-bit where that holds them, else float32.

    Raises:
        InputError: a file whose pixels do not fit its header, cannot be decoded, or have an invalid scale.
    """
    files = list(dict.fromkeys(one.path for one in slices))
    check_memory(sum(4 * one.rows * one.columns for one in slices), str(files[0].parent))
    stored: dict[Path, Pixels] = {}
    mappings: dict[tuple[Path, int | None], Mapping] = {}
    packed: dict[Path, Any] = {}
    for path in files:
        check_name(path)
        data = read_dataset(path, pixels=True)
        with _by_name(path):
            for one in slices:
                if one.path == path:
                    mappings[path, one.index] = mapping_of(data, one.index, path)
            if _compressed(data):
                packed[path] = data
            else:
                stored[path] = _native(data, path)
    stored |= _decoded(packed)
    planes = []
    for one in slices:
        frame = stored[one.path][one.index or 0]
        if frame.shape != (one.rows, one.columns):
            raise damaged(one.path)
        planes.append(mappings[one.path, one.index].apply(frame))
    low, high = min(p.min() for p in planes), max(p.max() for p in planes)
    whole = all(np.issubdtype(p.dtype, np.integer) for p in planes)
    fits = np.iinfo(np.int32)
    kind = np.int16 if whole and low >= -32768 and high <= 32767 else np.int32 if whole else np.float32
    if kind == np.int32 and (low < fits.min or high > fits.max):
        kind = np.float32
    return [p.astype(kind) for p in planes]


@contextmanager
def _by_name(path: Path) -> Iterator[None]:
    """Turn any error in a file's pixels into one that names the file; libraries fail at damaged fields in many ways."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise damaged(path, f"{type(error).__name__} in its pixels") from None


def _compressed(data: Any) -> bool:
    syntax = data.file_meta.get("TransferSyntaxUID") if hasattr(data, "file_meta") else None
    return syntax is not None and bool(getattr(syntax, "is_transfer_syntax", False)) and bool(syntax.is_compressed)


def _layout(data: Any, path: Path) -> tuple[int, int, int, int]:
    """Bits allocated, bits stored, lowest bit, and number of frames.

    Raises:
        InputError: they contradict each other.
    """
    allocated = int(data.BitsAllocated)
    bits = int(data.get("BitsStored") or allocated)
    high = data.get("HighBit")
    high = bits - 1 if high is None else int(high)
    frames = int(data.get("NumberOfFrames") or 1)
    if allocated not in (8, 16, 32) or not 1 <= bits <= allocated or not bits - 1 <= high < allocated:
        raise InputError(
            f"{path} has pixels of {bits} bits up to bit {high} in {allocated}, which contradicts itself",
            "export it again from its source",
        )
    return allocated, bits, high + 1 - bits, frames


def _native(data: Any, path: Path) -> Pixels:
    """Stored values (frame, y, x) of pixel data that are not compressed."""
    frames, rows, columns = int(data.get("NumberOfFrames") or 1), int(data.Rows), int(data.Columns)
    order = "<" if is_little(data) else ">"
    for name, kind in (("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")):
        if name in data:
            values = _exactly(data[name].value, frames * rows * columns, np.dtype(order + kind), path)
            return values.reshape(frames, rows, columns)
    if "PixelData" not in data:
        raise InputError(f"{path} has no pixels", "copy it again, or take it out")
    allocated, bits, lowest, _ = _layout(data, path)
    signed = int(data.get("PixelRepresentation") or 0) == 1
    raw = _exactly(data.PixelData, frames * rows * columns, np.dtype(f"{order}u{allocated // 8}"), path)
    return _unmasked(raw.reshape(frames, rows, columns), bits, lowest, signed)


def _exactly(data: bytes, count: int, dtype: np.dtype[Any], path: Path) -> Pixels:
    """The bytes as this many numbers; refused if there are fewer, or many more."""
    wanted = count * dtype.itemsize
    if len(data) < wanted:
        raise damaged(path, f"it has {len(data)} bytes of pixels, but its header describes {wanted}")
    if len(data) > wanted + max(dtype.itemsize + 1, SPARE * wanted):
        raise InputError(
            f"{path} has {len(data)} bytes of pixels, but its header describes {wanted}",
            "copy it again, or export it again from its source",
        )
    return np.frombuffer(data, dtype, count=count).astype(dtype.newbyteorder("="), copy=False)


def _unmasked(raw: Pixels, bits: int, lowest: int, signed: bool) -> Pixels:
    """Values from the bits that hold them; old files keep overlays in the other bits."""
    allocated = 8 * raw.dtype.itemsize
    kind = np.dtype(f"{'i' if signed else 'u'}{raw.dtype.itemsize}")
    if bits == allocated:
        return raw.view(kind)
    up = allocated - bits - lowest
    shifted = np.left_shift(raw, raw.dtype.type(up)).view(kind)
    return np.right_shift(shifted, kind.type(allocated - bits))  # copies the sign where there is one


def _decoded(packed: dict[Path, Any]) -> dict[Path, Pixels]:
    """Stored values (frame, y, x) of compressed files."""
    if not packed:
        return {}
    result: dict[Path, Pixels] = {}
    with tempfile.TemporaryDirectory(prefix="autofocus-") as folder:
        bare = {}
        for number, (path, data) in enumerate(packed.items()):
            with _by_name(path):
                frames = _layout(data, path)[3]
                check_frames(data, frames, path)
                if str(data.file_meta.TransferSyntaxUID) == RLE:
                    result[path] = data.pixel_array.reshape(frames, int(data.Rows), int(data.Columns))
                    continue
                bare[path] = Path(folder) / f"{number}.dcm"
                _write_bare(bare[path], data)
        for path, array in _by_gdcm(bare).items() if bare else ():
            with _by_name(path):
                data = packed[path]
                shape = (int(data.get("NumberOfFrames") or 1), int(data.Rows), int(data.Columns))
                if array.size != int(np.prod(shape)):
                    raise damaged(path)
                allocated, bits, _, _ = _layout(data, path)
                signed = int(data.get("PixelRepresentation") or 0) == 1
                unsigned = array.reshape(shape).astype(f"u{allocated // 8}")
                result[path] = _unmasked(unsigned, bits, 0, signed)
    return result


def _by_gdcm(bare: dict[Path, Path]) -> dict[Path, Pixels]:
    first = next(iter(bare))
    name = str(first) if len(bare) == 1 else f"One of the {len(bare)} files beside {first}"
    try:
        with ItkProcess(list(bare.values()), "GDCMImageIO", name) as itk:
            return {path: np.asarray(itk.voxels(i)) for i, path in enumerate(bare)}
    except InputError:
        decoded = {}
        for path, file in bare.items():  # once more, one by one, to name the one; or with pydicom's own decoders
            decoded[path] = _alone(path, file)
        return decoded


def _alone(path: Path, bare: Path) -> Pixels:
    import pydicom

    try:
        with ItkProcess([bare], "GDCMImageIO", str(path)) as itk:
            return np.array(itk.voxels(0))
    except InputError as refused:
        try:
            array: Pixels = pydicom.dcmread(bare).pixel_array
            return array
        except Exception:
            syntax = pydicom.dcmread(bare, stop_before_pixels=True).file_meta.TransferSyntaxUID
            if "hangs" in refused.cause or "broke down" in refused.cause:
                raise refused from None
            raise InputError(
                f"{path} cannot be decoded ({syntax.name}): it is damaged, or its compression is not supported",
                "copy it again, or decompress it, for example with gdcmconv --raw",
            ) from None


def _write_bare(path: Path, data: Any) -> None:
    """A DICOM file with the compressed frames and what is needed to decode them, and nothing else."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(MULTI_FRAME), UID("1.2.3")
    bare = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    bare.SOPClassUID, bare.SOPInstanceUID = MULTI_FRAME, "1.2.3"
    bare.StudyInstanceUID, bare.SeriesInstanceUID, bare.Modality = "1.2.4", "1.2.5", "OT"
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        if name in data:
            setattr(bare, name, data[name].value)
    bare.HighBit = int(data.get("BitsStored") or data.BitsAllocated) - 1
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.NumberOfFrames = int(data.get("NumberOfFrames") or 1)
    bare.PixelData = data.PixelData
    bare["PixelData"].VR = "OB"
    bare["PixelData"].is_undefined_length = True
    bare.save_as(path, enforce_file_format=True)
