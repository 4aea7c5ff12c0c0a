"""What the slice views draw: the circle of true size, the overlay with its legend, the segments on the scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from AutofocusSegmentationLib.scene.attention_display import (
    hide_overlay,
    set_range,
    show_legend,
    show_overlay,
)
from AutofocusSegmentationLib.scene.attention_set import add_attention
from AutofocusSegmentationLib.scene.geometry import snapshot
from AutofocusSegmentationLib.scene.probe import DistanceMarker
from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation

from AutofocusCore.images.geometry import Grid
from AutofocusCore.result import AttentionMap
from Demo import offscreen
from Testing.module.conftest import STRUCTURES, SceneMaker, oblique, to_world, world_of_voxel

SIZE = 160  # pixels, of 1 mm
BLOCK = (40, 60, 60)  # (z, y, x), of 2.5 × 1.1 × 0.8 mm


class Studio:
    """A grey block under a rotation, seen axially at 1 mm a pixel; attention is in at one side, out at the other."""

    def __init__(self, size: tuple[int, int] = (SIZE, SIZE)) -> None:
        from Demo.scene import Scene
        from Demo.views import SliceView

        self.scene = SceneMaker()
        application = self.scene.application
        inner = Scene(self.scene.mrml, application, self.scene.logics["Volumes"], self.scene.logics["Segmentations"])
        self.view = SliceView(inner, "Axial", size)
        self.scan = self.scene.volume("oblique", array=np.full(BLOCK, 100, np.int16))
        self.scan.GetDisplayNode().SetAutoWindowLevel(False)
        self.scan.GetDisplayNode().SetWindowLevel(200, 100)
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = oblique(), (11, 12, 13)
        self.scan.SetAndObserveTransformNodeID(self.scene.linear(matrix).GetID())
        self.middle = tuple(world_of_voxel(self.scan, (30, 30, 20)))
        weights = np.zeros((2, *BLOCK), np.float32)
        weights[0, :, :, :30] = 1
        weights[1, :, :, 30:] = 1
        grid = Grid.from_index_to_lps(BLOCK, snapshot(self.scan).index_to_lps)
        self.attention = add_attention(self.scan, {0: AttentionMap(weights, (2, 6), grid)})
        set_range(self.attention.zoom(0), *self.attention.layer(0).rates_mm)
        self.composite = self.view.logic.GetSliceCompositeNode()
        self.composite.SetBackgroundVolumeID(self.scan.GetID())
        self.view.look_at(self.middle, self.middle, 1.0)

    def picture(self) -> np.ndarray:
        return self.view.picture().astype(int)

    def pixel(self, index: tuple[float, float, float]) -> tuple[int, int]:
        """Row and column at which a voxel (i, j, k) of the scan is drawn."""
        x, y, _ = np.subtract(world_of_voxel(self.scan, index), self.middle)
        return round(SIZE / 2 - y), round(SIZE / 2 - x)  # the patient's right is the screen's left


@pytest.fixture(scope="module")
def drawing() -> None:
    problem = offscreen.why_not()
    if problem is not None:
        pytest.skip(str(problem))
    offscreen.choose_window()


@pytest.fixture
def studio(drawing: None) -> Studio:
    return Studio()


@pytest.mark.parametrize("radius", [8.0, 30.0])
def test_the_effective_field_is_a_circle_of_true_size_around_the_cursor(studio: Studio, radius: float) -> None:
    marker = DistanceMarker(studio.scene.mrml)
    plain = studio.picture()
    for centre in ((0.0, 0.0), (15.0, -10.0)):  # mm from the middle
        marker.update(np.add(studio.middle, (*centre, 0.0)), radius)
        rows, columns = np.nonzero((studio.picture() != plain).any(axis=2))
        x, y = SIZE / 2 - columns - centre[0] - 0.5, SIZE / 2 - rows - centre[1] - 0.5
        distance = np.hypot(x, y)
        assert len(distance) > 4 * radius
        assert np.abs(distance - radius).max() < 2.5
    marker.hide()
    np.testing.assert_array_equal(studio.picture(), plain)
    marker.remove()


def test_the_overlay_is_blue_where_it_zoomed_in_and_orange_where_it_zoomed_out(studio: Studio) -> None:
    plain = studio.picture()
    zoom = studio.attention.zoom(0)
    show_overlay([studio.composite], zoom, opacity=0.5)
    picture = studio.picture()
    near, far = picture[studio.pixel((15, 30, 20))], picture[studio.pixel((45, 30, 20))]
    assert near[2] > near[0] + 40
    assert far[0] > far[2] + 40
    set_range(zoom, studio.attention.layer(0).rates_mm[0], 4.0, only=True)
    picture = studio.picture()
    np.testing.assert_array_equal(picture[studio.pixel((45, 30, 20))], plain[studio.pixel((45, 30, 20))])
    np.testing.assert_array_equal(picture[studio.pixel((15, 30, 20))], near)
    hide_overlay([studio.composite])
    np.testing.assert_array_equal(studio.picture(), plain)


def test_the_legend_is_drawn_while_the_overlay_is_on(studio: Studio) -> None:
    zoom = studio.attention.zoom(0)
    show_overlay([studio.composite], zoom, opacity=0.5)
    without = studio.picture()

    def changes() -> int:
        return int((studio.picture() != without).any(axis=2)[:, -60:].sum())

    show_legend(zoom)
    assert changes() > 300
    show_legend(zoom, visible=False)
    assert changes() == 0
    show_legend(zoom)
    assert changes() > 300
    hide_overlay([studio.composite])
    show_overlay([studio.composite], studio.attention.rates(0)[0], opacity=0.0)
    right = studio.picture()[:, -SIZE // 4 :]
    assert np.ptp(right, axis=2).max() < 3, "the legend of a volume that is not shown is gone"


@pytest.mark.parametrize("size", [(644, 334), (600, 200), (900, 900)])
def test_the_legend_keeps_its_title_in_a_low_view_of_a_screen_at_200_percent(
    drawing: None, size: tuple[int, int]
) -> None:
    studio = Studio(size)
    zoom = studio.attention.zoom(0)
    show_overlay([studio.composite], zoom, opacity=0.0)
    without = studio.picture()
    show_legend(zoom, view=studio.view.logic.GetSliceNode().GetID(), pixel_ratio=2.0)
    rows, _ = np.nonzero((studio.picture() != without).any(axis=2))
    assert rows.size > 300
    assert rows.min() > 2
    assert rows.max() < size[1] - 3


def test_segments_are_drawn_on_the_voxels_of_a_turned_scan(studio: Studio) -> None:
    labels = np.zeros(BLOCK, np.uint8)
    labels[10:30, 20:40, 40:55] = 5
    node = add_segmentation(studio.scan, labels, snapshot(studio.scan).index_to_lps, STRUCTURES, name="Pelvis")
    picture = studio.picture()
    inside, outside = picture[studio.pixel((47, 30, 20))], picture[studio.pixel((20, 30, 20))]
    assert inside[2] > inside[0] + 40, "the left femur is blue"
    assert np.ptp(outside) == 0
    labels = np.zeros(BLOCK, np.uint8)
    labels[10:30, 20:40, 13:27] = 5
    add_segmentation(studio.scan, labels, snapshot(studio.scan).index_to_lps, STRUCTURES, name="Pelvis", replace=node)
    picture = studio.picture()
    assert np.ptp(picture[studio.pixel((47, 30, 20))]) == 0, "the views follow an update"
    assert picture[studio.pixel((20, 30, 20))][2] > inside[0] + 40


def test_positions_in_the_picture_are_as_computed(studio: Studio) -> None:
    """The helper `pixel` against the view's own matrix."""
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    matrix = vtkMatrix4x4()
    vtkMatrix4x4.Invert(studio.view.node.GetXYToRAS(), matrix)
    index = (40, 20, 20)
    x, y, _, _ = matrix.MultiplyPoint((*to_world(studio.scan, local(studio.scan, index)), 1.0))
    row, column = studio.pixel(index)
    assert abs(SIZE - 1 - y - row) <= 1
    assert abs(x - column) <= 1


def local(volume: Any, index: tuple[float, float, float]) -> np.ndarray:
    from AutofocusSegmentationLib.scene.placing import RAS_TO_LPS

    return (RAS_TO_LPS @ snapshot(volume).index_to_lps @ [*index, 1.0])[:3]
