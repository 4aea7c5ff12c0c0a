"""RTSTRUCT files with their CT series as corrected cases."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from AutofocusCore.batch.corrections import read_corrections
from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.images.dicom_planes import read_planes
from AutofocusCore.io.dicom_objects import Algorithm
from AutofocusCore.io.rtstruct import write_rtstruct
from AutofocusCore.jobs.teach_cases import ReadCase, read_corrected
from AutofocusCore.models import Channel
from AutofocusCore.models.terminology import structures
from Testing.core.images.conftest import write_series
from Testing.core.small_lessons import BRIGHT, DIM, SIZE, ball_spec, balls

pytest.importorskip("contourpy")

__all__ = ["write_series"]

ANTERIOR, POSTERIOR = (structure.name for structure in ball_spec().structures)
CT = (Channel("CT", "CT", ("*ct*",)),)
Draw = Callable[..., Path]


@pytest.fixture
def draw(write_series: Callable[..., Path], tmp_path: Path) -> Draw:
    """A function that writes the balls as a series into cases/NAME, with an RTSTRUCT; returns that file."""
    (tmp_path / "cases").mkdir()

    def write(name: str, *, names: Sequence[str] = (ANTERIOR, POSTERIOR), skip: Sequence[int] = ()) -> Path:
        image, labels = balls(1)
        positions = np.array([[0.0, 0.0, 1.0]]) * np.arange(SIZE)[:, None]
        pixels = (1000 * sitk.GetArrayFromImage(image)).astype(np.int16)
        folder = write_series(positions, pixels, folder=f"cases/{name}")
        labels = labels.copy()
        labels[list(skip)] = 0
        named = structures("Prostate", "Bladder")
        path = write_rtstruct(folder / "rs.dcm", labels, read_planes(folder), named, Algorithm("clinic", "1"))
        data = pydicom.dcmread(path)
        for roi, given in zip(data.StructureSetROISequence, names, strict=True):
            roi.ROIName = given
        data.save_as(path)
        return path

    return write


def read(path: Path, **options: object) -> ReadCase:
    """The one case of the folder that the RTSTRUCT's own lies in."""
    (case,) = read_corrections(path.parents[1], CT, pytest.fail)
    assert (case.images, case.labels) == ((str(path.parent),), str(path))
    return read_corrected(case, ball_spec(), (BRIGHT, DIM), **options)  # type: ignore[arg-type]


def truth(case: ReadCase) -> np.ndarray:
    return np.asarray(sitk.GetArrayFromImage(case.truth))


def test_the_contours_are_the_labels_that_were_drawn(draw: Draw) -> None:
    case = read(draw("anna"))
    assert np.array_equal(truth(case), balls(1)[1])
    assert case.contoured == (BRIGHT, DIM)
    assert case.warnings == ()


def test_names_of_a_planning_system_are_told_apart_by_the_user(draw: Draw) -> None:
    path = draw("anna", names=("GTV_ant", "Body"))
    with pytest.raises(InputError, match=r"rs\.dcm has GTV_ant, Body, and the model has none.*say which.*--names"):
        read(path)
    case = read(path, named=(("gtv ANT", ANTERIOR),))
    assert np.array_equal(truth(case), np.where(balls(1)[1] == BRIGHT, BRIGHT, 0))
    assert case.contoured == (BRIGHT,), "the other is unknown"
    assert "rs.dcm: Body is not a structure of the model" in case.warnings[0]
    with pytest.raises(SettingError, match=r"has no structure 'Liver', as which 'Body' is to count"):
        read(path, named=(("Body", "Liver"),))


def test_a_slice_that_was_skipped_is_filled_between_its_neighbours_and_this_is_said(draw: Draw) -> None:
    middle = int(np.flatnonzero((balls(1)[1] == BRIGHT).any(axis=(1, 2))).mean())
    case = read(draw("anna", skip=(middle,)))
    whole = balls(1)[1]
    for label in (BRIGHT, DIM):
        found, expected = truth(case)[middle] == label, whole[middle] == label
        assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.7
    assert f"rs.dcm: {ANTERIOR} has no contours on 1 slice between its first and last." in case.warnings
    assert f"rs.dcm: {ANTERIOR} was filled between its neighbours on 1 of them." in case.warnings


def test_of_several_series_the_one_that_was_drawn_on_is_read(draw: Draw, write_series: Callable[..., Path]) -> None:
    path = draw("anna")
    positions = np.array([[0.0, 0.0, 1.0]]) * np.arange(SIZE)[:, None]
    write_series(positions, np.zeros((SIZE, SIZE, SIZE), np.int16), folder="cases/anna", uid="1.2.3.999001")
    case = read(path)
    assert sitk.GetArrayFromImage(case.channels[0]).max() > 1500


@pytest.mark.parametrize(("series", "own"), [("CT", "RS"), ("1.2.3", "1.2.4"), ("CT", ".")])
def test_series_and_structure_set_may_lie_in_folders_of_their_own(series: str, own: str, draw: Draw) -> None:
    path = draw("anna")
    patient = path.parent
    for folder in (series, own):
        (patient / folder).mkdir(exist_ok=True)
    for file in [file for file in patient.iterdir() if file.is_file()]:
        file.rename(patient / (own if file == path else series) / file.name)
    (case,) = read_corrections(patient.parent, CT, pytest.fail)
    assert Path(case.images[0]) == patient / series
    assert Path(case.labels) == patient / own / "rs.dcm"
    assert np.array_equal(truth(read_corrected(case, ball_spec(), (BRIGHT, DIM))), balls(1)[1])


def test_two_structure_sets_of_a_case_are_told_and_a_segmentation_beside_comes_first(draw: Draw) -> None:
    path = draw("anna")
    second = path.with_name("rs2.dcm")
    second.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"The case anna has 2 segmentations: rs\.dcm, rs2\.dcm"):
        read_corrections(path.parents[1], CT, pytest.fail)
    (path.parent / "mine.seg.nrrd").write_bytes(b"")
    (case,) = read_corrections(path.parents[1], CT, lambda line: None)
    assert Path(case.labels).name == "mine.seg.nrrd"


def test_a_table_names_series_and_structure_set(draw: Draw, tmp_path: Path) -> None:
    path = draw("anna")
    table = tmp_path / "cases.csv"
    table.write_text(f"case,CT,labels\nanna,{path.parent},{path}\n", encoding="utf-8")
    (case,) = read_corrections(table, CT, pytest.fail)
    found = read_corrected(case, ball_spec(), (BRIGHT, DIM))
    assert np.array_equal(truth(found), balls(1)[1])


def changed(path: Path, change: Callable[[pydicom.Dataset], None]) -> Path:
    """The RTSTRUCT file, changed."""
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)
    return path


def test_two_structures_of_one_name_are_both_learned_also_where_they_overlap(draw: Draw) -> None:
    def twice(data: pydicom.Dataset) -> None:
        region, drawn = copy.deepcopy(data.StructureSetROISequence[0]), copy.deepcopy(data.ROIContourSequence[0])
        region.ROINumber = drawn.ReferencedROINumber = 99
        data.StructureSetROISequence.append(region)
        data.ROIContourSequence.append(drawn)

    assert np.array_equal(truth(read(changed(draw("anna"), twice))), balls(1)[1])


def test_points_enclose_nothing_and_this_is_said(draw: Draw) -> None:
    def points(data: pydicom.Dataset) -> None:
        for roi in data.ROIContourSequence:
            for contour in roi.ContourSequence:
                contour.ContourGeometricType = "POINT"

    with pytest.raises(InputError, match=r"rs\.dcm has no contour; contour something"):
        read(changed(draw("anna"), points))


@pytest.mark.parametrize("moved", [(500.0, 0.0, 0.0), (8.0, 0.0, 0.0), (0.0, 0.0, 7.0)])
def test_contours_that_mostly_lie_outside_the_image_are_of_another_one(moved: tuple[float, ...], draw: Draw) -> None:
    def away(data: pydicom.Dataset) -> None:
        for roi in data.ROIContourSequence:
            for contour in roi.ContourSequence:
                contour.ContourData = [float(v) + moved[i % 3] for i, v in enumerate(contour.ContourData)]

    with pytest.raises(InputError, match=r"^\d+ % of what rs\.dcm contours lies outside the image; give image"):
        read(changed(draw("anna"), away))
