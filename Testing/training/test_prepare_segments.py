"""Segmentations of Slicer as labels: their segments are told by name, whatever values they have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicerio

from AutofocusCore.errors import InputError
from AutofocusCore.io.results import write_segmentation
from AutofocusCore.models import Code, Structure
from Training.preparing.folders import find_folders
from Training.preparing.reading import Settings, read_case
from Training.preparing.segments import segments_by_name

TISSUE = Code("SCT", "85756007", "Tissue")
STRUCTURES = {1: "Big", 2: "Small"}


def write_case(folder: Path, *names: str) -> Path:
    """A case whose segments have the values 1, 2, ... in the order of the names; value n has n * 10 voxels."""
    values = np.zeros((4, 8, 8), np.uint8)
    for value in range(1, len(names) + 1):
        values.reshape(-1)[value * 40 : value * 40 + value * 10] = value
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(100, 20, values.shape).astype(np.float32))
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    sitk.WriteImage(image, str(folder / "images" / "c1.nii.gz"))
    segments = [Structure(value, name, (1, 2, 3), TISSUE, TISSUE) for value, name in enumerate(names, start=1)]
    return write_segmentation(folder / "labels" / "c1.seg.nrrd", sitk.GetImageFromArray(values), segments)[0]


@pytest.mark.parametrize("pattern", ["labels/{case}", "labels/{case}.seg", "labels/{case}.seg.nrrd"])
@pytest.mark.parametrize("names", [("Small", "Big"), ("Big", "Small"), ("small", "big ")])
def test_segments_are_told_by_their_names(tmp_path: Path, pattern: str, names: tuple[str, str]) -> None:
    write_case(tmp_path, *names)
    found = find_folders(tmp_path, "test", ("CT",), ("images/{case}",), pattern, STRUCTURES)
    made = read_case(found.cases[0], found, Settings())
    counts = np.bincount(made.labels.ravel(), minlength=3)[1:]
    expected = {name.strip().lower(): 10 * value for value, name in enumerate(names, start=1)}
    assert list(counts) == [expected["big"], expected["small"]]


def test_a_segment_that_is_no_structure_or_is_there_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="segment 'Other', which is not one of the structures"):
        segments_by_name(write_case(tmp_path / "a", "Big", "Other"), STRUCTURES)
    with pytest.raises(InputError, match="'big' occurs twice"):
        segments_by_name(write_case(tmp_path / "b", "Big", "big"), STRUCTURES)


def test_a_damaged_segmentation_is_named_and_other_label_maps_are_taken_by_value(tmp_path: Path) -> None:
    (tmp_path / "c.seg.nrrd").write_bytes(b"not a segmentation")
    with pytest.raises(InputError, match=r"c\.seg\.nrrd is not a segmentation of Slicer, or is damaged"):
        segments_by_name(tmp_path / "c.seg.nrrd", STRUCTURES)
    assert segments_by_name(tmp_path / "c.nii.gz", STRUCTURES) == {}


def test_segments_that_overlap_are_named_and_not_called_volumes(tmp_path: Path) -> None:
    path = write_case(tmp_path, "Big", "Small")
    values = np.zeros((4, 8, 8), np.uint8)
    values[1:3] = 1
    layers = [
        {"labelValue": 1, "layer": layer, "id": name, "name": name} for layer, name in enumerate(("Big", "Small"))
    ]
    slicerio.write_segmentation(str(path), {
        "voxels": np.stack([values.T] * 2), "ijkToLPS": np.eye(4), "segments": layers,
        "containedRepresentationNames": ["Binary labelmap"], "masterRepresentation": "Binary labelmap",
    })  # fmt: skip
    found = find_folders(tmp_path, "test", ("CT",), ("images/{case}",), "labels/{case}", STRUCTURES)
    with pytest.raises(InputError, match="'Small' occurs twice, or overlaps others"):
        read_case(found.cases[0], found, Settings())
