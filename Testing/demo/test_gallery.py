"""The pictures show what they should: segments in colour, the overlay on the scan, the patient's left at the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from AutofocusCore.models.terminology import KNOWN

from .conftest import Case

pytestmark = pytest.mark.usefixtures("drawing")


LEFT_FEMUR = KNOWN["Left femur"][0]


class Studio:
    """A loaded scene with its views."""

    def __init__(self, case: Case) -> None:
        from Demo.attention import find_layers
        from Demo.gallery import open_views
        from Demo.planes import choose_planes
        from Demo.scene import load_effective_dilation, load_scan, load_segmentation, new_scene

        self.scene = new_scene()
        self.views = open_views(self.scene)
        self.scan = load_scan(self.scene, case.scan, name="CT")
        self.segmentation = load_segmentation(self.scene, case.segmentation, name="Pelvis", scan=self.scan)
        (layer,) = find_layers(case.attention.iterdir())
        self.dilation = load_effective_dilation(
            self.scene, layer.path, name="Layer 2", scan=self.scan, rates_mm=layer.rates_mm
        )
        self.planes = choose_planes(self.segmentation, self.scan)
        self.focus = case.focus

    def slice(self, orientation: str, *, segments: bool, dilation: bool, opacity: float = 0.5) -> np.ndarray:
        """A slice through the focus, which is the picture's middle, at 1 mm a pixel."""
        view = self.views.slices[orientation]
        self.segmentation.GetDisplayNode().SetVisibility(segments)
        view.show(self.scan, self.dilation if dilation else None, opacity)
        view.look_at(self.focus, self.focus, 1.0)
        return view.picture().astype(int)


@pytest.fixture(scope="module")
def studio(case: Case, drawing: None) -> Studio:
    return Studio(case)


def middle(picture: np.ndarray) -> np.ndarray:
    """Mean colour of 5 × 5 pixels in the middle."""
    row, column = picture.shape[0] // 2, picture.shape[1] // 2
    return picture[row - 2 : row + 3, column - 2 : column + 3].mean((0, 1))


def test_the_slice_is_the_scan_in_grey(studio: Studio) -> None:
    picture = studio.slice("Axial", segments=False, dilation=False)
    assert np.ptp(picture, axis=2).max() == 0
    assert picture.std() > 30
    assert middle(picture).min() > 100, "bone is bright"


@pytest.mark.parametrize("orientation", ["Axial", "Sagittal", "Coronal"])
def test_a_segment_tints_the_scan_with_its_colour_and_hides_nothing(studio: Studio, orientation: str) -> None:
    plain = studio.slice(orientation, segments=False, dilation=False)
    tinted = studio.slice(orientation, segments=True, dilation=False)
    red, green, blue = middle(tinted)
    assert blue > green > red, "the left femur is light blue"
    mixed = (middle(tinted) - middle(plain)) / (np.array(LEFT_FEMUR) - middle(plain))
    np.testing.assert_allclose(mixed, mixed.mean(), atol=0.05)  # one opacity in red, green and blue
    assert 0.1 < mixed.mean() < 0.6, "the scan is seen beneath"
    assert (tinted == LEFT_FEMUR).all(axis=2).sum() > 50, "the outline is opaque"


def test_patients_left_is_at_the_right_of_axial_and_coronal_pictures(studio: Studio) -> None:
    for orientation in ("Axial", "Coronal"):
        view = studio.views.slices[orientation]
        assert view.sides()[:2] == ("R", "L")
        studio.segmentation.GetDisplayNode().SetVisibility(True)
        view.show(studio.scan)
        view.look_at(studio.focus, (0.0, studio.focus[1], studio.focus[2]), 1.0)
        with_segments = view.picture().astype(int)
        studio.segmentation.GetDisplayNode().SetSegmentVisibility("Segment_5", False)
        without_left_femur = view.picture().astype(int)
        studio.segmentation.GetDisplayNode().SetSegmentVisibility("Segment_5", True)
        columns = np.nonzero((with_segments != without_left_femur).any(axis=(0, 2)))[0]
        assert columns.size
        assert columns.min() > view.size[0] / 2


def test_front_is_up_in_axial_and_at_the_left_in_sagittal_pictures(studio: Studio) -> None:
    assert studio.views.slices["Axial"].sides() == ("R", "L", "P", "A")
    assert studio.views.slices["Sagittal"].sides() == ("A", "P", "I", "S")
    assert studio.views.slices["Coronal"].sides() == ("R", "L", "I", "S")


@pytest.mark.parametrize("orientation", ["Axial", "Sagittal", "Coronal"])
def test_overlay_blends_and_is_orange_where_the_network_zoomed_out(studio: Studio, orientation: str) -> None:
    plain = studio.slice(orientation, segments=False, dilation=False)
    half = studio.slice(orientation, segments=False, dilation=True)
    full = studio.slice(orientation, segments=False, dilation=True, opacity=1.0)
    red, _, blue = middle(half)
    assert red > blue + 40, "the focus, on an oblique grid, is in the middle of the picture"
    np.testing.assert_allclose(middle(half), (middle(plain) + middle(full)) / 2, atol=3)
    row, column = half.shape[0] // 2, half.shape[1] // 2
    red, _, blue = half[row, column - 55 : column - 50].mean(0)  # 50 mm away
    assert blue > red + 40


def test_legend_shows_only_with_the_overlay(studio: Studio) -> None:
    bottom = slice(-14, None)
    without = studio.slice("Coronal", segments=False, dilation=False)[bottom]
    legend = studio.slice("Coronal", segments=False, dilation=True)[bottom]
    colours = legend[(legend != without).any(axis=2)]
    assert (colours[:, 2] > colours[:, 0] + 100).any(), "its blue end"
    assert (colours[:, 0] > colours[:, 2] + 100).any(), "its orange end"


def test_surfaces_have_the_segments_colours_on_a_light_background(studio: Studio) -> None:
    studio.segmentation.GetDisplayNode().SetVisibility(True)
    view = studio.views.surfaces
    view.look_from((0.1, 1.0, 0.2))
    picture = view.picture().astype(float)
    assert picture[0, 0].min() > 200
    hue = picture / np.maximum(picture.max(axis=2, keepdims=True), 1)
    for colour in (LEFT_FEMUR, (80, 140, 220), (250, 210, 60)):  # right femur and bladder
        near = np.abs(hue - np.divide(colour, max(colour))).max(axis=2) < 0.12
        assert (near & (picture.min(axis=2) < 200)).sum() > 200


def test_all_pictures_are_written_and_come_out_the_same_twice(studio: Studio, tmp_path: Path) -> None:
    from Demo.gallery import draw

    studio.segmentation.GetDisplayNode().SetVisibility(True)
    contents: list[dict[str, bytes]] = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        nodes: tuple[Any, ...] = (studio.views, studio.scan, studio.segmentation, studio.dilation)
        files = draw(*nodes, tmp_path / name, what="test")
        assert [file.name for file in files] == ["sheet.png", "segments.png", "attention.png", "surfaces.png"]
        assert sorted(tmp_path.joinpath(name).iterdir()) == sorted(files)
        assert all(file.stat().st_size > 20_000 for file in files)
        contents.append({file.name: file.read_bytes() for file in files})
    assert contents[0] == contents[1]
