from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PLACES = [
    {"structure": "Bladder", "label": 1, "position_mm": [10.0, -20.0, 30.0], "volume_ml": 1.2, "inside_ml": 1.0},
    {"structure": "Bladder", "label": 1, "position_mm": [-5.0, 6.0, 7.0], "volume_ml": 0.4, "inside_ml": 0.1},
]
ESTIMATES = {"Bladder": {"dice": 0.71, "low": 0.5, "high": 0.8, "check": True}}


@pytest.fixture
def reviewed(app: Any) -> Any:
    """A segmentation with one structure, an estimate and two places, shown in the panel."""
    from AutofocusSegmentationLib.scene.provenance_node import add_provenance

    node = app.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Result")
    node.CreateDefaultDisplayNodes()
    node.GetSegmentation().AddEmptySegment("1", "Bladder")
    add_provenance(node, {"review": {"estimates": ESTIMATES, "places": [dict(place) for place in PLACES]}})
    app.panel.result.show(node)
    app.pause()
    return node


def red_slice(app: Any) -> Any:
    return (
        app.slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
        or app.slicer.util.getNodesByClass("vtkMRMLSliceNode")[0]
    )


def test_places_and_estimates_of_a_result_are_listed(app: Any, reviewed: Any) -> None:
    table = app.ui.placesTable
    assert table.rowCount == 2
    assert table.item(0, 0).text() == "1  Bladder"
    assert app.ui.segmentsTable.item(0, 2).text() == "0.71"
    assert "0.50 to 0.80" in app.ui.segmentsTable.item(0, 2).toolTip()


def test_next_moves_the_views_and_done_stays_done_in_the_saved_scene(app: Any, reviewed: Any, tmp_path: Path) -> None:
    from AutofocusSegmentationLib.scene.review_record import places_of

    app.ui.nextPlaceButton.click()
    matrix = red_slice(app).GetSliceToRAS()
    assert [round(matrix.GetElement(i, 3)) for i in range(3)] == [-10, 20, 30]
    app.ui.donePlaceButton.click()
    matrix = red_slice(app).GetSliceToRAS()
    assert [round(matrix.GetElement(i, 3)) for i in range(3)] == [5, -6, 7]
    app.save_and_load(tmp_path)
    node = app.slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0]
    assert [bool(place.get("done")) for place in places_of(node)] == [True, False]


def test_a_result_without_a_review_has_no_list(app: Any) -> None:
    app.panel.result.show(None)
    assert app.ui.placesTable.rowCount == 0
    assert not app.ui.nextPlaceButton.visible
