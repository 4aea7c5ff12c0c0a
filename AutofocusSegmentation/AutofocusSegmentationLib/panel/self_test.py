"""The module's own tests, which run inside the application: "Reload and Test", and in the extension's test suite."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import slicer

from AutofocusSegmentationLib.scene.segmentation_node import volumes_ml

MODEL = "pelvis-phantom"
SECONDS = 600


def test_segments_a_phantom_without_the_panel() -> None:
    """A synthetic pelvis is segmented through the module's logic."""
    volume = _phantom()
    node = slicer.util.getModuleLogic("AutofocusSegmentation").process([volume], MODEL, device="cpu", timeout=SECONDS)
    assert node.GetSegmentation().GetNumberOfSegments() == 6
    assert sum(volumes_ml(node).values()) > 10


def test_segments_a_phantom_with_the_panel() -> None:
    """A synthetic pelvis is segmented by clicks, and its attention shown."""
    volume = _phantom()
    slicer.util.selectModule("AutofocusSegmentation")
    panel = slicer.util.getModuleWidget("AutofocusSegmentation").panel
    _wait(lambda: bool(panel.models.names))
    panel.models.choose(MODEL)
    panel.devices.choose("cpu")
    assert panel.inputs.nodes() == [volume], panel.readiness.missing()
    panel.ui.segmentButton.click()
    _wait(lambda: panel.run is not None and not panel.control.running)
    assert panel.result.node.GetSegmentation().GetNumberOfSegments() == 6
    panel.ui.attentionCheckBox.setChecked(True)
    assert panel.attention.volume is not None


TESTS: tuple[Callable[[], None], ...] = (
    test_segments_a_phantom_without_the_panel,
    test_segments_a_phantom_with_the_panel,
)


def _phantom() -> Any:
    from AutofocusSegmentationLib.panel.sample_data import SAMPLES, add_sample

    return add_sample(slicer.mrmlScene, SAMPLES[0])


def _wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not until():
        if time.monotonic() > end:
            raise TimeoutError("the condition was not met in time")
        slicer.app.processEvents()
        time.sleep(0.01)
