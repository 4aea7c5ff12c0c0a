from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.io.results import write_segmentation
from AutofocusCore.jobs.compare import compare_results
from AutofocusCore.jobs.saved_result import read_result
from AutofocusCore.models.terminology import structures

Write = Callable[..., Path]


@pytest.fixture
def write_boxes(tmp_path: Path) -> Write:
    """A function that writes a result with a box: `at` and `size` in voxels (x, y, z) of 1 × 1 × 2 mm."""

    def write(
        name: str, at: tuple[int, int, int], size: tuple[int, int, int], names: tuple[str, ...], origin: float = 0.0
    ) -> Path:
        labels = np.zeros((20, 30, 40), dtype=np.uint8)
        (x, y, z), (w, h, d) = at, size
        labels[z : z + d, y : y + h, x : x + w] = 1
        image = sitk.GetImageFromArray(labels)
        image.SetSpacing((1.0, 1.0, 2.0))
        image.SetOrigin((origin, 0.0, 0.0))
        write_segmentation(tmp_path / name, image, structures(*names))
        return tmp_path / name

    return write


def test_a_result_agrees_with_itself(write_boxes: Write) -> None:
    result = read_result(write_boxes("a.seg.nrrd", (5, 5, 5), (10, 8, 6), ("Mandible",)))
    (row,) = compare_results(result, result).rows
    assert (row.dice, row.mean_distance_mm, row.hd95_mm, row.change_ml) == (1, 0, 0, 0)
    assert row.first_ml == pytest.approx(10 * 8 * 6 * 2 / 1000)


def test_a_box_that_moved_by_three_millimetres_is_three_millimetres_off(write_boxes: Write) -> None:
    first = read_result(write_boxes("a.seg.nrrd", (5, 5, 5), (10, 8, 6), ("Mandible",)))
    second = read_result(write_boxes("b.nii.gz", (8, 5, 5), (10, 8, 6), ("Mandible",)))
    (row,) = compare_results(first, second).rows
    assert row.dice == pytest.approx(0.7)
    assert row.hd95_mm == pytest.approx(3)
    assert row.change_percent == 0


def test_structures_of_one_result_alone_and_empty_ones_are_listed(write_boxes: Write) -> None:
    first = read_result(write_boxes("a.seg.nrrd", (5, 5, 5), (10, 8, 6), ("Mandible", "Larynx")))
    second = read_result(write_boxes("b.seg.nrrd", (5, 5, 5), (10, 8, 3), ("Mandible", "Esophagus")))
    rows = {row.structure: row for row in compare_results(first, second).rows}
    assert list(rows) == ["Mandible", "Larynx", "Esophagus"]
    assert rows["Mandible"].change_percent == -50
    assert rows["Larynx"].second_ml is None
    assert rows["Esophagus"].dice is None


def test_results_on_different_grids_are_compared_in_millimetres_with_a_warning(write_boxes: Write) -> None:
    first = read_result(write_boxes("a.seg.nrrd", (10, 5, 5), (10, 8, 6), ("Mandible",)))
    second = read_result(write_boxes("b.seg.nrrd", (5, 5, 5), (10, 8, 6), ("Mandible",), origin=5.0))
    found = compare_results(first, second)
    assert found.rows[0].dice == 1
    assert "different grids" in found.warnings[0]


def test_results_without_a_common_structure_are_not_compared(write_boxes: Write) -> None:
    first = read_result(write_boxes("a.seg.nrrd", (5, 5, 5), (3, 3, 3), ("Mandible",)))
    second = read_result(write_boxes("b.seg.nrrd", (5, 5, 5), (3, 3, 3), ("Larynx",)))
    with pytest.raises(InputError, match="no structure in common"):
        compare_results(first, second)


def test_the_command_prints_a_row_for_each_structure(write_boxes: Write, autofocus_here: Callable[..., object]) -> None:
    first = write_boxes("a.seg.nrrd", (5, 5, 5), (10, 8, 6), ("Mandible",))
    done = autofocus_here("compare", first, write_boxes("b.seg.nrrd", (8, 5, 5), (10, 8, 6), ("Mandible",)))
    assert done.returncode == 0, done.stderr
    assert "Mandible" in done.stdout
    assert "0.700" in done.stdout
