"""The panel's buttons on a result: export to files, surfaces in 3D."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk


@pytest.fixture
def result(app: Any) -> Any:
    """A segmentation of a scan, with a box of 60 voxels in one structure, shown in the panel."""
    from AutofocusSegmentationLib.scene.geometry import snapshot
    from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation

    from AutofocusCore.models.terminology import structures

    scan = app.ready()
    app.wait(lambda: app.panel.planner.estimate is not None)  # which the status line tells of as soon as it is known
    labels = np.zeros((20, 28, 36), np.uint8)
    labels[5:8, 6:10, 7:12] = 1
    prostate = [one.to_dict() for one in structures("Prostate")]
    node = add_segmentation(scan, labels, snapshot(scan).index_to_lps, prostate, name="Result")
    app.panel.result.show(node)
    app.pause(0.05)
    return node


def choose(app: Any, ending: str, *answers: str) -> None:
    """The entry for files with this ending in the Export menu; the dialogs that it opens are answered."""
    app.host.dialogs.answers.extend(answers)
    (action,) = [one for one in app.ui.exportButton.menu().actions() if ending in one.text]
    action.trigger()
    app.pause(0.05)


def test_the_menu_writes_the_file_that_is_chosen_and_says_so(app: Any, result: Any, tmp_path: Path) -> None:
    choose(app, ".nii.gz", str(tmp_path / "out.nii.gz"))
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.nii.gz")))
    assert values.sum() == 60
    assert app.ui.statusLabel.text.startswith(f"Written: {tmp_path / 'out.nii.gz'}")


def test_a_plan_that_comes_later_leaves_what_was_written_in_the_status_line(
    app: Any, result: Any, tmp_path: Path
) -> None:
    choose(app, ".nii.gz", str(tmp_path / "out.nii.gz"))
    app.panel.planner.soon(anew=True)
    app.wait(lambda: app.panel.planner.estimate is not None)
    assert app.ui.statusLabel.text.startswith("Written: ")
    app.panel.planner.soon()
    app.panel.readiness.show(hint=True)  # as after any change
    app.wait(lambda: "about" in app.ui.statusLabel.text)


def test_surfaces_go_into_the_folder_that_is_chosen(app: Any, result: Any, tmp_path: Path) -> None:
    choose(app, ".stl", str(tmp_path))
    assert [path.suffix for path in tmp_path.iterdir()] == [".stl"]


def test_a_dialog_that_is_closed_writes_nothing_and_says_nothing(app: Any, result: Any, tmp_path: Path) -> None:
    before = app.ui.statusLabel.text
    for ending in (".seg.nrrd", ".stl"):
        choose(app, ending)
    assert len(app.host.dialogs.seen) >= 2
    assert app.ui.statusLabel.text == before


def test_what_cannot_be_written_is_complained_about_with_a_remedy(app: Any, result: Any, tmp_path: Path) -> None:
    choose(app, ".nii.gz", str(tmp_path / "gone" / "out.nii.gz"))
    assert f"The folder {tmp_path / 'gone'} does not exist; make it, or choose another one." in app.ui.statusLabel.text


def test_surfaces_are_shown_and_hidden_and_the_button_tells(app: Any, result: Any) -> None:
    app.ui.show3DButton.setChecked(True)
    assert result.GetSegmentation().ContainsRepresentation("Closed surface")
    assert result.GetDisplayNode().GetVisibility3D()
    app.panel.result.show(None)
    assert not app.ui.show3DButton.checked
    assert not app.ui.exportButton.enabled
    app.panel.result.show(result)
    assert app.ui.show3DButton.checked
    app.ui.show3DButton.setChecked(False)
    assert not result.GetDisplayNode().GetVisibility3D()
