"""The batch inside the application: AutofocusBatch.py's own function, on a synthetic scan."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import SimpleITK as sitk
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

MODEL = "pelvis-phantom"


class AutofocusBatchTest(ScriptedLoadableModuleTest):
    """Runs as py_AutofocusBatchTest."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def test_a_folder_of_scans_becomes_segmentations_and_scenes(self):
        """The scene of a case opens with its volume, its segments and its attention."""
        slicer.util.getModuleLogic("AutofocusSegmentation")  # by which the engine is on Python's path
        from AutofocusSegmentationLib.batch.command import run

        from AutofocusCore.phantom import make_phantom

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "scans").mkdir()
            scan, _ = make_phantom(2018, size=(48, 38, 28), spacing=(9.0, 9.0, 9.0))
            sitk.WriteImage(scan, str(folder / "scans" / "case.nrrd"))
            options = ["--model", MODEL, "--device", "cpu", "--attention", "--mrb"]
            status = run(["--input", str(folder / "scans"), "--output", str(folder / "results"), *options])
            assert status == 0
            with (folder / "results" / "results.csv").open(encoding="utf-8", newline="") as stream:
                assert [row["status"] for row in csv.DictReader(stream)] == ["done"]
            assert slicer.util.loadScene(str(folder / "results" / "case.mrb"))
            node = slicer.util.getNode("vtkMRMLSegmentationNode*")
            assert node.GetSegmentation().GetNumberOfSegments() == 6
            assert slicer.util.arrayFromVolume(slicer.util.getNode("case")).shape == (28, 38, 48)
            slicer.mrmlScene.Clear(0)
