"""Corrected cases: segments by name, on grids of their own, and everything that makes one unusable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import Grid
from AutofocusCore.io.slicer_nrrd import write_seg_nrrd
from AutofocusCore.jobs.teach_cases import CorrectedCase, ReadCase, read_cases, read_corrected
from AutofocusCore.models.terminology import structures
from Testing.core.small_lessons import BRIGHT, DIM, SIZE, ball_spec, balls, write_corrections

Write = Callable[..., CorrectedCase]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a scan of balls and a segmentation of it."""

    def one(labels: sitk.Image, *names: str, suffix: str = ".seg.nrrd") -> CorrectedCase:
        image, _ = balls(1)
        sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
        path = tmp_path / f"labels{suffix}"
        if suffix == ".seg.nrrd":
            write_seg_nrrd(path, labels, structures(*names), None)
        else:
            sitk.WriteImage(labels, str(path))
        return CorrectedCase("anna", (str(tmp_path / "scan.nii.gz"),), str(path))

    return one


def read(case: CorrectedCase, taught: tuple[int, ...] = (BRIGHT, DIM)) -> ReadCase:
    return read_corrected(case, ball_spec(), taught)


def picture(values: np.ndarray) -> sitk.Image:
    return sitk.GetImageFromArray(values.astype(np.uint8))


def test_a_structure_without_a_contour_is_unknown_and_the_others_are_known(tmp_path: Path) -> None:
    folder = write_corrections(tmp_path / "cases", [1], 0.0, labels=(BRIGHT,))
    case = CorrectedCase("1", (str(folder / "case-1.nii.gz"),), str(folder / "case-1.seg.nrrd"))
    found = read(case)
    assert found.case.known == found.contoured == (BRIGHT,)
    assert set(np.unique(found.case.labels)) == {0, BRIGHT}
    assert np.array_equal(found.case.labels == BRIGHT, balls(1)[1] == BRIGHT)


def test_of_what_is_contoured_only_the_structures_to_teach_are_known(tmp_path: Path) -> None:
    folder = write_corrections(tmp_path / "cases", [1], 0.0, labels=(BRIGHT, DIM))
    case = CorrectedCase("1", (str(folder / "case-1.nii.gz"),), str(folder / "case-1.seg.nrrd"))
    found = read(case, (DIM,))
    assert found.case.known == (DIM,)
    assert found.contoured == (BRIGHT, DIM)
    assert set(np.unique(found.case.labels)) == {0, DIM}


def test_segments_are_taken_by_their_names_and_strange_ones_are_left_out_with_a_warning(write: Write) -> None:
    values = balls(1)[1]
    swapped = np.where(values > 0, 3 - values, 0)
    swapped[0, 0, 0] = 3
    found = read(write(picture(swapped), "Posterior hippocampus", "Anterior hippocampus", "Bladder"))
    assert np.array_equal(found.case.labels, values)
    assert found.warnings == (
        "labels.seg.nrrd: Bladder is not a structure of the model (Anterior hippocampus, Posterior hippocampus), "
        "and is left out.",
    )


def test_a_segmentation_of_slicer_that_is_cropped_to_its_segments_lies_where_it_was_drawn(write: Write) -> None:
    values = balls(1)[1]
    part = tuple(slice(int(at.min()), int(at.max()) + 1) for at in np.nonzero(values))
    cropped = picture(values[part])
    Grid.of(balls(1)[0]).crop(tuple((one.start, one.stop) for one in part)).stamp(cropped)  # type: ignore[arg-type]
    found = read(write(cropped, "Anterior hippocampus", "Posterior hippocampus"))
    assert np.array_equal(found.case.labels, values)


def test_a_label_map_has_the_models_label_values(write: Write) -> None:
    found = read(write(picture(balls(1)[1]), suffix=".nii.gz"))
    assert found.case.known == (BRIGHT, DIM)


def test_a_segmentation_of_another_place_is_refused(write: Write) -> None:
    labels = picture(balls(1)[1])
    labels.SetOrigin((100.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"100 % of what labels.seg.nrrd contours lies outside the image; give image"):
        read(write(labels, "Anterior hippocampus", "Posterior hippocampus"))


def test_a_segmentation_of_none_of_the_models_structures_is_refused(write: Write) -> None:
    with pytest.raises(InputError, match=r"has Bladder, and the model has none of them; name the segments as"):
        read(write(picture(balls(1)[1] == 1), "Bladder"))
    with pytest.raises(InputError, match=r"has label 7, and the model has none of them"):
        read(write(picture(7 * (balls(1)[1] == 1)), suffix=".nii.gz"))


def test_a_case_that_contours_nothing_or_nothing_to_teach_is_refused(write: Write) -> None:
    with pytest.raises(InputError, match="has no contour; contour something, or leave this case out"):
        read(write(picture(np.zeros((SIZE,) * 3)), "Anterior hippocampus"))
    case = write(picture(balls(1)[1] == BRIGHT), "Anterior hippocampus")
    with pytest.raises(InputError, match="contours none of Posterior hippocampus; contour one of them"):
        read(case, (DIM,))


def test_contours_outside_the_body_alone_are_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from AutofocusCore.jobs import teach_cases

    made = teach_cases.case_of
    monkeypatch.setattr(teach_cases, "case_of", lambda *a: replace(made(*a), roi=made(*a).labels == 0))
    case = write(picture(balls(1)[1]), "Anterior hippocampus", "Posterior hippocampus")
    spec = ball_spec()
    body = replace(spec, roi="body", normalization=replace(spec.normalization, mask="body"))
    with pytest.raises(InputError, match="No contour lies within the body that was found in the image"):
        read_corrected(case, body, (BRIGHT, DIM))
    assert read(case).case.roi.all()  # a model that computes all of the scan


def test_all_that_is_wrong_with_the_cases_is_said_at_once(tmp_path: Path) -> None:
    folder = write_corrections(tmp_path / "cases", [1, 2, 3], 0.0)
    cases = [
        CorrectedCase(str(n), (str(folder / f"case-{n}.nii.gz"),), str(folder / f"case-{n}.seg.nrrd"))
        for n in (1, 2, 3)
    ]
    (folder / "case-1.nii.gz").unlink()
    (folder / "case-3.seg.nrrd").write_bytes(b"NRRD")
    counted: list[int] = []
    with pytest.raises(InputError) as error:
        read_cases(cases, ball_spec(), (BRIGHT, DIM), counted.append)
    assert error.value.cause.startswith("2 of 3 corrected cases cannot be used: 1: ")
    assert " 3: " in error.value.cause
    assert counted == [0, 1, 2, 3]
