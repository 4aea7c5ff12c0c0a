"""The planes go where most of every structure is, and the view stays on the scan."""

from __future__ import annotations

import numpy as np
import pytest

from .conftest import Case

pytestmark = pytest.mark.usefixtures("drawing")


def column(low: float, high: float) -> np.ndarray:
    """Points every millimetre along z."""
    z = np.arange(low, high, 1.0)
    return np.stack([np.zeros_like(z), np.zeros_like(z), z], axis=1)


def test_the_plane_lies_where_all_structures_overlap() -> None:
    from Demo.planes import most_telling

    assert 20 <= most_telling([column(0, 24), column(20, 60), column(10, 26)], axis=2) <= 24


def test_a_small_structure_counts_as_much_as_a_large_one() -> None:
    from Demo.planes import most_telling

    large = np.concatenate([column(0, 50)] * 10)
    assert 60 <= most_telling([large, column(60, 62), column(60, 62)], axis=2) <= 62


def test_the_view_is_moved_back_onto_the_scan() -> None:
    from Demo.planes import Planes

    planes = Planes((0, 0, 0), ((80, -10, 0), (100, 10, 10)), ((-100, -100, -20), (100, 100, 20)))
    assert planes.middle((60, 60, 60)) == (70, 0, 0)  # x as far right as there is scan; z wholly within the view


def test_one_scale_shows_all_segments_in_the_three_pictures() -> None:
    from Demo.planes import AROUND, Planes

    planes = Planes((0, 0, 0), ((0, 0, 0), (200, 100, 300)), ((-500, -500, -500), (500, 500, 500)))
    assert planes.millimetres_per_pixel((400, 300)) == pytest.approx(300 * AROUND / 300)


def test_where_nothing_was_segmented_the_whole_scan_is_shown(case: Case) -> None:
    import slicer

    from Demo.planes import choose_planes
    from Demo.scene import load_scan, new_scene

    scene = new_scene()
    scan = load_scan(scene, case.scan, name="CT")
    nothing = scene.mrml.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert isinstance(nothing, slicer.vtkMRMLSegmentationNode)
    planes = choose_planes(nothing, scan)
    (x0, _, z0), (x1, _, z1) = planes.scan
    assert planes.crossing == pytest.approx(np.mean(planes.scan, axis=0))
    assert planes.millimetres_per_pixel((400, 400)) * 400 == pytest.approx(max(x1 - x0, z1 - z0))
