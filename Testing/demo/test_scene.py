"""The scene holds what the files hold: names, colours, codes, and everything where it is in the patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from AutofocusCore.errors import InputError
from AutofocusCore.models.terminology import structures

from .conftest import NAMES, PROVENANCE, Case

VOXEL_MM = 36.0 ** (1 / 3)  # the attention's voxels have 3 × 3 × 4 mm

pytestmark = pytest.mark.usefixtures("drawing")


@pytest.fixture
def loaded(case: Case) -> tuple[Any, Any, Any, Any]:
    """Scene, scan, segmentation and effective dilation."""
    from Demo.attention import find_layers
    from Demo.scene import load_effective_dilation, load_scan, load_segmentation, new_scene

    scene = new_scene()
    scan = load_scan(scene, case.scan, name="CT")
    segmentation = load_segmentation(scene, case.segmentation, name="Pelvis", scan=scan)
    (layer,) = find_layers(case.attention.iterdir())
    dilation = load_effective_dilation(scene, layer.path, name="Layer 2", scan=scan, rates_mm=layer.rates_mm)
    return scene, scan, segmentation, dilation


def test_names_colours_and_terminology_survive(loaded: tuple[Any, Any, Any, Any]) -> None:
    from Demo.scene import segment_names_and_colours

    segments = loaded[2].GetSegmentation()
    wanted = structures(*NAMES)
    assert segment_names_and_colours(loaded[2]) == [(structure.name, structure.color) for structure in wanted]
    for index, structure in enumerate(wanted):
        segment = segments.GetNthSegment(index)
        assert f"SCT^{structure.type.value}^{structure.type.meaning}" in segment.GetTerminology()
        assert segment.GetLabelValue() == structure.label


def test_every_segment_has_a_surface_around_its_voxels(loaded: tuple[Any, Any, Any, Any]) -> None:
    from Demo.scene import segment_points

    segmentation = loaded[2]
    segments = segmentation.GetSegmentation()
    for index, points in enumerate(segment_points(segmentation)):
        bounds = segmentation.GetClosedSurfaceInternalRepresentation(segments.GetNthSegmentID(index)).GetBounds()
        np.testing.assert_allclose(bounds[0::2], points.min(0), atol=6.0)
        np.testing.assert_allclose(bounds[1::2], points.max(0), atol=6.0)


def test_segments_lie_on_the_scan(loaded: tuple[Any, Any, Any, Any], case: Case) -> None:
    import SimpleITK as sitk

    from Demo.scene import ijk_to_ras, segment_points

    femur = segment_points(loaded[2])[4]
    np.testing.assert_allclose(femur.mean(0), case.focus, atol=0.1)
    assert case.focus[0] < -50, "the left femur is at the patient's left, where x is negative in RAS"
    index = np.linalg.solve(ijk_to_ras(loaded[1]), np.append(case.focus, 1.0))[:3]
    lps = sitk.ReadImage(str(case.scan)).TransformContinuousIndexToPhysicalPoint(index.tolist())
    np.testing.assert_allclose(lps, np.multiply(case.focus, (-1, -1, 1)), atol=1e-3)


def test_attention_on_an_oblique_grid_lies_where_it_is_in_the_patient(
    loaded: tuple[Any, Any, Any, Any], case: Case
) -> None:
    from Demo.scene import ijk_to_ras, voxels

    values = voxels(loaded[3])
    peak = np.argwhere(values == values.max()).mean(0)[::-1]
    ras = ijk_to_ras(loaded[3]) @ np.append(peak, 1.0)
    np.testing.assert_allclose(ras[:3], case.focus, atol=1e-3)
    assert values.max() == pytest.approx(14 * VOXEL_MM, rel=1e-5)


def test_legend_runs_over_the_effective_dilations_that_occur_in_millimetres(loaded: tuple[Any, Any, Any, Any]) -> None:
    import slicer

    display = loaded[3].GetDisplayNode()
    low, high = display.GetLevel() - display.GetWindow() / 2, display.GetLevel() + display.GetWindow() / 2
    from Demo.scene import voxels

    assert (low, high) == pytest.approx(tuple(np.percentile(voxels(loaded[3]), [2, 98])), abs=1e-2)
    assert 2 * VOXEL_MM <= low < high <= 14 * VOXEL_MM
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(loaded[3])
    assert "mm" in legend.GetTitleText()
    assert legend.GetNumberOfLabels() == 4
    table = display.GetColorNode().GetLookupTable()
    first, last = table.GetTableValue(0), table.GetTableValue(255)
    assert first[2] > 2 * first[0], "small dilations are blue"
    assert last[0] > 2 * last[2], "large dilations are orange"


def test_hidden_voxels_are_below_the_threshold_and_the_others_untouched(case: Case) -> None:
    from Demo.attention import find_layers
    from Demo.scene import load_effective_dilation, load_scan, new_scene, voxels

    scene = new_scene()
    scan = load_scan(scene, case.scan, name="CT")
    (layer,) = find_layers(case.attention.iterdir())
    whole = voxels(load_effective_dilation(scene, layer.path, name="a", scan=scan, rates_mm=layer.rates_mm))
    inside = np.zeros(whole.shape, dtype=bool)
    inside[10:30] = True
    node = load_effective_dilation(scene, layer.path, name="b", scan=scan, rates_mm=layer.rates_mm, inside=inside)
    assert node.GetDisplayNode().GetApplyThreshold()
    np.testing.assert_array_equal(voxels(node)[10:30], whole[10:30])
    assert (voxels(node)[~inside] < node.GetDisplayNode().GetLowerThreshold()).all()


def test_colours_run_over_what_occurs_or_over_the_rates_where_all_is_alike() -> None:
    from Demo.scene import range_of

    rates = (8.0, 24.0, 40.0, 56.0)
    low, high = range_of(np.linspace(10, 20, 101), rates)
    assert (low, high) == (pytest.approx(10.2), pytest.approx(19.8))
    assert range_of(np.full(100, 30.0), rates) == (8.0, 56.0)
    assert range_of(np.zeros(0), rates) == (8.0, 56.0)


def test_everything_stands_beside_the_scan_in_the_subject_hierarchy(loaded: tuple[Any, Any, Any, Any]) -> None:
    import slicer

    scene, *nodes = loaded
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene.mrml)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in nodes}
    assert len(parents) == 1


def test_a_saved_scene_holds_the_same_segments(loaded: tuple[Any, Any, Any, Any], tmp_path: Path) -> None:
    import zipfile

    from Demo.scene import load_segmentation, new_scene, save, segment_names_and_colours

    save(loaded[0], tmp_path / "scene.mrb")
    assert [path.name for path in tmp_path.iterdir()] == ["scene.mrb"]
    with zipfile.ZipFile(tmp_path / "scene.mrb") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".seg.nrrd"))
        archive.extract(name, tmp_path)
    again = load_segmentation(new_scene(), tmp_path / name, name="again", scan=loaded[1])
    assert segment_names_and_colours(again) == segment_names_and_colours(loaded[2])


def test_provenance_of_the_segmentation_becomes_a_text_node(loaded: tuple[Any, Any, Any, Any], case: Case) -> None:
    import json

    from Demo.scene import note_provenance

    node = note_provenance(loaded[0], case.segmentation, scan=loaded[1])
    assert json.loads(node.GetText()) == PROVENANCE


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    from Demo.scene import load_scan, new_scene

    (tmp_path / "scan.nrrd").write_text("nothing", encoding="utf-8")
    with pytest.raises(InputError, match=r"scan\.nrrd"):
        load_scan(new_scene(), tmp_path / "scan.nrrd", name="CT")


def test_a_saved_scene_opens_with_the_overlay_in_the_views_of_the_application(case: Case, tmp_path: Path) -> None:
    import zipfile

    from Demo.attention import find_layers
    from Demo.gallery import open_views
    from Demo.scene import load_effective_dilation, load_scan, new_scene, save

    scene = new_scene()
    views = open_views(scene)
    scan = load_scan(scene, case.scan, name="CT")
    (layer,) = find_layers(case.attention.iterdir())
    dilation = load_effective_dilation(scene, layer.path, name="Layer 2", scan=scan, rates_mm=layer.rates_mm)
    views.slices["Axial"].show(scan, dilation)
    save(scene, tmp_path / "scene.mrb")

    with zipfile.ZipFile(tmp_path / "scene.mrb") as archive:
        archive.extractall(tmp_path)
    again = new_scene()
    again.mrml.SetURL(str(next(tmp_path.rglob("*.mrml"))))
    assert again.mrml.Import()
    composites = again.mrml.GetNodesByClass("vtkMRMLSliceCompositeNode")
    by_view = {
        composites.GetItemAsObject(i).GetLayoutName(): composites.GetItemAsObject(i)
        for i in range(composites.GetNumberOfItems())
    }
    assert set(by_view) == {"Red", "Yellow", "Green"}
    shown = again.mrml.GetNodeByID(by_view["Red"].GetForegroundVolumeID())
    assert shown.GetName() == "Layer 2"
    assert shown.GetDisplayNode().GetColorNode().GetName() == "Near (blue) to far (orange)"


def test_a_scene_is_saved_into_a_relative_folder_too(
    case: Case, drawing: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from Demo.scene import load_scan, new_scene, save

    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    scene = new_scene()
    load_scan(scene, case.scan, name="CT")
    save(scene, Path("results") / "scene.mrb")
    assert (tmp_path / "results" / "scene.mrb").stat().st_size > 0
