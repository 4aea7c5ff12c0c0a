"""RT structure sets read back: every voxel that was written, names, the series that they were drawn on, damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from AutofocusCore.errors import InputError
from AutofocusCore.images import Grid, read_image
from AutofocusCore.images.dicom_planes import read_planes
from AutofocusCore.images.polygons import fill
from AutofocusCore.images.structure_set import is_structure_set, read_structure_set, series_drawn_on
from AutofocusCore.io.dicom_objects import Algorithm
from AutofocusCore.io.rtstruct import write_rtstruct
from AutofocusCore.models.terminology import structures
from Testing.core.jobs.conftest import awkward_labels, series_of_kind

pytest.importorskip("contourpy")

__all__ = ["awkward_labels", "series_of_kind"]

NAMED = structures("Prostate", "Left femur", "Rectum")


@pytest.fixture
def drawn(series_of_kind: Callable[..., Path], awkward_labels: np.ndarray) -> Callable[[str], tuple[Path, Path]]:
    """A function that writes a series of a kind and its RTSTRUCT among its slices; returns folder and file."""

    def write(kind: str) -> tuple[Path, Path]:
        folder = series_of_kind(kind)
        labels, made_by = awkward_labels, Algorithm("pelvis", "1.0.0")
        return folder, write_rtstruct(folder / "rs.dcm", labels, read_planes(folder), NAMED, made_by)

    return write


@pytest.mark.parametrize("kind", ["axial", "oblique", "gantry", "backwards"])
def test_every_voxel_comes_back_with_its_holes_and_islands(
    kind: str, drawn: Callable[[str], tuple[Path, Path]], awkward_labels: np.ndarray
) -> None:
    folder, path = drawn(kind)
    assert is_structure_set(path)
    found = read_structure_set(path)
    contours = dict(found.structures)
    assert list(contours) == ["Prostate", "Left femur", "Rectum"]
    assert contours["Rectum"] == ()
    grid = Grid.of(read_image(folder, series=series_drawn_on(found, folder, "rs.dcm")).image)
    for structure in NAMED[:2]:
        mask, notes = fill(contours[structure.name], grid)
        assert notes == []
        assert np.array_equal(mask, awkward_labels == structure.label)


def test_a_slice_of_the_series_and_other_files_are_no_structure_sets(
    drawn: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    folder, path = drawn("axial")
    assert [file for file in sorted(folder.iterdir()) if is_structure_set(file)] == [path]
    (tmp_path / "notes.txt").write_text("no DICOM")
    assert not is_structure_set(tmp_path / "notes.txt")


def test_contours_of_another_series_are_refused(drawn: Callable[[str], tuple[Path, Path]]) -> None:
    folder, path = drawn("axial")
    data = pydicom.dcmread(path)
    series = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
    series[0].SeriesInstanceUID = "1.2.3.4"
    data.save_as(path)
    with pytest.raises(InputError, match=r"rs\.dcm was drawn on another series than those in"):
        series_drawn_on(read_structure_set(path), folder, path.name)
    del data.ReferencedFrameOfReferenceSequence
    data.save_as(path)
    assert series_drawn_on(read_structure_set(path), folder, path.name), "there is only one that it can be"


def test_a_structure_set_that_is_cut_off_within_a_length_is_refused(drawn: Callable[[str], tuple[Path, Path]]) -> None:
    _, path = drawn("axial")
    data = path.read_bytes()
    header = bytes.fromhex("0630 3900") + b"SQ\0\0"  # of the ROIContourSequence; four bytes with its length follow
    path.write_bytes(data[: data.index(header) + len(header) + 2])
    with pytest.raises(InputError, match="damaged structure set"):
        read_structure_set(path)


@pytest.mark.parametrize("damage", ["coordinate", "number", "regions"])
def test_a_damaged_structure_set_is_refused_in_a_sentence(
    damage: str, drawn: Callable[[str], tuple[Path, Path]]
) -> None:
    _, path = drawn("axial")
    data = pydicom.dcmread(path)
    if damage == "coordinate":
        data.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2"]
    elif damage == "number":
        data.ROIContourSequence[0].ReferencedROINumber = 99
    else:
        del data.StructureSetROISequence
    data.save_as(path)
    with pytest.raises(InputError, match="damaged structure set"):
        read_structure_set(path)
