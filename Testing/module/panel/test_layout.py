"""What is in sight without scrolling on a small screen, and that nothing is cut."""

from __future__ import annotations

from typing import Any

import pytest

from Testing.module.panel.conftest import SECTIONS, Application, computing, go_on

WIDTH = 400
# Of a screen of 1000 pixels, less title, menus, toolbars, module selector, Data Probe with its picture, status bar.
HEIGHT = 600
SCROLL_BAR = 54  # what Slicer adds to the panel's size hint, to get the least width of the dock
IN_SIGHT = ("outputSelector", "modelButton", "segmentButton", "cancelButton", "statusLabel")


def lay_out(app: Application) -> Any:
    """The panel in a view of that size."""
    root = app.widget.parent
    root.resize(WIDTH, max(HEIGHT, root.minimumSizeHint.height()))
    root.show()
    app.pause(0.1)
    return root


def bottom(app: Application, name: str) -> int:
    import qt

    widget = getattr(app.ui, name)
    assert not widget.isHidden(), name
    return int(widget.mapTo(app.widget.parent, qt.QPoint(0, widget.height)).y())


def cut(app: Application) -> list[str]:
    """The visible widgets that are narrower than their text, or reach out of the panel."""
    import qt

    found = []
    for widget in app.widget.parent.findChildren(qt.QWidget):
        if not widget.visible or widget.isWindow() or not widget.objectName:
            continue
        right = widget.mapTo(app.widget.parent, qt.QPoint(widget.width, 0)).x()
        short = isinstance(widget, qt.QPushButton | qt.QCheckBox | qt.QLabel) and (
            widget.minimumSizeHint.width() > widget.width + 1
        )
        if right > WIDTH + 1 or short:
            found.append(f"{widget.objectName}: {widget.width} pixels, ends at {right}")
    return found


@pytest.mark.parametrize("state", ["empty", "before", "during", "after"])
def test_everything_that_a_click_needs_is_in_sight(app: Application, state: str) -> None:
    if state == "empty":
        app.wait(lambda: bool(app.panel.models.names))
    else:
        app.ready("A scan with quite a long name, as they come from the archive, 2026-11-29")
    names = [*IN_SIGHT]
    if state == "during":
        computing(app)
        names.append("progressBar")
    if state == "after":
        app.segment()
        names += ["segmentsTable", "show3DButton", "attentionButton", "exportButton"]
    lay_out(app)
    for name in names:
        assert bottom(app, name) <= HEIGHT, name
    assert cut(app) == []
    if state == "during":
        go_on()
        app.wait(lambda: app.ended)


def test_the_next_place_is_in_sight_below_seven_structures(app: Application) -> None:
    from AutofocusSegmentationLib.scene.provenance_node import add_provenance

    app.ready("A scan with quite a long name, as they come from the archive, 2026-11-29")
    app.panel.models.choose("head-neck-ct")
    node = app.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "The result of that scan by that model")
    node.CreateDefaultDisplayNodes()
    for number in range(7):
        node.GetSegmentation().AddEmptySegment(str(number), "Right parotid gland")
    place = {"structure": "Spinal cord", "label": 1, "position_mm": [1.0, 2.0, 3.0], "volume_ml": 6.5, "inside_ml": 3.0}
    record = {"review": {"places": [dict(place) for _ in range(9)]}, "warnings": ["It is not what it was. " * 6]}
    add_provenance(node, record)
    app.panel.result.show(node)
    app.panel.messages.say("Done in 6 min on cpu. Check every contour: click a structure to go there.")
    lay_out(app)
    app.pause(0.5)
    assert bottom(app, "nextPlaceButton") <= HEIGHT


def test_a_folded_section_takes_no_more_room_than_its_header(app: Application) -> None:
    for section in SECTIONS:
        assert getattr(app.ui, f"{section}CollapsibleButton").collapsedHeight == 0, section


def test_nothing_is_drawn_over_something_else_where_the_panel_is_as_low_as_may_be(app: Application) -> None:
    app.ready("A scan with quite a long name, as they come from the archive, 2026-11-29")
    app.segment()
    app.panel.messages.say("Several lines. " * 30)
    parent = lay_out(app)
    for _ in range(2):
        parent.resize(WIDTH, parent.minimumSizeHint.height())
        app.pause(0.5)
    assert app.ui.statusLabel.height >= app.ui.statusLabel.heightForWidth(app.ui.statusLabel.width)
    table, button = app.ui.segmentsTable, app.ui.show3DButton
    assert table.y + table.height <= button.y
    assert app.ui.resultWidget.height >= app.ui.resultWidget.minimumSizeHint.height()


def test_a_label_gets_lower_again_when_its_text_does(app: Application) -> None:
    app.wait(lambda: bool(app.panel.models.names) and app.panel.devices.known)
    lay_out(app)
    app.panel.messages.hint("Short.")
    app.pause(0.5)
    line = app.ui.statusLabel.height
    app.panel.messages.hint("Several lines. " * 30)
    app.pause(0.5)
    assert app.ui.statusLabel.minimumHeight > 2 * line
    app.panel.messages.hint("Short.")
    app.pause(0.5)
    assert app.ui.statusLabel.minimumHeight <= line


def test_nothing_is_cut_where_everything_is_unfolded(app: Application) -> None:
    app.ready()
    app.segment()
    first = app.result
    app.ui.outputSelector.setCurrentNode(None)
    app.segment()
    app.ui.compareSelector.setCurrentNode(first)
    app.ui.compareButton.click()
    app.wait(lambda: app.ui.comparisonTable.rowCount > 0)
    app.ui.attentionButton.click()
    for section in SECTIONS:
        getattr(app.ui, f"{section}CollapsibleButton").collapsed = False
    lay_out(app)
    assert cut(app) == []


def test_nothing_makes_the_dock_wider(app: Application) -> None:
    """Slicer takes the size hint of a module's widget for its least width."""
    a = app.ready("A scan with quite a long name, as they come from the archive, 2026-11-29")
    app.scan("Another scan with quite a long name, which the views show, 2026-11-30")
    app.panel.inputs._selectors[0].setCurrentNode(a)
    app.pause()
    assert not app.ui.viewsNoticeWidget.isHidden()
    app.segment()
    app.panel.messages.say("A message of some length, as an error may have one. " * 5)
    for section in SECTIONS:
        getattr(app.ui, f"{section}CollapsibleButton").collapsed = False
    for label in ("warningLabel", "resultWarningLabel", "comparisonWarningLabel", "planLabel", "modelSummaryLabel",
                  "teachHintLabel", "teachStatusLabel", "taughtLabel"):  # fmt: skip
        getattr(app.ui, label).text = "A sentence of some length, as a warning may have one. " * 5
        getattr(app.ui, label).visible = True
    root = lay_out(app)
    assert root.sizeHint.width() <= WIDTH - SCROLL_BAR


def test_the_chart_is_drawn_at_the_screens_resolution(app: Application) -> None:
    from AutofocusSegmentationLib.panel.chart import draw_chart

    bars = ([0.1, 0.2, 0.3, 0.4], ["8 mm", "24 mm", "40 mm", "56 mm"], [(9, 9, 9)] * 4, "caption")
    plain, sharp = (draw_chart(*bars, 380, ratio) for ratio in (1.0, 2.0))
    assert (sharp.width(), sharp.height()) == (2 * plain.width(), 2 * plain.height())
    assert sharp.devicePixelRatio() == 2.0
