"""The tutorial's picture of the section Teach: cases of phantoms, a lesson, and the Dice before and after.

The clinic of the picture contours the bladder with a rim of 5 mm, which the model does not know. Contours of all cases
but the last are the phantoms' own; in the last one the model's are corrected, as a user does it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

if TYPE_CHECKING:
    from Documentation.screenshots import Photographer

SEEDS = (7101, 7102, 7103, 7104, 7105, 7106, 7107, 2018)
"""Of the phantoms. Training draws none of the first seven; the last is the sample's."""
SIZE, SPACING = (144, 112, 80), (3.0, 3.0, 3.0)  # the model's own
TAUGHT = "Bladder"
RIM_MM = 5.0
MINUTES = 4


def with_rim(organ: NDArray[Any], spacing: tuple[float, ...]) -> NDArray[np.bool_]:
    """An organ and what lies within 5 mm of it; spacing (x, y, z) in mm."""
    image = sitk.GetImageFromArray(organ.astype(np.uint8))
    image.SetSpacing(spacing)
    far = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    return np.asarray(sitk.GetArrayFromImage(far) <= RIM_MM)


def load_patient(camera: Photographer, number: int) -> tuple[Any, NDArray[Any]]:
    """A phantom in the scene, shown and chosen, and its true labels (z, y, x)."""
    import slicer
    from AutofocusSegmentationLib.panel.sample_data import SYNTHETIC
    from AutofocusSegmentationLib.scene.image_node import add_image

    from AutofocusCore.phantom import make_phantom

    image, labels = make_phantom(SEEDS[number], size=SIZE, spacing=SPACING, dose=1.0, findings=False)
    scan = add_image(slicer.mrmlScene, f"Patient {number + 1}", image)
    scan.SetAttribute(SYNTHETIC, "1")
    slicer.util.setSliceViewerLayers(background=scan, fit=True)
    camera.wait(lambda: camera.panel.inputs.nodes() == [scan])
    return scan, sitk.GetArrayFromImage(labels)


def contour(camera: Photographer, scan: Any, labels: NDArray[Any]) -> None:
    """Choose the clinic's contours of a phantom as the result."""
    from AutofocusSegmentationLib.scene.geometry import snapshot
    from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation

    structures = camera.panel.models.chosen["structures"]
    label = next(entry["label"] for entry in structures if entry["name"] == TAUGHT)
    drawn = labels.copy()
    drawn[with_rim(labels == label, SPACING) & (labels == 0)] = label
    name = f"{scan.GetName()} - contours"
    node = add_segmentation(scan, drawn, snapshot(scan).index_to_lps, structures, name=name)
    camera.ui.segmentationSelector.setCurrentNode(node)


def correct(camera: Photographer, scan: Any) -> None:
    """Give the bladder of the result its rim."""
    import slicer

    node = camera.panel.result.node
    segments = node.GetSegmentation()
    key = next(key for key in segments.GetSegmentIDs() if segments.GetSegment(key).GetName() == TAUGHT)
    organ = slicer.util.arrayFromSegmentBinaryLabelmap(node, key, scan)
    slicer.util.updateSegmentBinaryLabelmapFromArray(with_rim(organ, SPACING).astype(np.uint8), node, key, scan)


def add_case(camera: Photographer) -> None:
    """Tick the bladder alone, and click Add this case."""
    import qt

    table, cases = camera.ui.caseStructuresTable, len(camera.panel.teaching.collection.cases)
    camera.wait(lambda: table.rowCount == len(camera.panel.models.chosen["structures"]))
    for row in range(table.rowCount):
        box = table.item(row, 0)
        box.setCheckState(qt.Qt.Checked if box.text() == TAUGHT else qt.Qt.Unchecked)
    camera.ui.addCaseButton.click()
    camera.wait(lambda: len(camera.panel.teaching.collection.cases) == cases + 1)


def photograph_teaching(camera: Photographer) -> None:
    """Collect cases, teach, and take panel-teach.png; the user's own models and cases are left alone."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AUTOFOCUS_MODELS"] = str(Path(folder) / "models")
        camera.choose_model()
        camera.ui.teachCollapsibleButton.collapsed = False
        for number in range(len(SEEDS)):
            scan, labels = load_patient(camera, number)
            if number + 1 < len(SEEDS):
                contour(camera, scan, labels)
            else:
                camera.segment(picture=False)
                correct(camera, scan)
            add_case(camera)
        camera.ui.teachMinutesSpinBox.value = MINUTES
        camera.ui.teachButton.click()
        camera.wait(lambda: not camera.panel.teaching.running)
        print(camera.ui.teachStatusLabel.text, camera.ui.taughtLabel.text)
        camera.wait(lambda: camera.panel.models.chosen["name"] != camera.model)
        camera.choose_model()
        camera.wait(lambda: len(camera.panel.teaching.collection.cases) == len(SEEDS))
        camera.take("teach", "teach")
        camera.widget.cleanup()
