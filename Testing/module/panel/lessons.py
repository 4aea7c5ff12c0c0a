"""A small model that can be taught, and what a user does to teach it from the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from Testing.core.small_lessons import ball_spec, balls

if TYPE_CHECKING:
    from Testing.module.panel.conftest import Application

MODEL = "balls"
NEW = "our-balls"
ANTERIOR, POSTERIOR = (structure.name for structure in ball_spec().structures)


def read_models(app: Application) -> None:
    """Read the models that are there now; no answer to an earlier question is still to come."""
    answers: list[Any] = []
    app.panel.load_models()
    app.panel.session.request("models", on_result=answers.append, on_error=answers.append)  # answered in order
    app.wait(lambda: answers)


def corrected(app: Application, seed: int, *, grown: float = 0.0, names: Sequence[str] = (ANTERIOR, POSTERIOR)) -> Any:
    """A scan, as it is loaded, and a segmentation of it, as a result is chosen."""
    from AutofocusSegmentationLib.scene.geometry import snapshot
    from AutofocusSegmentationLib.scene.image_node import add_image
    from AutofocusSegmentationLib.scene.segmentation_node import add_segmentation

    image, labels = balls(seed, grown)
    scan = add_image(app.slicer.mrmlScene, f"Anna {seed}", image)
    app.slicer.util.setSliceViewerLayers(background=scan, fit=True)
    app.wait(lambda: app.panel.inputs.nodes() == [scan])
    entries = [{**s.to_dict(), "name": name} for s, name in zip(ball_spec().structures, names, strict=True)]
    node = add_segmentation(scan, labels, snapshot(scan).index_to_lps, entries, name=f"Contours {seed}")
    app.ui.segmentationSelector.setCurrentNode(node)
    return node


def boxes(app: Application) -> list[Any]:
    return [app.ui.caseStructuresTable.item(row, 0) for row in range(app.ui.caseStructuresTable.rowCount)]


def add(app: Application) -> None:
    count = len(app.panel.teaching.collection.cases)
    app.ui.addCaseButton.click()
    assert not app.ui.addCaseButton.enabled, "one at a time"
    app.wait(lambda: len(app.panel.teaching.collection.cases) == count + 1)


def collect(app: Application, *seeds: int) -> None:
    """Cases in which the bright ball's contour alone was looked at; it lies outside the ball's edge."""
    import qt

    for seed in seeds:
        corrected(app, seed, grown=1.0)
        boxes(app)[1].setCheckState(qt.Qt.Unchecked)
        add(app)


def start(app: Application, **settings: Any) -> None:
    """Click Teach, with settings that the panel does not have, so that it takes a second."""
    lesson = app.panel.teaching.lesson
    begin = lesson.start
    lesson.start = lambda fields: begin({**fields, "settings": {**fields["settings"], **settings}})
    try:
        app.ui.teachButton.click()
    finally:
        del lesson.start
