"""Sound files of every format, from which the damaged ones are made."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    RLELossless,
)

SHAPE = (9, 10, 11)
VALUES = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
FAMILIES = ("NIfTI", "NRRD", "MetaImage", "DICOM", "others", "packed DICOM")
TEXT = (".nrrd", ".nhdr", ".mha", ".mhd", ".vtk")
"""Formats whose headers are text."""


def write_seeds(family: str, folder: Path) -> list[Path]:
    """Write the sound files of a family; what a user would name of each: a file, or a folder of DICOM."""
    folder.mkdir(parents=True, exist_ok=True)
    writers = (_nifti, _nrrd, _meta, _dicom, _others, _packed_dicom)
    return dict(zip(FAMILIES, writers, strict=True))[family](folder)


def _image(dtype: str = "i2") -> sitk.Image:
    image = sitk.GetImageFromArray(VALUES.astype(dtype))
    image.SetSpacing((1.0, 1.5, 2.5))
    image.SetOrigin((-3.0, 4.0, 5.0))
    return image


def _nifti(folder: Path) -> list[Path]:
    paths = []
    for name, dtype in (("a.nii", "i2"), ("b.nii.gz", "f4"), ("c.hdr", "u1"), ("d.img.gz", "f8")):
        sitk.WriteImage(_image(dtype), str(folder / name))
        paths.append(folder / name)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    for name, kind in (("e.nii", nibabel.Nifti2Image), ("f.img", nibabel.AnalyzeImage)):
        nibabel.save(kind(VALUES.T, affine), folder / name)
        paths.append(folder / name)
    four = nibabel.Nifti1Image(np.stack([VALUES.T, VALUES.T + 1], -1), affine)
    four.header.set_slope_inter(2, -5)
    nibabel.save(four, folder / "g.nii")
    return [*paths, folder / "g.nii"]


def _nrrd(folder: Path) -> list[Path]:
    sitk.WriteImage(_image(), str(folder / "a.nrrd"))
    sitk.WriteImage(_image("f4"), str(folder / "b.nrrd"), True)
    sitk.WriteImage(_image(), str(folder / "c.nhdr"))
    head = "NRRD0005\ntype: short\ndimension: 3\nsizes: 11 10 9\n"
    text = " ".join(map(str, VALUES.ravel().tolist()))
    (folder / "d.nrrd").write_text(f"{head}spacings: 1 1 2\nencoding: ascii\n\n{text}\n", newline="")
    for z in range(SHAPE[0]):
        (folder / f"slice{z:02d}.raw").write_bytes(VALUES[z].tobytes())
    tail = "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nendian: little\nencoding: raw\n"
    (folder / "e.nhdr").write_text(f"{head}{tail}data file: slice%02d.raw 0 8 1 2\n", newline="")
    listed = "".join(f"slice{z:02d}.raw\n" for z in range(SHAPE[0]))
    (folder / "f.nhdr").write_text(f"{head}{tail}data file: LIST\n{listed}", newline="")
    four = "NRRD0004\ntype: short\ndimension: 4\nspace: RAS\nsizes: 2 11 10 9\nkinds: list domain domain domain\n"
    four += "space directions: none (1,0,0) (0,1,0) (0,0,2)\nendian: little\nencoding: raw\n\n"
    (folder / "g.seq.nrrd").write_bytes(four.encode() + np.stack([VALUES, VALUES], -1).tobytes())
    return [folder / n for n in ("a.nrrd", "b.nrrd", "c.nhdr", "d.nrrd", "e.nhdr", "f.nhdr", "g.seq.nrrd")]


def _meta(folder: Path) -> list[Path]:
    sitk.WriteImage(_image(), str(folder / "a.mha"))
    sitk.WriteImage(_image("f4"), str(folder / "b.mha"), True)
    sitk.WriteImage(_image(), str(folder / "c.mhd"))
    sitk.WriteImage(_image("u1"), str(folder / "d.mhd"), True)
    head = "ObjectType = Image\nNDims = 3\nDimSize = 11 10 9\nElementType = MET_SHORT\nElementSpacing = 1 1 2\n"
    for z in range(SHAPE[0]):
        (folder / f"slice{z}.raw").write_bytes(VALUES[z].tobytes())
    (folder / "e.mhd").write_text(f"{head}ElementDataFile = slice%d.raw 0 8 1\n", newline="")
    listed = "".join(f"slice{z}.raw\n" for z in range(SHAPE[0]))
    (folder / "f.mhd").write_text(f"{head}ElementDataFile = LIST\n{listed}", newline="")
    return [folder / n for n in ("a.mha", "b.mha", "c.mhd", "d.mhd", "e.mhd", "f.mhd")]


def _others(folder: Path) -> list[Path]:
    names = ("a.tif", "b.vtk", "c.gipl", "d.mrc", "e.h5")
    for name in names:
        sitk.WriteImage(_image(), str(folder / name))
    (folder / "f.gipl.gz").write_bytes(gzip.compress((folder / "c.gipl").read_bytes()))
    sitk.WriteImage(sitk.GetImageFromArray(VALUES[0].astype(np.uint8)), str(folder / "g.png"))
    return [folder / n for n in (*names, "f.gipl.gz", "g.png")]


def data_set(syntax: str = ExplicitVRLittleEndian, kind: str = CTImageStorage) -> FileDataset:
    """A DICOM image without position and pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = syntax, kind, "1.2.3.4"
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID, data.StudyInstanceUID = kind, "1.2.3.4", "1.2.3", "1"
    data.Modality, data.SeriesNumber, data.SeriesDescription, data.ImageType = (
        "CT",
        3,
        "Thorax",
        ["ORIGINAL", "PRIMARY"],
    )
    data.Rows, data.Columns = SHAPE[1:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    return data


def _dicom(folder: Path) -> list[Path]:
    for name, syntax in (("plain", ExplicitVRLittleEndian), ("deflated", DeflatedExplicitVRLittleEndian)):
        (folder / name).mkdir(exist_ok=True)
        for z in range(SHAPE[0]):
            data = data_set(syntax)
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{z}"
            data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 2 * z], [1, 0, 0, 0, 1, 0]
            data.PixelSpacing, data.InstanceNumber = [1, 1], z + 1
            data.RescaleSlope, data.RescaleIntercept = 1, 0
            data.PixelData = VALUES[z].tobytes()
            pydicom.dcmwrite(folder / name / f"{z}.dcm", data, enforce_file_format=True)
    return [folder / "plain", folder / "deflated", _enhanced(folder / "enhanced.dcm")]


def _enhanced(path: Path) -> Path:
    data = data_set(kind=EnhancedCTImageStorage)
    data.NumberOfFrames = SHAPE[0]
    shared, orientation, measures, pixel = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
    pixel.RescaleSlope, pixel.RescaleIntercept, pixel.RescaleType = 1, 0, "HU"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([pixel])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for z in range(SHAPE[0]):
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, 2 * z]
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.PixelData = VALUES.tobytes()
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def _packed_dicom(folder: Path) -> list[Path]:
    """DICOM whose pixels are compressed: RLE by pydicom; JPEG and JPEG 2000, both without loss, by GDCM."""
    plain = folder / "plain"
    plain.mkdir()
    _dicom(plain)
    (folder / "rle").mkdir()
    for path in (plain / "plain").iterdir():
        data = pydicom.dcmread(path)
        data.compress(RLELossless)
        data.save_as(folder / "rle" / path.name)
    whole = [folder / f"{kind}.dcm" for kind in ("JPEG", "JPEG2000")]
    for path in whole:
        compress(plain / "enhanced.dcm", path, path.stem)
    return [folder / "rle", *whole]


def compress(path: Path, into: Path, kind: str) -> None:
    """A slice or frames as JPEG Lossless or JPEG 2000, by GDCM, with the other fields of the file."""
    data = pydicom.dcmread(path)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(into))
    writer.UseCompressionOn()
    writer.SetCompressor(kind)
    frames: list[bytes] = []
    for plane in np.frombuffer(data.PixelData, np.int16).reshape(-1, 1, data.Rows, data.Columns):
        writer.Execute(sitk.GetImageFromArray(plane))
        packed = pydicom.dcmread(into)
        frames.extend(generate_frames(packed.PixelData, number_of_frames=1))
    data.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
    data.PixelData, data["PixelData"].VR = encapsulate(frames), "OB"
    data["PixelData"].is_undefined_length = True
    data.save_as(into)
