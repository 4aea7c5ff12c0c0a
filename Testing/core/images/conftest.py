"""Made-up volumes for tests of geometry: random directions, blobs at known places, DICOM series of any stack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from AutofocusCore.images.geometry import Grid

WriteSeries = Callable[..., Path]


@pytest.fixture
def write_series(tmp_path: Path) -> WriteSeries:
    """A function that writes a DICOM series, one file a slice, under names that tell nothing of the order.

    Arguments: ``positions`` (n, 3) mm; ``pixels`` (n, rows, columns) int16; ``cosines``, one six-tuple or one a slice;
    ``folder``; ``uid``; further keywords are DICOM attributes of all slices. Returns the folder.
    """

    def write(
        positions: np.ndarray,
        pixels: np.ndarray | None = None,
        cosines: object = (1, 0, 0, 0, 1, 0),
        folder: str = "series",
        uid: str | None = None,
        spacing: tuple[float, float] = (1.0, 1.0),
        **attributes: object,
    ) -> Path:
        positions = np.asarray(positions, dtype=float)
        if pixels is None:
            pixels = np.random.default_rng(1).integers(-1000, 1000, (len(positions), 16, 20))
        every = np.broadcast_to(np.asarray(cosines, dtype=float), (len(positions), 6))
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        uid = uid or generate_uid()
        names = np.random.default_rng(2).permutation(len(positions))
        for i, (position, plane) in enumerate(zip(positions, pixels, strict=True)):
            meta = FileMetaDataset()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            meta.MediaStorageSOPClassUID = CTImageStorage
            meta.MediaStorageSOPInstanceUID = generate_uid()
            path = place / f"{uid[-6:]}-{names[i]:03d}"
            data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
            data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
            data.SeriesInstanceUID, data.StudyInstanceUID = uid, "1.2.3"
            data.Modality, data.SeriesNumber, data.SeriesDescription = "CT", 7, "Thorax"
            data.ImageType, data.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], int(names[i])
            data.ImagePositionPatient = [f"{v:.6f}" for v in position]
            data.ImageOrientationPatient = [f"{v:.8f}" for v in every[i]]
            data.PixelSpacing = list(spacing)
            data.Rows, data.Columns = plane.shape
            data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
            data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
            data.RescaleSlope, data.RescaleIntercept = 1, 0
            for name, value in attributes.items():
                setattr(data, name, value)
            data.PixelData = np.ascontiguousarray(plane, dtype=np.int16).tobytes()
            pydicom.dcmwrite(str(path), data, enforce_file_format=True)
        return place

    return write


def random_grid(seed: int, size: tuple[int, int, int] = (26, 30, 22)) -> Grid:
    """A grid of any rotation, with flips, anisotropic spacing and an origin far from zero."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))  # of either handedness
    spacing = rng.uniform(0.7, 2.5, 3)
    return Grid.from_matrix(size, rotation * spacing, rng.uniform(-300, 300, 3))


def blob(grid: Grid, at: np.ndarray, sigma: float = 4.0) -> sitk.Image:
    """A Gaussian of height 100 around a point in mm, whatever the grid."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    distance = np.linalg.norm(grid.to_mm(np.stack([x, y, z], axis=-1)) - at, axis=-1)
    image = sitk.GetImageFromArray((100 * np.exp(-0.5 * (distance / sigma) ** 2)).astype(np.float32))
    grid.stamp(image)
    return image


def centre_of_mass(array: np.ndarray, grid: Grid) -> np.ndarray:
    """In mm, (x, y, z)."""
    z, y, x = np.nonzero(array > 0.02 * array.max())
    weights = array[z, y, x].astype(float)
    return grid.to_mm(np.average(np.stack([x, y, z], axis=-1), axis=0, weights=weights))


@pytest.fixture
def make_grid() -> Callable[..., Grid]:
    return random_grid


@pytest.fixture
def make_blob() -> Callable[..., sitk.Image]:
    return blob


@pytest.fixture
def find_blob() -> Callable[[np.ndarray, Grid], np.ndarray]:
    return centre_of_mass
